//! A tree of files is made, changed and taken apart in all ways that there are; it is then what a model in memory says, in
//! the eyes of the same mount, of another mount, of a reader without writes, and of this machine's own Linux.

use crate::kind::{self, Kind, add, boot, unmount};
use conformance::content::content;
use linux_full::WritableDisks;
use lkl::{EntryKind, Errno, FsKind, Kernel, OpenMode};
use lkl_host_posix::{FileDisk, WritableFile};
use lkl_write::{OpenOptions, Volume, WritableSlice};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    File(Vec<u8>),
    Link(Vec<u8>),
}

type Tree = BTreeMap<String, Node>;

const WRITE: OpenOptions = OpenOptions {
    write: true,
    create: false,
    new: false,
    truncate: false,
    durable: false,
};
const NEW: OpenOptions = OpenOptions { new: true, ..WRITE };

/// A volume and what must be in it.
struct Both<'a> {
    volume: &'a Volume,
    tree: Tree,
}

impl Both<'_> {
    fn folder(&mut self, path: &str) {
        self.volume.create_dir(path.as_bytes()).unwrap();
        self.tree.insert(path.into(), Node::Folder);
    }

    fn file(&mut self, path: &str, bytes: Vec<u8>) {
        self.volume.write(path.as_bytes(), &bytes).unwrap();
        self.tree.insert(path.into(), Node::File(bytes));
    }

    fn bytes(&mut self, path: &str) -> &mut Vec<u8> {
        match self.tree.get_mut(path) {
            Some(Node::File(bytes)) => bytes,
            other => panic!("{path} is {other:?}"),
        }
    }

    fn overwrite(&mut self, path: &str, at: usize, new: &[u8]) {
        let file = self.volume.open(path.as_bytes(), WRITE).unwrap();
        file.write_all_at(new, at as u64).unwrap();
        file.sync_data().unwrap();
        let bytes = self.bytes(path);
        bytes.resize(bytes.len().max(at + new.len()), 0);
        bytes[at..at + new.len()].copy_from_slice(new);
    }

    fn set_len(&mut self, path: &str, len: usize) {
        let file = self.volume.open(path.as_bytes(), WRITE).unwrap();
        file.set_len(len as u64).unwrap();
        file.sync().unwrap();
        self.bytes(path).resize(len, 0);
    }

    /// With everything below it.
    fn rename(&mut self, from: &str, to: &str) {
        self.volume.rename(from.as_bytes(), to.as_bytes()).unwrap();
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .tree
            .keys()
            .filter(|path| *path == from || path.starts_with(&below))
            .cloned()
            .collect();
        for path in moved {
            let node = self.tree.remove(&path).unwrap();
            self.tree.insert(format!("{to}{}", &path[from.len()..]), node);
        }
    }

    fn remove(&mut self, path: &str) {
        match self.tree.remove(path).unwrap() {
            Node::Folder => self.volume.remove_dir(path.as_bytes()),
            _ => self.volume.remove_file(path.as_bytes()),
        }
        .unwrap();
    }
}

fn make(volume: &Volume, kind: &Kind) -> Tree {
    let mut both = Both {
        volume,
        tree: Tree::new(),
    };
    for path in ["a", "a/b", "a/b/c", "many", "gone"] {
        both.folder(path);
    }
    for number in 0..24 {
        both.file(&format!("f{number}"), content(number, number * number * 211));
    }
    both.file("a/b/c/large", content(99, 9 << 20));
    both.file("Grüße 😀", content(98, 100));
    both.overwrite("f20", 5000, &content(1000, 30_000));
    both.overwrite("a/b/c/large", (4 << 20) + 17, &content(1001, 1 << 20));
    both.overwrite("f3", 70_000, &content(1002, 9));
    both.set_len("f21", 12_345);
    both.set_len("f22", 300_000);
    both.set_len("f0", 0);
    both.rename("f8", "a/renamed");
    both.rename("f9", "f10");
    both.rename("a/b", "moved");
    for number in 0..300 {
        both.file(&format!("many/entry-{number:04}"), content(number, number % 7));
    }
    for number in (0..300).step_by(3) {
        both.remove(&format!("many/entry-{number:04}"));
    }
    both.remove("f11");
    both.remove("gone");
    if kind.links {
        volume.hard_link(b"f12", b"a/same").unwrap();
        let same = both.tree["f12"].clone();
        both.tree.insert("a/same".into(), same);
        both.overwrite("f12", 0, b"both names show this");
        let same = both.tree["f12"].clone();
        both.tree.insert("a/same".into(), same);
        volume.symlink(b"a/same", b"link").unwrap();
        both.tree.insert("link".into(), Node::Link(b"a/same".to_vec()));
    }
    if kind.holes {
        let file = volume.open(b"moved/c/large", WRITE).unwrap();
        file.punch_hole(1 << 20, 1 << 20).unwrap();
        both.bytes("moved/c/large")[1 << 20..2 << 20].fill(0);
    }
    // What is refused changes nothing.
    assert_eq!(volume.open(b"f1", NEW).map(drop), Err(Errno::EEXIST));
    assert_eq!(volume.remove_dir(b"many"), Err(Errno::ENOTEMPTY));
    assert_eq!(volume.create_dir(b"absent/x"), Err(Errno::ENOENT));
    assert_eq!(volume.write(b"../escaped", b"x"), Err(Errno::EINVAL));
    volume.sync_dir(b"a").unwrap();
    both.tree
}

