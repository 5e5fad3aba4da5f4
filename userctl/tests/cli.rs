//! The real binary on good and on bad input: exit codes, one line on stderr, nothing half-written.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use predicates::prelude::*;
use volumes::{Kind, Made, Manifest, Plan, disk, make};

static EXT4: LazyLock<Made> = LazyLock::new(|| make(Kind::named("ext4").unwrap(), &Plan::default()).unwrap());

fn userctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_userctl"));
    command
        .args(arguments)
        .env_remove("LKLFS_CONTROL")
        .timeout(std::time::Duration::from_secs(60));
    command
}

fn image() -> &'static str {
    EXT4.image.to_str().unwrap()
}

/// One line on stderr that starts with the program's name and says all of `words`, and the exit code.
fn fails(arguments: &[&str], code: i32, words: &[&str]) {
    let assert = userctl(arguments).assert().code(code);
    let output = assert.get_output();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("userctl: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_no_image() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    let missing = place.path().join("missing.img");
    for command in ["info", "manifest"] {
        fails(
            &[command, missing.to_str().unwrap()],
            3,
            &["missing.img", "; name an existing image"],
        );
        fails(&[command, place.path().to_str().unwrap()], 3, &["is a directory"]);
        fails(&[command, &file("empty", b"")], 3, &["is empty"]);
    }
    let noise = file("noise", &[0x5a; 70_000]);
    fails(
        &["manifest", &noise],
        4,
        &["noise", "no file system is recognised", "--fs"],
    );
    fails(&["manifest", &file("tiny", b"x")], 4, &["tiny"]);
    // To look at it is no failure.
    userctl(&["info", &noise])
        .assert()
        .code(0)
        .stderr("")
        .stdout(predicate::str::contains("none that can be read"));
    fails(
        &["ls", "/dev/null"],
        3,
        &["/dev/null", "neither a file nor a disk"],
    );
    fails(&["info", image(), "--fs", "nosuchfs"], 4, &["nosuchfs"]);
}

#[test]
fn a_truncated_image_says_what_is_missing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("short.img");
    let whole = std::fs::read(&EXT4.image).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let ends = (whole.len() / 2).to_string();
    let assert = userctl(&["manifest", path.to_str().unwrap()]).assert().code(4);
    let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    let warning = format!("warning: {}: the image ends {ends} bytes before", path.display());
    assert!(said.contains(&warning), "{said}");
}

#[test]
fn a_wrong_command_line() {
    fails(&["frobnicate"], 2, &["frobnicate", "--help"]);
    fails(&["cat", image()], 2, &["PATH", "--help"]);
    fails(&["ls", image(), "--part", "x"], 2, &["--part"]);
    fails(&["ls", image(), "--timeout=-3"], 2, &["--timeout"]);
    userctl(&[]).assert().code(2);
    userctl(&["--help"])
        .assert()
        .code(0)
        .stdout(predicate::str::contains("Exit codes:"));
    userctl(&["--version"]).assert().code(0);
}

/// What a user of the Linux binary sees: nothing of the ways that exist for tests, whatever is typed.
#[cfg(target_os = "linux")]
#[test]
fn what_needs_windows_says_so_and_nothing_of_doubles() {
    const TESTS_ONLY: [&str; 5] = ["double", "LKLFS_", "socket", "drive C", "C:\\..."];
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("missing.img");
    let archive = place.path().join("diag.zip");
    let (missing, archive) = (missing.to_str().unwrap(), archive.to_str().unwrap());
    for arguments in [
        &["mount", image()][..],
        &["mount", image(), "L:"],
        &["mount", missing],
        &["mount", "C:\\images\\disk.img"],
        &["mount", "debian"],
        &["unmount", "L:"],
        &["status"],
        &["log"],
        &["policy"],
        &["policy", "debian", "--forget"],
    ] {
        fails(arguments, 10, &["Windows only", "info, ls, cat, cp"]);
        let said = userctl(arguments).assert().get_output().stderr.clone();
        let said = String::from_utf8(said).unwrap();
        for word in TESTS_ONLY {
            assert!(!said.contains(word), "{arguments:?} speaks of {word}: {said}");
        }
    }
    for arguments in [
        &["info", "L:"][..],
        &["ls", "\\\\.\\PhysicalDrive1"],
        &["ls", "debian"],
        &["diag", archive],
        &["--help"],
        &["help", "mount"],
        &["help", "info"],
        &["help", "list"],
        &["--completions", "bash"],
    ] {
        let output = userctl(arguments).assert().get_output().clone();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        for word in ["double", "LKLFS_"] {
            assert!(!said.contains(word), "{arguments:?} speaks of {word}: {said}");
        }
    }
}

