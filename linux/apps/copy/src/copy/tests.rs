use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use lkl_tree::memory::{Handle, Memory};
use lkl_volume::Program;
use rustix::fs::{Mode, OFlags, open};

use super::*;
use crate::host_place::HostPlace;
use crate::report::Listing;

const PROGRAM: Program = Program::new("test");

/// Copies a volume to this machine, as a new folder.
fn copy(volume: &Memory, folder: &Path) -> Result<(), Failure> {
    copy_from(volume, volume.root().unwrap(), folder)
}

fn copy_from(volume: &Memory, root: Handle, folder: &Path) -> Result<(), Failure> {
    static INTERRUPTION: OnceLock<Interruption> = OnceLock::new();
    let top = open(folder.parent().unwrap(), OFlags::PATH, Mode::empty()).unwrap();
    let (wishes, choices) = (Wishes::default(), Choices::default());
    let report = Report::new(PROGRAM, Listing::No);
    let place = HostPlace::new();
    let mut copy = Copy::new(
        volume,
        &place,
        top,
        "the folder",
        &wishes,
        &choices,
        &report,
        INTERRUPTION.get_or_init(|| Interruption::watch(PROGRAM)),
    );
    let name = folder.file_name().unwrap().as_encoded_bytes();
    copy.tree(root, b"/", Some(name))?;
    report.finish()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_vanishes_is_told_and_the_rest_is_copied() {
    let place = tempfile::tempdir().unwrap();
    let mut volume = Memory::new();
    for path in ["/a", "/b/c", "/d", "/e"] {
        volume.add_file(path, b"whole");
    }
    // Between the moment that a name is read and that in which it is looked for; or while a file is read.
    volume.break_path("/a", Errno::ENOENT);
    volume.break_path("/b", Errno::ENOENT);
    volume.break_data("/d", 2, Errno::EIO);
    let folder = place.path().join("copy");
    let failure = copy(&volume, &folder).unwrap_err();
    assert_eq!(failure.exit, Exit::Path);
    assert!(
        failure.message.starts_with("3 entries were not copied"),
        "{failure}"
    );
    assert_eq!(names(&folder), ["e"]);
    assert_eq!(names(place.path()), ["copy"]);
}

#[test]
fn a_copy_that_linux_dies_in_ends() {
    let place = tempfile::tempdir().unwrap();
    let mut volume = Memory::new();
    volume.add_file("/a", b"1");
    volume.add_file("/b", b"2");
    let root = volume.root().unwrap();
    volume.die();
    let failure = copy_from(&volume, root, &place.path().join("copy")).unwrap_err();
    assert_eq!(failure.exit, Exit::Kernel);
}

#[test]
fn folders_beyond_those_that_stay_open_are_found_again() {
    let place = tempfile::tempdir().unwrap();
    let mut volume = Memory::new();
    let mut deep = String::new();
    for level in 0..KEPT * 3 {
        volume.add_file(&format!("{deep}/z{level}"), b"x");
        deep.push_str("/d");
        volume.add_directory(&deep);
    }
    volume.add_file(&format!("{deep}/first"), b"same");
    volume.add_hard_link("/last", &format!("{deep}/first"));
    let folder = place.path().join("copy");
    copy(&volume, &folder).unwrap();
    let mut here = folder.clone();
    for level in 0..KEPT * 3 {
        assert_eq!(fs::read(here.join(format!("z{level}"))).unwrap(), b"x");
        here.push("d");
    }
    assert_eq!(fs::read(here.join("first")).unwrap(), b"same");
    assert_eq!(fs::read(folder.join("last")).unwrap(), b"same");
}
