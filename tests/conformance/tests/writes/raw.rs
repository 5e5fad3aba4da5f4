//! A disk without a file system on it, through its node in /dev; and disks that are not to be written.

// UNSAFETY: system calls without a safe form.

use crate::faults::{Handle, Moody};
use crate::kind::{self, add, boot, unmount};
use conformance::content::content;
use linux_full::WritableDisks;
use lkl::{DevPath, DiskOptions, Errno, Kernel};
use lkl_host_posix::{FileDisk, WritableFile};
use lkl_write::{Operation, Volume};
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

const O_RDWR: i64 = 2;

/// A device node that is open.
struct Node<'a> {
    kernel: &'a Kernel,
    fd: i64,
}

impl Node<'_> {
    fn open<'a>(kernel: &'a Kernel, path: &DevPath, flags: i64) -> Result<Node<'a>, Errno> {
        const SYS_OPEN: i64 = 2;
        let path = CString::new(path.as_bytes()).unwrap();
        let arguments = [path.as_ptr().expose_provenance() as i64, flags, 0, 0, 0, 0];
        // SAFETY: a string that ends with a NUL and lives through the call.
        let fd = unsafe { kernel.syscall(SYS_OPEN, arguments) }?;
        Ok(Node {
            kernel,
            fd: fd as i64,
        })
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<u64, Errno> {
        const SYS_PWRITE64: i64 = 18;
        let place = bytes.as_ptr().expose_provenance() as i64;
        let arguments = [self.fd, place, bytes.len() as i64, at as i64, 0, 0];
        // SAFETY: Linux reads the bytes.
        unsafe { self.kernel.syscall(SYS_PWRITE64, arguments) }
    }

    fn close(self) {
        const SYS_CLOSE: i64 = 3;
        // SAFETY: no pointers, and the descriptor is not used any more.
        unsafe { self.kernel.syscall(SYS_CLOSE, [self.fd, 0, 0, 0, 0, 0]) }.unwrap();
    }

    fn sync(&self) -> Result<(), Errno> {
        const SYS_FSYNC: i64 = 74;
        // SAFETY: no pointers.
        unsafe { self.kernel.syscall(SYS_FSYNC, [self.fd, 0, 0, 0, 0, 0]) }.map(drop)
    }

    /// A request about a range of bytes.
    fn range(&self, request: i64, start: u64, len: u64) -> Result<(), Errno> {
        const SYS_IOCTL: i64 = 16;
        let range = [start, len];
        let place = range.as_ptr().expose_provenance() as i64;
        // SAFETY: Linux reads two numbers.
        unsafe { self.kernel.syscall(SYS_IOCTL, [self.fd, request, place, 0, 0, 0]) }.map(drop)
    }
}

fn image(folder: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let image = folder.join("image");
    std::fs::write(&image, bytes).unwrap();
    image
}

/// A disk that was added to be read, on the Linux that can write.
pub fn refused() {
    let folder = tempfile::tempdir().unwrap();
    let before = content(1, 4 << 20);
    let image = image(folder.path(), &before);
    let kernel = boot();
    let disk = || Arc::new(FileDisk::open(&image).unwrap());
    let closed = DiskOptions {
        overlay_limit: Some(0),
        ..DiskOptions::default()
    };
    let device = kernel.add_disk(disk(), closed).unwrap();
    let node = Node::open(&kernel, &device.dev_path().unwrap(), O_RDWR).unwrap();
    assert_eq!(node.write(&content(2, 65536), 4096), Err(Errno::EPERM));
    // With an overlay, writes succeed and stay in memory.
    let device = kernel.add_disk(disk(), DiskOptions::default()).unwrap();
    let node = Node::open(&kernel, &device.dev_path().unwrap(), O_RDWR).unwrap();
    assert_eq!(node.write(&content(2, 65536), 4096), Ok(65536));
    node.sync().unwrap();
    const BLKDISCARD: i64 = 0x1277;
    assert_eq!(node.range(BLKDISCARD, 0, 4096), Err(Errno::EOPNOTSUPP));
    assert!(device.stats().unwrap().overlay_bytes >= 65536);
    kernel.halt();
    assert!(std::fs::read(&image).unwrap() == before, "the image was changed");
}

