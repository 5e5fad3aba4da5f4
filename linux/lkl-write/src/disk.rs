//! What a host gives for a disk that Linux may write to.

use crate::request::WriteRequest;
use lkl::{Disk, Errno, ReadRequest, Slice};
use std::sync::Arc;

/// What a disk can do besides writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// What was written may be lost until a flush: Linux sends flushes. Without it a write is durable when it is answered.
    pub flush: bool,
    /// A single write can be made durable ([`crate::Operation::Write`]).
    pub fua: bool,
    /// Discards are understood.
    pub discard: bool,
    /// Bytes of the smallest piece that a discard gives back: a power of two, or 0 for a block.
    pub discard_granularity: u32,
    /// Zeroing is understood. Without it Linux writes zeros.
    pub write_zeroes: bool,
}

/// A disk that Linux may write to.
pub trait WritableDisk: Disk {
    /// What it can do. Asked once.
    fn abilities(&self) -> Abilities;

    /// Starts a request. Must not wait for the device, because the caller is on Linux's only CPU: keep the request and
    /// complete it later, from anywhere. Many are under way at once, reads among them. What it asks for is among the
    /// [`Abilities`], and inside the disk's size, always.
    fn change(&self, request: WriteRequest);
}

/// A part of a disk as a disk of its own: a partition.
pub struct WritableSlice {
    whole: Arc<dyn WritableDisk>,
    reads: Slice,
    offset: u64,
}

impl WritableSlice {
    /// `size` bytes of `whole` from `offset` on. EINVAL when they are not all inside or do not begin at a block.
    pub fn new(whole: Arc<dyn WritableDisk>, offset: u64, size: u64) -> Result<Self, Errno> {
        let reads = Slice::new(Arc::clone(&whole) as Arc<dyn Disk>, offset, size)?;
        Ok(WritableSlice { whole, reads, offset })
    }
}

impl Disk for WritableSlice {
    fn size_bytes(&self) -> u64 {
        self.reads.size_bytes()
    }

    fn block_size(&self) -> u32 {
        self.reads.block_size()
    }

    fn read(&self, request: ReadRequest) {
        self.reads.read(request);
    }
}

impl WritableDisk for WritableSlice {
    fn abilities(&self) -> Abilities {
        self.whole.abilities()
    }

    fn change(&self, request: WriteRequest) {
        let end = request.offset().checked_add(request.len() as u64);
        match end {
            Some(end) if end <= self.size_bytes() => self.whole.change(request.shifted(self.offset)),
            _ => request.complete(Err(Errno::EIO)),
        }
    }
}
