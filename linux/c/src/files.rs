//! A file or device that the program has opened, as a disk: a descriptor on POSIX, a handle on Windows.
//!
//! How the program has opened it decides whether Linux may write to it.

use crate::disks::Given;
use lkl::Errno;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::sync::Arc;

#[cfg(windows)]
use lkl_host_nt::{FileDisk, WritableFile};
#[cfg(unix)]
use lkl_host_posix::{FileDisk, WritableFile};

/// The unnamed union of `struct lkl_disk`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union ProgramFile {
    #[cfg_attr(windows, allow(dead_code))]
    fd: i32,
    #[cfg_attr(unix, allow(dead_code))]
    handle: *mut c_void,
}

/// The program's open file as a disk.
///
/// # Safety
/// The program has set the member for its host, and has the file open during the call.
pub(crate) unsafe fn open_disk(file: ProgramFile) -> Result<Given, Errno> {
    // SAFETY: the caller's promise.
    let (file, writable) = unsafe { borrowed(file) }?;
    Ok(if writable {
        Given::Writable(Arc::new(WritableFile::new(file, true).map_err(errno)?))
    } else {
        Given::Readable(Arc::new(FileDisk::new(file).map_err(errno)?))
    })
}

/// The same open file once more, and whether it may be written to.
///
/// # Safety
/// As [`open_disk`].
#[cfg(unix)]
unsafe fn borrowed(file: ProgramFile) -> Result<(File, bool), Errno> {
    use rustix::fs::{OFlags, fcntl_getfl};
    use std::os::fd::BorrowedFd;
    // SAFETY: the caller's promise.
    let fd = unsafe { file.fd };
    if fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: the caller's promise.
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = fcntl_getfl(file).map_err(|_| Errno::EBADF)?;
    let file = file.try_clone_to_owned().map_err(|_| Errno::EBADF)?.into();
    Ok((file, flags.contains(OFlags::RDWR)))
}

/// The same open file once more, and whether it may be written to.
///
/// # Safety
/// As [`open_disk`].
#[cfg(windows)]
unsafe fn borrowed(file: ProgramFile) -> Result<(File, bool), Errno> {
    use std::os::windows::io::{BorrowedHandle, OwnedHandle};
    // SAFETY: the caller's promise.
    let handle = unsafe { file.handle };
    if handle.is_null() || handle.addr() == usize::MAX {
        return Err(Errno::EBADF);
    }
    // SAFETY: the caller's promise.
    let file = unsafe { BorrowedHandle::borrow_raw(handle) };
    let owned: OwnedHandle = file.try_clone_to_owned().map_err(|_| Errno::EBADF)?;
    let file = File::from(owned);
    let writable = lkl_host_nt::disk::may_write(&file);
    Ok((file, writable))
}

/// The error that a program sees for one of the host's.
fn errno(error: io::Error) -> Errno {
    if error.kind() == io::ErrorKind::ResourceBusy {
        return Errno::EBUSY;
    }
    let code = error.raw_os_error().filter(|_| cfg!(unix));
    code.and_then(|code| Errno::from_number(u16::try_from(code).ok()?))
        .unwrap_or(Errno::EINVAL)
}
