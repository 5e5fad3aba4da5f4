//! Open files: [`OwnedFd`], the one handle for files, folders, links and the rest.
//!
//! A path is walked one component at a time by [`OwnedFd::open_at`]. Linux never follows a symbolic link, crosses a
//! mount or leaves the folder on our behalf: the open asks for openat2's RESOLVE_* limits, the name may hold no slash, and
//! the mount itself says nosymfollow.
//!
//! [`OwnedFd::open_at_cached`] asks what Linux has in memory, by RESOLVE_CACHED: the walk then stays in RCU mode, which
//! never sleeps, and whatever would leave it before its end is EAGAIN. O_PATH and RESOLVE_BENEATH do not leave it. What is
//! less plain (6.1 and 6.12 alike):
//!
//! - A name that is known to be missing is ENOENT, but not every file system keeps such names.
//! - Where the file system has to confirm what is cached (FAT, exFAT, HFS, names encrypted without a key), RCU mode is
//!   always left, so the answer is always EAGAIN.
//! - A folder whose access list has not been read yet says EAGAIN, for `.` too; an open there that may wait reads it.
//! - What is found is in memory, a link's length need not be: UDF, and ext4 and F2FS with encryption, read its target for
//!   statx.

use crate::call::{self, CName, Fd, OpenHow};
use crate::dir::{self, DirEntry};
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::stat::{StatFs, Statx};
use alloc::vec::Vec;
use core::fmt;
use core::ops::{ControlFlow, Range};
use core::sync::atomic::{AtomicU64, Ordering};
use fallible::try_zeroed;

const O_NONBLOCK: u64 = 0o4000;
const O_LARGEFILE: u64 = 0o100_000;
const O_DIRECTORY: u64 = 0o200_000;
const O_NOFOLLOW: u64 = 0o400_000;
const O_NOATIME: u64 = 0o1_000_000;
const O_CLOEXEC: u64 = 0o2_000_000;
const O_PATH: u64 = 0o10_000_000;

const RESOLVE_NO_XDEV: u64 = 1;
const RESOLVE_NO_MAGICLINKS: u64 = 2;
const RESOLVE_NO_SYMLINKS: u64 = 4;
const RESOLVE_BENEATH: u64 = 8;
const RESOLVE_CACHED: u64 = 0x20;
const RESOLVE_ONE: u64 = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;

/// What an open is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// A place in the tree, of any type, links included: for statx, read_link, open_at, statfs and reopen.
    Path,
    /// Reading a regular file's bytes. Never waits for the other end of a FIFO; a device node is refused (EACCES), a
    /// link too (ELOOP).
    Read,
    /// Listing a folder. ENOTDIR for anything else.
    Directory,
}

impl OpenMode {
    fn flags(self) -> u64 {
        match self {
            OpenMode::Path => O_PATH | O_CLOEXEC,
            OpenMode::Read => O_NONBLOCK | O_LARGEFILE | O_NOATIME | O_CLOEXEC,
            OpenMode::Directory => O_DIRECTORY | O_LARGEFILE | O_NOATIME | O_CLOEXEC,
        }
    }
}

/// The basic fields, the time of creation, the mount, the subvolume. Not STATX_DIOALIGN: for an encrypted file it would read the disk.
const STATX_WANTED: u32 = 0x7ff | 0x800 | 0x1000 | 0x8000;

/// One component of a path: see [`OwnedFd::open_at`].
fn entry_name(name: &[u8]) -> Result<CName, Errno> {
    match name {
        b".." => Err(Errno::EXDEV),
        b"" => Err(Errno::ENOENT),
        name if name.contains(&b'/') => Err(Errno::EINVAL),
        name => CName::new(name),
    }
}

/// A position that `getdents64` cannot return: "not known".
const UNKNOWN: u64 = u64::MAX;

/// An open descriptor of Linux, closed when dropped.
pub struct OwnedFd {
    kernel: Kernel,
    fd: Fd,
    /// Where the next getdents64 would go on, as far as this side knows.
    position: AtomicU64,
}

impl OwnedFd {
    pub(crate) fn adopt(kernel: Kernel, fd: Fd) -> Self {
        OwnedFd {
            kernel,
            fd,
            position: AtomicU64::new(0),
        }
    }

    pub(crate) fn number(&self) -> Fd {
        self.fd
    }

