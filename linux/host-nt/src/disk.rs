//! A disk in a file, a volume (`\\.\X:`) or a physical drive (`\\.\PhysicalDriveN`).
//!
//! Windows has no read that answers only from the cache, so each read goes to a few threads, which read at offsets and
//! complete it. They start on demand and end with the disk.

#![allow(unsafe_code)]

use lkl::{Disk, Errno};
use lkl_host_std::workers::{Reading, Serve, Workers};
use std::fs::File;
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr::{null, null_mut};
use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::{
    DISK_GEOMETRY, GET_LENGTH_INFORMATION, IOCTL_DISK_GET_DRIVE_GEOMETRY, IOCTL_DISK_GET_LENGTH_INFO,
};

/// The most reader threads of a disk.
const READERS: usize = 8;

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
    /// Opens a file, volume or drive for reading.
    pub fn open(path: impl AsRef<Path>) -> io::Result<FileDisk> {
        FileDisk::new(File::open(path)?)
    }

    /// As [`FileDisk::open`], for a reader to whom the bytes must not change: NT refuses it while a program has the file open
    /// for writing, and refuses such a program as long as this lives.
    pub fn open_still(path: impl AsRef<Path>) -> io::Result<FileDisk> {
        FileDisk::new(
            File::options()
                .read(true)
                .share_mode(FILE_SHARE_READ)
                .open(path)?,
        )
    }

    /// A disk in an open file.
    pub fn new(file: File) -> io::Result<FileDisk> {
        let (file_size, block_size) = match device_geometry(&file) {
            Some(geometry) => geometry,
            None => (file.metadata()?.len(), 512),
        };
        Ok(FileDisk {
            readers: Workers::new(Source { file, file_size }, READERS),
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

/// Asks a device for a structure. `None` when it is none, or does not know.
fn ask<T: Default>(file: &File, code: u32) -> Option<T> {
    let mut answer = T::default();
    let mut len = 0;
    let size = u32::try_from(size_of::<T>()).ok()?;
    // SAFETY: room for the structure; both are structures of plain numbers.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            code,
            null(),
            0,
            (&raw mut answer).cast(),
            size,
            &mut len,
            null_mut(),
        )
    };
    (done != 0 && len == size).then_some(answer)
}

pub(crate) fn device_geometry(file: &File) -> Option<(u64, u32)> {
    let length: GET_LENGTH_INFORMATION = ask(file, IOCTL_DISK_GET_LENGTH_INFO)?;
    let geometry: DISK_GEOMETRY = ask(file, IOCTL_DISK_GET_DRIVE_GEOMETRY)?;
    Some((u64::try_from(length.Length).ok()?, geometry.BytesPerSector))
}

impl Disk for FileDisk {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, request: lkl::ReadRequest) {
        self.readers.hand_over(Reading { request, done: 0 });
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
        let mut offset = job.request.offset();
        let block_end = self.file_size.checked_next_multiple_of(4096).ok_or(Errno::EIO)?;
        for segment in job.request.segments() {
            let mut rest = segment;
            while !rest.is_empty() {
                if (self.file_size..block_end).contains(&offset) {
                    // The last block of a file that ends inside it.
                    let len = rest
                        .len()
                        .min(usize::try_from(block_end - offset).unwrap_or(usize::MAX));
                    let (zeros, more) = rest.split_at_mut(len);
                    zeros.fill(0);
                    offset += len as u64;
                    rest = more;
                    continue;
                }
                match self.file.seek_read(rest, offset) {
                    // Beyond the end, or the file was cut after it was opened.
                    Ok(0) | Err(_) => return Err(Errno::EIO),
                    Ok(len) => {
                        offset += len as u64;
                        rest = rest.get_mut(len..).unwrap_or_default();
                    }
                }
            }
        }
        Ok(())
    }
}
