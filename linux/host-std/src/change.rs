//! Requests to a disk that may change, for a device that has the operations of a file ([`Storage`]): [`Changes`] is what the threads
//! of such a disk work on, and a [`Job`] is what they are given.
//!
//! What is the same for every such device is here: which operation answers which request; zeros that are written where the
//! device cannot make them; and the promise of flushes. A system says once that something which was written has not come to the
//! device, to whichever call comes next, and forgets. So from then on every flush fails ([`Changes`] remembers): a flush that
//! succeeds covers all writes since the disk was added.

use crate::workers::{Reading, Serve};
use lkl::Errno;
use lkl_write::{Operation, WriteRequest};
use std::sync::atomic::{AtomicBool, Ordering};

/// A device with the operations of a file. Each waits for the device as long as it takes.
pub trait Storage: Send + Sync + 'static {
    /// Reads what is left of a request.
    fn read(&self, reading: &mut Reading) -> Result<(), Errno>;

    /// Writes the pieces one behind the other, all of them. With `durable`, they survive a loss of power afterwards; asked
    /// for only where the disk has said that it can.
    fn write(&self, offset: u64, pieces: &[&[u8]], durable: bool) -> Result<(), Errno>;

    /// Has everything that was written survive a loss of power.
    fn flush(&self) -> Result<(), Errno>;

    /// The bytes are of no use any more.
    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno>;

    /// Makes the bytes zero; with `keep_room` without giving their room back. EOPNOTSUPP where it cannot.
    fn zero(&self, offset: u64, len: u64, keep_room: bool) -> Result<(), Errno>;
}

/// A request to the threads of a disk.
#[derive(Debug)]
pub enum Job {
    /// To read, or what is left of that.
    Read(Reading),
    /// To change it.
    Change(WriteRequest),
}

/// The changes of one disk.
#[derive(Debug)]
pub struct Changes<S> {
    storage: S,
    /// Something that was written may not have come to the device.
    lost: AtomicBool,
    /// The device cannot make zeros: without keeping their room, and with it.
    no_zeros: [AtomicBool; 2],
}

/// Bytes of zeros that are written at once.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

impl<S: Storage> Changes<S> {
    /// None yet.
    pub fn new(storage: S) -> Changes<S> {
        Changes {
            storage,
            lost: AtomicBool::new(false),
            no_zeros: Default::default(),
        }
    }

    /// The device.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Does a request and answers it.
    fn change(&self, request: WriteRequest) {
        let (offset, len) = (request.offset(), request.len() as u64);
        let result = match request.operation() {
            Operation::Write { durable } => {
                let pieces: Vec<&[u8]> = request.segments().collect();
                let written = self.storage.write(offset, &pieces, durable);
                // Of a durable write an error may be one that a write before has left.
                if durable { self.promised(written) } else { written }
            }
            Operation::Flush => self.promised(self.storage.flush()),
            Operation::Discard => self.storage.discard(offset, len),
            Operation::WriteZeroes { keep_room } => self.zero(offset, len, keep_room),
        };
        request.complete(result);
    }

    /// The result of what has promised that all is durable.
    fn promised(&self, result: Result<(), Errno>) -> Result<(), Errno> {
        if result.is_err() {
            self.lost.store(true, Ordering::Release);
        }
        if self.lost.load(Ordering::Acquire) {
            return Err(result.err().unwrap_or(Errno::EIO));
        }
        result
    }

    fn zero(&self, offset: u64, len: u64, keep_room: bool) -> Result<(), Errno> {
        let no_zeros = &self.no_zeros[usize::from(keep_room)];
        if !no_zeros.load(Ordering::Relaxed) {
            match self.storage.zero(offset, len, keep_room) {
                Err(Errno::EOPNOTSUPP) => no_zeros.store(true, Ordering::Relaxed),
                result => return result,
            }
        }
        let mut done = 0;
        while done < len {
            let part = usize::try_from(len - done).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.storage.write(offset + done, &[&ZEROS[..part]], false)?;
            done += part as u64;
        }
        Ok(())
    }
}

impl<S: Storage> Serve for Changes<S> {
    type Job = Job;

    fn serve(&self, job: Job) {
        match job {
            Job::Read(mut reading) => {
                let result = self.storage.read(&mut reading);
                reading.request.complete(result);
            }
            Job::Change(request) => self.change(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A device in memory, whose next flush fails when it is told so.
    struct Memory {
        bytes: Mutex<Vec<u8>>,
        can_zero: bool,
        flush: Mutex<Result<(), Errno>>,
    }

    impl Storage for Memory {
        fn read(&self, _: &mut Reading) -> Result<(), Errno> {
            Err(Errno::EIO)
        }
        fn write(&self, offset: u64, pieces: &[&[u8]], _: bool) -> Result<(), Errno> {
            let mut at = usize::try_from(offset).unwrap();
            let mut bytes = self.bytes.lock().unwrap();
            for piece in pieces {
                bytes[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
            Ok(())
        }
        fn flush(&self) -> Result<(), Errno> {
            std::mem::replace(&mut *self.flush.lock().unwrap(), Ok(()))
        }
        fn discard(&self, _: u64, _: u64) -> Result<(), Errno> {
            Ok(())
        }
        fn zero(&self, _: u64, _: u64, _: bool) -> Result<(), Errno> {
            if self.can_zero {
                Ok(())
            } else {
                Err(Errno::EOPNOTSUPP)
            }
        }
    }

    fn memory(can_zero: bool) -> Changes<Memory> {
        Changes::new(Memory {
            bytes: Mutex::new(vec![7; 1 << 20]),
            can_zero,
            flush: Mutex::new(Ok(())),
        })
    }

    #[test]
    fn zeros_are_written_where_the_device_makes_none() {
        let changes = memory(false);
        changes.zero(512, 700 << 10, true).unwrap();
        changes.zero(1 << 19, 512, true).unwrap();
        let bytes = changes.storage().bytes.lock().unwrap();
        let end = 512 + (700 << 10);
        assert!(bytes[..512].iter().all(|byte| *byte == 7));
        assert!(bytes[512..end].iter().all(|byte| *byte == 0));
        assert!(bytes[end..].iter().all(|byte| *byte == 7));
        let changes = memory(true);
        changes.zero(0, 512, false).unwrap();
        assert_eq!(
            changes.storage().bytes.lock().unwrap()[0],
            7,
            "the device has done it"
        );
    }

    #[test]
    fn after_a_flush_that_failed_none_succeeds() {
        let changes = memory(true);
        let flush = || changes.promised(changes.storage().flush());
        assert_eq!(flush(), Ok(()));
        *changes.storage().flush.lock().unwrap() = Err(Errno::ENOSPC);
        assert_eq!(flush(), Err(Errno::ENOSPC));
        assert_eq!(
            flush(),
            Err(Errno::EIO),
            "the system has forgotten, the disk has not"
        );
        assert_eq!(
            changes.promised(Ok(())),
            Err(Errno::EIO),
            "nor for a durable write"
        );
    }
}
