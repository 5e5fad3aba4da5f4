//! Changing what is in a file.
//!
//! Writing takes a descriptor that was opened for writing: by [`crate::FolderChanges::create_at`], or by
//! [`ContentChanges::reopen_with`] from one that was opened in another mode. EBADF otherwise.

use crate::calls::{self, At};
use crate::file::OpenOptions;
use lkl::{Errno, OwnedFd};

/// The bits of fallocate's mode. They combine as there; without any, room is made and the file grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allocation(u32);

impl Allocation {
    /// Room for the bytes; the file grows to hold them.
    pub const ROOM: Allocation = Allocation(0);
    /// As [`Allocation::ROOM`], and the file keeps its length.
    pub const ROOM_KEEPING_SIZE: Allocation = Allocation(1);
    /// The bytes become zeros, and their room is given back.
    pub const HOLE: Allocation = Allocation(1 | 2);
    /// The bytes become zeros with room for them.
    pub const ZEROS: Allocation = Allocation(0x10);

    /// What fallocate's mode says, whatever it says.
    pub fn from_mode(mode: u32) -> Allocation {
        Allocation(mode)
    }
}

/// What changes a file's contents, and has them written to the disk.
pub trait ContentChanges {
    /// Opens the same file again, as a regular file or folder. ELOOP for a symbolic link, EACCES for a device. It makes no
    /// file, whatever the options say.
    fn reopen_with(&self, options: OpenOptions) -> Result<OwnedFd, Errno>;

    /// Opens the same file again for writing at its end, wherever a write says that it goes (O_APPEND). What may only grow can be
    /// opened for writing in no other way.
    fn reopen_to_append(&self) -> Result<OwnedFd, Errno>;

    /// Writes at an offset, what Linux takes: fewer bytes than given where the disk is full, among other reasons.
    fn pwrite(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno>;

    /// As [`ContentChanges::pwrite`], several pieces one behind the other; of more than 1024 the first.
    fn pwritev(&self, pieces: &[&[u8]], offset: u64) -> Result<usize, Errno>;

    /// Writes all of the bytes at an offset.
    fn pwrite_all(&self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            match self.pwrite(rest, at)? {
                0 => return Err(Errno::EIO),
                len => done += len,
            }
        }
        Ok(())
    }

    /// Cuts it, or makes it longer by a hole. Works on what was opened as [`lkl::OpenMode::Path`], too.
    fn truncate(&self, len: u64) -> Result<(), Errno>;

    /// Makes room, holes or zeros. EOPNOTSUPP where the file system cannot.
    fn fallocate(&self, what: Allocation, offset: u64, len: u64) -> Result<(), Errno>;

    /// Makes a file or folder durable. An error is said once: some of what was written since the last sync may be lost.
    fn fsync(&self) -> Result<(), Errno>;

    /// As [`ContentChanges::fsync`], without what is not needed to read the bytes again, such as times.
    fn fdatasync(&self) -> Result<(), Errno>;

    /// Makes durable whatever was done to the volume that it is on.
    fn syncfs(&self) -> Result<(), Errno>;

    /// Where the next data begin at or after an offset. ENXIO when there are none.
    fn seek_data(&self, offset: u64) -> Result<u64, Errno>;

    /// Where the next hole begins at or after an offset; the end of the file is one. ENXIO beyond that.
    fn seek_hole(&self, offset: u64) -> Result<u64, Errno>;

    /// Copies bytes to another file of this Linux's, sharing them where the file system can. The number of bytes copied; 0 at
    /// the end of the file.
    fn copy_file_range(&self, offset: u64, to: &OwnedFd, to_offset: u64, len: usize) -> Result<usize, Errno>;
}

impl ContentChanges for OwnedFd {
    fn reopen_with(&self, options: OpenOptions) -> Result<OwnedFd, Errno> {
        let path = calls::path_of(self)?;
        calls::open(self.kernel(), At::path(&path), options.flags_to_reopen(), 0)
    }

    fn reopen_to_append(&self) -> Result<OwnedFd, Errno> {
        const O_APPEND: i64 = 0o2000;
        let path = calls::path_of(self)?;
        let flags = OpenOptions::WRITE.flags_to_reopen() | O_APPEND;
        calls::open(self.kernel(), At::path(&path), flags, 0)
    }

    fn pwrite(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        calls::pwrite(self, bytes, offset)
    }

    fn pwritev(&self, pieces: &[&[u8]], offset: u64) -> Result<usize, Errno> {
        calls::pwritev(self, pieces, offset)
    }

    fn truncate(&self, len: u64) -> Result<(), Errno> {
        calls::truncate(self, len)
    }

    fn fallocate(&self, what: Allocation, offset: u64, len: u64) -> Result<(), Errno> {
        calls::fallocate(self, what.0.into(), offset, len)
    }

    fn fsync(&self) -> Result<(), Errno> {
        calls::fsync(self, false)
    }

    fn fdatasync(&self) -> Result<(), Errno> {
        calls::fsync(self, true)
    }

    fn syncfs(&self) -> Result<(), Errno> {
        calls::syncfs(self)
    }

    fn seek_data(&self, offset: u64) -> Result<u64, Errno> {
        const SEEK_DATA: i64 = 3;
        calls::lseek(self, offset, SEEK_DATA)
    }

    fn seek_hole(&self, offset: u64) -> Result<u64, Errno> {
        const SEEK_HOLE: i64 = 4;
        calls::lseek(self, offset, SEEK_HOLE)
    }

    fn copy_file_range(&self, offset: u64, to: &OwnedFd, to_offset: u64, len: usize) -> Result<usize, Errno> {
        calls::copy_file_range(self, offset, to, to_offset, len)
    }
}