fn walk(volume: &Volume, folder: &str, tree: &mut Tree) {
    for entry in volume.entries(folder.as_bytes()).unwrap() {
        let name = String::from_utf8(entry.name).unwrap();
        if name == "lost+found" {
            continue;
        }
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        let node = match entry.kind {
            EntryKind::Directory => {
                walk(volume, &path, tree);
                Node::Folder
            }
            EntryKind::Symlink => Node::Link(volume.read_link(path.as_bytes()).unwrap()),
            _ => Node::File(volume.read(path.as_bytes()).unwrap()),
        };
        tree.insert(path, node);
    }
}

fn walk_natively(root: &Path, folder: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name == "lost+found" {
            continue;
        }
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry.file_type().unwrap();
        let node = if kind.is_dir() {
            walk_natively(root, &path, tree);
            Node::Folder
        } else if kind.is_symlink() {
            Node::Link(
                std::fs::read_link(entry.path())
                    .unwrap()
                    .into_os_string()
                    .into_vec(),
            )
        } else {
            Node::File(std::fs::read(entry.path()).unwrap())
        };
        tree.insert(path, node);
    }
}

#[track_caller]
fn same(found: &Tree, wanted: &Tree, who: &str) {
    for (path, node) in wanted {
        match found.get(path) {
            Some(other) if other == node => {}
            Some(other) => panic!(
                "{who}: {path} is not what was written: {} and {}",
                brief(other),
                brief(node)
            ),
            None => panic!("{who}: {path} is missing"),
        }
    }
    let more: Vec<_> = found.keys().filter(|path| !wanted.contains_key(*path)).collect();
    assert!(more.is_empty(), "{who}: nothing wrote {more:?}");
}

fn brief(node: &Node) -> String {
    match node {
        Node::File(bytes) => format!("a file of {} bytes", bytes.len()),
        other => format!("{other:?}"),
    }
}

fn walked(volume: &Volume) -> Tree {
    let mut tree = Tree::new();
    walk(volume, "", &mut tree);
    tree
}

/// Through crate `lkl`, which cannot write.
fn read_only(kernel: &Kernel, image: &Path, tree: &Tree) {
    let disk = FileDisk::open_still(image).unwrap();
    let device = kernel.add_disk(Arc::new(disk), Default::default()).unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let root = mount.root().unwrap();
    for (path, node) in tree {
        if let (Node::File(bytes), false) = (node, path.contains('/')) {
            let file = root.open_at(path.as_bytes(), OpenMode::Read).unwrap();
            let mut found = vec![0; bytes.len() + 1];
            let mut len = 0;
            loop {
                match file.pread(&mut found[len..], len as u64).unwrap() {
                    0 => break,
                    more => len += more,
                }
            }
            assert!(found[..len] == bytes[..], "{path} as a reader sees it");
        }
    }
}

pub fn written(name: &str) {
    let kind = kind::named(name);
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    kind.make(&image, 0, 0);
    let kernel = boot();
    let device = add(&kernel, &image);
    let volume = Volume::mount(&kernel, &device, kind.name, "").unwrap();
    let tree = make(&volume, kind);
    same(&walked(&volume), &tree, "the same mount");
    // A file that is open keeps it.
    let open = volume.open(b"f1", OpenOptions::default()).unwrap();
    let error = volume.unmount().unwrap_err();
    assert_eq!(error.errno, Errno::EBUSY);
    drop(open);
    unmount(error.volume.unwrap());

    let volume = Volume::mount(&kernel, &device, kind.name, "").unwrap();
    same(&walked(&volume), &tree, "another mount");
    unmount(volume);
    device.remove().unwrap();
    read_only(&kernel, &image, &tree);
    kernel.halt();

    assert_eq!(kind.damage(&image), None);
    kind.natively(&image, |folder| {
        let mut found = Tree::new();
        walk_natively(folder, "", &mut found);
        same(&found, &tree, "this machine's own Linux");
    });
    // The checker has an opinion.
    use std::os::unix::fs::FileExt;
    let damaged = std::fs::File::options().write(true).open(&image).unwrap();
    // Behind the superblocks.
    let half = usize::try_from(kind.bytes() / 2).unwrap();
    damaged.write_all_at(&vec![0xff; half], 68 << 10).unwrap();
    assert!(
        kind.damage(&image).is_some(),
        "{:?} finds nothing in a damaged volume",
        kind.name
    );
}

pub fn partition() {
    let kind = kind::named("ext4");
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let (before, behind) = (3 << 20, 2 << 20);
    kind.make(&image, before, behind);
    {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().write(true).open(&image).unwrap();
        file.write_all_at(&content(1, before as usize), 0).unwrap();
        file.write_all_at(&content(2, behind as usize), before + kind.bytes())
            .unwrap();
    }
    let kernel = boot();
    let whole = Arc::new(WritableFile::open(&image, true).unwrap());
    assert!(WritableSlice::new(whole.clone(), before, kind.bytes() + behind + 512).is_err());
    let slice = WritableSlice::new(whole, before, kind.bytes()).unwrap();
    let device = kernel.add_writable_disk(Arc::new(slice), 0).unwrap();
    let volume = Volume::mount(&kernel, &device, "ext4", "").unwrap();
    let tree = make(&volume, kind);
    unmount(volume);
    let volume = Volume::mount(&kernel, &device, "ext4", "").unwrap();
    same(&walked(&volume), &tree, "another mount");
    unmount(volume);
    device.remove().unwrap();
    kernel.halt();

    let bytes = std::fs::read(&image).unwrap();
    let (start, end) = (before as usize, (before + kind.bytes()) as usize);
    assert!(
        bytes[..start] == content(1, start),
        "what is before the partition"
    );
    assert!(
        bytes[end..] == content(2, behind as usize),
        "what is behind the partition"
    );
    std::fs::write(&image, &bytes[start..end]).unwrap();
    assert_eq!(kind.damage(&image), None);
}
