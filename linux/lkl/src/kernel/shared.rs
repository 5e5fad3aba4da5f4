//! What Linux's callbacks use, and what Linux calls them by.

use super::boot::{BootError, semaphore};
use crate::gate::Gate;
use crate::host::Host;
use crate::log::LogRing;
use crate::ops::Context;
use crate::sys;
use crate::tasks::Waits;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use spin::Mutex;

/// What callbacks from Linux and requests under way need, with no host type in it.
pub(crate) struct Shared {
    pub(crate) log: LogRing,
    /// Threads that are inside a system call.
    pub(crate) calls: Gate,
    /// Requests that Linux has sent and that are not answered yet.
    pub(crate) reads: Gate,
    /// Threads that tell Linux of an answer.
    pub(super) answers: Gate,
    /// Set by Linux's death, after the next two.
    died: AtomicBool,
    /// The task in whose call it was, or null.
    dead_task: AtomicPtr<sys::lkl_task>,
    /// Linux's word for the disk that had to do with it last, or null.
    dead_disk: AtomicPtr<c_void>,
    /// Of whose work it was, once Linux's disks are gone. 0: no account's.
    pub(super) dead_account: AtomicU64,
    /// Linux's memory: there until Linux has gone and no request is under way.
    pub(crate) pool: Mutex<Option<Box<dyn Send + Sync>>>,
    /// What callers wait for before they are inside.
    pub(crate) waits: Arc<Waits>,
    /// What overlays of disks may take yet, bytes.
    pub(crate) overlay_left: AtomicU64,
    /// How often the host or a disk of its had no memory for something that Linux asked for.
    shortages: AtomicU64,
}

impl Shared {
    /// For a Linux that is about to boot.
    pub(super) fn new<H: Host>(host: &H, waits: Arc<Waits>) -> Result<Shared, BootError> {
        Ok(Shared {
            log: LogRing::new().ok_or(BootError::NoMemory)?,
            calls: Gate::new(semaphore(host, 0)?),
            reads: Gate::new(semaphore(host, 0)?),
            answers: Gate::new(semaphore(host, 0)?),
            died: AtomicBool::new(false),
            dead_task: AtomicPtr::new(null_mut()),
            dead_disk: AtomicPtr::new(null_mut()),
            dead_account: AtomicU64::new(0),
            pool: Mutex::new(None),
            waits,
            overlay_left: AtomicU64::new(host.overlay_most()),
            shortages: AtomicU64::new(0),
        })
    }

    /// The host had no memory for something. Any context.
    pub(crate) fn note_shortage(&self) {
        self.shortages.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets `tell` tell Linux that a request of its is answered, unless Linux has gone. Any context.
    pub(crate) fn answer(&self, tell: impl FnOnce()) {
        if self.answers.enter() {
            tell();
            self.answers.leave();
        }
    }

    /// Linux has died, in the call of that task or else at work for that disk. Any context.
    pub(crate) fn note_death(&self, task: *const sys::lkl_task, disk: *const c_void) {
        self.dead_task.store(task.cast_mut(), Ordering::Release);
        self.dead_disk.store(disk.cast_mut(), Ordering::Release);
        self.died.store(true, Ordering::SeqCst);
    }

    /// Whether Linux has died.
    pub(crate) fn has_died(&self) -> bool {
        self.died.load(Ordering::SeqCst)
    }

    /// The task in whose call Linux has died, and its word for the disk that had to do with it last; each may be null.
    pub(super) fn death(&self) -> Option<(*const sys::lkl_task, *const c_void)> {
        let of = || {
            (
                self.dead_task.load(Ordering::Acquire).cast_const(),
                self.dead_disk.load(Ordering::Acquire).cast_const(),
            )
        };
        self.has_died().then(of)
    }

    /// How often it had none so far.
    pub(crate) fn shortages(&self) -> u64 {
        self.shortages.load(Ordering::Acquire)
    }
}

/// The host's part in a visit to Linux, with the host's type forgotten.
pub(crate) trait Marks: Send + Sync {
    fn enter_linux(&self);
    fn leave_linux(&self);
    fn set_aside(&self, layout: Layout) -> bool;
    fn take_back(&self, layout: Layout);
}

impl<H: Host> Marks for Context<H> {
    fn enter_linux(&self) {
        self.host.enter_linux();
    }
    fn leave_linux(&self) {
        self.host.leave_linux();
    }
    fn set_aside(&self, layout: Layout) -> bool {
        self.host.set_aside(layout)
    }
    fn take_back(&self, layout: Layout) {
        self.host.take_back(layout);
    }
}

/// What Linux calls: the table, and what it points to. Both are given back when Linux has gone. If a thread of Linux's is
/// in a loop it never has, and they stay for ever.
pub(super) struct Seam {
    pub(super) marks: ManuallyDrop<Box<dyn Marks>>,
    pub(super) table: ManuallyDrop<Box<sys::lkl_host_ops>>,
}

impl Seam {
    /// Linux has gone.
    pub(super) fn give_back(self) {
        drop(ManuallyDrop::into_inner(self.table));
        drop(ManuallyDrop::into_inner(self.marks));
    }
}

/// The marks of a host that is not there any more.
pub(super) struct NoMarks;

impl Marks for NoMarks {
    fn enter_linux(&self) {}
    fn leave_linux(&self) {}
    fn set_aside(&self, _: Layout) -> bool {
        false
    }
    fn take_back(&self, _: Layout) {}
}
