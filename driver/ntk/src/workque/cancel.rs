//! The posted requests of a volume, or of the control devices, and to whom their IRPs belong: to a worker, for the moments in which it uses them; to the
//! cancel routine; or to the end of the volume. Whoever comes first.
//!
//! An IRP that was admitted may be complete, its handle closed, and the volume gone with that handle, before
//! [`Posts::admit`] has returned: what the IRP or its file object keeps alive is not touched any more, and the posts
//! themselves are there because the caller has a count of its own.
//
// UNSAFETY: the cancel routine, the IRP between two owners.

use crate::irp::Irp;
use crate::major::create;
use crate::workque::deferred::Later;
use crate::workque::request::Task;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use lklfs_fsd::Outcome;
use lklfs_kernel::nt::{IRP, IoReleaseCancelSpinLock, PDEVICE_OBJECT, PIRP};
use lklfs_kernel::sync::SpinLock;
use lklfs_nt::NtStatus;

/// The most worker threads that one of these has at a time.
const MOST: u32 = 16;

/// Who may touch an IRP that was posted.
enum Phase {
    /// Nobody does now. Whoever wants to, changes this.
    Free,
    /// One thread does.
    Used,
    /// One thread does, and it was cancelled meanwhile, too late or to be ended by that thread.
    Cancelled,
    /// Its cancel routine is on its way and ends it with this.
    Handed(Outcome),
}

struct Entry {
    id: u64,
    irp: NonNull<IRP>,
    phase: Phase,
}

// SAFETY: an IRP may be worked on by any thread; the phase says by which.
unsafe impl Send for Entry {}

struct State {
    /// What all of them end with since their volume is given up.
    refusal: Option<NtStatus>,
    workers: u32,
    last_id: u64,
    /// Those whose IRP is not complete, by their numbers.
    entries: Vec<Entry>,
    /// Those that no worker has begun.
    waiting: VecDeque<Task>,
}

impl State {
    fn position(&self, id: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok()
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        let at = self.position(id)?;
        self.entries.get_mut(at)
    }

    fn remove(&mut self, id: u64) {
        if let Some(at) = self.position(id) {
            let _ = self.entries.remove(at);
        }
    }

    fn take_waiting(&mut self, id: u64) -> Option<Task> {
        let at = self.waiting.iter().position(|task| task.request.id() == id)?;
        self.waiting.remove(at)
    }
}

/// Posted requests.
pub struct Posts {
    state: SpinLock<State>,
}

/// What becomes of a request.
pub enum Admitted {
    /// A worker is to do it.
    Start(Task),
    /// It is queued.
    Waits,
    /// It is to be failed.
    Fail(Irp, Task, NtStatus),
}

impl Posts {
    /// None yet.
    pub const fn new() -> Self {
        Posts {
            state: SpinLock::new(State {
                refusal: None,
                workers: 0,
                last_id: 0,
                entries: Vec::new(),
                waiting: VecDeque::new(),
            }),
        }
    }

    /// Takes a request whose IRP is marked pending. From now on it may be cancelled.
    pub fn admit(self: &Arc<Self>, irp: Irp, mut task: Task) -> Admitted {
        let mut state = self.state.lock();
        if let Some(refusal) = state.refusal {
            return Admitted::Fail(irp, task, refusal);
        }
        if state.entries.try_reserve(1).is_err() || state.waiting.try_reserve(1).is_err() {
            return Admitted::Fail(irp, task, NtStatus::INSUFFICIENT_RESOURCES);
        }
        let id = state.last_id.wrapping_add(1);
        state.last_id = id;
        let posts = Arc::into_raw(Arc::clone(self));
        irp.set_driver_context([posts.expose_provenance(), id as usize]);
        let _ = irp.set_cancel_routine(Some(cancelled));
        // Cancelled before the routine was there: whoever takes the routine away ends the IRP.
        if irp.is_cancelled() && irp.set_cancel_routine(None) {
            // SAFETY: the count that was made above; the caller has another one.
            drop(unsafe { Arc::from_raw(posts) });
            return Admitted::Fail(irp, task, NtStatus::CANCELLED);
        }
        state.entries.push(Entry {
            id,
            irp: irp.hand_over(),
            phase: Phase::Free,
        });
        task.request.admitted(id);
        if state.workers < MOST {
            state.workers = state.workers.saturating_add(1);
            return Admitted::Start(task);
        }
        state.waiting.push_back(task);
        Admitted::Waits
    }

