//! One request under way.
//!
//! The IRP's status goes to a status block of the kernel's; the data to a buffer in user memory, so that the
//! driver meets the addresses that a program would give it. Dropping a pending request cancels it and waits
//! for its end, as a thread's end does.

use crate::io::cancel;
use crate::io::file::{self, Waiter};
use crate::mm::user::UserRegion;
use crate::nt::*;
use std::time::{Duration, Instant};

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its status.
    pub status: NTSTATUS,
    /// `IoStatus.Information`.
    pub information: usize,
    /// The output, cut to `information` where that counts bytes.
    pub bytes: Vec<u8>,
}

impl Outcome {
    /// A failure before any request was made.
    pub fn failed(status: NTSTATUS) -> Outcome {
        Outcome {
            status,
            information: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes of a success, or the status of anything else, STATUS_BUFFER_OVERFLOW included.
    pub fn into_result(self) -> Result<Vec<u8>, NTSTATUS> {
        if nt_success(self.status) {
            Ok(self.bytes)
        } else {
            Err(self.status)
        }
    }
}

/// A request that may not have ended.
pub struct Pending {
    waiter: Waiter,
    packet: usize,
    file_object: usize,
    /// Where the output goes; None when the caller has the buffer.
    buffer: Option<UserRegion>,
    first: NTSTATUS,
    ended: bool,
}

impl Pending {
    /// # Safety
    /// The request was sent with this waiter and returned `status`; the caller holds the file object for as
    /// long.
    pub(super) unsafe fn new(
        waiter: Waiter,
        packet: PIRP,
        file_object: PFILE_OBJECT,
        buffer: Option<UserRegion>,
        status: NTSTATUS,
    ) -> Pending {
        // SAFETY: by contract the file object is live.
        unsafe { file::reference(file_object) };
        Pending {
            waiter,
            packet: packet as usize,
            file_object: file_object as usize,
            buffer,
            first: status,
            ended: status != STATUS_PENDING,
        }
    }

    /// What the driver's dispatch routine returned.
    pub fn returned(&self) -> NTSTATUS {
        self.first
    }

    /// It has ended.
    pub fn is_done(&self) -> bool {
        self.ended || self.waiter.is_done()
    }

    /// Waits for its end, at most so long. False: not yet.
    pub fn wait_for(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.is_done() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        true
    }

    /// Asks the driver to cancel it. False: it had ended already.
    pub fn cancel(&self) -> bool {
        cancel::cancel(self.file_object as PFILE_OBJECT, Some(self.packet as PIRP)) != 0
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Outcome {
        let (status, information) = self.waiter.outcome(self.first);
        self.ended = true;
        let bytes = match &self.buffer {
            Some(buffer) if (status as u32) >> 30 != 3 => {
                let mut bytes = buffer.read();
                bytes.truncate(information);
                bytes
            }
            _ => Vec::new(),
        };
        Outcome {
            status,
            information,
            bytes,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.ended {
            if !self.is_done() {
                self.cancel();
            }
            self.waiter.outcome(STATUS_PENDING);
        }
        // SAFETY: the reference taken in `new`.
        unsafe { file::dereference(self.file_object as PFILE_OBJECT) };
    }
}
