//! A place in a mounted tree, and the descriptors that are opened from it on demand.

use alloc::boxed::Box;
use core::fmt;
use lkl::{Errno, FileType, OpenMode, OwnedFd};
use once_cell::race::OnceBox;
use spin::Mutex;

/// A file, directory, link or special file, held so that it stays reachable.
pub struct Node {
    place: OwnedFd,
    /// Of a regular file, once its data was wanted.
    data: OnceBox<OwnedFd>,
    /// Of a directory: a descriptor that nobody lists over just now, at the place where the last listing stopped.
    idle: Mutex<Option<OwnedFd>>,
}

impl Node {
    pub(crate) fn new(place: OwnedFd) -> Self {
        Node {
            place,
            data: OnceBox::new(),
            idle: Mutex::new(None),
        }
    }

    /// The place itself, `O_PATH`.
    pub(crate) fn place(&self) -> &OwnedFd {
        &self.place
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
        let open: Box<OwnedFd> = lkl::try_box(open).ok_or(Errno::ENOMEM)?;
        // If another thread was faster, its descriptor stays and this one is closed.
        drop(self.data.set(open));
        self.data.get().ok_or(Errno::EBADF)
    }

    /// Lists over a descriptor of this directory that nobody else uses meanwhile.
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
        write!(f, "Node({:?})", self.place)
    }
}
