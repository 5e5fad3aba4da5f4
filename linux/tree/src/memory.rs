//! A volume of plain Rust values, for tests of everything above the `Volume` trait.
//!
//! It can also be bad on purpose: [`Memory::break_path`] makes an object or its data unreadable, and a directory may
//! be linked into itself. It counts the nodes that are open, so that a test can bound them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use crate::volume::{Errno, Kind, Stat, Time, Volume};

/// One object.
#[derive(Clone, Debug)]
struct Inode {
    stat: Stat,
    data: Vec<u8>,
    children: BTreeMap<Vec<u8>, u64>,
    broken: Option<Errno>,
    broken_data: Option<(u64, Errno)>,
    endless: bool,
}

/// The volume. Inode 1 is its root.
#[derive(Debug)]
pub struct Memory {
    inodes: BTreeMap<u64, Inode>,
    open: Rc<Cell<(u64, u64)>>,
    dead: bool,
}

/// A found object of a [`Memory`].
#[derive(Debug)]
pub struct Handle {
    inode: u64,
    open: Rc<Cell<(u64, u64)>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let (now, most) = self.open.get();
        self.open.set((now.saturating_sub(1), most));
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

impl Memory {
    /// A volume with an empty root directory.
    pub fn new() -> Memory {
        let root = Inode::new(1, Kind::Directory, 0o755);
        Memory {
            inodes: BTreeMap::from([(1, root)]),
            open: Rc::default(),
            dead: false,
        }
    }

    /// Adds a file, and the directories on the way to it.
    pub fn add_file(&mut self, path: &str, data: &[u8]) {
        let inode = self.add(path, Kind::File, 0o644);
        inode.data = data.to_vec();
        inode.stat.size = data.len() as u64;
        inode.stat.blocks = data.len().div_ceil(512) as u64;
    }

    /// Adds a directory, and those on the way to it.
    pub fn add_directory(&mut self, path: &str) {
        self.add(path, Kind::Directory, 0o755);
    }

    /// Adds a symbolic link.
    pub fn add_link(&mut self, path: &str, target: &[u8]) {
        let inode = self.add(path, Kind::Link, 0o777);
        inode.data = target.to_vec();
        inode.stat.size = target.len() as u64;
    }

    /// Adds an object of another kind.
    pub fn add_special(&mut self, path: &str, kind: Kind) {
        self.add(path, kind, 0o600);
    }

    /// Gives the object at `old` a second name.
    pub fn add_hard_link(&mut self, path: &str, old: &str) {
        let inode = self.find(old);
        let (parent, name) = self.parent_of(path);
        self.get(parent).children.insert(name, inode);
        self.get(inode).stat.links += 1;
    }

    /// Changes what the volume says about the object at `path`.
    pub fn change(&mut self, path: &str, change: impl FnOnce(&mut Stat)) {
        let inode = self.find(path);
        change(&mut self.get(inode).stat);
    }

    /// Makes the object at `path` fail with `errno` when it is found.
    pub fn break_path(&mut self, path: &str, errno: Errno) {
        let inode = self.find(path);
        self.get(inode).broken = Some(errno);
    }

    /// Makes reads of the file at `path` fail with `errno` from `offset` on.
    pub fn break_data(&mut self, path: &str, offset: u64, errno: Errno) {
        let inode = self.find(path);
        self.get(inode).broken_data = Some((offset, errno));
    }

    /// Makes the listing of the directory at `path` begin again for ever.
    pub fn never_ends(&mut self, path: &str) {
        let inode = self.find(path);
        self.get(inode).endless = true;
    }

    /// Makes everything fail from now on, as after a panic of Linux.
    pub fn die(&mut self) {
        self.dead = true;
    }

    /// The largest number of nodes that were open at the same time.
    pub fn most_open(&self) -> u64 {
        self.open.get().1
    }

