//! A disk in a file or a block device.
//!
//! Linux's only CPU waits while [`lkl::Disk::read`] runs, so nothing here may wait for a device. What the page cache of
//! the system below has is read at once, without a thread switch (RWF_NOWAIT); the rest goes to a few threads that
//! read and complete it. They start on demand and end with the disk.

#![allow(unsafe_code)]

use lkl::{Disk, Errno, ReadRequest};
use lkl_host_std::workers::{Reading, Serve, Workers};
use rustix::fs::{FileType, fstat};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// The most reader threads of a disk.
const READERS: usize = 8;
/// The most pieces of memory in one system call (IOV_MAX).
const PIECES: usize = 1024;

/// A disk in a file.
#[derive(Debug)]
pub struct FileDisk {
    readers: Workers<Source>,
    size: u64,
    block_size: u32,
}

/// What the readers read from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: File,
    /// Bytes of the file when it was opened. Between this and the disk's size (less than a block) are zeros.
    pub(crate) file_size: u64,
}

impl FileDisk {
    /// Opens a file or block device for reading.
    pub fn open(path: impl AsRef<Path>) -> io::Result<FileDisk> {
        FileDisk::new(File::open(path)?)
    }

    /// As [`FileDisk::open`], for a reader to whom the bytes must not change: ResourceBusy while a
    /// [`crate::WritableFile`] has the file, which is refused in its turn as long as this lives.
    pub fn open_still(path: impl AsRef<Path>) -> io::Result<FileDisk> {
        let file = File::open(path)?;
        match file.try_lock_shared() {
            Ok(()) => FileDisk::new(file),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another program writes to it",
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// A disk in an open file. InvalidInput when it is neither a regular file nor a block device.
    pub fn new(file: File) -> io::Result<FileDisk> {
        let (file_size, block_size) = geometry(&file)?;
        Ok(FileDisk {
            readers: Workers::new(Source { file, file_size }, READERS),
            // A file that ends inside a block has that block all the same: images are cut where their last byte is.
            size: file_size
                .checked_next_multiple_of(u64::from(block_size))
                .unwrap_or(file_size),
            block_size,
        })
    }

    /// The file behind it.
    pub fn file(&self) -> &File {
        &self.readers.device().file
    }
}

pub(crate) fn geometry(file: &File) -> io::Result<(u64, u32)> {
    let stat = fstat(file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((u64::try_from(stat.st_size).unwrap_or(0), 512)),
        FileType::BlockDevice => {
            use std::io::{Seek, SeekFrom};
            let mut end = file;
            let size = end.seek(SeekFrom::End(0))?;
            Ok((size, rustix::fs::ioctl_blksszget(file)?))
        }
        FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "neither a regular file nor a block device",
        )),
    }
}

impl Disk for FileDisk {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, request: ReadRequest) {
        let mut job = Reading { request, done: 0 };
        match self.readers.device().advance(&mut job, libc::RWF_NOWAIT) {
            Ok(true) => job.request.complete(Ok(())),
            // Not in the page cache, or a file system that cannot tell (EOPNOTSUPP), or an error that a reader will
            // meet again and report.
            Ok(false) | Err(_) => self.readers.hand_over(job),
        }
    }
}

impl Serve for Source {
    type Job = Reading;

    fn serve(&self, mut job: Reading) {
        let result = self.finish(&mut job);
        job.request.complete(result);
    }
}

impl Source {
    /// Reads the rest, waiting for the device.
    pub(crate) fn finish(&self, job: &mut Reading) -> Result<(), Errno> {
        while !self.advance(job, 0)? {}
        Ok(())
    }

    /// One system call: reads on at `job.done`. True when all is there. With RWF_NOWAIT, false or EAGAIN means that
    /// the rest must be waited for. EIO at the end of the file.
    pub(crate) fn advance(&self, job: &mut Reading, flags: i32) -> Result<bool, Errno> {
        let wanted = job.request.len();
        let start = job.request.offset();
        let at = start.checked_add(job.done as u64).ok_or(Errno::EIO)?;
        if at >= self.file_size {
            return self.pad(job);
        }
        let pieces = pieces(&job.request, job.done);
        let offset = libc::off_t::try_from(at).map_err(|_| Errno::EIO)?;
        let count = libc::c_int::try_from(pieces.len()).map_err(|_| Errno::EIO)?;
        let fd = self.file.as_fd().as_raw_fd();
        // SAFETY: the pieces are memory of the request, which is ours and outlives the call.
        let got = unsafe { libc::preadv2(fd, pieces.as_ptr(), count, offset, flags) };
        match got {
            0 => Err(Errno::EIO), // the file was cut after it was opened
            1.. => {
                job.done = job.done.saturating_add(usize::try_from(got).unwrap_or(0));
                Ok(job.done >= wanted)
            }
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
                error => Err(error_number(&error)),
            },
        }
    }

    /// What is beyond the file's end but in its last block: zeros. Anything further is an error.
    fn pad(&self, job: &mut Reading) -> Result<bool, Errno> {
        let end = job
            .request
            .offset()
            .checked_add(job.request.len() as u64)
            .ok_or(Errno::EIO)?;
        let block_end = self.file_size.checked_next_multiple_of(4096).ok_or(Errno::EIO)?;
        if end > block_end {
            return Err(Errno::EIO);
        }
        let mut skip = job.done;
        for segment in job.request.segments() {
            let from = skip.min(segment.len());
            segment[from..].fill(0);
            skip -= from;
        }
        job.done = job.request.len();
        Ok(true)
    }
}

/// The system's error as Linux inside has it: the same number.
pub(crate) fn error_number(error: &io::Error) -> Errno {
    let code = error.raw_os_error();
    code.and_then(|code| Errno::from_number(u16::try_from(code).ok()?))
        .unwrap_or(Errno::EIO)
}

/// The memory of a request without its first `done` bytes, as one system call takes it.
fn pieces(request: &ReadRequest, done: usize) -> Vec<libc::iovec> {
    let mut skip = done;
    let mut pieces = Vec::with_capacity(request.segment_count().min(PIECES));
    for (addr, len) in request.raw_segments() {
        let from = skip.min(len);
        skip -= from;
        if from < len && pieces.len() < PIECES {
            let base = addr.as_ptr().wrapping_add(from).cast();
            pieces.push(libc::iovec {
                iov_base: base,
                iov_len: len - from,
            });
        }
    }
    pieces
}
