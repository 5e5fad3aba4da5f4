//! The commands that read, on volumes that the real `lklfs.sys` has mounted in the NT kernel double: they say what they say
//! of the image itself, byte for byte, and end well when the volume or the driver goes.

#![cfg(target_os = "linux")]

mod machine;

use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use machine::{As, Machine, one_line};
use serde_json::Value;
use volumes::{Kind, Made, Plan, make};

/// What the command says without any driver in reach.
fn alone(arguments: &[&str]) -> assert_cmd::assert::Assert {
    assert_cmd::Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(arguments)
        .env_remove("LKLFS_CONTROL")
        .timeout(Duration::from_secs(120))
        .assert()
}

fn made(kind: &str) -> Made {
    make(Kind::named(kind).unwrap(), &Plan::default()).unwrap()
}

/// A machine that has the image as `C:\image`.
fn machine(made: &Made, options: &[&str]) -> Machine {
    Machine::start(made.image.parent().unwrap(), options)
}

fn ext4() -> Made {
    made("ext4")
}

/// Stdout, stderr and exit code of a command with `IMAGE` replaced: through the driver, and alone.
fn both(machine: &Machine, at: &str, image: &str, arguments: &[&str]) -> [(Vec<u8>, String, Option<i32>); 2] {
    let output = |assert: assert_cmd::assert::Assert| {
        let output = assert.get_output();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.stdout.clone(), said, output.status.code())
    };
    [
        output(machine.userctl(&with(arguments, at))),
        output(alone(&with(arguments, image))),
    ]
}

/// `arguments` with `IMAGE` replaced.
fn with<'a>(arguments: &[&'a str], image: &'a str) -> Vec<&'a str> {
    let replaced = arguments.iter().map(|word| match *word {
        "IMAGE" => image,
        other => other,
    });
    replaced.collect()
}

/// Everything about the files below `top` that a copy keeps, a line for each.
fn tree(top: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![top.to_path_buf()];
    // First what reading changes: the times of access.
    while let Some(path) = todo.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let times = [
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.atime(), metadata.atime_nsec()),
        ];
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            todo.extend(entries.map(|entry| entry.unwrap().path()));
        }
        lines.push((path, metadata.mode(), metadata.nlink(), times));
    }
    lines.sort();
    let line = |(path, mode, links, times): (PathBuf, u32, u64, [(i64, i64); 2])| {
        let kind = path.symlink_metadata().unwrap().file_type();
        let content = if kind.is_symlink() {
            format!("{:?}", std::fs::read_link(&path).unwrap())
        } else if kind.is_dir() {
            "-".into()
        } else {
            assert!(kind.is_file(), "{path:?}");
            // Root reads what nobody may; others cannot, and then the mode tells enough.
            match std::fs::read(&path) {
                Ok(bytes) => {
                    let mut hasher = DefaultHasher::new();
                    hasher.write(&bytes);
                    format!("{} {:x}", bytes.len(), hasher.finish())
                }
                Err(error) => error.kind().to_string(),
            }
        };
        let path = path.strip_prefix(top).unwrap();
        format!("{path:?} {mode:o} {links} {times:?} {content}")
    };
    lines.into_iter().map(line).collect()
}

/// What is compared of every kind of volume.
const WHOLE: &[&[&str]] = &[
    &["manifest", "IMAGE"],
    &["ls", "-lR", "IMAGE", "/", "--json"],
    &["cat", "IMAGE", "/big"],
];

#[test]
fn an_ext4_volume_says_what_its_image_says() {
    let more: &[&[&str]] = &[
        &["manifest", "IMAGE", "--json"],
        &["ls", "-lR", "IMAGE"],
        &["ls", "IMAGE", "/names"],
        &["ls", "-l", "IMAGE", "/links/directory/"],
        &["cat", "IMAGE", "sparse"],
        &["cat", "IMAGE", "/links/relative"],
        &["cat", "IMAGE", "/links/dangling"],
        &["cat", "IMAGE", "/names/CON"],
        &["cat", "IMAGE", "/names/con"],
        &["cat", "IMAGE", "/names/col:on*?<>|\""],
        &["cat", "IMAGE", "/names/Twin"],
        &["cat", "IMAGE", "/names/tWIN"],
        &["cat", "IMAGE", "/names/TWIN"],
        &["cat", "IMAGE", "/names"],
        &["cat", "IMAGE", "/special/fifo"],
        &["cat", "IMAGE", "/sizes/1/x"],
    ];
    says_the_same("ext4", &[WHOLE, more].concat());
}

