//! Tests of `cp` over a volume of plain values, writing into a temporary directory.

use super::*;
use crate::memory::Memory;
use crate::volume::Time;

struct Quiet(std::cell::RefCell<Vec<String>>);

impl Progress for Quiet {
    fn wants_total(&self) -> bool {
        true
    }
    fn total(&self, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn note(&self, line: &str) {
        self.0.borrow_mut().push(line.to_string());
    }
}

const RECURSIVE: Options = Options {
    recursive: true,
    force: false,
    keep_going: false,
};

fn cp(volume: &Memory, path: &str, destination: &Path, options: Options) -> Result<Summary, Failure> {
    run(
        volume,
        path.as_bytes(),
        destination,
        "image",
        options,
        &Quiet(Default::default()),
    )
}

fn volume() -> Memory {
    let mut volume = Memory::new();
    volume.add_file("/d/plain", b"hello");
    volume.add_hard_link("/d/twin", "/d/plain");
    volume.add_file("/d/e/deep", b"");
    volume.add_link("/d/link", b"e/deep");
    volume.add_special("/d/pipe", Kind::Fifo);
    let mut holes = vec![0; 3 * CHUNK + 17];
    holes[CHUNK + 5] = 7;
    volume.add_file("/holes", &holes);
    volume.change("/holes", |stat| stat.blocks = 8);
    volume.change("/d/plain", |stat| {
        stat.mode = 0o6750;
        stat.modified = Time {
            seconds: -5,
            nanoseconds: 250_000_000,
        };
    });
    volume.change("/d/e", |stat| stat.mode = 0o500);
    volume
}

/// Names in a directory, the temporary ones included.
fn names(place: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_tree_arrives_whole() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("copy");
    let summary = cp(&volume(), "/d", &target, RECURSIVE).unwrap();
    assert_eq!(
        summary,
        Summary {
            files: 3,
            directories: 2,
            links: 1,
            bytes: 5,
            skipped: 1,
            ..Summary::default()
        }
    );
    assert_eq!(names(place.path()), ["copy"]);
    assert_eq!(names(&target), ["e", "link", "plain", "twin"]);
    assert_eq!(fs::read(target.join("plain")).unwrap(), b"hello");
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("e/deep"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let plain = target.join("plain").metadata().unwrap();
        assert_eq!((plain.mtime(), plain.mtime_nsec()), (-5, 250_000_000));
        assert_eq!(plain.mode() & 0o7777, 0o750, "set-user and set-group are dropped");
        assert_eq!(plain.ino(), target.join("twin").metadata().unwrap().ino());
        assert_eq!(target.join("e").metadata().unwrap().mode() & 0o7777, 0o500);
    }
}

#[test]
fn into_a_directory_under_the_own_name() {
    let place = tempfile::tempdir().unwrap();
    cp(&volume(), "/d/link", place.path(), Options::default()).unwrap();
    cp(&volume(), "/d/link", place.path(), RECURSIVE).unwrap();
    cp(&volume(), "/", place.path(), RECURSIVE).unwrap();
    assert_eq!(names(place.path()), ["deep", "image", "link"]);
    assert!(place.path().join("link").is_symlink());
    assert!(place.path().join("image/d/e/deep").is_file());
}

#[cfg(unix)]
#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("holes");
    cp(&volume(), "/holes", &target, Options::default()).unwrap();
    let data = fs::read(&target).unwrap();
    assert_eq!(data.len(), 3 * CHUNK + 17);
    assert_eq!(data.iter().position(|&byte| byte != 0), Some(CHUNK + 5));
    assert!(target.metadata().unwrap().blocks() * 512 < CHUNK as u64);
}

#[test]
fn what_exists_is_not_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("f");
    fs::write(&target, "mine").unwrap();
    let failure = cp(&volume(), "/d/plain", &target, Options::default()).unwrap_err();
    assert_eq!(failure.exit, Exit::Destination);
    assert!(failure.message.contains("--force"), "{failure}");
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    cp(
        &volume(),
        "/d/plain",
        &target,
        Options {
            force: true,
            ..Options::default()
        },
    )
    .unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"hello");

    fs::create_dir(place.path().join("d")).unwrap();
    let failure = cp(
        &volume(),
        "/d",
        place.path(),
        Options {
            force: true,
            ..RECURSIVE
        },
    )
    .unwrap_err();
    assert_eq!(failure.exit, Exit::Destination);
    assert_eq!(names(place.path()), ["d", "f"]);
}

#[test]
fn damage_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let mut volume = volume();
    volume.break_data("/d/e/deep", 0, Errno::EIO);
    volume.change("/d/e/deep", |stat| stat.size = 9);
    let target = place.path().join("copy");
    for (path, options) in [("/d", RECURSIVE), ("/d/e/deep", Options::default())] {
        let failure = cp(&volume, path, &target, options).unwrap_err();
        assert_eq!(failure.exit, Exit::FileSystem, "{failure}");
        assert!(failure.message.starts_with("/d/e/deep:"), "{failure}");
        assert_eq!(names(place.path()), [""; 0]);
    }
    let keep_going = Options {
        keep_going: true,
        ..RECURSIVE
    };
    assert_eq!(
        cp(&volume, "/d", &target, keep_going).unwrap_err().exit,
        Exit::FileSystem
    );
    assert_eq!(names(&target), ["e", "link", "plain", "twin"]);
    assert_eq!(names(&target.join("e")), [""; 0]);
}

#[test]
fn a_wrong_destination_or_source_is_named() {
    let place = tempfile::tempdir().unwrap();
    let failure = cp(
        &volume(),
        "/d/plain",
        &place.path().join("no/where"),
        Options::default(),
    )
    .unwrap_err();
    assert_eq!(failure.exit, Exit::Destination);
    assert!(failure.message.contains("create it"), "{failure}");
    assert_eq!(
        cp(&volume(), "/d", place.path(), Options::default())
            .unwrap_err()
            .exit,
        Exit::Path
    );
    assert_eq!(
        cp(&volume(), "/d/pipe", place.path(), Options::default())
            .unwrap_err()
            .exit,
        Exit::Path
    );
    assert_eq!(names(place.path()), [""; 0]);
}
