//! What is mounted by lklfuse is what this machine's own Linux shows of the same image, in every field: types, modes, owners, links,
//! sizes, times, devices, contents and attributes.

mod judge;

use std::path::Path;

use judge::tree::{assert_equal, tree};
use judge::{Mount, Native};
use volumes::{Plan, kind, make};

/// Both mounts of an image.
fn compare(image: &Path, fs: &str, native_options: &str, ours: &str) {
    let mount = Mount::new(image, ours);
    let found = tree(mount.path());
    let native = Native::of(image, fs, &format!("ro,{native_options}"));
    assert_equal(&found, &tree(native.path()), fs);
    let room = |path: &Path| {
        let found = rustix::fs::statvfs(path).unwrap();
        // What btrfs calls available differs from one Linux to the next.
        let blocks = (found.f_blocks, found.f_bfree);
        (
            blocks,
            found.f_frsize,
            found.f_files,
            found.f_ffree,
            found.f_namemax,
        )
    };
    assert_eq!(room(mount.path()), room(native.path()), "{fs}");
    mount.end();
}

#[test]
fn every_file_system_that_this_machine_mounts_looks_the_same() {
    let mut compared = Vec::new();
    for kind in kind::all().iter().filter(|kind| kind.is_native()) {
        let made = make(kind, &Plan::default()).unwrap();
        let ours = match kind.named {
            true => format!("fs={}", kind.linux),
            false => String::new(),
        };
        compare(&made.image, kind.linux, kind.options, &ours);
        compared.push(kind.name);
    }
    assert!(compared.len() >= 5, "{compared:?}");
}

#[test]
fn what_this_machine_cannot_mount_is_as_it_was_described() {
    let mut compared = Vec::new();
    for kind in kind::all().iter().filter(|kind| !kind.is_native()) {
        let Ok(made) = make(kind, &Plan::default()) else {
            continue;
        };
        let ours = match kind.named {
            true => format!("fs={}", kind.linux),
            false => String::new(),
        };
        let mount = Mount::new(&made.image, &ours);
        let found = volumes::Manifest::of_directory(mount.path()).unwrap();
        let differences = made.differences(&found, 8);
        assert!(
            differences.is_empty(),
            "{}:\n{}",
            kind.name,
            differences.join("\n")
        );
        mount.end();
        compared.push(kind.name);
    }
    assert!(compared.len() >= 10, "{compared:?}");
}
