//! Volumes in folders on Linux: `userctl` has `lklfuse` mount them, and says what it says.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Output};

/// `lklfuse`, beside `userctl`, where it is looked for.
fn lklfuse() -> bool {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        eprintln!("skipped: not root, or no FUSE");
        return false;
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "-q", "-p", "lklfuse", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .status()
        .unwrap();
    assert!(built.success());
    assert!(
        Path::new(env!("CARGO_BIN_EXE_userctl"))
            .with_file_name("lklfuse")
            .is_file()
    );
    true
}

fn userctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_userctl"))
        .args(arguments)
        .output()
        .unwrap()
}

fn does(arguments: &[&str]) -> String {
    let output = userctl(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(arguments: &[&str], exit: i32, words: &str) {
    let output = userctl(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
    assert!(said.starts_with("userctl: ") && said.contains(words), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn an_image_is_mounted_in_a_folder_listed_written_and_unmounted() {
    if !lklfuse() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (image, folder) = (place.path().join("a disk.img"), place.path().join("a folder"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
    assert!(made.unwrap().success());
    let (from, to) = (image.to_str().unwrap(), folder.to_str().unwrap());
    let is_listed = || does(&["list", "--json"]).contains(to);

    fails(&["mount", from, "/nowhere"], 8, "/nowhere");
    fails(&["mount", from, to, "--part", "2"], 6, "partition");
    fails(&["mount", from, to, "--everyone", "yes"], 2, "drive letters");
    fails(&["unmount", to], 14, "no volume is mounted there");
    assert!(!is_listed());

    assert_eq!(does(&["mount", from, to]), format!("{to}\n"));
    assert!(is_listed() && does(&["list"]).contains(to));
    assert!(std::fs::write(folder.join("file"), "x").is_err());
    assert_eq!(does(&["unmount", to]), "");
    assert!(!is_listed());

    does(&["mount", from, to, "-o", "rw", "--part", "0"]);
    std::fs::write(folder.join("file"), "what was written").unwrap();
    let open = std::fs::File::open(folder.join("file")).unwrap();
    fails(&["unmount", to], 13, "close the programs");
    fails(&["mount", from, to, "-o", "rw"], 13, "in use");
    drop(open);
    does(&["unmount", to]);
    // It returns when everything is in the image.
    assert_eq!(does(&["cat", from, "/file"]), "what was written");
}
