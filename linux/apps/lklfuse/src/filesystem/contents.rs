//! Attributes and contents of files.

use std::cell::RefCell;
use std::sync::Arc;

use fuser::FopenFlags;
use lkl::{Errno, OpenMode, OwnedFd, Statx};
use lkl_write::{Allocation, AttributeChanges, ContentChanges, OpenOptions, SetTime};

use crate::nodes::ROOT;
use crate::served::Served;

const O_ACCMODE: i32 = 3;
const O_APPEND: i32 = 0o2000;
const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o10;

/// What the kernel does with an open file: pages are kept, since only this mount changes them, and closing it needs no word.
pub(super) const CACHED: FopenFlags = FopenFlags::FOPEN_KEEP_CACHE.union(FopenFlags::FOPEN_NOFLUSH);

/// What becomes of a file's attributes.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) accessed: SetTime,
    pub(super) modified: SetTime,
    pub(super) by_root: bool,
}

impl Served {
    /// The number that a file is shown with: the root has one of FUSE's and one of its own.
    pub(super) fn shown(&self, number: u64, stat: &Statx) -> u64 {
        if number == ROOT { stat.ino } else { number }
    }

    /// What Linux says of a file, by what is open of it if possible.
    pub(super) fn stat(&self, number: u64, handle: Option<u64>) -> Result<Statx, Errno> {
        if let Some(file) = handle.and_then(|handle| self.files.get(handle).ok()) {
            return file.statx();
        }
        self.nodes.stat(&self.nodes.get(number)?)
    }

    pub(super) fn change(&self, number: u64, handle: Option<u64>, change: &Change) -> Result<Statx, Errno> {
        // What is open does for all of it, and the file need not be found by its name.
        let open = handle.and_then(|handle| self.files.get(handle).ok());
        let node = match open {
            Some(file) => file,
            None => self.node(number)?.1,
        };
        if let Some(size) = change.size {
            node.truncate(size)?;
            if !change.by_root {
                take_rights_away(&node)?;
            }
        }
        let times = (change.accessed, change.modified) != (SetTime::Keep, SetTime::Keep);
        // Linux takes bits of the mode away with the owner. Where nothing is to be changed, it is these that the kernel means.
        let only_bits = !times && change.mode.is_none() && change.size.is_none();
        if change.uid.is_some() || change.gid.is_some() || only_bits {
            node.chown(change.uid, change.gid)?;
        }
        if let Some(mode) = change.mode {
            node.chmod(mode & 0o7777)?;
        }
        if times {
            node.set_times(change.accessed, change.modified)?;
        }
        node.statx()
    }

    /// Opens a regular file. Its handle, and what the kernel does with it.
    pub(super) fn open(&self, number: u64, flags: i32) -> Result<(u64, FopenFlags), Errno> {
        let (node, open) = self.node(number)?;
        if flags & O_ACCMODE == 0 {
            let file = Arc::new(open.reopen(OpenMode::Read)?);
            return Ok((self.files.add(node, file), CACHED));
        }
        let (file, how) = match open.reopen_with(OpenOptions::WRITE) {
            // A file that may only grow. All that is written goes to its end, so it must not come from the kernel's cache.
            Err(Errno::EPERM) if flags & O_APPEND != 0 => (
                open.reopen_to_append()?,
                CACHED.union(FopenFlags::FOPEN_DIRECT_IO),
            ),
            file => (file?, CACHED),
        };
        let file = Arc::new(file);
        node.is_open_as(&file);
        Ok((self.files.add(node, file), how))
    }

    pub(super) fn read(&self, handle: u64, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.readers.held_up();
        let file = self.files.get(handle)?;
        let mut done = 0;
        while done < buffer.len() {
            let rest = buffer.get_mut(done..).unwrap_or_default();
            let at = u64::try_from(done).map_or(offset, |done| offset.saturating_add(done));
            // An error behind some bytes ends a read, and the kernel would take that for the end of the file.
            match file.pread(rest, at)? {
                0 => break,
                more => done += more,
            }
        }
        Ok(done)
    }

    pub(super) fn open_folder(&self, number: u64) -> Result<u64, Errno> {
        let (node, open) = self.node(number)?;
        let folder = Arc::new(open.reopen(OpenMode::Directory)?);
        Ok(self.folders.add(node, folder))
    }

    pub(super) fn write(&self, handle: u64, bytes: &[u8], offset: u64, kill: bool) -> Result<u32, Errno> {
        let file = self.files.get(handle)?;
        let len = file.pwrite(bytes, offset)?;
        if kill {
            take_rights_away(&file)?;
        }
        u32::try_from(len).map_err(|_| Errno::EOVERFLOW)
    }

    pub(super) fn sync(&self, file: &OwnedFd, data_only: bool) -> Result<(), Errno> {
        self.readers.held_up();
        match data_only {
            true => file.fdatasync(),
            false => file.fsync(),
        }
    }

    pub(super) fn allocate(&self, handle: u64, offset: u64, len: u64, mode: i32) -> Result<(), Errno> {
        let mode = u32::try_from(mode).map_err(|_| Errno::EOPNOTSUPP)?;
        let file = self.files.get(handle)?;
        file.fallocate(Allocation::from_mode(mode), offset, len)
    }

    pub(super) fn seek(&self, handle: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let file = self.files.get(handle)?;
        let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        let place = match whence {
            SEEK_DATA => file.seek_data(offset)?,
            SEEK_HOLE => file.seek_hole(offset)?,
            _ => return Err(Errno::EINVAL),
        };
        i64::try_from(place).map_err(|_| Errno::EOVERFLOW)
    }

    pub(super) fn copy(&self, from: (u64, u64), to: (u64, u64), len: u64) -> Result<u32, Errno> {
        let (source, target) = (self.files.get(from.0)?, self.files.get(to.0)?);
        // The answer has 32 bits.
        let len = usize::try_from(len.min(1 << 30)).unwrap_or(1 << 30);
        let copied = source.copy_file_range(from.1, &target, to.1, len)?;
        u32::try_from(copied).map_err(|_| Errno::EOVERFLOW)
    }
}

/// A file that was changed by a user is no longer run in its owner's name.
fn take_rights_away(file: &OwnedFd) -> Result<(), Errno> {
    let mode = u32::from(file.statx()?.permissions());
    let with_group = if mode & S_IXGRP != 0 { S_ISGID } else { 0 };
    let left = mode & !(S_ISUID | with_group);
    if left != mode {
        file.chmod(left)?;
    }
    Ok(())
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's buffer.
pub(super) fn with_buffer(size: u32, act: impl FnOnce(&mut [u8])) {
    let size = usize::try_from(size).unwrap_or(0);
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        act(buffer.get_mut(..size).unwrap_or_default());
    });
}
