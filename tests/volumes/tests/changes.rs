//! Another Linux has a volume between two looks at it: its fingerprint must tell, whether that Linux unmounted the volume or
//! lost its power; and must stay the same when nobody wrote.

use fs_probe::{Fingerprint, ReadAt, ReadError, fingerprint, probe};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use volumes::kind::Maker;
use volumes::uml::Job;
use volumes::{Kind, Plan};

struct Image(File);

impl ReadAt for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_exact_at(buffer, offset).map_err(|_| ReadError)
    }
}

fn look(path: &Path) -> Fingerprint {
    let image = Image(File::open(path).expect("readable"));
    let superblock = probe(&image).expect("a file system");
    fingerprint(&image, &superblock).expect("it has a fingerprint")
}

/// An empty volume of a kind.
fn empty(kind: &Kind, image: &Path) {
    let Maker::Filled { mkfs, .. } = kind.maker else {
        panic!("{} is not made empty", kind.name);
    };
    let file = File::create(image).expect("writable");
    file.set_len(kind.size).expect("writable");
    let [program, arguments @ ..] = mkfs else {
        panic!("{} has no mkfs", kind.name);
    };
    let path = image.to_str().expect("UTF-8");
    let made = Command::new(program)
        .args(arguments.iter().map(|word| word.replace("{image}", path)))
        .output()
        .expect("the mkfs is installed");
    assert!(made.status.success(), "{}: {made:?}", kind.name);
}

fn tells(name: &str) {
    let kind = Kind::named(name).expect("it is a kind");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan {
        big: 100_000,
        sparse: 100_000,
        wide: 10,
        ..Plan::default()
    };
    let image = folder.path().join("volume.img");
    empty(kind, &image);
    let at_first = look(&image);
    assert_eq!(look(&image), at_first, "{name}");
    // Its power failed while the volume was in use: everything had been synchronised, and no more.
    let cut = folder.path().join("cut.img");
    std::fs::copy(&image, &cut).expect("writable");
    Job::fill(kind, &plan, true)
        .run(&cut)
        .expect("another Linux fills it");
    assert_ne!(look(&cut), at_first, "{name}, when the power failed");
    // It unmounted the volume.
    Job::fill(kind, &plan, false)
        .run(&image)
        .expect("another Linux fills it");
    let filled = look(&image);
    assert_ne!(filled, at_first, "{name}, unmounted");
    assert_ne!(filled, look(&cut), "{name}");
    std::fs::copy(&image, &cut).expect("writable");
    assert_eq!(look(&cut), filled, "{name}: a copy");
}

#[test]
fn ext4_tells_that_it_was_written_to() {
    tells("ext4");
}

#[test]
fn btrfs_tells_that_it_was_written_to() {
    tells("btrfs");
}

#[test]
fn xfs_tells_that_it_was_written_to() {
    tells("xfs");
}

#[test]
fn f2fs_tells_that_it_was_written_to() {
    tells("f2fs");
}

#[test]
fn an_xfs_log_that_is_clean_is_told_from_one_that_is_not() {
    let kind = Kind::named("xfs").expect("it is a kind");
    let options = |path: &Path| {
        let image = Image(File::open(path).expect("readable"));
        probe(&image).expect("a file system").linux_options
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = folder.path().join("volume.img");
    empty(kind, &image);
    assert_eq!(options(&image), "nouuid,norecovery", "as mkfs leaves it");
    let plan = Plan {
        big: 3_000_000,
        wide: 100,
        ..Plan::default()
    };
    let cut = folder.path().join("cut.img");
    std::fs::copy(&image, &cut).expect("writable");
    Job::fill(kind, &plan, true)
        .run(&cut)
        .expect("another Linux fills it");
    assert_eq!(options(&cut), "nouuid", "its power failed");
    Job::fill(kind, &plan, false)
        .run(&image)
        .expect("another Linux fills it");
    assert_eq!(options(&image), "nouuid,norecovery", "it was unmounted");
    // Recovered by another Linux, it is clean again.
    Job::read(kind).run(&cut).expect("another Linux reads it");
    assert_eq!(options(&cut), "nouuid,norecovery", "it was recovered");
}
