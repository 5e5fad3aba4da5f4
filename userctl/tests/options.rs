//! Options of file systems without the driver: the same as with it, refused by the same rule.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn userctl(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(arguments)
        .env_remove("LKLFS_CONTROL")
        .timeout(std::time::Duration::from_secs(120))
        .assert()
}

fn out(arguments: &[&str]) -> String {
    let assert = userctl(arguments).code(0);
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// One line on stderr with all of `words`, and the exit code.
fn fails(arguments: &[&str], code: i32, words: &[&str]) {
    let assert = userctl(arguments).code(code);
    let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}

/// Whether the program did what it was asked for.
fn did(program: &str, arguments: &[&str]) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    std::process::Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
        .success()
}

fn empty(place: &Path, name: &str, mib: u64) -> PathBuf {
    let path = place.join(name);
    std::fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

/// As openSUSE's installer leaves a disk: the default subvolume is a snapshot deep below `@`, and what is not part of the
/// snapshots is in subvolumes beside it. `None` where this machine cannot mount a btrfs.
fn opensuse(place: &Path) -> Option<PathBuf> {
    let image = empty(place, "opensuse", 200);
    let at = place.join("mnt");
    std::fs::create_dir(&at).unwrap();
    let (text, mnt) = (image.to_str().unwrap(), at.to_str().unwrap());
    assert!(did("mkfs.btrfs", &["-q", text]));
    if !did("mount", &["-o", "loop", text, mnt]) {
        eprintln!("no btrfs can be mounted: skipped");
        return None;
    }
    let subvolume = |name: &str| did("btrfs", &["subvolume", "create", &format!("{mnt}/{name}")]);
    let made = std::panic::catch_unwind(|| {
        assert!(subvolume("@") && subvolume("@/home") && subvolume("@/var") && subvolume("@/.snapshots"));
        std::fs::create_dir(at.join("@/.snapshots/1")).unwrap();
        assert!(subvolume("@/.snapshots/1/snapshot"));
        std::fs::write(at.join("@/.snapshots/1/snapshot/os-release"), "NAME=openSUSE\n").unwrap();
        std::fs::write(at.join("@/home/mail"), "post\n").unwrap();
        let default = format!("{mnt}/@/.snapshots/1/snapshot");
        assert!(did("btrfs", &["subvolume", "set-default", &default]));
    });
    assert!(did("umount", &[mnt]));
    made.unwrap();
    Some(image)
}

#[test]
fn subvolumes_beside_the_default_one_are_told_and_reached() {
    let place = tempfile::tempdir().unwrap();
    let Some(image) = opensuse(place.path()) else {
        return;
    };
    let image = image.to_str().unwrap();
    assert_eq!(out(&["ls", image]), "os-release\n");
    let info = out(&["info", image]);
    assert!(
        info.contains("default subvolume only") && info.contains("-o subvolid=5") && info.contains(": @"),
        "{info}"
    );
    let json: serde_json::Value = serde_json::from_str(&out(&["info", "--json", image])).unwrap();
    assert_eq!(json["hidden_subvolumes"], serde_json::json!(["@"]));
    // The whole tree, with each reading command.
    let all = ["-o", "subvolid=5"];
    let with = |arguments: &[&str]| out(&[arguments, &all].concat());
    assert_eq!(with(&["ls", image]), "@\n");
    assert_eq!(with(&["cat", image, "/@/home/mail"]), "post\n");
    assert!(with(&["manifest", image]).contains(" /@/.snapshots/1/snapshot/os-release"));
    let copy = place.path().join("copy");
    with(&["cp", "-r", image, "/@/home", copy.to_str().unwrap()]);
    assert_eq!(std::fs::read(copy.join("mail")).unwrap(), b"post\n");
    assert!(
        !with(&["info", image]).contains("default subvolume"),
        "nothing is hidden"
    );
    assert_eq!(out(&["ls", image, "-o", "subvol=/@/home"]), "mail\n");
    fails(&["ls", image, "-o", "subvol=@/nosuch"], 2, &["opensuse", "-o"]);
}

#[test]
fn one_that_shows_its_top_hides_nothing() {
    let place = tempfile::tempdir().unwrap();
    let image = empty(place.path(), "plain", 200);
    let image = image.to_str().unwrap();
    assert!(did("mkfs.btrfs", &["-q", image]));
    assert!(!out(&["info", image]).contains("note:"));
}

#[test]
fn a_member_of_a_mirror_is_read_degraded() {
    let place = tempfile::tempdir().unwrap();
    let (one, other) = (empty(place.path(), "one", 200), empty(place.path(), "other", 200));
    let (one, other) = (one.to_str().unwrap(), other.to_str().unwrap());
    assert!(did(
        "mkfs.btrfs",
        &["-q", "-d", "raid1", "-m", "raid1", one, other]
    ));
    userctl(&["ls", one]).code(4);
    assert_eq!(out(&["ls", one, "-o", "degraded"]), "");
}

#[test]
fn another_superblock_is_read_by_its_place() {
    let place = tempfile::tempdir().unwrap();
    let image = empty(place.path(), "ext4", 16);
    let tree = place.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("hello"), "hello\n").unwrap();
    let made = did(
        "mkfs.ext4",
        &[
            "-q",
            "-b",
            "1024",
            "-d",
            tree.to_str().unwrap(),
            image.to_str().unwrap(),
        ],
    );
    assert!(made);
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[1024..2048].fill(0);
    std::fs::write(&image, bytes).unwrap();
    let image = image.to_str().unwrap();
    userctl(&["cat", image, "/hello"]).code(4);
    assert_eq!(
        out(&["cat", image, "/hello", "--fs", "ext4", "-o", "sb=8193"]),
        "hello\n"
    );
}

#[test]
fn options_that_no_reader_may_have_are_refused_before_anything_is_read() {
    let place = tempfile::tempdir().unwrap();
    let image = empty(place.path(), "any", 16);
    let image = image.to_str().unwrap();
    for (options, word) in [
        ("rw", "only ever read"),
        ("noload,rw", "-o rw"),
        ("errors=panic", "stop Linux"),
        ("fatal_errors=panic", "stop Linux"),
    ] {
        for command in [
            &["info", image][..],
            &["ls", image],
            &["cat", image, "/x"],
            &["cp", image, "/x", "."],
            &["manifest", image],
        ] {
            fails(&[command, &["-o", options]].concat(), 2, &[word, "leave it out"]);
        }
    }
    assert!(did("mkfs.ext4", &["-q", image]));
    fails(
        &["ls", image, "-o", "nosuchoption"],
        2,
        &["nosuchoption", "mount -o"],
    );
}
