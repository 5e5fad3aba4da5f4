//! The volumes of the machine: images of several file systems, and what must be found on them. What a file holds is what was put
//! there; names are as `lklfs_nt` translates them, which its own tests show to be right.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use volumes::tree::{Entry, What};
use volumes::{Content, Kind, Plan, Tree};

/// The kinds. FAT is among them because its volumes end with their Linux.
const KINDS: [&str; 8] = [
    "ext4",
    "btrfs",
    "xfs",
    "f2fs",
    "squashfs-zstd",
    "erofs-lz4",
    "iso9660-rockridge",
    "vfat32",
];
/// Files of a directory with many of them that are opened.
const OF_MANY: usize = 8;
/// Files up to this size are kept in memory.
const SMALL: u64 = 8 << 20;
/// The file that requests lock ranges of.
pub const LOCKED: &str = "sizes\\131073";
/// The file that is opened for one user alone now and then.
pub const UNSHARED: &str = "sizes\\65537";

/// What a file holds.
pub enum Bytes {
    Memory(Vec<u8>),
    File { file: File, size: u64 },
}

impl Bytes {
    fn of(content: &Content) -> Bytes {
        let file = tempfile::tempfile().expect("a temporary file");
        content.write(&file).expect("writable");
        if content.size() > SMALL {
            let size = content.size();
            return Bytes::File { file, size };
        }
        let mut bytes = vec![0; content.size() as usize];
        file.read_exact_at(&mut bytes, 0).expect("it was written");
        Bytes::Memory(bytes)
    }

    /// Its length.
    pub fn size(&self) -> u64 {
        match self {
            Bytes::Memory(bytes) => bytes.len() as u64,
            Bytes::File { size, .. } => *size,
        }
    }

    /// Up to `len` bytes at `offset`: fewer at the end, none behind it.
    pub fn at(&self, offset: u64, len: usize) -> Vec<u8> {
        let len = (self.size().saturating_sub(offset)).min(len as u64) as usize;
        let mut part = vec![0; len];
        match self {
            _ if len == 0 => {}
            Bytes::Memory(bytes) => part.copy_from_slice(&bytes[offset as usize..][..len]),
            Bytes::File { file, .. } => file.read_exact_at(&mut part, offset).expect("it was written"),
        }
        part
    }
}

/// What an entry is.
pub enum Node {
    /// With the names of its entries.
    Directory(BTreeSet<Vec<u16>>),
    File(Bytes),
    /// With Linux's target.
    Link(Vec<u8>),
    Special,
}

/// An entry.
pub struct Item {
    /// From the root, with backslashes between.
    pub path: Vec<u16>,
    pub node: Node,
    /// It has other names, of which an open by its identity may show any.
    pub has_names: bool,
}

impl Item {
    /// Its path as text.
    pub fn name(&self) -> String {
        String::from_utf16_lossy(&self.path)
    }

    /// It is the file at this path.
    pub fn is(&self, path: &str) -> bool {
        self.path.iter().copied().eq(path.encode_utf16())
    }
}

/// A volume.
pub struct Volume {
    pub kind: &'static Kind,
    pub image: PathBuf,
    pub items: Vec<Item>,
}

impl Volume {
    /// Whether an inode has the same number whenever it is looked at.
    pub fn has_steady_ids(&self) -> bool {
        self.kind.linux != "vfat"
    }

    /// The file at this path, by its place among the items.
    pub fn find(&self, path: &str) -> usize {
        let found = self.items.iter().position(|item| item.is(path));
        found.unwrap_or_else(|| panic!("{}: no {path}", self.kind.name))
    }
}

fn windows(path: &[u8]) -> Vec<u16> {
    let mut all = Vec::new();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if !all.is_empty() {
            all.push(u16::from(b'\\'));
        }
        all.extend(lklfs_nt::names::to_windows(name).expect("each name has a form"));
    }
    all
}

/// What a directory has, without what mkfs puts there.
fn names_in(tree: &Tree, directory: &[u8]) -> BTreeSet<Vec<u16>> {
    let inside = |entry: &&Entry| {
        let cut = entry.path.iter().rposition(|byte| *byte == b'/');
        !entry.path.is_empty() && &entry.path[..cut.unwrap_or(0)] == directory
    };
    let last = |entry: &Entry| {
        let name = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        windows(name)
    };
    tree.entries.iter().filter(inside).map(last).collect()
}

fn node(tree: &Tree, entry: &Entry) -> Node {
    match &entry.what {
        What::Directory => Node::Directory(names_in(tree, &entry.path)),
        What::File(content) => Node::File(Bytes::of(content)),
        What::Name(first) => {
            let first = tree.entries.iter().find(|entry| entry.path == *first);
            node(tree, first.expect("a name is of a file"))
        }
        What::Link(target) => Node::Link(target.clone()),
        What::Fifo | What::Socket | What::Block(..) | What::Character(..) => Node::Special,
    }
}

fn has_names(tree: &Tree, entry: &Entry) -> bool {
    let names = |other: &Entry| matches!(&other.what, What::Name(first) if *first == entry.path);
    matches!(entry.what, What::Name(_)) || tree.entries.iter().any(names)
}

fn volume(name: &str) -> Volume {
    let kind = Kind::named(name).unwrap_or_else(|| panic!("no kind {name}"));
    let made = volumes::make(kind, &Plan::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut many = 0;
    let few = |entry: &&Entry| {
        many += usize::from(entry.path.starts_with(b"wide/"));
        !entry.path.starts_with(b"wide/") || many <= OF_MANY
    };
    let items = made.tree.entries.iter().filter(few).map(|entry| Item {
        path: windows(&entry.path),
        node: node(&made.tree, entry),
        has_names: has_names(&made.tree, entry),
    });
    Volume {
        kind,
        image: made.image.clone(),
        items: items.collect(),
    }
}

/// All volumes. Made once, and kept by the crate that makes them.
pub fn all() -> &'static [Volume] {
    static ALL: OnceLock<Vec<Volume>> = OnceLock::new();
    ALL.get_or_init(|| KINDS.iter().map(|name| volume(name)).collect())
}
