//! A disk in a file, a volume (`\\.\X:`) or a physical drive (`\\.\PhysicalDriveN`).
//!
//! Windows has no read that answers only from the cache, so each read goes to a few threads, which read at offsets
//! ([`overlapped`]) and complete it. They start on demand and end with the disk.

#![allow(unsafe_code)]

use crate::overlapped;
use lkl::{Disk, Errno};
use lkl_host_std::workers::{Reading, Serve, Workers};
use std::fs::File;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use windows_sys::Wdk::Storage::FileSystem::NtQueryInformationFile;
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_READ, FILE_WRITE_DATA};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;
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
        FileDisk::new(overlapped::options().read(true).open(path)?)
    }

    /// As [`FileDisk::open`], for a reader to whom the bytes must not change: NT refuses it while a program has the file open
    /// for writing, and refuses such a program as long as this lives.
    pub fn open_still(path: impl AsRef<Path>) -> io::Result<FileDisk> {
        FileDisk::new(
            overlapped::options()
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

/// Whether a program may write through an open file: as it was opened.
pub fn may_write(file: &File) -> bool {
    const FILE_ACCESS_INFORMATION: i32 = 8;
    let mut status = IO_STATUS_BLOCK::default();
    let mut access = 0u32;
    let len = size_of_val(&access) as u32;
    // SAFETY: an open file, and room for FILE_ACCESS_INFORMATION, which is one ACCESS_MASK.
    let answer = unsafe {
        NtQueryInformationFile(
            file.as_raw_handle(),
            &mut status,
            (&raw mut access).cast(),
            len,
            FILE_ACCESS_INFORMATION,
        )
    };
    answer >= 0 && access & FILE_WRITE_DATA != 0
}

/// Asks a device for a structure of `N` bytes. `None` when it is none, or does not know.
fn ask<const N: usize>(file: &File, code: u32) -> Option<[u8; N]> {
    let mut answer = [0; N];
    let len = overlapped::control(file, code, &[], &mut answer).ok()?;
    (len == N).then_some(answer)
}

pub(crate) fn device_geometry(file: &File) -> Option<(u64, u32)> {
    // Its one member; and the last of the four of the other, bytes of a sector.
    const { assert!(size_of::<GET_LENGTH_INFORMATION>() == 8) };
    const { assert!(size_of::<DISK_GEOMETRY>() == 24) };
    let length: [u8; 8] = ask(file, IOCTL_DISK_GET_LENGTH_INFO)?;
    let geometry: [u8; 24] = ask(file, IOCTL_DISK_GET_DRIVE_GEOMETRY)?;
    let [.., a, b, c, d] = geometry;
    Some((u64::from_ne_bytes(length), u32::from_ne_bytes([a, b, c, d])))
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
                match overlapped::read_at(&self.file, rest, offset) {
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
