//! The system calls that change files, with safe arguments: texts that end with a NUL, slices, numbers.

#![allow(unsafe_code)]

use lkl::{Errno, Kernel};
use std::ffi::CString;

/// A path for Linux. EINVAL with a NUL inside.
pub(crate) fn path(bytes: impl Into<Vec<u8>>) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

/// A descriptor of Linux's, closed when it is dropped.
pub(crate) struct Fd {
    kernel: Kernel,
    number: i64,
}

impl Drop for Fd {
    fn drop(&mut self) {
        // An error of a write that nothing has synced: sync() is how one asks.
        let _ = call(&self.kernel, SYS_CLOSE, [self.number, 0, 0, 0, 0]);
    }
}

const AT_FDCWD: i64 = -100;

const SYS_CLOSE: i64 = 3;
const SYS_LSEEK: i64 = 8;
const SYS_IOCTL: i64 = 16;
const SYS_PREAD64: i64 = 17;
const SYS_PWRITE64: i64 = 18;
const SYS_FSYNC: i64 = 74;
const SYS_FDATASYNC: i64 = 75;
const SYS_FTRUNCATE: i64 = 77;
const SYS_MOUNT: i64 = 165;
const SYS_UMOUNT2: i64 = 166;
const SYS_GETDENTS64: i64 = 217;
const SYS_OPENAT: i64 = 257;
const SYS_MKDIRAT: i64 = 258;
const SYS_UNLINKAT: i64 = 263;
const SYS_LINKAT: i64 = 265;
const SYS_SYMLINKAT: i64 = 266;
const SYS_READLINKAT: i64 = 267;
const SYS_FALLOCATE: i64 = 285;
const SYS_SYNCFS: i64 = 306;
const SYS_RENAMEAT2: i64 = 316;

/// A call none of whose arguments is a pointer, or whose pointers the functions below made of what lives through it.
fn call(kernel: &Kernel, number: i64, [a, b, c, d, e]: [i64; 5]) -> Result<u64, Errno> {
    // SAFETY: see above; only descriptors of this crate's own are used.
    unsafe { kernel.syscall(number, [a, b, c, d, e, 0]) }
}

fn text(text: &CString) -> i64 {
    address(text.as_ptr())
}

fn address<T>(pointer: *const T) -> i64 {
    pointer.expose_provenance().cast_signed() as i64
}