    /// The next that waits, for a worker that is done with one; without one the worker is counted out.
    pub fn next(&self) -> Option<Task> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.workers = state.workers.saturating_sub(1);
        }
        next
    }

    /// Has the calling thread use the IRP, unless it is gone.
    pub fn begin(&self, id: u64) -> bool {
        match self.state.lock().entry(id) {
            Some(entry) if matches!(entry.phase, Phase::Free) => {
                entry.phase = Phase::Used;
                true
            }
            _ => false,
        }
    }

    /// The calling thread uses the IRP no more. False if it was cancelled meanwhile: the caller completes it.
    pub fn pause(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        match state.entry(id) {
            Some(entry) if matches!(entry.phase, Phase::Used) => {
                entry.phase = Phase::Free;
                true
            }
            _ => {
                state.remove(id);
                false
            }
        }
    }

    /// The calling thread, which uses the IRP, is done with it. Whether it completes it; else the cancel routine does.
    pub fn end(&self, id: u64, irp: &Irp, outcome: Outcome) -> bool {
        let posts = {
            let mut state = self.state.lock();
            match state.entry(id) {
                // The routine has come and gone, with the IRP's count.
                Some(entry) if matches!(entry.phase, Phase::Cancelled) => {
                    state.remove(id);
                    return true;
                }
                Some(_) if irp.set_cancel_routine(None) => {
                    state.remove(id);
                    let [posts, _] = irp.driver_context();
                    core::ptr::with_exposed_provenance::<Posts>(posts)
                }
                Some(entry) => {
                    entry.phase = Phase::Handed(outcome);
                    return false;
                }
                None => return false,
            }
        };
        // SAFETY: admit() put a count there, and with the cancel routine it was taken off.
        drop(unsafe { Arc::from_raw(posts) });
        true
    }

    /// Ends all of them, begun or not, whatever their workers wait for, and all that are to come: their volume is given up.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn close(&self, status: NtStatus) {
        self.state.lock().refusal = Some(status);
        loop {
            let (entry, waiting) = {
                let mut state = self.state.lock();
                let free = state
                    .entries
                    .iter_mut()
                    .find(|entry| matches!(entry.phase, Phase::Free));
                let Some(entry) = free else { break };
                entry.phase = Phase::Used;
                let (id, irp) = (entry.id, entry.irp);
                ((id, irp), state.take_waiting(id))
            };
            let (id, raw) = entry;
            // SAFETY: this thread uses the IRP now.
            let irp = unsafe { Irp::adopt(raw) };
            let outcome = create::refused(&irp, status);
            if self.end(id, &irp, outcome) {
                let _ = irp.complete(outcome);
            } else {
                let _ = irp.hand_over();
            }
            drop(waiting);
        }
    }
}

impl Default for Posts {
    fn default() -> Self {
        Posts::new()
    }
}

unsafe extern "C" fn cancelled(_device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: the I/O manager has noted the IRQL before it called this with the cancel lock held.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: as above.
    unsafe { IoReleaseCancelSpinLock(irql) };
    let Some(raw) = NonNull::new(irp) else { return };
    // SAFETY: the IRP is there until this routine has said below that it is done with it.
    let owned = unsafe { Irp::adopt(raw) };
    let [posts, id] = owned.driver_context();
    let posts = core::ptr::with_exposed_provenance::<Posts>(posts);
    // SAFETY: admit() put a count there; whoever takes the cancel routine away takes it, and the I/O manager did so.
    let posts = unsafe { Arc::from_raw(posts) };
    let id = id as u64;
    let (outcome, task) = {
        let mut state = posts.state.lock();
        let Some(entry) = state.entry(id) else {
            let _ = owned.hand_over();
            return;
        };
        match entry.phase {
            Phase::Used | Phase::Cancelled => {
                entry.phase = Phase::Cancelled;
                let _ = owned.hand_over();
                return;
            }
            Phase::Free => {
                state.remove(id);
                (Outcome::failed(NtStatus::CANCELLED), state.take_waiting(id))
            }
            Phase::Handed(outcome) => {
                state.remove(id);
                (outcome, None)
            }
        }
    };
    let _ = owned.complete(outcome);
    let Some(task) = task else { return };
    // Only PASSIVE_LEVEL lets go of all that it may be the last to hold.
    match Later::reserve() {
        Some(later) => later.call(move || drop(task)),
        // For lack of memory a worker will find in the queue that the IRP is gone.
        None => posts.state.lock().waiting.push_back(task),
    }
}
