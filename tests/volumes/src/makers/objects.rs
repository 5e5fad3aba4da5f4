//! What a maker of a whole volume works from: the objects of a described tree, with their bytes, and blocks to put them in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};

use super::bytes::Image;
use crate::content::Content;
use crate::tree::{Entry, Tree, What};

/// What an object holds.
#[derive(Clone, Debug)]
pub enum Held {
    /// Names and the numbers of their objects.
    Directory(Vec<(Vec<u8>, usize)>),
    /// The bytes of a file.
    File(Vec<u8>),
    /// A target.
    Link(Vec<u8>),
    /// A FIFO, socket or device, with a device's numbers.
    Special(u32, u32),
}

/// A directory, file, link or special file.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it holds.
    pub held: Held,
    /// The directory that it is in; the root's is the root.
    pub parent: usize,
    /// Permissions and type, as Unix has them.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds after.
    pub mtime: (i64, u32),
    /// Names that it has.
    pub links: u16,
}

impl Object {
    /// Seconds since 1970, as 32 bits hold them.
    pub fn seconds(&self) -> u32 {
        self.mtime.0 as u32
    }
}

/// The objects of a tree, the root first.
pub fn objects(tree: &Tree) -> io::Result<Vec<Object>> {
    let manifest = tree.manifest();
    let mut numbers: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut objects: Vec<Object> = Vec::new();
    for entry in &tree.entries {
        let (parent, name) = match entry.path.iter().rposition(|&byte| byte == b'/') {
            Some(end) => (&entry.path[..end], &entry.path[end + 1..]),
            None => (&b""[..], &entry.path[..]),
        };
        let parent = numbers.get(parent).copied().unwrap_or(0);
        let number = match &entry.what {
            What::Name(first) => numbers[&first[..]],
            _ => {
                let path = [b"/", &entry.path[..]].concat();
                objects.push(object(entry, parent, manifest.0[&path].links as u16)?);
                objects.len() - 1
            }
        };
        numbers.insert(&entry.path, number);
        if !entry.path.is_empty()
            && let Held::Directory(names) = &mut objects[parent].held
        {
            names.push((name.to_vec(), number));
        }
    }
    Ok(objects)
}

fn object(entry: &Entry, parent: usize, links: u16) -> io::Result<Object> {
    let (held, kind) = match &entry.what {
        What::Directory | What::Name(_) => (Held::Directory(Vec::new()), 0o040_000),
        What::File(content) => (Held::File(bytes(content)?), 0o100_000),
        What::Link(target) => (Held::Link(target.clone()), 0o120_000),
        What::Fifo => (Held::Special(0, 0), 0o010_000),
        What::Socket => (Held::Special(0, 0), 0o140_000),
        What::Block(major, minor) => (Held::Special(*major, *minor), 0o060_000),
        What::Character(major, minor) => (Held::Special(*major, *minor), 0o020_000),
    };
    Ok(Object {
        held,
        parent,
        mode: kind | entry.mode as u16,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        links,
    })
}

fn bytes(content: &Content) -> io::Result<Vec<u8>> {
    let mut file: File = tempfile::tempfile()?;
    content.write(&file)?;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Blocks side by side: the first and their number.
pub type Run = (usize, usize);

/// The blocks of a volume, and which are in use.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// Whether each is in use.
    pub used: Vec<bool>,
    next: usize,
    longest: usize,
}

impl Blocks {
    /// `count` blocks, of which those before `first` are in use. No run will be longer than `longest`: a free block
    /// follows each, so that large files are in pieces.
    pub fn new(count: usize, first: usize, longest: usize) -> Blocks {
        let mut used = vec![false; count];
        used[..first].fill(true);
        Blocks {
            used,
            next: first,
            longest,
        }
    }

    /// Takes blocks that are not for the asking.
    pub fn reserve(&mut self, (start, count): Run) {
        self.used[start..start + count].fill(true);
    }

    /// Takes `count` blocks, in runs.
    pub fn take(&mut self, count: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut left = count;
        while left > 0 {
            let run = self.run(left.min(self.longest));
            left -= run.1;
            runs.push(run);
            self.next += usize::from(left > 0);
        }
        runs
    }

    /// Takes at most `most` blocks, as many as are free side by side.
    fn run(&mut self, most: usize) -> Run {
        while self.used[self.next] {
            self.next += 1;
        }
        let start = self.next;
        while self.next < start + most && !self.used[self.next] {
            self.used[self.next] = true;
            self.next += 1;
        }
        (start, self.next - start)
    }

    /// Takes `count` blocks side by side.
    pub fn together(&mut self, count: usize) -> usize {
        while self.used[self.next..self.next + count].contains(&true) {
            self.next += 1;
        }
        let start = self.next;
        self.reserve((start, count));
        self.next += count;
        start
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.used.iter().filter(|used| !**used).count()
    }
}

/// Puts bytes into runs of blocks, the first of which is at `base`.
pub fn place(image: &mut Image, base: usize, block: usize, runs: &[Run], bytes: &[u8]) {
    let mut rest = bytes;
    for (start, count) in runs {
        let (here, more) = rest.split_at(rest.len().min(count * block));
        image.put(base + start * block, here);
        rest = more;
    }
    assert!(rest.is_empty(), "the runs are too short");
}
