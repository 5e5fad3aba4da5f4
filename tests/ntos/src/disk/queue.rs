//! Reads on their way: performed at once or by the disk's own threads, and completed at DISPATCH_LEVEL.
//!
//! A queued read waits until it is due; among those that are due, the seed picks one, so completions come out
//! of order. Threads are started on demand, up to [`MAX_THREADS`] for each disk, and serve for the life of
//! the process.

use super::{Completion, Disk, FaultKind};
use crate::io::{complete, harderror, irp, kernel};
use crate::nt::*;
use crate::verifier::moments;
use crate::{ke, mm, ps};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MAX_THREADS: usize = 4;

/// A read: where on the disk, for which IRP, and what will go wrong with it.
struct Read {
    packet: usize,
    offset: u64,
    len: usize,
    fault: Option<FaultKind>,
    due: Instant,
    /// Changes of the medium when it came.
    changes: u64,
}

/// The reads of one disk.
pub(super) struct Queue {
    waiting: Mutex<State>,
    work: kernel::HostSemaphore,
    random: AtomicU64,
}

#[derive(Default)]
struct State {
    reads: VecDeque<Read>,
    held: Vec<Read>,
    threads: usize,
}

impl Queue {
    pub(super) fn new(seed: u64) -> Queue {
        Queue {
            waiting: Mutex::default(),
            work: kernel::HostSemaphore::new(),
            random: AtomicU64::new(seed | 1),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number below `bound`, from the seed (splitmix64).
    fn choose(&self, bound: u64) -> u64 {
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Ends the reads that hang: their disk is gone.
    pub(super) fn release_held(&self) {
        let held = std::mem::take(&mut self.state().held);
        for read in held {
            // SAFETY: a held IRP is the disk's until it is completed here.
            unsafe { end(read.packet as PIRP, STATUS_NO_SUCH_DEVICE, 0) };
        }
    }
}

/// Serves the reads that hang.
pub(super) fn serve_held(disk: &Arc<Disk>) {
    let held = std::mem::take(&mut disk.queue.state().held);
    for mut read in held {
        read.fault = None;
        enqueue(disk, read);
    }
}

fn enqueue(disk: &Arc<Disk>, read: Read) {
    let queue = &disk.queue;
    let spawn = {
        let mut state = queue.state();
        state.reads.push_back(read);
        let spawn = state.threads < MAX_THREADS && state.reads.len() > state.threads;
        state.threads += usize::from(spawn);
        spawn
    };
    if spawn {
        let disk = Arc::clone(disk);
        ps::spawn_system("disk", move || serve(&disk));
    }
    queue.work.up();
}

/// Starts a read of `len` bytes at `offset` of the disk. The answer is the dispatch routine's.
///
/// # Safety
/// `packet` is at the disk and has an MDL of at least `len` bytes.
pub(super) unsafe fn start(disk: &Arc<Disk>, packet: PIRP, offset: u64, len: usize) -> NTSTATUS {
    let number = disk.counts.read(len as u64);
    moments::pass(moments::Kind::DiskRead);
    let fault = disk.fault(number);
    if fault == Some(FaultKind::Remove) {
        disk.remove();
    }
    let queue = &disk.queue;
    let queued = match disk.config.completion {
        Completion::Inline => false,
        Completion::Queued => true,
        Completion::Seeded => queue.choose(4) != 0,
    };
    let later = queued || fault == Some(FaultKind::Hang);
    let due = Instant::now() + disk.config.delay;
    let read = Read {
        packet: packet as usize,
        offset,
        len,
        fault,
        due,
        changes: disk.changes.load(Ordering::SeqCst),
    };
    if !later {
        // SAFETY: by contract.
        return unsafe {
            let (status, information) = perform(disk, &read);
            end(packet, status, information);
            disk.counts.under_way.fetch_sub(1, Ordering::Relaxed);
            status
        };
    }
    // SAFETY: the IRP is ours, and marked before anyone can complete it.
    unsafe { (*irp::current(packet)).Control |= SL_PENDING_RETURNED as u8 };
    if fault == Some(FaultKind::Hang) && !disk.is_removed() {
        queue.state().held.push(read);
        return STATUS_PENDING;
    }
    enqueue(disk, read);
    STATUS_PENDING
}

fn serve(disk: &Arc<Disk>) {
    loop {
        disk.queue.work.down();
        let read = {
            let mut state = disk.queue.state();
            let at = match disk.config.completion {
                Completion::Seeded if state.reads.len() > 1 => {
                    usize::try_from(disk.queue.choose(state.reads.len() as u64)).unwrap_or(0)
                }
                _ => 0,
            };
            state.reads.remove(at)
        };
        let Some(read) = read else { continue };
        let wait = read.due.saturating_duration_since(Instant::now());
        if wait > Duration::ZERO {
            std::thread::sleep(wait);
        }
        // SAFETY: a queued IRP is the disk's until it is completed here.
        unsafe {
            let (status, information) = perform(disk, &read);
            end(read.packet as PIRP, status, information);
        }
        disk.counts.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads into the IRP's MDL.
///
/// # Safety
/// The IRP is the disk's.
unsafe fn perform(disk: &Disk, read: &Read) -> (NTSTATUS, usize) {
    if disk.is_removed() {
        return (STATUS_NO_SUCH_DEVICE, 0);
    }
    if disk.changes.load(Ordering::SeqCst) != read.changes {
        return (STATUS_VERIFY_REQUIRED, 0);
    }
    let len = match read.fault {
        Some(FaultKind::Error(status)) => return (status, 0),
        Some(FaultKind::Short(bytes)) => read.len.min(bytes),
        _ => read.len,
    };
    // SAFETY: by contract; the MDL's pages are locked until the completion.
    let segments = unsafe { mm::mdl::segments((*(read.packet as PIRP)).MdlAddress, len) };
    let mut at = read.offset;
    for segment in segments {
        if disk.image.read_at(segment, at).is_err() {
            return (STATUS_DEVICE_DATA_ERROR, 0);
        }
        if let Some(FaultKind::Corrupt(bit)) = read.fault {
            let bit = bit % 4096;
            for sector in segment.chunks_mut(512) {
                if let Some(byte) = sector.get_mut(bit as usize / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
        at += segment.len() as u64;
    }
    if disk.changes.load(Ordering::SeqCst) != read.changes {
        return (STATUS_VERIFY_REQUIRED, 0);
    }
    (STATUS_SUCCESS, len)
}

/// Completes at DISPATCH_LEVEL.
///
/// # Safety
/// The IRP is the disk's, which gives it up.
unsafe fn end(packet: PIRP, status: NTSTATUS, information: usize) {
    // SAFETY: by contract.
    unsafe {
        harderror::before_completion(packet, (*irp::current(packet)).DeviceObject, status);
        irp::set_status(packet, status, information);
        let before = ke::raise_irql(2);
        complete::complete(packet);
        ke::lower_irql(before);
    }
}