#[test]
fn volumes_of_other_kinds_say_what_their_images_say() {
    for kind in ["btrfs", "xfs", "squashfs-gzip", "iso9660-joliet"] {
        says_the_same(kind, WHOLE);
    }
    // Linux makes up the inode numbers that ls shows, other ones at each mount.
    says_the_same("vfat32", &WHOLE[..1]);
}

/// Every command says of the volume what it says of the image: output, errors, exit code. Copies are the same, too.
fn says_the_same(kind: &str, commands: &[&[&str]]) {
    let made = made(kind);
    let image = made.image.to_str().unwrap();
    let machine = machine(&made, &[]);
    let at = machine.mount("image", &[]);
    for arguments in commands {
        let [through, direct] = both(&machine, &at, image, arguments);
        assert_eq!(through.2, direct.2, "{kind}: {arguments:?}: {}", through.1);
        assert_eq!(through.1, direct.1, "{kind}: {arguments:?}");
        assert!(
            through.0 == direct.0,
            "{kind}: {arguments:?}: {}",
            first_difference(&through.0, &direct.0)
        );
    }
    let through = machine.json(&["info", &at]);
    let direct = alone(&["info", image, "--json"]).code(0);
    let direct: Value = serde_json::from_slice(&direct.get_output().stdout).unwrap();
    assert_eq!(through["file_system"], direct["file_system"], "{kind}");
    assert_eq!(through["volume"], at.as_str());
    let text = machine.says(&["info", &at]);
    assert!(text.contains("through the driver"), "{text}");

    let place = tempfile::tempdir().unwrap();
    let destination = |name: &str| place.path().join(name).to_str().unwrap().to_string();
    let [through, direct] = [(at.as_str(), destination("a")), (image, destination("b"))].map(|(from, to)| {
        let copied = machine.userctl(&["cp", "-r", from, "/", &to, "--json"]).code(0);
        let output = copied.get_output();
        (output.stdout.clone(), output.stderr.clone())
    });
    assert_eq!(through, direct, "{kind}");
    let (through, direct) = (tree(&place.path().join("a")), tree(&place.path().join("b")));
    let different = through.iter().zip(&direct).find(|(a, b)| a != b);
    assert_eq!(different, None, "{kind}");
    assert_eq!(through.len(), direct.len(), "{kind}");
    machine.says(&["unmount", &at]);
    machine.end();
}

/// The first lines in which two texts differ.
fn first_difference(a: &[u8], b: &[u8]) -> String {
    let mut lines = a.split(|byte| *byte == b'\n').zip(b.split(|byte| *byte == b'\n'));
    match lines.find(|(a, b)| a != b) {
        Some((a, b)) => format!("{}\nis not\n{}", a.escape_ascii(), b.escape_ascii()),
        None => format!("{} bytes, {} bytes", a.len(), b.len()),
    }
}

