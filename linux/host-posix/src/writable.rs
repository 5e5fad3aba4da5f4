//! A disk in a file or a block device that Linux may write to.
//!
//! Nothing becomes one by accident: [`crate::FileDisk`] opens for reading and has no way to write. Requests go to a few threads,
//! as reads do that must be waited for. A flush is `fdatasync`, a durable write one with `RWF_DSYNC`, a discard gives the
//! file's room back.
//!
//! # Who else has the file
//!
//! The writer holds it alone: `flock`, exclusive, and of a block device Linux's own claim (`O_EXCL`), which a mounted or otherwise
//! used device refuses. A second writer is refused, and so is [`crate::FileDisk::open_still`], a reader that wants the bytes to
//! stay as they are; readers do not refuse each other. Plain [`crate::FileDisk::open`] takes no lock: it reads what is there, and
//! of a volume that a writer has mounted that may be in the middle of a change. All of this binds only programs that ask.

#![allow(unsafe_code)]

use crate::disk::{Source, error_number, geometry};
use lkl::{Disk, Errno, ReadRequest};
use lkl_host_std::change::{Changes, Job, Storage};
use lkl_host_std::workers::{Reading, Workers};
use lkl_write::{Abilities, WritableDisk, WriteRequest};
use rustix::fs::{FallocateFlags, FileType, fallocate, fdatasync, fstat};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The most threads of a disk.
const WORKERS: usize = 8;
/// The most pieces of memory in one system call (IOV_MAX).
const PIECES: usize = 1024;

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
    is_device: bool,
}

impl WritableFile {
    /// Opens a file or block device for reading and writing, and for nobody else who writes. ResourceBusy when another
    /// program has it; InvalidInput when it is neither, or does not end at a block.
    ///
    /// With `discard`, what a file system does not use any more is given back to the system below, which makes holes.
    pub fn open(path: impl AsRef<Path>, discard: bool) -> io::Result<WritableFile> {
        let path = path.as_ref();
        let is_device = {
            use std::os::unix::fs::FileTypeExt;
            std::fs::metadata(path)?.file_type().is_block_device()
        };
        let claim = if is_device { libc::O_EXCL } else { 0 };
        let mut options = File::options();
        let file = options.read(true).write(true).custom_flags(claim).open(path)?;
        WritableFile::new(file, discard)
    }

    /// A disk in an open file, which is locked.
    pub fn new(file: File, discard: bool) -> io::Result<WritableFile> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another program has it open",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (file_size, block_size) = geometry(&file)?;
        if file_size == 0 || !file_size.is_multiple_of(u64::from(block_size)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("its size is not a multiple of {block_size} bytes"),
            ));
        }
        let is_device = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::BlockDevice;
        let target = Target {
            source: Source { file, file_size },
            is_device,
        };
        Ok(WritableFile {
            workers: Workers::new(Changes::new(target), WORKERS),
            size: file_size,
            block_size,
            discard,
        })
    }

    fn target(&self) -> &Target {
        self.workers.device().storage()
    }

    /// The file behind it.
    pub fn file(&self) -> &File {
        &self.target().source.file
    }
}

impl Disk for WritableFile {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, request: ReadRequest) {
        let mut job = Reading { request, done: 0 };
        match self.target().source.advance(&mut job, libc::RWF_NOWAIT) {
            Ok(true) => job.request.complete(Ok(())),
            // See FileDisk.
            Ok(false) | Err(_) => self.workers.hand_over(Job::Read(job)),
        }
    }
}

impl WritableDisk for WritableFile {
    fn abilities(&self) -> Abilities {
        Abilities {
            flush: true,
            fua: true,
            discard: self.discard,
            // A hole smaller than a block of the file system below is written with zeros there.
            discard_granularity: 4096.max(self.block_size),
            write_zeroes: true,
        }
    }

    fn change(&self, request: WriteRequest) {
        self.workers.hand_over(Job::Change(request));
    }
}

fn number(error: rustix::io::Errno) -> Errno {
    error_number(&error.into())
}

impl Storage for Target {
    fn read(&self, reading: &mut Reading) -> Result<(), Errno> {
        self.source.finish(reading)
    }

