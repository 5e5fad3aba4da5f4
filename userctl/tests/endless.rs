//! Directories that never end, on real images (`volumes::damage`): every command says so and ends, in a bounded memory,
//! with what there is; alone, and through the driver.

#![cfg(target_os = "linux")]

mod machine;

use std::path::{Path, PathBuf};
use std::time::Duration;

use machine::Machine;
use volumes::{Kind, Plan, damage, make};

/// KiB of address space that a run may take, with the 128 MiB that Linux gets.
const ROOM: u32 = 1 << 20;

/// The kinds, a directory of each that never ends, and a name in it.
const KINDS: [(&str, &str, &str); 3] = [("ntfs", "/wide", ""), ("jfs", "/wide", ""), ("udf", "/", "deep")];

const WORDS: &str = "the directory never ends: the same names come again and again";

fn image(kind: &str, place: &Path) -> PathBuf {
    let made = make(Kind::named(kind).unwrap(), &Plan::default()).unwrap();
    let image = place.join("image");
    damage::endless(&made, &image).unwrap();
    image
}

/// The real binary within [`ROOM`]; it says what never ends and is not killed.
fn ends(arguments: &[&str], code: i32) -> String {
    let limited = format!("ulimit -v {ROOM}; exec \"$0\" \"$@\"");
    let assert = assert_cmd::Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_userctl")])
        .args(arguments)
        .env_remove("LKLFS_CONTROL")
        .timeout(Duration::from_secs(100))
        .assert()
        .code(code);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains(WORDS), "{arguments:?}: {said}");
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

#[test]
fn a_directory_that_never_ends_is_told_in_bounded_memory() {
    for (kind, directory, name) in KINDS {
        let place = tempfile::tempdir().unwrap();
        let image = image(kind, place.path());
        let image = image.to_str().unwrap();
        let shown = ends(&["ls", image, directory], 4);
        let mut names: Vec<&str> = shown.lines().collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{kind}: a name is shown twice");
        assert!(name.is_empty() || names.contains(&name), "{kind}: {names:?}");
        ends(&["ls", "-lR", image], 4);
        let lines = ends(&["manifest", image], 4);
        assert!(!lines.is_empty(), "{kind}: {lines}");
        let copy = place.path().join("copy");
        ends(&["cp", "-r", image, "/", copy.to_str().unwrap()], 4);
        assert!(!copy.exists());
        ends(
            &["cp", "-r", "--keep-going", image, "/", copy.to_str().unwrap()],
            4,
        );
        assert!(copy.is_dir(), "{kind}: what can be read is copied");
    }
}

#[test]
fn a_directory_that_never_ends_ends_through_the_driver() {
    for (kind, directory, name) in KINDS {
        let place = tempfile::tempdir().unwrap();
        image(kind, place.path());
        let machine = Machine::start(place.path(), &[]);
        let at = machine.mount("image", &[]);
        for arguments in [
            vec!["ls", &at, directory],
            vec!["manifest", &at],
            // A name that is not there, in no case: all of the directory is searched.
            vec!["cat", &at, "/wide/NoSuchName"],
        ] {
            let assert = machine.userctl(&arguments);
            let output = assert.get_output();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                matches!(output.status.code(), Some(4 | 5)) && !said.is_empty(),
                "{kind} {arguments:?}: {}: {said}",
                output.status
            );
            if arguments.len() == 3 && arguments[0] == "ls" && !name.is_empty() {
                assert!(
                    String::from_utf8_lossy(&output.stdout)
                        .lines()
                        .any(|line| line == name)
                );
            }
        }
        machine.userctl(&["unmount", &at]).code(0);
        machine.end();
    }
}