#[test]
fn a_volume_is_named_in_every_way() {
    let made = ext4();
    let image = made.image.to_str().unwrap();
    let machine = machine(&made, &["--disk", image]);
    let at = machine.mount("image", &["Q:"]);
    assert_eq!(at, "Q:");
    let info = machine.json(&["info", "Q:"]);
    let number = machine.json(&["list"])["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|volume| volume["letter"] == "Q")
        .unwrap()["volume"]
        .to_string();
    for name in ["q:", "\\\\.\\Q:", "\\\\?\\Q:\\", "\\??\\Q:", &number] {
        assert_eq!(
            machine.json(&["info", name])["file_system"],
            info["file_system"],
            "{name}"
        );
    }
    // The disk has the same file system: two volumes have its UUID, if the disk is mounted already.
    let uuid = info["file_system"]["uuid"].as_str().unwrap();
    let device = "\\Device\\HarddiskVolume1";
    assert_eq!(
        machine.json(&["info", device])["file_system"]["uuid"].as_str(),
        Some(uuid)
    );
    assert_eq!(machine.json(&["info", device])["volume"], device);
    machine.json(&["info", &device.to_uppercase()]);
    machine.fails(&["ls", uuid], 14, &[uuid, "volumes", "name the drive letter"]);
    machine.says(&["unmount", "Q:"]);
    machine.fails(&["ls", "Q:"], 14, &["Q:", "userctl list"]);
    // A file is an image, whatever the driver has mounted.
    let direct = machine.json(&["info", image]);
    assert_eq!(direct["format"], "raw");
    machine.end();
}

#[test]
fn a_label_and_a_uuid_name_one_volume() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("tree")).unwrap();
    std::fs::write(place.path().join("tree/hello"), "hello\n").unwrap();
    let uuid = "6b8f3c1e-8d0a-4a6e-9d5c-0000000000aa";
    for (label, uuid, image) in [("Data", uuid, "data"), ("Hidden", "random", "hidden")] {
        run(
            "mkfs.ext4",
            &["-q", "-F", "-L", label, "-U", uuid, "-d", "tree", image, "12M"],
            place.path(),
        );
    }
    let machine = Machine::start(place.path(), &[]);
    machine.mount("data", &["Q:"]);
    for name in ["Data", uuid, &uuid.to_uppercase()] {
        assert_eq!(machine.says(&["cat", name, "hello"]), "hello\n");
    }
    for unknown in ["NoSuchLabel", "4711"] {
        machine.fails(
            &["cat", unknown, "hello"],
            3,
            &[unknown, "name an existing image"],
        );
    }
    // An existing file of that name is meant before a label is.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Data"), "no image").unwrap();
    let mut command = machine.command(&["cat", "Data", "hello"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    // Without a letter it is read by the disk that the driver made of its image, by whoever may read.
    let hidden = machine.json(&["mount", "C:\\hidden", "--no-letter"]);
    for name in ["Hidden", &hidden["volume"].to_string()] {
        assert_eq!(machine.says(&["cat", name, "hello"]), "hello\n");
    }
    let user = machine.userctl_as(As::User, &["cat", "Hidden", "hello"]);
    user.code(0).stdout("hello\n");
    machine.says(&["unmount", &hidden["volume"].to_string()]);
    let strict = machine.json(&["mount", "C:\\hidden", "--no-letter", "--everyone", "no"]);
    assert!(strict["letter"].is_null());
    let user = machine.userctl_as(As::User, &["ls", "Hidden", "lost+found"]);
    user.code(11).stdout("");
    // A directory is copied under a name that says where it is from.
    let assert = machine.userctl(&["cp", "-r", "Q:", "/", folder.path().to_str().unwrap()]);
    assert.code(0);
    assert!(folder.path().join("Q/hello").exists());
    machine.end();
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .current_dir(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}");
}

#[test]
fn directories_that_differ_in_case_are_two() {
    let place = tempfile::tempdir().unwrap();
    for (name, text) in [("Case", "one"), ("cASE", "two"), ("case.", "three")] {
        let directory = place.path().join("tree").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("File"), text).unwrap();
    }
    run(
        "mkfs.ext4",
        &["-q", "-F", "-d", "tree", "twins", "12M"],
        place.path(),
    );
    let machine = Machine::start(place.path(), &[]);
    let at = machine.mount("twins", &[]);
    for (path, text) in [
        ("Case/File", "one"),
        ("cASE/File", "two"),
        ("case./File", "three"),
    ] {
        assert_eq!(machine.says(&["cat", &at, path]), text, "{path}");
    }
    for path in ["CASE/File", "case/File", "Case/file"] {
        machine.fails(&["cat", &at, path], 5, &[path.split('/').next().unwrap()]);
    }
    let image = place.path().join("twins");
    let [through, direct] = both(&machine, &at, image.to_str().unwrap(), &["manifest", "IMAGE"]);
    assert_eq!(through, direct);
    machine.says(&["unmount", &at]);
    machine.end();
}

