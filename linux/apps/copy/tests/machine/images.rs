//! Images that tests write to, and what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Kind, join, well};

pub fn ext4(place: &tempfile::TempDir, mib: u64) -> PathBuf {
    let image = join(place, "image");
    Kind::named("ext4").make(&image, mib);
    image
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is in an image, copied out into a new folder.
pub fn out(place: &tempfile::TempDir, image: &Path, name: &str) -> PathBuf {
    let folder = join(place, name);
    well("cpfromfs", crate::arguments!["-i", image, "/", &folder]);
    folder
}

#[track_caller]
pub fn one_line(said: &str, name: &str, words: &str) {
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with(&format!("{name}: ")), "{said}");
    assert!(said.contains(words), "{said} says nothing of {words}");
}
