//! A disk in a file.
//!
//! libapr reads where its handle of a file stands, so each read has a handle of its own for as long as it lasts. Linux's only CPU
//! waits while [`lkl::Disk::read`] runs, so all reading is done by a few threads; libapr cannot say what can be had without waiting.

#![allow(unsafe_code)]

use crate::apr::{
    APR_END, APR_FINFO_TYPE, APR_FOPEN_BINARY, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, APR_SET,
    apr_file_info_get, apr_file_open, apr_file_read_full, apr_file_seek, apr_file_t, apr_filetype_e_APR_BLK,
    apr_filetype_e_APR_DIR, apr_filetype_e_APR_REG, apr_finfo_t, apr_seek_where_t, apr_status_t,
};
use crate::region::Region;
use crate::thread;
use lkl::{Disk, Errno, ReadRequest};
use lkl_host_std::workers::{Reading, Serve, Workers};
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

/// The most reader threads of a disk, and so of handles.
const READERS: usize = 4;
/// Bytes of a block.
const BLOCK: u32 = 512;

/// A disk in a file.
#[derive(Debug)]
pub struct FileDisk {
    readers: Workers<Source>,
    size: u64,
}

impl FileDisk {
    /// Opens a file or block device for reading. InvalidInput when it is neither.
    pub fn open(path: impl AsRef<Path>) -> io::Result<FileDisk> {
        let path = path.as_ref().to_path_buf();
        let first = Handle::open(&path)?;
        let file_size = first.size()?;
        let source = Source {
            path,
            file_size,
            idle: Mutex::new(vec![first]),
        };
        Ok(FileDisk {
            readers: Workers::with_threads(source, READERS, thread::start_worker),
            // A file that ends inside a block has that block all the same.
            size: file_size
                .checked_next_multiple_of(u64::from(BLOCK))
                .unwrap_or(file_size),
        })
    }
}

impl Disk for FileDisk {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        BLOCK
    }

    fn read(&self, request: ReadRequest) {
        self.readers.hand_over(Reading { request, done: 0 });
    }
}

/// What the readers read from.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    /// Bytes of the file when it was opened. Between this and the disk's size (less than a block) are zeros.
    file_size: u64,
    /// Handles that no read has.
    idle: Mutex<Vec<Handle>>,
}

impl Serve for Source {
    type Job = Reading;

    fn serve(&self, mut job: Reading) {
        let result = self.read(&mut job.request);
        job.request.complete(result);
    }
}

impl Source {
    fn idle(&self) -> Option<Handle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn read(&self, request: &mut ReadRequest) -> Result<(), Errno> {
        let handle = match self.idle() {
            Some(handle) => handle,
            None => Handle::open(&self.path).map_err(|_| Errno::EIO)?,
        };
        let result = self.read_by(&handle, request);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
        result
    }

    fn read_by(&self, handle: &Handle, request: &mut ReadRequest) -> Result<(), Errno> {
        let mut offset = request.offset();
        handle.seek(offset)?;
        for segment in request.segments() {
            let left = self.file_size.saturating_sub(offset);
            let there = usize::try_from(left).unwrap_or(usize::MAX).min(segment.len());
            let (inside, behind) = segment.split_at_mut(there);
            handle.fill(inside)?;
            behind.fill(0);
            offset = offset.saturating_add(segment.len() as u64);
        }
        Ok(())
    }
}

/// An open file of libapr's.
#[derive(Debug)]
struct Handle {
    file: NonNull<apr_file_t>,
    /// What libapr keeps of it is in there; it is closed with it.
    _region: Region,
}

// SAFETY: libapr's files may be used by any thread, by one at a time.
unsafe impl Send for Handle {}

impl Handle {
    fn open(path: &Path) -> io::Result<Handle> {
        let name = CString::new(path.as_os_str().as_encoded_bytes())?;
        let region = Region::new().ok_or(io::ErrorKind::OutOfMemory)?;
        let mut file = null_mut();
        let flags = APR_FOPEN_READ | APR_FOPEN_BINARY;
        let flags = i32::try_from(flags).map_err(|_| io::ErrorKind::InvalidInput)?;
        let rights = APR_FPROT_OS_DEFAULT as i32;
        // SAFETY: a text that ends with a NUL, room for a pointer, a region of ours.
        let status = unsafe { apr_file_open(&mut file, name.as_ptr(), flags, rights, region.as_ptr()) };
        checked(status)?;
        Ok(Handle {
            file: NonNull::new(file).ok_or(io::ErrorKind::OutOfMemory)?,
            _region: region,
        })
    }

    /// Bytes of the file.
    fn size(&self) -> io::Result<u64> {
        let mut info = apr_finfo_t::default();
        let wanted = APR_FINFO_TYPE as i32;
        // SAFETY: an open file, and room for the answer.
        checked(unsafe { apr_file_info_get(&mut info, wanted, self.file.as_ptr()) })?;
        #[allow(non_upper_case_globals)]
        match info.filetype {
            apr_filetype_e_APR_REG | apr_filetype_e_APR_BLK => {}
            apr_filetype_e_APR_DIR => return Err(io::ErrorKind::IsADirectory.into()),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "neither a regular file nor a block device",
                ));
            }
        }
        let mut end = 0;
        self.go(APR_END as apr_seek_where_t, &mut end)?;
        Ok(u64::try_from(end).unwrap_or(0))
    }

    fn seek(&self, offset: u64) -> Result<(), Errno> {
        let mut offset = i64::try_from(offset).map_err(|_| Errno::EIO)?;
        self.go(APR_SET as apr_seek_where_t, &mut offset)
            .map_err(|_| Errno::EIO)
    }

    fn go(&self, from: apr_seek_where_t, offset: &mut i64) -> io::Result<()> {
        // SAFETY: an open file, and room for the answer.
        checked(unsafe { apr_file_seek(self.file.as_ptr(), from, offset) })
    }

    /// Reads on until the buffer is full; EIO at the end of the file.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Errno> {
        if buffer.is_empty() {
            return Ok(());
        }
        let mut got = 0;
        // SAFETY: an open file, and as much room as is said.
        let status = unsafe {
            apr_file_read_full(
                self.file.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &mut got,
            )
        };
        if status == 0 { Ok(()) } else { Err(Errno::EIO) }
    }
}

/// A status of libapr's as an error: the system's own where it is one.
fn checked(status: apr_status_t) -> io::Result<()> {
    match status {
        0 => Ok(()),
        status => Err(io::Error::from_raw_os_error(status)),
    }
}