#[test]
fn what_has_no_meaning_through_the_driver_is_refused() {
    let made = ext4();
    let machine = machine(&made, &[]);
    let at = machine.mount("image", &["Q:"]);
    for option in [
        &["--part", "1"][..],
        &["--fs", "ext4"],
        &["--no-recovery"],
        &["--memory", "64"],
        &["--linux-log"],
    ] {
        for command in ["info", "ls", "manifest"] {
            machine.fails(
                &[&[command, &at], option].concat(),
                2,
                &["Q:", option[0], "--direct"],
            );
        }
    }
    machine.userctl(&["ls", &at, "--timeout", "100"]).code(0);
    machine.fails(
        &["manifest", &at, "--timeout", "0.01"],
        9,
        &["Q:", "the time limit", "--timeout"],
    );
    // Without the driver there is no such image, as if no driver were there.
    for arguments in [
        &["ls", &at, "--direct"][..],
        &["ls", &at, "--direct", "--part", "1"],
    ] {
        machine.fails(arguments, 3, &["Q:", "name an existing image"]);
        let assert = alone(&arguments[..2]).code(3);
        one_line(
            &String::from_utf8_lossy(&assert.get_output().stderr),
            &["Q:", "name an existing image"],
        );
    }
    let image = made.image.to_str().unwrap();
    assert_eq!(
        machine.says(&["ls", image, "--direct"]),
        machine.says(&["ls", &at])
    );
    machine.says(&["unmount", &at]);
    machine.end();
}

/// An image with one file that takes long to copy, most of it a hole.
fn long() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("tree")).unwrap();
    let file = std::fs::File::create(place.path().join("tree/long")).unwrap();
    file.set_len(6 << 30).unwrap();
    run(
        "mkfs.ext4",
        &["-q", "-F", "-d", "tree", "long.img", "64M"],
        place.path(),
    );
    place
}

