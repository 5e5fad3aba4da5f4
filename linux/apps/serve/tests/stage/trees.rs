//! What is in a tree, to be compared.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes that do not repeat.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}

/// A tree: for each path what is there. Times are seconds; those of folders and links only where they are asked for.
pub fn tree(root: &Path, follow: bool) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let name = folder.join(entry.unwrap().file_name());
            let path = root.join(&name);
            let facts = match follow {
                true => fs::metadata(&path),
                false => fs::symlink_metadata(&path),
            };
            let Ok(facts) = facts else { continue };
            if name.as_os_str() == "lost+found" {
                continue;
            }
            let what = if facts.is_dir() {
                folders.push(name.clone());
                "folder".to_owned()
            } else if facts.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else if facts.is_file() {
                let mut hash = DefaultHasher::new();
                hash.write(&fs::read(&path).unwrap());
                format!("file {} {} {:x}", facts.len(), facts.mtime(), hash.finish())
            } else {
                continue;
            };
            found.insert(name, what);
        }
    }
    found
}

/// Two trees are the same; if not, the first differences are told.
pub fn same(expected: &BTreeMap<PathBuf, String>, found: &BTreeMap<PathBuf, String>) {
    let paths = expected.keys().chain(found.keys());
    let differ = paths.filter(|path| expected.get(*path) != found.get(*path));
    let told: Vec<String> = differ
        .take(10)
        .map(|path| {
            format!(
                "{}: {:?}, not {:?}",
                path.display(),
                found.get(path),
                expected.get(path)
            )
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// What is there, without the time of a file.
pub fn without_time(what: &str) -> String {
    let words: Vec<&str> = what.split(' ').collect();
    match words[..] {
        ["file", size, _, hash] => format!("file {size} {hash}"),
        _ => what.to_owned(),
    }
}