    /// The kernel that it belongs to.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Opens the entry `name` of this folder. One component: any bytes but NUL and `/`; `.` is this folder; `..` is
    /// refused (EXDEV). EINVAL for a name that cannot be one, ENOENT for an empty one, ENAMETOOLONG beyond 255.
    pub fn open_at(&self, name: &[u8], mode: OpenMode) -> Result<OwnedFd, Errno> {
        loop {
            match self.open_entry(name, mode.flags() | O_NOFOLLOW, RESOLVE_ONE) {
                // A rename raced with RESOLVE_BENEATH; nobody renames here, but the answer is to try again.
                Err(Errno::EAGAIN) => {}
                done => return done,
            }
        }
    }

    /// As [`OwnedFd::open_at`] as [`OpenMode::Path`], without waiting for the disk: EAGAIN when Linux would have to ask
    /// it. ELOOP for a symbolic link, whose statx may have to.
    pub fn open_at_cached(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        // Without O_NOFOLLOW a link at the end counts as one to follow, and RESOLVE_NO_SYMLINKS refuses.
        self.open_entry(name, OpenMode::Path.flags(), RESOLVE_ONE | RESOLVE_CACHED)
    }

    fn open_entry(&self, name: &[u8], flags: u64, resolve: u64) -> Result<OwnedFd, Errno> {
        let name = entry_name(name)?;
        let how = OpenHow {
            flags,
            mode: 0,
            resolve,
        };
        let fd = loop {
            match call::openat2(&self.kernel, self.fd, &name, &how) {
                Err(Errno::EINTR) => {}
                done => break done?,
            }
        };
        Ok(OwnedFd::adopt(self.kernel.clone(), fd))
    }

    /// Opens the same file again, as in reading what was opened as [`OpenMode::Path`]. ELOOP for a symbolic link.
    pub fn reopen(&self, mode: OpenMode) -> Result<OwnedFd, Errno> {
        let fd = match mode {
            OpenMode::Directory => {
                let how = OpenHow {
                    flags: mode.flags(),
                    mode: 0,
                    resolve: RESOLVE_ONE,
                };
                call::openat2(&self.kernel, self.fd, &CName::new(b".")?, &how)?
            }
            OpenMode::Path | OpenMode::Read => {
                let folder = crate::mount::proc_fd(&self.kernel)?;
                let mut digits = [0u8; 12];
                let name = CName::new(decimal(self.fd, &mut digits))?;
                let flags = i32::try_from(mode.flags()).map_err(|_| Errno::EINVAL)?;
                call::openat(&self.kernel, folder, &name, flags)?
            }
        };
        Ok(OwnedFd::adopt(self.kernel.clone(), fd))
    }