#[test]
fn completions_and_man_pages() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        userctl(&["--completions", shell])
            .assert()
            .code(0)
            .stdout(predicate::str::contains("manifest").and(predicate::str::contains("unmount")));
    }
    let place = tempfile::tempdir().unwrap();
    userctl(&["man", place.path().to_str().unwrap()]).assert().code(0);
    let pages = names(place.path());
    for command in ["cp", "list", "mount", "unmount", "status", "log", "diag"] {
        assert!(
            pages.contains(&format!("userctl-{command}.1")),
            "{command}: {pages:?}"
        );
    }
    let page = std::fs::read_to_string(place.path().join("userctl-mount.1")).unwrap();
    assert!(page.contains("\\-\\-fs") && page.contains("Examples"), "{page}");
}

#[test]
fn a_path_that_is_not_there_or_of_another_kind() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path().to_str().unwrap();
    for arguments in [
        vec!["ls", image(), "/no/such"],
        vec!["cat", image(), "/no/such"],
        vec!["cp", image(), "/no/such", here],
    ] {
        fails(&arguments, 5, &["/no:", "no such file", "userctl ls"]);
    }
    fails(&["cat", image(), "/deep"], 5, &["/deep", "directory", "cp -r"]);
    fails(&["cat", image(), "/special/fifo"], 5, &["FIFO"]);
    fails(&["cat", image(), "/links/loop"], 5, &["/links/loop"]);
    fails(&["cp", image(), "/deep", here], 5, &["cp -r"]);
    fails(
        &["cp", image(), "/big", &format!("{here}/no/where")],
        8,
        &["create it"],
    );
    assert!(names(place.path()).is_empty());
}

#[test]
fn partitions_are_chosen_by_number_or_by_what_is_on_them() {
    let place = tempfile::tempdir().unwrap();
    let small = Plan {
        big: 1000,
        sparse: 10_000,
        wide: 3,
        ..Plan::default()
    };
    let other = make(Kind::named("squashfs-gzip").unwrap(), &small).unwrap();
    for (table, name) in [(disk::Table::Mbr, "mbr"), (disk::Table::Gpt, "gpt")] {
        let path = place.path().join(name);
        let images: Vec<Option<&Path>> = vec![
            None,
            Some(&other.image),
            None,
            Some(&EXT4.image),
            Some(&other.image),
        ];
        let numbers = disk::make(&path, table, &images).unwrap();
        let disk = path.to_str().unwrap();
        let last = numbers.last().unwrap().to_string();
        let manifest = |arguments: &[&str]| {
            let output = userctl(&[&["manifest", disk], arguments].concat())
                .assert()
                .code(0)
                .get_output()
                .stdout
                .clone();
            Manifest::parse(&String::from_utf8(output).unwrap()).unwrap()
        };
        assert_eq!(
            &manifest(&[]),
            EXT4.reference.as_ref().unwrap(),
            "the largest one"
        );
        assert_eq!(&manifest(&["--part", &last]), other.reference.as_ref().unwrap());
        assert_eq!(
            &manifest(&["--part", &numbers[3].to_string()]),
            EXT4.reference.as_ref().unwrap()
        );
        fails(&["ls", disk, "--part", "77"], 6, &["no partition 77", "1, 2, 3"]);
        fails(
            &["ls", disk, "--part", "1"],
            4,
            &["partition 1", "no file system is recognised"],
        );
        fails(&["ls", disk, "--part", "0"], 4, &["no file system is recognised"]);
        let info = userctl(&["info", disk, "--json"])
            .assert()
            .code(0)
            .get_output()
            .stdout
            .clone();
        let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
        assert_eq!(info["table"], name);
        assert_eq!(info["part"], numbers[3]);
        assert_eq!(info["partitions"].as_array().unwrap().len(), 5);
        assert_eq!(info["partitions"][3]["file_system"], "ext4");
    }
    fails(&["ls", image(), "--part", "1"], 6, &["no partition table"]);
    userctl(&["ls", image(), "--part", "0"]).assert().code(0);
}

