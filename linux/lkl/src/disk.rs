//! Disks: what a host gives ([`Disk`]) and what Linux makes of it ([`BlockDevice`]).
//!
//! A disk has no write method, so a write to it cannot be expressed. What Linux writes while it mounts (journal
//! replay) goes to a bounded overlay in RAM that the port keeps per disk; [`DiskStats`] tells how much.

use crate::disk_request::ReadRequest;
use crate::errno::Errno;
use crate::extend::Announce;
use crate::kernel::{Kernel, Shared};
use crate::sys;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;

/// A source of blocks.
pub trait Disk: Send + Sync + 'static {
    /// Size in bytes; what is beyond the last whole block is not shown to Linux. Asked once.
    fn size_bytes(&self) -> u64;

    /// Logical block size in bytes: a power of two, 512..=4096. Asked once.
    fn block_size(&self) -> u32;

    /// Starts a read. Must not wait for the device, because the caller is on Linux's only CPU: finish at once when
    /// the bytes are at hand, else keep the request and complete it later, from anywhere. Many are under way at once.
    /// A request inside the size given above, always.
    fn read(&self, request: ReadRequest);
}

/// A part of a disk as a disk of its own: a partition.
pub struct Slice {
    whole: Arc<dyn Disk>,
    offset: u64,
    size: u64,
}

impl Slice {
    /// `size` bytes of `whole` from `offset` on. EINVAL when they are not all inside or do not begin at a block.
    pub fn new(whole: Arc<dyn Disk>, offset: u64, size: u64) -> Result<Self, Errno> {
        let end = offset.checked_add(size).ok_or(Errno::EINVAL)?;
        let within = offset
            .checked_rem(u64::from(whole.block_size()))
            .ok_or(Errno::EINVAL)?;
        if end > whole.size_bytes() || within != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Slice { whole, offset, size })
    }
}

impl Disk for Slice {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.whole.block_size()
    }

    fn read(&self, request: ReadRequest) {
        let end = request
            .offset()
            .checked_add(u64::try_from(request.len()).unwrap_or(u64::MAX));
        match end {
            Some(end) if end <= self.size => self.whole.read(request.shifted(self.offset)),
            _ => request.complete(Err(Errno::EIO)),
        }
    }
}

/// Bytes of an overlay unless another limit is set.
pub(crate) const DEFAULT_OVERLAY: u64 = 64 << 20;

/// How Linux treats a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskOptions {
    /// Reads under way at once; 0 lets Linux choose.
    pub queue_depth: u32,
    /// Bytes of RAM that Linux's own writes (journal replay) may take, besides Linux's pool. `None`: 64 MiB, and as
    /// much as the journal of what is mounted takes; `Some(0)`: no write succeeds. [`crate::Host::overlay_most`] is the limit of
    /// all disks.
    pub overlay_limit: Option<u64>,
    /// Bytes of zeros that Linux is shown behind the disk's last whole block; the sum is cut to whole blocks. [`Disk::read`] is
    /// never asked for them. What is mounted gets what it needs without this.
    pub padding: u64,
}

/// Counters of a disk since it was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskStats {
    /// Requests sent to [`Disk::read`].
    pub reads: u64,
    /// Bytes of them.
    pub read_bytes: u64,
    /// RAM held by blocks that Linux wrote, bytes.
    pub overlay_bytes: u64,
    /// Writes that failed because the overlay was full or absent.
    pub writes_refused: u64,
}

/// What Linux's pointer to a disk points to. Kept alive by the kernel's table of disks, until Linux has let go of it: a thread that has
/// answered the last request may be on its way yet, and must not be the one that drops the disk.
pub(crate) struct DiskLink {
    pub(crate) disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    /// major << 32 | minor; all ones before Linux has said.
    device: AtomicU64,
    /// What Linux has written to the disk is in there.
    overlay: Mutex<Vec<Box<[u64]>>>,
}

const NO_DEVICE: u64 = u64::MAX;

impl Drop for DiskLink {
    fn drop(&mut self) {
        let blocks = self.overlay.get_mut();
        let bytes = blocks.iter().fold(0u64, |sum, block| {
            sum.saturating_add(u64::try_from(size_of_val(&**block)).unwrap_or(u64::MAX))
        });
        self.shared.overlay_left.fetch_add(bytes, Ordering::AcqRel);
    }
}

impl DiskLink {
    pub(crate) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>) -> Self {
        DiskLink {
            disk,
            shared,
            device: AtomicU64::new(NO_DEVICE),
            overlay: Mutex::new(Vec::new()),
        }
    }

    /// `size` bytes for what Linux writes, which are there for as long as this is. `None` for lack of memory, or when the
    /// host gives no more.
    pub(crate) fn overlay_block(&self, size: usize) -> Option<NonNull<u8>> {
        let bytes = u64::try_from(size).ok()?;
        let left = &self.shared.overlay_left;
        let take = |left: u64| left.checked_sub(bytes);
        left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .ok()?;
        let block = self.add_overlay_block(size);
        if block.is_none() {
            left.fetch_add(bytes, Ordering::AcqRel);
        }
        block
    }

    fn add_overlay_block(&self, size: usize) -> Option<NonNull<u8>> {
        let words = size.div_ceil(size_of::<u64>());
        let mut block = Vec::new();
        block.try_reserve_exact(words).ok()?;
        block.resize(words, 0u64);
        let mut blocks = self.overlay.lock();
        blocks.try_reserve(1).ok()?;
        blocks.push(block.into_boxed_slice());
        NonNull::new(blocks.last_mut()?.as_mut_ptr().cast())
    }

    /// Where its requests are counted.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Remembers the numbers that Linux gave.
    pub(crate) fn set_device(&self, major: u32, minor: u32) {
        self.device
            .store((u64::from(major) << 32) | u64::from(minor), Ordering::Release);
    }

    /// The numbers, once Linux has given them.
    pub(crate) fn device(&self) -> Option<(u32, u32)> {
        let device = self.device.load(Ordering::Acquire);
        if device == NO_DEVICE {
            return None;
        }
        Some((
            u32::try_from(device >> 32).ok()?,
            u32::try_from(device & u64::from(u32::MAX)).ok()?,
        ))
    }
}

