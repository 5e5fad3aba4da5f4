//! A place in a mounted tree, and the descriptors that are opened from it on demand.
//!
//! A node knows its path, and what told its inode from others when it was first looked at. When Linux has died it is found again
//! by these in the next one, and goes on there: a volume is never written to, so that its paths lead where they led.

use crate::life::Life;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use lkl::{Errno, FileType, OpenMode, OwnedFd, Statx, Timestamp};
use once_cell::race::OnceBox;
use spin::Mutex;

/// A file, directory, link or special file, held so that it stays reachable.
pub struct Node {
    /// From the root, with slashes between.
    path: Vec<u8>,
    /// From the first look at its metadata on.
    identity: OnceBox<Identity>,
    first: Placed,
}

/// What an inode is told by in another life.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    ino: u64,
    kind: FileType,
    size: u64,
    changed: Timestamp,
}

impl Identity {
    fn of(statx: &Statx) -> Identity {
        Identity {
            ino: statx.ino,
            kind: statx.file_type(),
            size: statx.size,
            changed: statx.ctime,
        }
    }
}

/// A node in one life of its volume.
pub(crate) struct Placed {
    life: u32,
    /// The place itself, `O_PATH`.
    pub(crate) place: OwnedFd,
    /// Of a regular file, once its data was wanted.
    data: OnceBox<OwnedFd>,
    /// Of a directory: a descriptor that no thread lists over just now, at the place where the last listing stopped.
    idle: Mutex<Option<OwnedFd>>,
    /// In a later life.
    next: OnceBox<Placed>,
}

impl Node {
    /// The root.
    pub(crate) fn root(life: u32, place: OwnedFd) -> Node {
        Node {
            path: Vec::new(),
            identity: OnceBox::new(),
            first: Placed::new(life, place),
        }
    }

    /// The entry `name` of this directory.
    pub(crate) fn entry(&self, name: &[u8], life: u32, place: OwnedFd) -> Result<Node, Errno> {
        let mut path = Vec::new();
        let len = self.path.len().saturating_add(name.len()).saturating_add(1);
        path.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        if !self.path.is_empty() {
            path.extend_from_slice(&self.path);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(Node {
            path,
            identity: OnceBox::new(),
            first: Placed::new(life, place),
        })
    }

    /// Remembers what the inode is told by.
    pub(crate) fn note(&self, statx: &Statx) {
        if self.identity.get().is_none()
            && let Some(identity) = fallible::try_box(Identity::of(statx))
        {
            // Another thread may have been faster; it has seen the same.
            drop(self.identity.set(identity));
        }
    }

    /// The node in that life, found again if need be, which may wait for the disk.
    ///
    /// # Errors
    /// ESTALE when what its path leads to is another inode.
    pub(crate) fn placed(&self, life: &Life) -> Result<&Placed, Errno> {
        let mut last = &self.first;
        while last.life != life.number {
            match last.next.get() {
                Some(next) => last = next,
                None => {
                    let again = self.find(life)?;
                    let again = fallible::try_box(again).ok_or(Errno::ENOMEM)?;
                    // If another thread was faster, its place is looked at, and this one is closed.
                    drop(last.next.set(again));
                }
            }
        }
        Ok(last)
    }

    /// The node in that life, if it was found there before.
    pub(crate) fn at_once(&self, life: &Life) -> Option<&Placed> {
        let mut last = &self.first;
        while last.life != life.number {
            last = last.next.get()?;
        }
        Some(last)
    }

    /// Whether it stays behind when its volume goes on in another life.
    pub(crate) fn ends_with(&self, life: &Life) -> bool {
        !self.path.is_empty() && !life.tells_files()
    }

    fn find(&self, life: &Life) -> Result<Placed, Errno> {
        let mut place = life.mount.root()?;
        if !life.tells_files() {
            // The root is the root.
            return match self.path.is_empty() {
                true => Ok(Placed::new(life.number, place)),
                false => Err(Errno::ESTALE),
            };
        }
        for name in self
            .path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
        {
            place = place.open_at(name, OpenMode::Path)?;
        }
        match self.identity.get() {
            Some(identity) if *identity != Identity::of(&place.statx()?) => Err(Errno::ESTALE),
            _ => Ok(Placed::new(life.number, place)),
        }
    }
}

impl Placed {
    fn new(life: u32, place: OwnedFd) -> Placed {
        Placed {
            life,
            place,
            data: OnceBox::new(),
            idle: Mutex::new(None),
            next: OnceBox::new(),
        }
    }

    /// A descriptor for reading; only regular files have one.
    pub(crate) fn data(&self) -> Result<&OwnedFd, Errno> {
        if let Some(open) = self.data.get() {
            return Ok(open);
        }
        match self.place.statx()?.file_type() {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        let open = self.place.reopen(OpenMode::Read)?;
        let open: Box<OwnedFd> = fallible::try_box(open).ok_or(Errno::ENOMEM)?;
        // If another thread was faster, its descriptor stays and this one is closed.
        drop(self.data.set(open));
        self.data.get().ok_or(Errno::EBADF)
    }

    /// Lists over a descriptor of this directory that no other thread uses meanwhile.
    pub(crate) fn listing<T>(&self, act: impl FnOnce(&OwnedFd) -> Result<T, Errno>) -> Result<T, Errno> {
        let idle = self.idle.lock().take();
        let folder = match idle {
            Some(folder) => folder,
            None => self.place.reopen(OpenMode::Directory)?,
        };
        let result = act(&folder);
        // The one that was put back meanwhile, if any, is closed after the lock is free.
        let other = self.idle.lock().replace(folder);
        drop(other);
        result
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}, {:?})", self.path.escape_ascii(), self.first.place)
    }
}