    fn add(&mut self, path: &str, kind: Kind, mode: u32) -> &mut Inode {
        let (parent, name) = self.parent_of(path);
        let next = self.inodes.keys().next_back().map_or(1, |last| last + 1);
        let inode = *self.get(parent).children.entry(name).or_insert(next);
        self.inodes
            .entry(inode)
            .or_insert_with(|| Inode::new(inode, kind, mode))
    }

    fn parent_of(&mut self, path: &str) -> (u64, Vec<u8>) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !parent.is_empty() {
            self.add(parent, Kind::Directory, 0o755);
        }
        (self.find(parent), name.as_bytes().to_vec())
    }

    fn find(&self, path: &str) -> u64 {
        path.split('/')
            .filter(|name| !name.is_empty())
            .fold(1, |inode, name| self.inodes[&inode].children[name.as_bytes()])
    }

    fn get(&mut self, inode: u64) -> &mut Inode {
        self.inodes
            .get_mut(&inode)
            .unwrap_or_else(|| panic!("there is no inode {inode}"))
    }

    fn handle(&self, inode: u64) -> Result<Handle, Errno> {
        if self.dead {
            return Err(Errno::ENODEV);
        }
        if let Some(errno) = self.inodes.get(&inode).ok_or(Errno::ENOENT)?.broken {
            return Err(errno);
        }
        let (now, most) = self.open.get();
        self.open.set((now + 1, most.max(now + 1)));
        Ok(Handle {
            inode,
            open: Rc::clone(&self.open),
        })
    }

    fn inode(&self, handle: &Handle) -> Result<&Inode, Errno> {
        if self.dead {
            Err(Errno::ENODEV)
        } else {
            self.inodes.get(&handle.inode).ok_or(Errno::EIO)
        }
    }
}

impl Inode {
    fn new(inode: u64, kind: Kind, mode: u32) -> Inode {
        let time = Time {
            seconds: 1_000_000_000 + inode as i64,
            nanoseconds: 123_456_700,
        };
        Inode {
            stat: Stat {
                kind,
                mode,
                uid: 0,
                gid: 0,
                links: 1,
                size: 0,
                blocks: 0,
                modified: time,
                accessed: time,
                inode,
                device: 1,
                node_device: (0, 0),
            },
            data: Vec::new(),
            children: BTreeMap::new(),
            broken: None,
            broken_data: None,
            endless: false,
        }
    }
}

impl Volume for Memory {
    type Node = Handle;
    type File = Handle;

    fn root(&self) -> Result<Handle, Errno> {
        self.handle(1)
    }

    fn child(&self, directory: &Handle, name: &[u8]) -> Result<Handle, Errno> {
        let directory = self.inode(directory)?;
        if directory.stat.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.handle(*directory.children.get(name).ok_or(Errno::ENOENT)?)
    }

    fn stat(&self, node: &Handle) -> Result<Stat, Errno> {
        Ok(self.inode(node)?.stat.clone())
    }

    fn read_link(&self, node: &Handle) -> Result<Vec<u8>, Errno> {
        let inode = self.inode(node)?;
        if inode.stat.kind == Kind::Link {
            Ok(inode.data.clone())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn list(
        &self,
        directory: &Handle,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let inode = self.inode(directory)?;
        let rounds = if inode.endless { usize::MAX } else { 1 };
        let mut place = 0;
        for _ in 0..rounds {
            for name in [&b"."[..], b".."]
                .into_iter()
                .chain(inode.children.keys().rev().map(Vec::as_slice))
            {
                place += 1;
                if sink(name, place).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn open(&self, node: &Handle) -> Result<Handle, Errno> {
        match self.inode(node)?.stat.kind {
            Kind::File => self.handle(node.inode),
            Kind::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn read(&self, file: &Handle, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let inode = self.inode(file)?;
        if let Some((from, errno)) = inode.broken_data
            && offset + buffer.len() as u64 > from
        {
            return Err(errno);
        }
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| inode.data.get(offset..))
            .unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn is_dead(&self) -> bool {
        self.dead
    }
}