fn size(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn offset(at: u64) -> Result<i64, Errno> {
    i64::try_from(at).map_err(|_| Errno::EINVAL)
}

pub(crate) fn mount(
    kernel: &Kernel,
    device: &CString,
    at: &CString,
    fs: &CString,
    flags: i64,
    options: &CString,
) -> Result<(), Errno> {
    let arguments = [text(device), text(at), text(fs), flags, text(options)];
    call(kernel, SYS_MOUNT, arguments).map(drop)
}

pub(crate) fn unmount(kernel: &Kernel, at: &CString) -> Result<(), Errno> {
    call(kernel, SYS_UMOUNT2, [text(at), 0, 0, 0, 0]).map(drop)
}

pub(crate) fn mkdir(kernel: &Kernel, path: &CString, mode: u32) -> Result<(), Errno> {
    call(kernel, SYS_MKDIRAT, [AT_FDCWD, text(path), mode.into(), 0, 0]).map(drop)
}

pub(crate) fn unlink(kernel: &Kernel, path: &CString, folder: bool) -> Result<(), Errno> {
    const AT_REMOVEDIR: i64 = 0x200;
    let flags = if folder { AT_REMOVEDIR } else { 0 };
    call(kernel, SYS_UNLINKAT, [AT_FDCWD, text(path), flags, 0, 0]).map(drop)
}

pub(crate) fn rename(kernel: &Kernel, from: &CString, to: &CString) -> Result<(), Errno> {
    let arguments = [AT_FDCWD, text(from), AT_FDCWD, text(to), 0];
    call(kernel, SYS_RENAMEAT2, arguments).map(drop)
}

pub(crate) fn link(kernel: &Kernel, from: &CString, to: &CString) -> Result<(), Errno> {
    let arguments = [AT_FDCWD, text(from), AT_FDCWD, text(to), 0];
    call(kernel, SYS_LINKAT, arguments).map(drop)
}

pub(crate) fn symlink(kernel: &Kernel, target: &CString, path: &CString) -> Result<(), Errno> {
    call(kernel, SYS_SYMLINKAT, [text(target), AT_FDCWD, text(path), 0, 0]).map(drop)
}

pub(crate) fn readlink(kernel: &Kernel, path: &CString, buffer: &mut [u8]) -> Result<usize, Errno> {
    let (place, len) = (address(buffer.as_mut_ptr().cast_const()), size(buffer.len()));
    amount(call(
        kernel,
        SYS_READLINKAT,
        [AT_FDCWD, text(path), place, len, 0],
    ))
}

fn amount(result: Result<u64, Errno>) -> Result<usize, Errno> {
    usize::try_from(result?).map_err(|_| Errno::EOVERFLOW)
}

impl Fd {
    pub(crate) fn open(kernel: &Kernel, path: &CString, flags: i64, mode: u32) -> Result<Fd, Errno> {
        let arguments = [AT_FDCWD, text(path), flags, mode.into(), 0];
        let number = offset(call(kernel, SYS_OPENAT, arguments)?)?;
        Ok(Fd {
            kernel: kernel.clone(),
            number,
        })
    }

    fn call(&self, number: i64, [b, c, d, e]: [i64; 4]) -> Result<u64, Errno> {
        call(&self.kernel, number, [self.number, b, c, d, e])
    }

    pub(crate) fn pread(&self, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        let (place, len) = (address(buffer.as_mut_ptr().cast_const()), size(buffer.len()));
        amount(self.call(SYS_PREAD64, [place, len, offset(at)?, 0]))
    }

    pub(crate) fn pwrite(&self, bytes: &[u8], at: u64) -> Result<usize, Errno> {
        let (place, len) = (address(bytes.as_ptr()), size(bytes.len()));
        amount(self.call(SYS_PWRITE64, [place, len, offset(at)?, 0]))
    }

    pub(crate) fn getdents64(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let (place, len) = (address(buffer.as_mut_ptr().cast_const()), size(buffer.len()));
        amount(self.call(SYS_GETDENTS64, [place, len, 0, 0]))
    }

    pub(crate) fn fsync(&self, data_only: bool) -> Result<(), Errno> {
        let number = if data_only { SYS_FDATASYNC } else { SYS_FSYNC };
        self.call(number, [0; 4]).map(drop)
    }

    pub(crate) fn syncfs(&self) -> Result<(), Errno> {
        self.call(SYS_SYNCFS, [0; 4]).map(drop)
    }

    pub(crate) fn truncate(&self, len: u64) -> Result<(), Errno> {
        self.call(SYS_FTRUNCATE, [offset(len)?, 0, 0, 0]).map(drop)
    }

    pub(crate) fn fallocate(&self, mode: i64, at: u64, len: u64) -> Result<(), Errno> {
        self.call(SYS_FALLOCATE, [mode, offset(at)?, offset(len)?, 0])
            .map(drop)
    }

    pub(crate) fn seek_end(&self) -> Result<u64, Errno> {
        const SEEK_END: i64 = 2;
        self.call(SYS_LSEEK, [0, SEEK_END, 0, 0])
    }

    /// FITRIM over the whole file system; the bytes that Linux has discarded.
    pub(crate) fn trim(&self) -> Result<u64, Errno> {
        const FITRIM: i64 = 0xc018_5879;
        // struct fstrim_range: start, length, smallest extent; Linux writes the sum into the length.
        let mut range = [0u64, u64::MAX, 0];
        let place = address(range.as_mut_ptr().cast_const());
        self.call(SYS_IOCTL, [FITRIM, place, 0, 0])?;
        let [_, discarded, _] = range;
        Ok(discarded)
    }
}
