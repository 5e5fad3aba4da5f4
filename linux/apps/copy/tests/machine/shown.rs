//! A tree as this machine's own Linux shows it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{self, SeekFrom};

/// All that a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub mode: u32,
    pub owner: (u32, u32),
    pub size: u64,
    pub device: (u32, u32),
    pub modified: (i64, i64),
    pub accessed: (i64, i64),
    pub target: Option<Vec<u8>>,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The first path of the same file.
    pub first: Vec<u8>,
    /// A sum of what is in it.
    pub content: u64,
    /// Whether it takes much less room than it is long.
    pub is_sparse: bool,
}

pub type Tree = BTreeMap<Vec<u8>, Shown>;

/// The tree below a folder, without `lost+found` and sockets.
pub fn tree(top: &Path) -> Tree {
    let mut firsts = BTreeMap::new();
    let mut tree = Tree::new();
    walk(top, b"", &mut firsts, &mut tree);
    tree
}

fn walk(folder: &Path, prefix: &[u8], firsts: &mut BTreeMap<u64, Vec<u8>>, tree: &mut Tree) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = entry.file_name();
        let path = entry.path();
        let stat = path.symlink_metadata().unwrap();
        let is_socket = stat.mode() & 0o170_000 == 0o140_000;
        if (prefix.is_empty() && name == "lost+found") || is_socket {
            continue;
        }
        let place = [prefix, name.as_bytes()].concat();
        let is_folder = stat.is_dir();
        let first = match is_folder {
            true => place.clone(),
            false => firsts.entry(stat.ino()).or_insert_with(|| place.clone()).clone(),
        };
        let shown = Shown {
            mode: stat.mode(),
            owner: (stat.uid(), stat.gid()),
            size: if is_folder { 0 } else { stat.size() },
            device: (fs::major(stat.rdev()), fs::minor(stat.rdev())),
            modified: (stat.mtime(), stat.mtime_nsec()),
            accessed: (stat.atime(), stat.atime_nsec()),
            target: stat
                .is_symlink()
                .then(|| std::fs::read_link(&path).unwrap().into_os_string().into_vec()),
            xattrs: xattrs(&path),
            first,
            content: if stat.is_file() { content(&path) } else { 0 },
            is_sparse: stat.is_file() && stat.size() > 1 << 20 && stat.blocks() * 512 < stat.size() / 2,
        };
        tree.insert(place.clone(), shown);
        if is_folder {
            walk(&path, &[&place[..], b"/"].concat(), firsts, tree);
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = [0u8; 65536];
    let Ok(len) = fs::llistxattr(path, &mut names) else {
        return BTreeMap::new();
    };
    let names = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let found = names.map(|name| {
        let mut value = vec![0u8; 65536];
        let len = fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(len);
        (String::from_utf8(name.to_vec()).unwrap(), value)
    });
    // Another view of access lists, in XFS alone.
    found
        .filter(|(name, _)| !name.starts_with("trusted.SGI_"))
        .collect()
}

/// A sum of what is not zero, and where that is.
fn content(path: &Path) -> u64 {
    let file = std::fs::File::open(path).unwrap();
    let mut sum = DefaultHasher::new();
    let mut buffer = vec![0; 4096];
    let mut at = 0;
    while let Ok(data) = fs::seek(&file, SeekFrom::Data(at)) {
        let end = fs::seek(&file, SeekFrom::Hole(data)).unwrap();
        at = data - data % 4096;
        while at < end {
            let count = file.read_at(&mut buffer, at).unwrap();
            if buffer[..count].iter().any(|byte| *byte != 0) {
                sum.write_u64(at);
                sum.write(&buffer[..count]);
            }
            at += 4096;
        }
    }
    sum.finish()
}

/// What is not the same in two trees; empty if nothing. `but` says what does not count of a file.
pub fn differences(found: &Tree, wanted: &Tree, but: &dyn Fn(&mut Shown)) -> Vec<String> {
    let text = |path: &[u8]| path.escape_ascii().to_string();
    let mut lines = Vec::new();
    for (path, shown) in wanted {
        let Some(other) = found.get(path) else {
            lines.push(format!("{} is missing", text(path)));
            continue;
        };
        let (mut shown, mut other) = (shown.clone(), other.clone());
        but(&mut shown);
        but(&mut other);
        if shown != other {
            lines.push(format!("{}: {other:?}\n  should be {shown:?}", text(path)));
        }
    }
    let more = found.keys().filter(|path| !wanted.contains_key(*path));
    lines.extend(more.map(|path| format!("{} is there, too", text(path))));
    lines
}

#[track_caller]
pub fn same(found: &Tree, wanted: &Tree, but: &dyn Fn(&mut Shown)) {
    let lines = differences(found, wanted, but);
    assert!(
        lines.is_empty(),
        "{} differences: {}",
        lines.len(),
        lines[..lines.len().min(5)].join("\n")
    );
}
