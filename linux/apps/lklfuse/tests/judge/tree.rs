//! Everything that can be seen of a tree, as text: two trees are equal when their texts are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A line for each entry below a folder, by its path.
pub fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    let mut names = BTreeMap::new();
    walk(root, root, &mut lines, &mut names);
    lines
}

/// Panics with the first lines that differ.
pub fn assert_equal(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>, what: &str) {
    let paths = found.keys().chain(wanted.keys());
    let mut differences: Vec<String> = paths
        .filter(|path| found.get(*path) != wanted.get(*path))
        .map(|path| {
            format!(
                "{path}\n  lklfuse: {:?}\n  native:  {:?}",
                found.get(path),
                wanted.get(path)
            )
        })
        .collect();
    differences.dedup();
    differences.truncate(6);
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
    assert!(!wanted.is_empty(), "{what}: there is nothing to compare");
}

fn walk(
    root: &Path,
    path: &Path,
    lines: &mut BTreeMap<String, String>,
    names: &mut BTreeMap<(u64, u64), String>,
) {
    let relative = path.strip_prefix(root).unwrap();
    let shown = format!("/{}", relative.as_os_str().as_bytes().escape_ascii());
    // What a file system keeps for itself.
    if shown == "/lost+found" {
        return;
    }
    let stat = fs::symlink_metadata(path).unwrap();
    let kind = stat.file_type();
    // The first of the names of a file.
    let first = match stat.nlink() > 1 && !kind.is_dir() {
        true => names
            .entry((stat.dev(), stat.ino()))
            .or_insert(shown.clone())
            .clone(),
        false => String::new(),
    };
    let content = if kind.is_file() {
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len() as u64, stat.len(), "{shown}");
        format!("{:016x}", hash(&bytes))
    } else if kind.is_symlink() {
        format!(
            "-> {}",
            fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii()
        )
    } else {
        String::new()
    };
    // The size of a folder is the file system's own affair and differs with its history.
    let size = if kind.is_dir() { 0 } else { stat.len() };
    lines.insert(
        shown,
        format!(
            "{:06o} {}:{} links {} size {size} rdev {:x} mtime {}.{:09} {content} {first} {}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.nlink(),
            stat.rdev(),
            stat.mtime(),
            stat.mtime_nsec(),
            attributes(path)
        ),
    );
    if kind.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(root, &entry.unwrap().path(), lines, names);
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn attributes(path: &Path) -> String {
    let mut names = vec![0; 64 << 10];
    let Ok(len) = rustix::fs::llistxattr(path, &mut names[..]) else {
        return "no attributes".to_owned();
    };
    let mut lines: Vec<String> = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let len = rustix::fs::lgetxattr(path, name, &mut value[..]);
            let value = len.map(|len| value[..len].escape_ascii().to_string());
            format!("{}={value:?}", name.escape_ascii())
        })
        .collect();
    lines.sort();
    lines.join(" ")
}
