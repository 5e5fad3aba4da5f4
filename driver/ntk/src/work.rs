//! Posting: an IRP that may have to wait, from a caller who may not, goes on in a system worker thread.
//!
//! Worker threads are few and everybody's, so a volume has only some of them at a time ([`MOST`]): a disk that hangs must
//! not take them all. What comes while they are taken waits in the volume's own queue, where it can be cancelled, and is
//! taken over by the first worker that is done. What a worker has begun cannot be cancelled: see driver/README.md.
//
// UNSAFETY: work items and their callback, the cancel routine.

use crate::dispatch;
use crate::irp::Irp;
use crate::nt::{
    _WORK_QUEUE_TYPE, IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem, IoReleaseCancelSpinLock, NTSTATUS,
    PDEVICE_OBJECT, PIO_WORKITEM, PIRP, PVOID, raw_status,
};
use crate::open::Open;
use crate::sync::SpinLock;
use crate::volume::MountedVolume;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::ptr::NonNull;
use lkl_host_ntk::stack;
use lklfs_nt::NtStatus;

/// The most worker threads that a volume has at a time.
const MOST: u32 = 4;

struct State {
    workers: u32,
    waiting: VecDeque<Irp>,
}

/// The posted IRPs of a volume.
pub struct Posts {
    state: SpinLock<State>,
}

impl Posts {
    /// None yet.
    pub const fn new() -> Self {
        Posts {
            state: SpinLock::new(State {
                workers: 0,
                waiting: VecDeque::new(),
            }),
        }
    }

    /// Counts a worker in, if the volume may have one more. Otherwise the IRP, which is marked pending, is queued; it comes
    /// back with what it is to be failed with if it cannot be.
    fn begin(&self, irp: Irp) -> Begun {
        let mut state = self.state.lock();
        if state.workers < MOST {
            state.workers = state.workers.saturating_add(1);
            return Begun::Work(irp);
        }
        if state.waiting.try_reserve(1).is_err() {
            return Begun::Fail(irp, NtStatus::INSUFFICIENT_RESOURCES);
        }
        let _ = irp.set_cancel_routine(Some(cancelled));
        // Cancelled before the routine was there: whoever takes the routine away ends the IRP.
        if irp.is_cancelled() && irp.set_cancel_routine(None) {
            return Begun::Fail(irp, NtStatus::CANCELLED);
        }
        state.waiting.push_back(irp);
        Begun::Waits
    }

    /// The next that waits; without one the worker is counted out.
    fn next(&self) -> Option<Irp> {
        let mut state = self.state.lock();
        let next = take(&mut state.waiting);
        if next.is_none() {
            state.workers = state.workers.saturating_sub(1);
        }
        next
    }

    /// Fails all that wait: the volume is given up.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn fail_waiting(&self, status: NtStatus) {
        loop {
            let next = take(&mut self.state.lock().waiting);
            let Some(irp) = next else { break };
            let _ = irp.fail(status);
        }
    }

    /// Takes an IRP off the queue, if it is there still.
    fn forget(&self, irp: PIRP) {
        let mut state = self.state.lock();
        let at = state.waiting.iter().position(|waiting| waiting.as_ptr() == irp);
        if let Some(waiting) = at.and_then(|at| state.waiting.remove(at)) {
            // The cancel routine, which is the only caller, has it too.
            let _ = waiting.hand_over();
        }
    }
}

impl Default for Posts {
    fn default() -> Self {
        Posts::new()
    }
}

enum Begun {
    Work(Irp),
    Waits,
    Fail(Irp, NtStatus),
}

/// Takes the first IRP that is not being cancelled. The others are left to their cancel routine, which is under way.
fn take(waiting: &mut VecDeque<Irp>) -> Option<Irp> {
    while let Some(irp) = waiting.pop_front() {
        if irp.set_cancel_routine(None) {
            return Some(irp);
        }
        let _ = irp.hand_over();
    }
    None
}

unsafe extern "C" fn cancelled(_device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: the I/O manager has noted the IRQL before it called this with the cancel lock held.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: as above.
    unsafe { IoReleaseCancelSpinLock(irql) };
    let Some(raw) = NonNull::new(irp) else { return };
    // SAFETY: whoever takes the cancel routine away owns the IRP, and the I/O manager did so.
    let owned = unsafe { Irp::adopt(raw) };
    // SAFETY: the IRP keeps its file object, and with it the volume.
    if let Some(open) = unsafe { Open::of(owned.file_object()) } {
        open.volume.posts.forget(irp);
    }
    let _ = owned.fail(NtStatus::CANCELLED);
}

struct Posted {
    irp: Irp,
    item: PIO_WORKITEM,
    volume: Arc<MountedVolume>,
}

/// Queues the IRP for a worker thread, where [`dispatch::route`] runs with leave to wait. Buffers that only the
/// caller's address space shows must be locked before.
///
/// IRQL: <= DISPATCH_LEVEL. Returns what the dispatch routine returns.
pub fn post(irp: Irp, volume: &Arc<MountedVolume>) -> NTSTATUS {
    irp.mark_pending();
    match volume.posts.begin(irp) {
        Begun::Work(irp) => start(irp, volume),
        // The volume may have been given up meanwhile, with all of its workers waiting for a disk that hangs.
        Begun::Waits => {
            if let Some(refusal) = volume.refusal() {
                volume.posts.fail_waiting(refusal);
            }
        }
        Begun::Fail(irp, status) => {
            let _ = irp.fail(status);
        }
    }
    raw_status(NtStatus::PENDING)
}

/// Starts a worker with its first IRP. For lack of memory the IRP fails, as do those that wait when no other worker is
/// there to take them over.
fn start(irp: Irp, volume: &Arc<MountedVolume>) {
    // SAFETY: the IRP was sent to this device of ours.
    let item = unsafe { IoAllocateWorkItem(irp.device()) };
    if item.is_null() {
        let _ = irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
        give_up(volume);
        return;
    }
    let posted = Posted {
        irp,
        item,
        volume: Arc::clone(volume),
    };
    let Some(posted) = lkl::try_box(posted) else {
        // The IRP went with the box and is complete.
        // SAFETY: allocated above, not queued.
        unsafe { IoFreeWorkItem(item) };
        give_up(volume);
        return;
    };
    let context: PVOID = Box::into_raw(posted).cast();
    // SAFETY: the item is ours, and the context is taken back by the callback.
    unsafe { IoQueueWorkItem(item, Some(perform), _WORK_QUEUE_TYPE::CriticalWorkQueue, context) };
}

fn give_up(volume: &MountedVolume) {
    while let Some(irp) = volume.posts.next() {
        let _ = irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
    }
}

unsafe extern "C" fn perform(_device: PDEVICE_OBJECT, context: PVOID) {
    // SAFETY: start() made it of a box, and the callback runs once.
    let posted = unsafe { Box::from_raw(context.cast::<Posted>()) };
    let Posted { irp, item, volume } = *posted;
    let mut next = Some(irp);
    while let Some(irp) = next {
        let _ = dispatch::inside_file_system(irp, |irp| dispatch::route(irp, true));
        next = volume.posts.next();
    }
    // This may be the last count, and then Linux unmounts.
    let mut volume = Some(volume);
    while volume.is_some() {
        let _ = stack::on_large_stack(|| drop(volume.take()));
    }
    // SAFETY: the item is not queued any more.
    unsafe { IoFreeWorkItem(item) };
}
