//! A whole tree goes into an image and comes out of it, by each program, and is the same to this machine's own eyes.

#![cfg(target_os = "linux")]

#[path = "machine/mod.rs"]
mod machine;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use machine::shown::{Shown, Tree, same, tree};
use machine::tree::{Parts, make};
use machine::{Kind, Native, is_root, join, machine as run, place, program, well};

const ALL: Parts = Parts {
    of_root: true,
    odd_names: true,
    // More than stay open on the way down, and no longer than a path may be.
    depth: 132,
};

/// All counts but when it was last read, which looking at it changes.
fn but_nothing(_: &mut Shown) {}

/// Archives may name the time of the last access, but who unpacks them need not set it.
fn but_access(shown: &mut Shown) {
    shown.accessed = (0, 0);
}

/// A tree of this machine's, looked at by what does not change the times of access.
fn source(top: &Path) -> Tree {
    let still = Native::still(top);
    tree(still.path())
}

/// Of a time before 1970 with a fraction bsdtar takes the fraction for one that counts forward. POSIX and GNU tar do not.
fn as_bsdtar_reads(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    for shown in tree.values_mut() {
        let (seconds, fraction) = shown.modified;
        if seconds < 0 && fraction > 0 {
            shown.modified = (seconds + 1, 1_000_000_000 - fraction);
        }
    }
    tree
}

fn contents(folder: &Path) -> std::path::PathBuf {
    folder.join(".")
}

fn goes_in_and_comes_out(name: &str, seed: u64) {
    if !is_root() {
        return;
    }
    let kind = Kind::named(name);
    let place = place();
    let (top, image) = (join(&place, "tree"), join(&place, "image"));
    make(&top, seed, ALL);
    kind.make(&image, 700);
    let wanted = source(&top);
    assert!(wanted.len() > 250, "{} entries are no tree", wanted.len());
    let said = well("cptofs", arguments!["-i", &image, &contents(&top), "/"]);
    assert!(said.contains("socket: left out"), "{said}");
    kind.check(&image);
    if kind.is_native() {
        let native = Native::mount(&image, "ro,noatime");
        same(&tree(native.path()), &wanted, &but_nothing);
    }

    let back = join(&place, "back");
    well("cpfromfs", arguments!["-i", &image, "/", &back]);
    same(&source(&back), &wanted, &but_nothing);

    let archive = join(&place, "archive.tar");
    well("fs2tar", arguments![&image, &archive]);
    let by_gnu = join(&place, "by GNU tar");
    std::fs::create_dir(&by_gnu).unwrap();
    run(
        "tar",
        arguments![
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "--numeric-owner",
            "-xpf",
            &archive,
            "-C",
            &by_gnu
        ],
    );
    same(&source(&by_gnu), &wanted, &but_access);
    let by_bsd = join(&place, "by bsdtar");
    std::fs::create_dir(&by_bsd).unwrap();
    run(
        "bsdtar",
        arguments![
            "--numeric-owner",
            "--acls",
            "--xattrs",
            "-xpf",
            &archive,
            "-C",
            &by_bsd
        ],
    );
    same(&source(&by_bsd), &as_bsdtar_reads(&wanted), &but_access);
}

#[test]
fn a_tree_in_ext4_is_the_same() {
    goes_in_and_comes_out("ext4", 1);
}

#[test]
fn a_tree_in_btrfs_is_the_same() {
    goes_in_and_comes_out("btrfs", 2);
}

#[test]
fn a_tree_in_xfs_is_the_same() {
    goes_in_and_comes_out("xfs", 3);
}

#[test]
fn a_tree_in_f2fs_is_the_same() {
    goes_in_and_comes_out("f2fs", 4);
}

#[test]
fn what_this_machine_has_written_is_in_the_archive_and_in_the_copy() {
    if !is_root() {
        return;
    }
    for (name, seed) in [("ext4", 5), ("btrfs", 6), ("xfs", 7)] {
        let place = place();
        let (image, top) = (join(&place, "image"), join(&place, "back"));
        Kind::named(name).make(&image, 700);
        let wanted = {
            let native = Native::mount(&image, "noatime");
            make(&native.path().join("tree"), seed, ALL);
            tree(native.path())
        };
        well("cpfromfs", arguments!["-i", &image, "/tree", &top]);
        let below = |tree: &Tree| -> Tree {
            let names = tree.iter().filter_map(|(path, shown)| {
                let mut shown = shown.clone();
                shown.first = shown.first.strip_prefix(b"tree/")?.to_vec();
                Some((path.strip_prefix(b"tree/")?.to_vec(), shown))
            });
            names.collect()
        };
        same(&source(&top), &below(&wanted), &but_nothing);
    }
}

/// Opens the deepest folder below one, step by step, and returns what is in its file, and how deep it is.
fn deepest(top: &Path) -> (usize, Vec<u8>) {
    use rustix::fs::{Mode, OFlags, open, openat};
    let mut folder = open(top, OFlags::PATH, Mode::empty()).unwrap();
    let mut depth = 0;
    while let Ok(next) = openat(
        &folder,
        format!("a folder in folders, {depth}"),
        OFlags::PATH,
        Mode::empty(),
    ) {
        folder = next;
        depth += 1;
    }
    let file = openat(&folder, "the deepest", OFlags::RDONLY, Mode::empty()).unwrap();
    let mut bytes = vec![0; 100];
    let count = rustix::io::read(&file, &mut bytes).unwrap();
    bytes.truncate(count);
    (depth, bytes)
}

#[test]
fn a_path_may_be_longer_than_a_system_call_takes() {
    let place = place();
    let (top, image, back) = (join(&place, "tree"), join(&place, "image"), join(&place, "back"));
    let deep = Parts {
        depth: 700,
        ..Parts::default()
    };
    make(&top, 12, deep);
    // Blocks of a small ext4 are too small for the attributes.
    Kind::named("ext4").make(&image, 700);
    well("cptofs", arguments!["-i", &image, &contents(&top), "/"]);
    Kind::named("ext4").check(&image);
    well("cpfromfs", arguments!["-i", &image, "/", &back]);
    assert_eq!(deepest(&back), (700, b"deep".to_vec()));
    well("fs2tar", arguments![&image, "/dev/null"]);
    // Nothing that goes by whole paths can remove them.
    run("find", arguments![&top, &back, "-delete"]);
}

#[test]
fn an_archive_streams_through_a_pipe() {
    let place = place();
    let (image, top) = (join(&place, "image"), join(&place, "tree"));
    Kind::named("ext4").make(&image, 64);
    std::fs::create_dir(&top).unwrap();
    for number in 0..300 {
        std::fs::write(top.join(format!("file {number}")), vec![1; number * 100]).unwrap();
    }
    well("cptofs", arguments!["-i", &image, &top, "/"]);
    let mut archive = program("fs2tar")
        .args([image.as_os_str(), OsStr::new("-")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::process::Command::new("tar")
        .arg("-t")
        .stdin(archive.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(archive.wait().unwrap().success() && output.status.success());
    let names = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = names.lines().filter(|name| name.contains("file ")).collect();
    assert_eq!(names.len(), 300);
    assert!(names.contains(&"./tree/file 299"), "{names:?}");
}
