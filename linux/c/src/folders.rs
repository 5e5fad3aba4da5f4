//! Folders, read entry by entry.

use crate::{calls, int};
use lkl::Errno;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

/// Words of the buffer: 32 KiB.
const WORDS: usize = 4096;
/// Where `d_reclen` is in `struct linux_dirent64`.
const LENGTH_AT: usize = 16;

/// `struct lkl_dir`. Entries are aligned to 8, as Linux writes them.
pub struct Folder {
    fd: i32,
    buffer: Box<[u64]>,
    /// Bytes of it that are entries, and those that were given out.
    filled: usize,
    at: usize,
    error: i32,
}

impl Folder {
    fn new(fd: i32) -> *mut Folder {
        Box::into_raw(Box::new(Folder {
            fd,
            buffer: vec![0; WORDS].into_boxed_slice(),
            filled: 0,
            at: 0,
            error: 0,
        }))
    }

    /// The next entry's place in the buffer.
    fn next(&mut self) -> Result<Option<usize>, Errno> {
        if self.at >= self.filled {
            self.filled = calls::entries(self.fd, &mut self.buffer)?;
            self.at = 0;
            if self.filled == 0 {
                return Ok(None);
            }
        }
        let entry = self.at;
        let word = self.buffer.get((entry + LENGTH_AT) / 8).ok_or(Errno::EIO)?;
        let length = usize::from(
            word.to_ne_bytes()
                .first_chunk()
                .map_or(0, |two| u16::from_ne_bytes(*two)),
        );
        if length == 0 || length % 8 != 0 || entry + length > self.filled {
            return Err(Errno::EIO);
        }
        self.at += length;
        Ok(Some(entry))
    }
}

/// Stores an error where the caller wants it.
unsafe fn told(err: *mut i32, errno: Errno) {
    if !err.is_null() {
        // SAFETY: the caller's promise.
        unsafe { err.write(int(Err(errno))) };
    }
}

/// # Safety
/// A string; NULL, or where the error goes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_opendir(path: *const c_char, err: *mut i32) -> *mut Folder {
    const DIRECTORY: i32 = 0o200_000;
    // SAFETY: the caller's promise.
    match calls::open(unsafe { CStr::from_ptr(path) }, DIRECTORY) {
        Ok(fd) => Folder::new(fd),
        Err(errno) => {
            // SAFETY: the caller's promise.
            unsafe { told(err, errno) };
            null_mut()
        }
    }
}

/// # Safety
/// NULL, or where the error goes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_fdopendir(fd: i32, err: *mut i32) -> *mut Folder {
    if fd < 0 {
        // SAFETY: the caller's promise.
        unsafe { told(err, Errno::EBADF) };
        return null_mut();
    }
    Folder::new(fd)
}

/// # Safety
/// A folder that was opened.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_rewinddir(dir: *mut Folder) {
    // SAFETY: the caller's promise.
    let folder = unsafe { &mut *dir };
    folder.filled = 0;
    folder.at = 0;
    folder.error = int(calls::rewind(folder.fd).map(|_| 0));
}

/// # Safety
/// A folder that was opened.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_readdir(dir: *mut Folder) -> *mut u8 {
    // SAFETY: the caller's promise.
    let folder = unsafe { &mut *dir };
    let next = folder.next();
    folder.error = match next {
        Err(errno) => int(Err(errno)),
        Ok(_) => 0,
    };
    match next {
        Ok(Some(entry)) => folder
            .buffer
            .get_mut(entry / 8..)
            .map_or(null_mut(), |words| words.as_mut_ptr().cast()),
        _ => null_mut(),
    }
}

/// # Safety
/// A folder that was opened.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_errdir(dir: *mut Folder) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { (*dir).error }
}

/// # Safety
/// A folder that was opened.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_dirfd(dir: *mut Folder) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { (*dir).fd }
}

/// # Safety
/// A folder that was opened, and is not used any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_closedir(dir: *mut Folder) -> i32 {
    // SAFETY: made by Folder::new().
    let folder = unsafe { Box::from_raw(dir) };
    int(calls::close(folder.fd))
}