/// The path of a block device, `/dev/NAME`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DevPath {
    bytes: [u8; 40],
    len: usize,
}

impl DevPath {
    pub(crate) fn from_info(info: &sys::lkl_disk_info) -> Self {
        let mut bytes = [0; 40];
        let name = info.name.iter().copied().take_while(|byte| *byte != 0);
        let mut len = 0usize;
        for (place, byte) in bytes.iter_mut().zip(b"/dev/".iter().copied().chain(name)) {
            *place = byte;
            len = len.saturating_add(1);
        }
        DevPath { bytes, len }
    }

    /// The path, without a NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl fmt::Debug for DevPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// One life of a disk inside Linux, from linux_disk_add to linux_disk_remove.
#[derive(Clone)]
pub(crate) struct Attached {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) path: DevPath,
    pub(crate) link: Arc<DiskLink>,
}

/// A disk that Linux has. Dropping it takes it away as [`BlockDevice::remove`] does.
pub struct BlockDevice {
    kernel: Kernel,
    /// As it was added; a restart may go beyond that for as long as something is mounted.
    options: DiskOptions,
    /// The call by which it is announced, if not the usual one.
    call: Option<Arc<dyn Announce>>,
    /// `None` once removed. The lock is held for copies only.
    attached: Mutex<Option<Attached>>,
}

impl BlockDevice {
    pub(crate) fn attach(
        kernel: Kernel,
        disk: Arc<dyn Disk>,
        options: DiskOptions,
        call: Option<Arc<dyn Announce>>,
    ) -> Result<Self, Errno> {
        let attached = kernel.attach(disk, &options, call.as_deref())?;
        Ok(BlockDevice {
            kernel,
            options,
            call,
            attached: Mutex::new(Some(attached)),
        })
    }

    fn current(&self) -> Result<Attached, Errno> {
        self.attached.lock().clone().ok_or(Errno::ENODEV)
    }

    /// The path of the device node inside Linux. ENODEV once the device was lost in a restart.
    pub fn dev_path(&self) -> Result<DevPath, Errno> {
        Ok(self.current()?.path)
    }

    /// Major and minor number, as `Statx::dev` shows them for most file systems on it.
    pub fn numbers(&self) -> Result<(u32, u32), Errno> {
        let attached = self.current()?;
        Ok((attached.major, attached.minor))
    }

    /// Its counters.
    pub fn stats(&self) -> Result<DiskStats, Errno> {
        let attached = self.current()?;
        self.kernel.disk_stats(attached.major, attached.minor)
    }

    /// The disk is gone (surprise removal): all reads fail from now on. Does not wait. Any context.
    pub fn gone(&self) {
        if let Ok(attached) = self.current() {
            self.kernel.disk_gone(attached.major, attached.minor);
        }
    }

    /// Takes the disk away from Linux, mounted or not, and waits until Linux has let go of the reads under way, which
    /// the [`Disk`] must finish. May block.
    pub fn remove(self) -> Result<(), Errno> {
        self.detach()
    }

    /// Bytes that the disk itself has in whole blocks.
    pub(crate) fn size_bytes(&self) -> Result<u64, Errno> {
        let disk = &self.current()?.link.disk;
        let (size, block) = (disk.size_bytes(), u64::from(disk.block_size()));
        Ok(size.saturating_sub(size.checked_rem(block).ok_or(Errno::EINVAL)?))
    }

    /// How it was added.
    pub(crate) fn options(&self) -> DiskOptions {
        self.options
    }

    /// Takes it away and announces it again with an empty overlay. Nothing must be mounted.
    pub(crate) fn restart(&self, options: DiskOptions) -> Result<(), Errno> {
        let disk = Arc::clone(&self.current()?.link.disk);
        self.detach()?;
        let attached = self.kernel.attach(disk, &options, self.call.as_deref())?;
        *self.attached.lock() = Some(attached);
        Ok(())
    }

    fn detach(&self) -> Result<(), Errno> {
        let Some(attached) = self.attached.lock().take() else {
            return Ok(());
        };
        self.kernel.detach(attached)
    }
}

impl Drop for BlockDevice {
    fn drop(&mut self) {
        // What fails here fails because Linux is dead or halted; the kernel keeps the link until its end then.
        let _ = self.detach();
    }
}

impl fmt::Debug for BlockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDevice")
            .field("path", &self.dev_path())
            .finish_non_exhaustive()
    }
}
