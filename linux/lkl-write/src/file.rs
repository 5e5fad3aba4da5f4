//! An open file of a [`crate::Volume`].

use crate::calls::Fd;
use lkl::Errno;
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

impl OpenOptions {
    pub(crate) fn flags(self) -> i64 {
        const O_RDWR: i64 = 0o2;
        const O_CREAT: i64 = 0o100;
        const O_EXCL: i64 = 0o200;
        const O_TRUNC: i64 = 0o1000;
        const O_DSYNC: i64 = 0o10000;
        const O_CLOEXEC: i64 = 0o2000000;
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
}

/// An open file. It keeps its volume from being unmounted.
pub struct File(pub(crate) Fd);

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
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            match self.write_at(rest, at)? {
                0 => return Err(Errno::EIO),
                len => done += len,
            }
        }
        Ok(())
    }

    /// Makes the file durable: its bytes, its length, and that it is there. An error is said once: some of what was
    /// written since the last sync may be lost.
    pub fn sync(&self) -> Result<(), Errno> {
        self.0.fsync(false)
    }

    /// As [`File::sync`], without what is not needed to read the bytes again, such as times.
    pub fn sync_data(&self) -> Result<(), Errno> {
        self.0.fsync(true)
    }

    /// Cuts it, or makes it longer with zeros.
    pub fn set_len(&self, len: u64) -> Result<(), Errno> {
        self.0.truncate(len)
    }

    /// Bytes in it.
    pub fn len(&self) -> Result<u64, Errno> {
        self.0.seek_end()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool, Errno> {
        Ok(self.len()? == 0)
    }

    /// Gives the room of some bytes back, which are zero then.
    pub fn punch_hole(&self, offset: u64, len: u64) -> Result<(), Errno> {
        const KEEP_SIZE: i64 = 1;
        const PUNCH_HOLE: i64 = 2;
        self.0.fallocate(KEEP_SIZE | PUNCH_HOLE, offset, len)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}