    /// The first stretch at or after `offset` that is not a hole, for a regular file opened as [`OpenMode::Read`]; `None`
    /// when there is none up to the end. The descriptor's own position moves; [`OwnedFd::pread`] does not care.
    pub fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        let start = match call::seek_next(&self.kernel, self.fd, offset, false) {
            Err(Errno::ENXIO) => return Ok(None),
            start => start?,
        };
        let end = call::seek_next(&self.kernel, self.fd, start, true)?;
        Ok(Some(start..end))
    }

    /// What Linux knows about it: the basic fields and the time of creation. They are in memory, but for the size of some
    /// symbolic links.
    pub fn statx(&self) -> Result<Statx, Errno> {
        Ok(Statx::from_raw(&call::statx(
            &self.kernel,
            self.fd,
            STATX_WANTED,
        )?))
    }

    /// What Linux knows about the entry `name` of this folder, as [`OwnedFd::open_at`] would find it, without opening it.
    pub fn statx_at(&self, name: &[u8]) -> Result<Statx, Errno> {
        let name = entry_name(name)?;
        let raw = call::statx_at(&self.kernel, self.fd, &name, STATX_WANTED)?;
        Ok(Statx::from_raw(&raw))
    }

    /// Counts and limits of the file system that it is on.
    pub fn statfs(&self) -> Result<StatFs, Errno> {
        Ok(StatFs::from_raw(&call::fstatfs(&self.kernel, self.fd)?))
    }

    /// The target of a symbolic link that was opened as [`OpenMode::Path`]: bytes, not empty, without a NUL. EINVAL or
    /// ENOENT when it is not a link.
    pub fn read_link(&self) -> Result<Vec<u8>, Errno> {
        // PATH_MAX is the limit for links of most file systems, and what Linux itself follows.
        let mut buffer = try_zeroed(4096).ok_or(Errno::ENOMEM)?;
        let len = call::readlink(&self.kernel, self.fd, &mut buffer)?;
        if len >= buffer.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        buffer.truncate(len);
        Ok(buffer)
    }

    /// Reads at an offset in bytes, as often as it takes to fill the buffer or meet the end of the file. The number
    /// of bytes read; fewer than asked only at the end, or where an error comes after some bytes were read (asking
    /// for the rest then returns the error).
    pub fn pread(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut done = 0usize;
        while let Some(rest) = buffer.get_mut(done..) {
            if rest.is_empty() {
                break;
            }
            let at = offset
                .checked_add(u64::try_from(done).unwrap_or(u64::MAX))
                .ok_or(Errno::EINVAL)?;
            match call::pread(&self.kernel, self.fd, rest, at) {
                Ok(0) => break,
                Ok(more) => done = done.saturating_add(more),
                Err(Errno::EINTR) => {}
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Lists a folder that was opened as [`OpenMode::Directory`], from a cookie on: 0 for the start, or
    /// [`DirEntry::cookie`] of the last entry that was seen. `sink` is called for each entry in Linux's order, `.` and
    /// `..` included, and stops the listing by `Break`. Returns true when the end was reached.
    ///
    /// One listing at a time per descriptor: two threads that list over the same one disturb each other's positions
    /// (and nothing else).
    pub fn read_dir(
        &self,
        cookie: u64,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Errno> {
        let mut buffer = try_zeroed(dir::BUFFER_LEN).ok_or(Errno::ENOMEM)?;
        self.read_dir_with(&mut buffer, cookie, sink)
    }

    /// As [`OwnedFd::read_dir`], with a buffer of the caller's: 4 KiB or more.
    pub fn read_dir_with(
        &self,
        buffer: &mut [u8],
        cookie: u64,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Errno> {
        if self.position.swap(UNKNOWN, Ordering::AcqRel) != cookie {
            call::seek(&self.kernel, self.fd, cookie)?;
        }
        let mut next = cookie;
        loop {
            let len = match call::getdents64(&self.kernel, self.fd, buffer) {
                Err(Errno::EINTR) => continue,
                len => len?,
            };
            if len == 0 {
                self.position.store(next, Ordering::Release);
                return Ok(true);
            }
            for entry in dir::entries(buffer.get(..len).unwrap_or(&[])) {
                let entry = entry?;
                next = entry.cookie;
                if sink(entry).is_break() {
                    // Linux is further than the sink: the next call seeks, unless this was the last of the buffer.
                    return Ok(false);
                }
            }
        }
    }

    /// The names of its extended attributes, one call for each, without the NUL; of any type of file, opened in any mode.
    pub fn list_xattr(&self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        crate::xattr::list(self, sink)
    }

    /// The value of an extended attribute. ENODATA when there is none of that name.
    pub fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        crate::xattr::get(self, name)
    }
}

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // Linux closes the descriptor whatever it answers; ENODEV when it is dead or halted.
        let _ = call::close(&self.kernel, self.fd);
    }
}

impl fmt::Debug for OwnedFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedFd({})", self.fd)
    }
}

impl fs_probe::ReadAt for OwnedFd {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), fs_probe::ReadError> {
        match self.pread(buffer, offset) {
            Ok(len) if len == buffer.len() => Ok(()),
            _ => Err(fs_probe::ReadError),
        }
    }

    fn size(&self) -> Option<u64> {
        call::seek_end(&self.kernel, self.fd).ok()
    }
}

/// A descriptor's number in decimal, in the end of `digits`.
pub(crate) fn decimal(fd: Fd, digits: &mut [u8; 12]) -> &[u8] {
    let mut rest = fd.unsigned_abs();
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        start = start.saturating_sub(1);
        if rest == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_decimal() {
        assert_eq!(decimal(0, &mut [0; 12]), b"0");
        assert_eq!(decimal(9, &mut [0; 12]), b"9");
        assert_eq!(decimal(10, &mut [0; 12]), b"10");
        assert_eq!(decimal(i32::MAX, &mut [0; 12]), b"2147483647");
    }
}