/// A copy of the long file that is under way.
fn copying(machine: &Machine, at: &str, folder: &Path) -> Child {
    let to = folder.join("copy");
    let mut child = machine
        .command(&["cp", at, "/long", to.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while std::fs::read_dir(folder).unwrap().next().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the copy does not begin"
        );
        assert!(child.try_wait().unwrap().is_none(), "the copy has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    // In the middle of the file.
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the copy has ended");
    child
}

/// Ends within five seconds of `since`, with one line and nothing left in `folder`.
fn ends(mut child: Child, since: Instant, code: i32, words: &[&str], folder: &Path) {
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(since.elapsed() < Duration::from_secs(5), "the copy goes on"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(code), "{said}");
    one_line(&said, words);
    assert!(
        std::fs::read_dir(folder).unwrap().next().is_none(),
        "something was left behind"
    );
}

#[test]
fn a_copy_ends_when_its_volume_is_unmounted_by_force() {
    let place = long();
    let machine = Machine::start(place.path(), &[]);
    let at = machine.mount("long.img", &["Q:"]);
    let folder = tempfile::tempdir().unwrap();
    let child = copying(&machine, &at, folder.path());
    machine.fails(&["unmount", &at], 13, &["--force"]);
    let since = Instant::now();
    machine.says(&["unmount", &at, "--force"]);
    ends(
        child,
        since,
        14,
        &["/long", "Q:", "unmounted", "mount it again"],
        folder.path(),
    );
    machine.end();
}

#[test]
fn a_walk_ends_when_its_volume_is_unmounted_by_force() {
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for number in 0..10_000 {
        std::fs::write(tree.join(format!("file-{number}")), "text").unwrap();
    }
    run(
        "mkfs.ext4",
        &["-q", "-F", "-d", "tree", "-N", "12000", "wide", "80M"],
        place.path(),
    );
    let machine = Machine::start(place.path(), &[]);
    let at = machine.mount("wide", &["Q:"]);
    let mut child = machine
        .command(&["manifest", &at])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the walk has ended");
    let since = Instant::now();
    machine.says(&["unmount", &at, "--force"]);
    let empty = tempfile::tempdir().unwrap();
    ends(
        child,
        since,
        14,
        &["Q:", "unmounted", "mount it again"],
        empty.path(),
    );
    machine.end();
}

#[test]
fn a_copy_ends_when_the_driver_goes() {
    let place = long();
    let machine = Machine::start(place.path(), &[]);
    let at = machine.mount("long.img", &["Q:"]);
    let folder = tempfile::tempdir().unwrap();
    let child = copying(&machine, &at, folder.path());
    let since = Instant::now();
    // Every handle is closed, then the driver is unloaded.
    machine.end();
    ends(
        child,
        since,
        10,
        &["/long", "the driver has stopped"],
        folder.path(),
    );
}

#[test]
fn a_long_copy_shows_how_far_it_is_on_a_terminal() {
    let made = ext4();
    let machine = machine(&made, &[]);
    let at = machine.mount("image", &[]);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy");
    let terminal =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
    let name = name.to_str().unwrap();
    let side = std::fs::File::options()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    let mut child = machine
        .command(&["cp", &at, "/sparse", to.to_str().unwrap()])
        .env("TERM", "xterm")
        .stderr(side)
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    drop(child);
    let mut shown = Vec::new();
    // The other side is closed everywhere: the end of what was written is an error here.
    let _ = std::fs::File::from(terminal).read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("MiB/96.00 MiB") && shown.contains("/s"),
        "{shown:?}"
    );
    assert_eq!(to.metadata().unwrap().len(), (96 << 20) + 4321);
    machine.says(&["unmount", &at]);
    machine.end();
}

#[test]
fn a_standard_user_reads_what_everyone_may_read() {
    let made = ext4();
    let machine = machine(&made, &[]);
    let at = machine.mount("image", &[]);
    let manifest = |who: As| {
        let assert = machine.userctl_as(who, &["manifest", &at]).code(0).stderr("");
        assert.get_output().stdout.clone()
    };
    assert!(
        manifest(As::User) == manifest(As::Administrator),
        "a user reads something else"
    );
    machine.says(&["unmount", &at]);
    machine.end();
}

#[test]
fn what_a_standard_user_may_not_read_is_said() {
    let made = ext4();
    let machine = machine(&made, &[]);
    let at = machine.mount("image", &["--everyone", "no"]);
    let user = |arguments: &[&str]| machine.userctl_as(As::User, arguments);
    let said = |assert: &assert_cmd::assert::Assert| {
        String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
    };
    for arguments in [
        &["cat", &at, "/modes/0000"][..],
        &["cat", &at, "/modes/0400"],
        &["cat", &at, "/modes/0070"],
        &["ls", &at, "/modes/group"],
    ] {
        let assert = user(arguments).code(11).stdout("");
        let words = [arguments[2], "permission denied", "administrator's prompt"];
        one_line(&said(&assert), &words);
        // Root may on Linux, and so may an administrator here.
        machine.bytes(arguments);
    }
    for arguments in [
        &["cat", &at, "/modes/0007"][..],
        &["cat", &at, "/sizes/1"],
        &["ls", "-l", &at, "/modes"],
        &["info", &at],
    ] {
        let assert = user(arguments).code(0).stderr("");
        assert_eq!(assert.get_output().stdout, machine.bytes(arguments));
    }

    // All but the data of three files and what is in the directories that are closed.
    let all = machine.says(&["manifest", &at]);
    let assert = user(&["manifest", &at]).code(11);
    let seen = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    let missing: Vec<&str> = all
        .lines()
        .filter(|line| !seen.lines().any(|other| other == *line))
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(missing, ["/modes/0000", "/modes/0070", "/modes/0400"]);
    let errors = said(&assert);
    for denied in ["/modes/0000", "/modes/0400", "/modes/group", "/lost+found"] {
        assert!(
            errors.contains(&format!("userctl: {denied}: permission denied (EACCES)\n")),
            "{errors}"
        );
    }
    assert!(errors.ends_with("may not be read by this user; run it from an administrator's prompt\n"));
    assert!(!errors.contains("damaged"), "{errors}");

    // A copy is whole or not there, unless one wants what can be had.
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy");
    let arguments = ["cp", "-r", &at, "/modes", to.to_str().unwrap()];
    let assert = user(&arguments).code(11).stdout("");
    one_line(&said(&assert), &["permission denied", "--keep-going"]);
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    let assert = user(&[&arguments[..], &["--keep-going"]].concat()).code(11);
    assert!(said(&assert).contains("/modes/0000: permission denied"));
    assert!(to.join("0007").exists() && !to.join("0000").exists());
    machine.says(&["unmount", &at]);
    machine.end();
}
