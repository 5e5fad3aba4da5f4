//! An open file of a [`crate::Volume`].

use crate::calls;
use crate::content::{Allocation, ContentChanges};
use lkl::{Errno, OwnedFd};
use std::fmt;

/// How to open a file. Reading is always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// Allow writing.
    pub write: bool,
    /// Make it if it is not there; read and write for its owner, read for others.
    pub create: bool,
    /// Fail with EEXIST if it is there.
    pub new: bool,
    /// Cut it to nothing.
    pub truncate: bool,
    /// A write returns when its bytes are durable (O_DSYNC).
    pub durable: bool,
}

const O_RDWR: i64 = 0o2;
const O_CREAT: i64 = 0o100;
const O_EXCL: i64 = 0o200;
const O_TRUNC: i64 = 0o1000;
const O_NONBLOCK: i64 = 0o4000;
const O_DSYNC: i64 = 0o10_000;
const O_NOFOLLOW: i64 = 0o400_000;
const O_CLOEXEC: i64 = 0o2_000_000;

impl OpenOptions {
    /// For writing what is there.
    pub const WRITE: OpenOptions = OpenOptions {
        write: true,
        create: false,
        new: false,
        truncate: false,
        durable: false,
    };
    /// For writing a file that is not there.
    pub const NEW: OpenOptions = OpenOptions {
        new: true,
        ..OpenOptions::WRITE
    };

    pub(crate) fn flags(self) -> i64 {
        let chosen = [
            (self.write, O_RDWR),
            (self.create || self.new, O_CREAT),
            (self.new, O_EXCL),
            (self.truncate, O_TRUNC),
            (self.durable, O_DSYNC),
        ];
        let on = chosen.iter().filter(|(on, _)| *on);
        on.fold(O_CLOEXEC, |flags, (_, flag)| flags | flag)
    }

    /// For an entry of a folder: never waits for the other end of a FIFO.
    pub(crate) fn flags_for_entry(self) -> i64 {
        self.flags() | O_NOFOLLOW | O_NONBLOCK
    }

    /// For a file that is there.
    pub(crate) fn flags_to_reopen(self) -> i64 {
        (self.flags() | O_NONBLOCK) & !(O_CREAT | O_EXCL)
    }

    /// Whether a file may be made.
    pub(crate) fn creates(self) -> bool {
        self.create || self.new
    }
}

/// An open file. It keeps its volume from being unmounted.
pub struct File(pub(crate) OwnedFd);

impl File {
    /// Reads at `offset`; fewer bytes than asked for at the file's end only, as a rule.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.0.pread(buffer, offset)
    }

    /// Writes at `offset`, what Linux takes; at least a byte of what is not empty.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.0.pwrite(bytes, offset)
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        self.0.pwrite_all(bytes, offset)
    }

    /// Makes the file durable: its bytes, its length, and that it is there. An error is said once: some of what was
    /// written since the last sync may be lost.
    pub fn sync(&self) -> Result<(), Errno> {
        self.0.fsync()
    }

    /// As [`File::sync`], without what is not needed to read the bytes again, such as times.
    pub fn sync_data(&self) -> Result<(), Errno> {
        self.0.fdatasync()
    }

    /// Cuts it, or makes it longer with zeros.
    pub fn set_len(&self, len: u64) -> Result<(), Errno> {
        self.0.truncate(len)
    }

    /// Bytes in it.
    pub fn len(&self) -> Result<u64, Errno> {
        const SEEK_END: i64 = 2;
        calls::lseek(&self.0, 0, SEEK_END)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool, Errno> {
        Ok(self.len()? == 0)
    }

    /// Gives the room of some bytes back, which are zero then.
    pub fn punch_hole(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.0.fallocate(Allocation::HOLE, offset, len)
    }

    /// Its descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}