    fn write(&self, offset: u64, pieces: &[&[u8]], durable: bool) -> Result<(), Errno> {
        let wanted: usize = pieces.iter().map(|piece| piece.len()).sum();
        let flags = if durable { libc::RWF_DSYNC } else { 0 };
        let mut done = 0;
        while done < wanted {
            let rest = vector(pieces, done);
            let at = libc::off_t::try_from(offset + done as u64).map_err(|_| Errno::EIO)?;
            let count = libc::c_int::try_from(rest.len()).map_err(|_| Errno::EIO)?;
            let fd = self.source.file.as_fd().as_raw_fd();
            // SAFETY: the pieces are memory that outlives the call, and it only reads them.
            let put = unsafe { libc::pwritev2(fd, rest.as_ptr(), count, at, flags) };
            match put {
                0 => return Err(Errno::EIO),
                1.. => done += usize::try_from(put).unwrap_or(0),
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error_number(&error)),
                },
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Errno> {
        fdatasync(&self.source.file).map_err(number)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno> {
        if self.is_device {
            return discard_blocks(&self.source.file, offset, len);
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.source.file, hole, offset, len).map_err(number)
    }

    fn zero(&self, offset: u64, len: u64, keep_room: bool) -> Result<(), Errno> {
        let zeros = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let first = if keep_room { zeros } else { hole };
        fallocate(&self.source.file, first, offset, len).map_err(number)
    }
}

/// The pieces without their first `done` bytes, as one system call takes them.
fn vector(pieces: &[&[u8]], done: usize) -> Vec<libc::iovec> {
    let mut skip = done;
    let mut vector = Vec::with_capacity(pieces.len().min(PIECES));
    for piece in pieces {
        let rest = piece.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(piece.len());
        if !rest.is_empty() && vector.len() < PIECES {
            vector.push(libc::iovec {
                iov_base: rest.as_ptr().cast_mut().cast(),
                iov_len: rest.len(),
            });
        }
    }
    vector
}

/// BLKDISCARD.
fn discard_blocks(file: &File, offset: u64, len: u64) -> Result<(), Errno> {
    const BLKDISCARD: libc::Ioctl = 0x1277;
    let range = [offset, len];
    // SAFETY: the call reads two numbers.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), BLKDISCARD, range.as_ptr()) };
    if done == 0 {
        return Ok(());
    }
    Err(error_number(&io::Error::last_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileDisk;

    fn image(len: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(len).unwrap();
        file
    }

    #[test]
    fn the_writer_is_alone() {
        let image = image(1 << 20);
        let busy = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::ResourceBusy;
        let writer = WritableFile::open(image.path(), false).unwrap();
        assert!(busy(WritableFile::open(image.path(), false).map(drop)));
        assert!(busy(FileDisk::open_still(image.path()).map(drop)));
        FileDisk::open(image.path()).unwrap();
        drop(writer);
        let reader = FileDisk::open_still(image.path()).unwrap();
        let another = FileDisk::open_still(image.path()).unwrap();
        assert!(busy(WritableFile::open(image.path(), false).map(drop)));
        drop((reader, another));
        WritableFile::open(image.path(), false).unwrap();
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        for len in [0, 513] {
            let error = WritableFile::open(image(len).path(), false).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{len}");
        }
        assert!(WritableFile::open("/dev/null", false).is_err());
        assert!(WritableFile::open(std::env::temp_dir(), false).is_err());
    }

    #[test]
    fn pieces_are_written_zeroed_and_discarded() {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let image = image(1 << 20);
        let disk = WritableFile::open(image.path(), true).unwrap();
        let target = disk.target();
        let (one, two) = (vec![1u8; 8192], vec![2u8; 4096]);
        for durable in [false, true] {
            target.write(4096, &[&one, &[], &two], durable).unwrap();
        }
        target.flush().unwrap();
        let read = |at: u64, len: usize| {
            let mut bytes = vec![9; len];
            image.as_file().read_exact_at(&mut bytes, at).unwrap();
            bytes
        };
        assert_eq!(read(4096, 8192), one);
        assert_eq!(read(12288, 4096), two);
        let room = || image.as_file().metadata().unwrap().blocks();
        let before = room();
        target.discard(4096, 4096).unwrap();
        assert!(room() < before, "{} blocks of {before} are left", room());
        target.zero(8192, 4096, true).unwrap();
        target.zero(12288, 4096, false).unwrap();
        assert_eq!(read(0, 16384), vec![0; 16384]);
    }

    /// A loop device of this machine's, where there are some.
    struct Loop(String);

    impl Loop {
        fn new(image: &Path) -> Option<Loop> {
            let made = std::process::Command::new("/usr/sbin/losetup")
                .args(["--find", "--show"])
                .arg(image)
                .output()
                .ok()?;
            let name = String::from_utf8(made.stdout).ok()?;
            made.status.success().then(|| Loop(name.trim().to_owned()))
        }
    }

    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = std::process::Command::new("/usr/sbin/losetup")
                .args(["--detach", &self.0])
                .status();
        }
    }

    #[test]
    fn a_block_device_is_claimed_written_and_discarded() {
        let image = image(8 << 20);
        let Some(device) = Loop::new(image.path()) else {
            eprintln!("skipped: no loop device is to be had (not root?)");
            return;
        };
        let disk = WritableFile::open(&device.0, true).unwrap();
        assert_eq!((disk.size_bytes(), disk.block_size()), (8 << 20, 512));
        let second = WritableFile::open(&device.0, true).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy, "{second}");
        let target = disk.target();
        let bytes = vec![3u8; 1 << 20];
        for at in [0, 1 << 20, 2 << 20] {
            target.write(at, &[&bytes], true).unwrap();
        }
        target.discard(0, 1 << 20).unwrap();
        target.zero(1 << 20, 1 << 20, true).unwrap();
        target.flush().unwrap();
        let found = std::fs::read(image.path()).unwrap();
        assert!(found[1 << 20..2 << 20].iter().all(|byte| *byte == 0));
        assert!(found[2 << 20..3 << 20] == bytes);
        // What a discard leaves is not defined; a loop device makes a hole.
        assert!(found[..1 << 20].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_vector_goes_on_where_a_write_ended() {
        let (a, b) = ([1u8; 10], [2u8; 5]);
        let lens = |done| {
            let vector = vector(&[&a, &b], done);
            vector.iter().map(|piece| piece.iov_len).collect::<Vec<_>>()
        };
        assert_eq!(lens(0), [10, 5]);
        assert_eq!(lens(3), [7, 5]);
        assert_eq!(lens(10), [5]);
        assert_eq!(lens(12), [3]);
    }
}
