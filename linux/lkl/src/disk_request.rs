//! One read request of Linux, as the host's disk sees it.
//!
//! [`ReadRequest`] is linear: whoever holds it owes Linux an answer, and dropping it is the answer "I/O error". So a
//! disk cannot forget a request, answer it twice, or touch its memory after answering.

// UNSAFETY: the segments of a request are memory of Linux's that the host fills.

#![allow(unsafe_code)]

use crate::errno::Errno;
use crate::kernel::Shared;
use crate::sys::{linux_disk_read_done, lkl_disk_read, lkl_segment};
use alloc::sync::Arc;
use core::ffi::c_void;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// A read that Linux wants done: fill all segments with the disk's bytes from [`ReadRequest::offset`] on.
///
/// It may be moved to another thread and completed at any time, in any order, in any context. While it lives, Linux
/// cannot be halted; Linux can be abandoned, and then the memory that it reads into stays for as long as it lives. It does not keep its disk: a program that has taken the disk away may use the file below at once.
pub struct ReadRequest {
    raw: NonNull<lkl_disk_read>,
    /// Where it is counted.
    shared: Arc<Shared>,
    /// Added to the offset that Linux asked for: the start of a partition.
    shift: u64,
    result: Result<(), Errno>,
}

// SAFETY: the contract of disk_read: the request belongs to the host until linux_disk_read_done, which may be called by
// any thread or context. All memory behind it is Linux's pool, which no thread owns.
unsafe impl Send for ReadRequest {}
// SAFETY: by shared reference only plain numbers are read.
unsafe impl Sync for ReadRequest {}

impl ReadRequest {
    /// Takes over a request that Linux passed to disk_read. The caller has entered the gate of reads for it.
    ///
    /// # Safety
    /// `raw` is a request that belongs to the host now, by the contract of disk_read.
    pub(crate) unsafe fn adopt(raw: NonNull<lkl_disk_read>, shared: Arc<Shared>) -> Self {
        ReadRequest {
            raw,
            shared,
            shift: 0,
            result: Err(Errno::EIO),
        }
    }

    fn raw(&self) -> &lkl_disk_read {
        // SAFETY: it is ours until linux_disk_read_done, and that is only called by drop.
        unsafe { self.raw.as_ref() }
    }

    /// Bytes from the start of the disk; a multiple of its block size.
    pub fn offset(&self) -> u64 {
        self.raw().offset.saturating_add(self.shift)
    }

    /// The same request to a disk in which this one begins at `bytes`.
    pub(crate) fn shifted(mut self, bytes: u64) -> Self {
        self.shift = self.shift.saturating_add(bytes);
        self
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.raw().len
    }

    /// Whether there is nothing to read. Linux sends no such request.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many pieces of memory the bytes go to.
    pub fn segment_count(&self) -> usize {
        self.raw().segment_count
    }

    /// The pieces of memory to fill, in order.
    pub fn segments(&mut self) -> impl ExactSizeIterator<Item = &mut [u8]> {
        self.pieces().iter().map(|piece| {
            // SAFETY: the segments of a request are distinct writable memory that belongs to it; `self` is
            // borrowed mutably for as long as the slices live.
            unsafe { core::slice::from_raw_parts_mut(piece.addr.cast::<u8>(), piece.len) }
        })
    }

    /// The pieces as addresses and lengths, for a host that hands them to a device or a system call. They are valid
    /// until the request is completed or dropped.
    pub fn raw_segments(&self) -> impl ExactSizeIterator<Item = (NonNull<u8>, usize)> + Clone {
        self.pieces().iter().map(|piece| {
            // A null segment cannot be: an empty one has no address to speak of.
            (
                NonNull::new(piece.addr.cast::<u8>()).unwrap_or(NonNull::dangling()),
                piece.len,
            )
        })
    }

    fn pieces(&self) -> &[lkl_segment] {
        let raw = self.raw();
        if raw.segments.is_null() {
            return &[];
        }
        // SAFETY: Linux keeps the array of segments with the request.
        unsafe { core::slice::from_raw_parts(raw.segments, raw.segment_count) }
    }

    /// Two words that travel with the request, null at first, for a host's own state.
    pub fn host_private(&mut self) -> &mut [*mut c_void; 2] {
        // SAFETY: as for raw(); the member is the host's own, and `self` is borrowed mutably.
        let [own @ .., _shift, _shared] = unsafe { &mut self.raw.as_mut().host_private };
        own
    }

    /// Answers. After `Ok`, Linux takes the segments for filled. Any context.
    ///
    /// ENOMEM says that nothing is wrong with the disk. Linux's file systems know no difference to EIO; the system call that
    /// this fails ends with ENOMEM all the same.
    pub fn complete(mut self, result: Result<(), Errno>) {
        self.result = result;
    }

    /// Turns the request into a pointer, for a host that keeps it in a structure of C (an IRP's context).
    pub fn into_raw(self) -> NonNull<c_void> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped and its Arc not used again: it moves into the word below.
        let shared = unsafe { core::ptr::read(&this.shared) };
        let raw = this.raw;
        let shift = this.shift;
        // SAFETY: the request is ours, and nothing else refers to it now.
        let [.., shift_word, shared_word] = unsafe { &mut this.raw.as_mut().host_private };
        *shift_word = core::ptr::without_provenance_mut(usize::try_from(shift).unwrap_or(usize::MAX));
        *shared_word = Arc::into_raw(shared).cast_mut().cast();
        raw.cast()
    }

    /// The way back from [`ReadRequest::into_raw`].
    ///
    /// # Safety
    /// `raw` came from `into_raw` and is not used again.
    pub unsafe fn from_raw(raw: NonNull<c_void>) -> Self {
        let raw: NonNull<lkl_disk_read> = raw.cast();
        // SAFETY: the request is still ours.
        let [.., shift, shared] = unsafe { raw.as_ref().host_private };
        // SAFETY: into_raw put it there, with its count.
        let shared = unsafe { Arc::from_raw(shared.cast::<Shared>().cast_const()) };
        let shift = u64::try_from(shift.addr()).unwrap_or(u64::MAX);
        ReadRequest {
            raw,
            shared,
            shift,
            result: Err(Errno::EIO),
        }
    }
}

impl Drop for ReadRequest {
    fn drop(&mut self) {
        if self.result == Err(Errno::ENOMEM) {
            self.shared.note_shortage();
        }
        let error = self.result.map_or_else(Errno::negated, |()| 0);
        let raw = self.raw.as_ptr();
        // SAFETY: the request is ours and is answered here, once; it is not touched after this.
        self.shared.answer(|| unsafe { linux_disk_read_done(raw, error) });
        // The count, dropped after this, keeps the gate's memory.
        self.shared.reads.leave();
    }
}

impl fmt::Debug for ReadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadRequest")
            .field("offset", &self.offset())
            .field("len", &self.len())
            .field("segments", &self.segment_count())
            .finish()
    }
}