pub fn operations() {
    const BLKDISCARD: i64 = 0x1277;
    const BLKZEROOUT: i64 = 0x127f;
    let folder = tempfile::tempdir().unwrap();
    let before = content(1, 16 << 20);
    let image = image(folder.path(), &before);
    let kernel = boot();
    for fua in [false, true] {
        let moody = Moody::new(WritableFile::open(&image, true).unwrap(), fua);
        let device = kernel
            .add_writable_disk(Arc::new(Handle(moody.clone())), 0)
            .unwrap();
        let node = Node::open(&kernel, &device.dev_path().unwrap(), O_RDWR).unwrap();
        node.write(&content(2, 10_000), 4096).unwrap();
        assert_eq!(moody.count(|o| o == Operation::Flush), 0);
        node.sync().unwrap();
        assert!(moody.count(|o| matches!(o, Operation::Write { .. })) >= 1);
        assert_eq!(moody.count(|o| o == Operation::Flush), 1, "a sync is one flush");
        node.range(BLKZEROOUT, 1 << 20, 1 << 20).unwrap();
        node.range(BLKDISCARD, 4 << 20, 1 << 20).unwrap();
        let keeps_room = |o| matches!(o, Operation::WriteZeroes { keep_room: true });
        assert_eq!(moody.count(keeps_room), 1, "BLKZEROOUT keeps the room");
        assert_eq!(moody.count(|o| o == Operation::Discard), 1);
        node.close();
        device.remove().unwrap();
    }
    kernel.halt();
    let mut wanted = before;
    wanted[4096..14096].copy_from_slice(&content(2, 10_000));
    wanted[1 << 20..2 << 20].fill(0);
    wanted[4 << 20..5 << 20].fill(0);
    assert!(std::fs::read(&image).unwrap() == wanted, "the bytes are others");
}

/// Direct transfers, which would need pages for the caller's memory, are refused; Linux lives on.
pub fn direct() {
    const O_DIRECT: i64 = 0o40000;
    const SYS_FCNTL: i64 = 72;
    const F_SETFL: i64 = 4;
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &content(1, 1 << 20));
    let kernel = boot();
    let device = add(&kernel, &image);
    let path = device.dev_path().unwrap();
    assert_eq!(
        Node::open(&kernel, &path, O_RDWR | O_DIRECT).map(drop),
        Err(Errno::EINVAL)
    );
    let node = Node::open(&kernel, &path, O_RDWR).unwrap();
    // SAFETY: no pointers.
    let set = unsafe { kernel.syscall(SYS_FCNTL, [node.fd, F_SETFL, O_DIRECT, 0, 0, 0]) };
    assert_eq!(set, Err(Errno::EINVAL));
    assert_eq!(node.write(&content(2, 512), 0), Ok(512));
    node.sync().unwrap();
    kernel.halt();
}

/// A journal's commit is a durable write where the disk has such, and a write between two flushes where it has not.
pub fn durable() {
    let kind = kind::named("ext4");
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    kind.make(&image, 0, 0);
    let kernel = boot();
    for fua in [false, true] {
        let moody = Moody::new(WritableFile::open(&image, false).unwrap(), fua);
        let device = kernel
            .add_writable_disk(Arc::new(Handle(moody.clone())), 0)
            .unwrap();
        let volume = Volume::mount(&kernel, &device, "ext4", "").unwrap();
        let flushes = || moody.count(|o| o == Operation::Flush);
        let durables = || moody.count(|o| o == Operation::Write { durable: true });
        let before = flushes();
        volume.write(format!("{fua}").as_bytes(), b"x").unwrap();
        volume.sync().unwrap();
        let more = flushes() - before;
        if fua {
            assert!(
                durables() > 0 && more >= 1,
                "{} durable writes, {more} flushes",
                durables()
            );
        } else {
            assert!(
                durables() == 0 && more >= 2,
                "{} durable writes, {more} flushes",
                durables()
            );
        }
        unmount(volume);
        device.remove().unwrap();
    }
    kernel.halt();
}

pub fn trim() {
    let kind = kind::named("ext4");
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    kind.make(&image, 0, 0);
    let room = || std::fs::metadata(&image).unwrap().blocks() * 512;
    let kernel = boot();
    let device = add(&kernel, &image);
    let volume = Volume::mount(&kernel, &device, "ext4", "").unwrap();
    volume.write(b"stays", &content(1, 1 << 20)).unwrap();
    volume.write(b"goes", &content(2, 24 << 20)).unwrap();
    volume.sync().unwrap();
    let full = room();
    volume.remove_file(b"goes").unwrap();
    volume.sync().unwrap();
    let said = volume.trim().unwrap();
    assert!(said >= 24 << 20, "Linux has discarded {said} bytes");
    let left = room();
    assert!(left + (20 << 20) < full, "{left} bytes of {full} are left");
    unmount(volume);
    let volume = Volume::mount(&kernel, &device, "ext4", "").unwrap();
    assert!(volume.read(b"stays").unwrap() == content(1, 1 << 20));
    unmount(volume);
    kernel.halt();
    assert_eq!(kind.damage(&image), None);
}
