//! One request to change a disk, as the host's disk sees it.
//!
//! [`WriteRequest`] is linear, as [`lkl::ReadRequest`] is: whoever holds it owes Linux an answer, and dropping it is the
//! answer "I/O error".

#![allow(unsafe_code)]

use crate::sys::{LKL_DISK_FUA, LKL_DISK_NOUNMAP, lkl_disk_write};
use lkl::Errno;
use lkl::extend::RequestTicket;
use lkl::sys::lkl_segment;
use std::fmt;
use std::ptr::NonNull;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Write the segments' bytes. With `durable`, the answer is that they would survive a loss of power.
    Write {
        /// FUA.
        durable: bool,
    },
    /// Make durable every write, discard and zeroing that was answered before this came.
    Flush,
    /// The bytes are not needed any more, and may read as anything.
    Discard,
    /// Make the bytes zero. With `keep_room`, the device goes on having room for them.
    WriteZeroes {
        /// Not by giving the blocks back.
        keep_room: bool,
    },
}

/// A request that Linux wants done.
///
/// It may be moved to another thread and completed at any time, in any order, in any context. While it lives, Linux
/// cannot be halted; Linux can be abandoned, and then the memory that it writes from stays for as long as it lives.
pub struct WriteRequest {
    raw: NonNull<lkl_disk_write>,
    operation: Operation,
    /// Added to the offset that Linux asked for: the start of a partition.
    shift: u64,
    result: Result<(), Errno>,
    /// Dropped last: after the answer.
    ticket: RequestTicket,
}

// SAFETY: the contract of host_write.h: the request belongs to the host until done(), which any thread or context may
// call. All memory behind it is Linux's pool, which no thread owns.
unsafe impl Send for WriteRequest {}
// SAFETY: by shared reference only plain numbers and the segments' bytes are read, which Linux does not change meanwhile
// in a way that matters: what is written while a page changes is written again.
unsafe impl Sync for WriteRequest {}

impl WriteRequest {
    /// Takes over a request that Linux passed to an operation.
    ///
    /// # Safety
    /// `raw` is a request that belongs to the host now, by the contract of host_write.h, and asks for `kind`.
    pub(crate) unsafe fn adopt(raw: NonNull<lkl_disk_write>, kind: Kind, ticket: RequestTicket) -> Self {
        // SAFETY: the caller's promise.
        let flags = unsafe { raw.as_ref() }.flags;
        let operation = match kind {
            Kind::Write => Operation::Write {
                durable: flags & LKL_DISK_FUA != 0,
            },
            Kind::Flush => Operation::Flush,
            Kind::Discard => Operation::Discard,
            Kind::WriteZeroes => Operation::WriteZeroes {
                keep_room: flags & LKL_DISK_NOUNMAP != 0,
            },
        };
        WriteRequest {
            raw,
            operation,
            shift: 0,
            result: Err(Errno::EIO),
            ticket,
        }
    }

    fn raw(&self) -> &lkl_disk_write {
        // SAFETY: it is ours until done(), and that is only called by drop.
        unsafe { self.raw.as_ref() }
    }

    /// What to do.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Bytes from the start of the disk; a multiple of its block size. 0 of a flush.
    pub fn offset(&self) -> u64 {
        self.raw().offset.saturating_add(self.shift)
    }

    /// The same request to a disk in which this one begins at `bytes`. A flush is the same everywhere.
    pub(crate) fn shifted(mut self, bytes: u64) -> Self {
        if self.operation != Operation::Flush {
            self.shift = self.shift.saturating_add(bytes);
        }
        self
    }

    /// Bytes in all. 0 of a flush.
    pub fn len(&self) -> usize {
        self.raw().len
    }

    /// Whether it is about no bytes: a flush.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces of memory to write, in order. None but of a write.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.pieces().iter().map(|piece| {
            // SAFETY: the segments of a request are readable memory that stays until it is answered.
            unsafe { std::slice::from_raw_parts(piece.addr.cast::<u8>().cast_const(), piece.len) }
        })
    }

    fn pieces(&self) -> &[lkl_segment] {
        let raw = self.raw();
        if raw.segments.is_null() {
            return &[];
        }
        // SAFETY: Linux keeps the array of segments with the request.
        unsafe { std::slice::from_raw_parts(raw.segments, raw.segment_count) }
    }

    /// Answers. Any context. ENOSPC reaches a program as it is, EROFS and most others as EIO (host_write.h).
    pub fn complete(mut self, result: Result<(), Errno>) {
        self.result = result;
    }
}

impl Drop for WriteRequest {
    fn drop(&mut self) {
        if self.result == Err(Errno::ENOMEM) {
            self.ticket.note_shortage();
        }
        let error = self.result.map_or_else(Errno::negated, |()| 0);
        let done = self.raw().done;
        let raw = self.raw.as_ptr();
        // SAFETY: the request is ours and is answered here, once; it is not touched after this.
        self.ticket.answer(|| unsafe { done(raw, error) });
    }
}

impl fmt::Debug for WriteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteRequest")
            .field("operation", &self.operation)
            .field("offset", &self.offset())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Which operation of the table Linux has called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Flush,
    Discard,
    WriteZeroes,
}
