//! A disk in a file or volume that Linux may write to.
//!
//! Nothing becomes one by accident: [`crate::FileDisk`] opens for reading and has no way to write. Requests go to a few threads,
//! as reads do. A flush is `FlushFileBuffers`; NT makes no single write of an open file durable, so Linux sends a flush in its
//! place. A discard gives the room of a sparse file back.
//!
//! # Who else has the file
//!
//! The writer shares the file with readers alone: NT refuses whoever wants to write, and refuses the writer while another program
//! has the file open for writing. A reader that wants the bytes to stay as they are opens the file without sharing it with writers
//! ([`crate::FileDisk::open_still`]). A volume (`\\.\X:`) is locked, which NT refuses while a file on it is open. A whole drive
//! is refused: NT keeps writing to the volumes on it.

#![allow(unsafe_code)]

use crate::disk::{Source, device_geometry};
use crate::overlapped;
use lkl::{Disk, Errno, ReadRequest};
use lkl_host_std::change::{Changes, Job, Storage};
use lkl_host_std::workers::{Reading, Workers};
use lkl_write::{Abilities, WritableDisk, WriteRequest};
use std::fs::File;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use windows_sys::Win32::Foundation::{
    ERROR_DISK_FULL, ERROR_HANDLE_DISK_FULL, ERROR_INVALID_FUNCTION, ERROR_NOT_ENOUGH_MEMORY,
    ERROR_NOT_SUPPORTED, ERROR_SHARING_VIOLATION, ERROR_WRITE_PROTECT,
};
use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;
use windows_sys::Win32::System::Ioctl::{
    FILE_ZERO_DATA_INFORMATION, FSCTL_LOCK_VOLUME, FSCTL_SET_SPARSE, FSCTL_SET_ZERO_DATA,
};

/// The most threads of a disk.
const WORKERS: usize = 8;

/// A disk in a file that Linux may write to.
#[derive(Debug)]
pub struct WritableFile {
    workers: Workers<Changes<Target>>,
    size: u64,
    block_size: u32,
    discard: bool,
}

/// The file.
#[derive(Debug)]
struct Target {
    source: Source,
    /// `FSCTL_SET_ZERO_DATA` is for files.
    is_file: bool,
}

impl WritableFile {
    /// Opens a file or volume for reading and writing. ResourceBusy when another program writes to it, or uses the volume;
    /// InvalidInput when it does not end at a block.
    ///
    /// With `discard`, a file becomes a sparse one, and what a file system does not use any more is given back.
    pub fn open(path: impl AsRef<Path>, discard: bool) -> io::Result<WritableFile> {
        let mut options = overlapped::options();
        let opened = options
            .read(true)
            .write(true)
            .share_mode(FILE_SHARE_READ)
            .open(path);
        let file = opened.map_err(|error| match code(&error) {
            Some(ERROR_SHARING_VIOLATION) => busy("another program has it open"),
            _ => error,
        })?;
        WritableFile::new(file, discard)
    }

    /// As [`WritableFile::open`], with a file that is open for reading and writing. Who else may have it, its opener has said.
    pub fn new(file: File, discard: bool) -> io::Result<WritableFile> {
        let device = device_geometry(&file);
        if device.is_some() && control(&file, FSCTL_LOCK_VOLUME, &[]).is_err() {
            return Err(busy("the volume is in use, or it is a whole drive"));
        }
        let is_file = device.is_none();
        let (file_size, block_size) = match device {
            Some(geometry) => geometry,
            None => (file.metadata()?.len(), 512),
        };
        if file_size == 0 || !file_size.is_multiple_of(u64::from(block_size)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("its size is not a multiple of {block_size} bytes"),
            ));
        }
        let discard = discard && is_file && control(&file, FSCTL_SET_SPARSE, &[]).is_ok();
        let target = Target {
            source: Source { file, file_size },
            is_file,
        };
        Ok(WritableFile {
            workers: Workers::new(Changes::new(target), WORKERS),
            size: file_size,
            block_size,
            discard,
        })
    }

    /// The file behind it.
    pub fn file(&self) -> &File {
        &self.workers.device().storage().source.file
    }
}

fn busy(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, why)
}

fn code(error: &io::Error) -> Option<u32> {
    u32::try_from(error.raw_os_error()?).ok()
}

fn number(error: &io::Error) -> Errno {
    match code(error) {
        Some(ERROR_DISK_FULL | ERROR_HANDLE_DISK_FULL) => Errno::ENOSPC,
        Some(ERROR_WRITE_PROTECT) => Errno::EROFS,
        Some(ERROR_NOT_ENOUGH_MEMORY) => Errno::ENOMEM,
        Some(ERROR_NOT_SUPPORTED | ERROR_INVALID_FUNCTION) => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    }
}

/// A request to a file or volume without an answer.
fn control(file: &File, code: u32, input: &[u8]) -> io::Result<()> {
    overlapped::control(file, code, input, &mut []).map(drop)
}

impl Disk for WritableFile {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, request: ReadRequest) {
        self.workers.hand_over(Job::Read(Reading { request, done: 0 }));
    }
}

impl WritableDisk for WritableFile {
    fn abilities(&self) -> Abilities {
        Abilities {
            flush: true,
            fua: false,
            discard: self.discard,
            // What NTFS gives back of a sparse file.
            discard_granularity: 65536,
            write_zeroes: true,
        }
    }

    fn change(&self, request: WriteRequest) {
        self.workers.hand_over(Job::Change(request));
    }
}

impl Target {
    /// Zeros, where the file is a sparse one without room.
    fn set_zero(&self, offset: u64, len: u64) -> Result<(), Errno> {
        if !self.is_file {
            return Err(Errno::EOPNOTSUPP);
        }
        let (Ok(start), Ok(end)) = (i64::try_from(offset), i64::try_from(offset.saturating_add(len))) else {
            return Err(Errno::EIO);
        };
        const { assert!(size_of::<FILE_ZERO_DATA_INFORMATION>() == 16) };
        // The structure's two members.
        let mut range = [0; 16];
        range[..8].copy_from_slice(&start.to_ne_bytes());
        range[8..].copy_from_slice(&end.to_ne_bytes());
        control(&self.source.file, FSCTL_SET_ZERO_DATA, &range).map_err(|error| number(&error))
    }
}

impl Storage for Target {
    fn read(&self, reading: &mut Reading) -> Result<(), Errno> {
        self.source.finish(reading)
    }

    fn write(&self, offset: u64, pieces: &[&[u8]], _durable: bool) -> Result<(), Errno> {
        let mut at = offset;
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                match overlapped::write_at(&self.source.file, rest, at) {
                    Ok(0) => return Err(Errno::EIO),
                    Ok(len) => {
                        at += len as u64;
                        rest = rest.get(len..).unwrap_or_default();
                    }
                    Err(error) => return Err(number(&error)),
                }
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Errno> {
        self.source.file.sync_data().map_err(|error| number(&error))
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.set_zero(offset, len)
    }

    fn zero(&self, offset: u64, len: u64, keep_room: bool) -> Result<(), Errno> {
        // A sparse file would give the room back.
        if keep_room {
            return Err(Errno::EOPNOTSUPP);
        }
        self.set_zero(offset, len)
    }
}