#[test]
fn a_copy_of_everything_equals_the_volume() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("copy");
    userctl(&["cp", "-r", image(), "/", target.to_str().unwrap()])
        .assert()
        .code(0)
        .stderr(predicate::str::contains("left out, this is a FIFO"));
    let copied = Manifest::of_directory(&target).unwrap();
    let mut wanted = EXT4.reference.clone().unwrap();
    wanted.0.retain(|_, line| "fdl".contains(line.letter));
    for line in wanted.0.values_mut() {
        line.mode &= 0o1777;
    }
    let fields = volumes::manifest::Fields {
        owner: false,
        directory_links: false,
        ..volumes::manifest::Fields::ALL
    };
    let mut copied = copied;
    // Times that this machine's file system cannot hold come back changed.
    copied.0.retain(|path, _| !path.starts_with(b"/times/"));
    wanted.0.retain(|path, _| !path.starts_with(b"/times/"));
    let mut differences = wanted.differences(&copied, fields, 10);
    // The directory of the special files, which were left out, is compared all the same.
    differences.retain(|line| !line.contains("/times"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    use std::os::unix::fs::MetadataExt;
    let sparse = target.join("sparse").metadata().unwrap();
    assert!(sparse.blocks() * 512 < sparse.size() / 10, "holes were filled");
}

#[test]
fn a_full_disk_leaves_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root, cannot mount a small tmpfs: skipped");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let here = place.path().to_str().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none", here])
        .status();
    if !mount.unwrap().success() {
        eprintln!("no tmpfs can be mounted: skipped");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        fails(&["cp", image(), "/big", here], 8, &["big", "space"]);
        fails(
            &["cp", "-r", image(), "/", &format!("{here}/tree")],
            8,
            &["tree", "space"],
        );
        assert!(names(Path::new(here)).is_empty(), "{:?}", names(Path::new(here)));
    });
    assert!(
        std::process::Command::new("umount")
            .arg(here)
            .status()
            .unwrap()
            .success()
    );
    assert!(result.is_ok());
}

#[test]
fn a_time_limit_leaves_all_or_nothing() {
    fails(
        &["manifest", image(), "--timeout", "0.01"],
        9,
        &["time limit", "--timeout"],
    );
    let place = tempfile::tempdir().unwrap();
    for step in 1..20 {
        let target = place.path().join("copy");
        let limit = format!("0.{:02}", step * 4);
        let assert = userctl(&[
            "cp",
            "-r",
            image(),
            "/",
            target.to_str().unwrap(),
            "--timeout",
            &limit,
        ])
        .assert();
        match assert.get_output().status.code() {
            Some(0) => assert_eq!(names(place.path()), ["copy"]),
            Some(9) => assert_eq!(names(place.path()), [""; 0], "after {limit} s"),
            other => panic!(
                "exit {other:?}: {}",
                String::from_utf8_lossy(&assert.get_output().stderr)
            ),
        }
        let _ = std::fs::remove_dir_all(&target);
    }
}

#[test]
fn listings_and_contents() {
    let output = userctl(&["ls", "-l", image(), "/links"])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    let text = String::from_utf8(output).unwrap();
    assert!(
        text.lines()
            .any(|line| line.starts_with("lrwxrwxrwx") && line.ends_with("relative -> ../sizes/1")),
        "{text}"
    );
    let lines = userctl(&["ls", "-R", "--json", image()])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    let paths = String::from_utf8(lines).unwrap();
    assert_eq!(paths.lines().count(), EXT4.reference.as_ref().unwrap().0.len());
    userctl(&["cat", image(), "/links/relative"])
        .assert()
        .code(0)
        .stdout(predicate::function(|out: &[u8]| out.len() == 1));
    let big = userctl(&["cat", image(), "big"])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    assert_eq!(big.len() as u64, Plan::default().big);
}

#[test]
fn a_reader_that_has_enough_is_no_fault() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(["cat", image(), "/big"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

/// A volume that was in use when its power failed shows its true state, and the image is not touched.
#[test]
fn journals_are_replayed_in_memory_only() {
    for name in ["ext4", "xfs", "btrfs"] {
        let kind = Kind::named(name).unwrap();
        let made = make::make_dirty(
            kind,
            &Plan {
                wide: 100,
                ..Plan::default()
            },
        )
        .unwrap();
        let place = tempfile::tempdir().unwrap();
        let path: PathBuf = place.path().join(name);
        std::fs::copy(&made.image, &path).unwrap();
        let output = userctl(&["manifest", path.to_str().unwrap()])
            .assert()
            .code(0)
            .get_output()
            .stdout
            .clone();
        let found = Manifest::parse(&String::from_utf8(output).unwrap()).unwrap();
        let differences = made.tree.differences(&found, kind.extra, 5);
        assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
        assert!(
            std::fs::read(&path).unwrap() == std::fs::read(&made.image).unwrap(),
            "{name}: the image was changed"
        );
    }
}
