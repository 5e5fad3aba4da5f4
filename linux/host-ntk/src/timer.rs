//! One-shot timers: a `KTIMER` whose DPC rings Linux's alarm.
//!
//! The timer object is initialised afresh before each arming: some kernels (Wine's) deadlock on re-arming one whose
//! DPC is about to run. A DPC that was queued by an earlier expiry may still ring after a re-arming; Linux takes an
//! early timer interrupt for nothing.
//
// UNSAFETY: KTIMER and KDPC, and the DPC's callback.

use crate::nt::{
    KDPC, KTIMER, KeCancelTimer, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeTimer, KeSetTimer, PKDPC,
    PVOID, large,
};
use crate::sync::SpinLock;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use lkl::Alarm;

/// A timer of Linux's.
pub struct Timer {
    timer: UnsafeCell<KTIMER>,
    dpc: UnsafeCell<KDPC>,
    /// Whether arming is still allowed; the lock also keeps armings apart.
    alive: SpinLock<bool>,
    alarm: Alarm,
    _pinned: PhantomPinned,
}

// SAFETY: the timer is only touched under the lock, the DPC only by the kernel after its initialisation.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    /// A timer that is not armed. `None` for lack of memory.
    pub fn new(alarm: Alarm) -> Option<Box<Timer>> {
        let timer = lkl::try_box(Timer {
            timer: UnsafeCell::new(KTIMER::default()),
            dpc: UnsafeCell::new(KDPC::default()),
            alive: SpinLock::new(true),
            alarm,
            _pinned: PhantomPinned,
        })?;
        let context: PVOID = (&raw const *timer).cast_mut().cast();
        // SAFETY: both objects are ours and where they will stay; the context lives until after the last DPC.
        unsafe { KeInitializeTimer(timer.timer.get()) };
        // SAFETY: as above.
        unsafe { KeInitializeDpc(timer.dpc.get(), Some(expired), context) };
        Some(timer)
    }
}

unsafe extern "C" fn expired(_dpc: PKDPC, context: PVOID, _first: PVOID, _second: PVOID) {
    // SAFETY: new() gave the timer's address; drop() waits for this to return.
    let timer = unsafe { &*context.cast::<Timer>() };
    timer.alarm.ring();
}

impl lkl::Timer for Timer {
    fn arm(&self, delta_ns: u64) {
        // Relative times are negative, in 100 ns, and never earlier than asked.
        let units = i64::try_from(delta_ns.div_ceil(100)).unwrap_or(i64::MAX).max(1);
        let due = large(units.saturating_neg());
        let alive = self.alive.lock();
        if !*alive {
            return;
        }
        // SAFETY: initialised by new(), guarded by the lock.
        unsafe { KeCancelTimer(self.timer.get()) };
        // SAFETY: a cancelled timer is in no list of the kernel's.
        unsafe { KeInitializeTimer(self.timer.get()) };
        // SAFETY: initialised just now.
        unsafe { KeSetTimer(self.timer.get(), due, self.dpc.get()) };
        drop(alive);
    }
}

impl Drop for Timer {
    /// IRQL: PASSIVE_LEVEL.
    fn drop(&mut self) {
        let mut alive = self.alive.lock();
        *alive = false;
        // SAFETY: initialised by new(), guarded by the lock.
        unsafe { KeCancelTimer(self.timer.get()) };
        drop(alive);
        // SAFETY: PASSIVE_LEVEL, see above. After it no DPC of this timer runs or is queued.
        unsafe { KeFlushQueuedDpcs() };
    }
}
