//! One-shot timers: a `KTIMER` whose DPC rings Linux's alarm.
//!
//! On NT a timer object is initialised once: at any later time its expiry may be under way on another processor. Under Wine, which
//! deadlocks on re-arming one whose DPC is about to run, it is initialised afresh before each arming. The DPC may come too early, because NT counts from its last clock tick, or because an earlier
//! expiry queued it before the timer was moved. So each arming notes its deadline by the performance counter: a DPC that
//! finds it in the future sets the timer for the rest, and one that finds nothing due does nothing.
//
// UNSAFETY: KTIMER and KDPC, and the DPC's callback.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;
use lkl::Alarm;
use lklfs_kernel::clock;
use lklfs_kernel::nt::{
    KDPC, KTIMER, KeCancelTimer, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeTimer, KeSetTimer, PKDPC,
    PVOID, large,
};
use lklfs_kernel::routines;
use lklfs_kernel::sync::SpinLock;

/// A timer of Linux's.
pub struct Timer {
    timer: UnsafeCell<KTIMER>,
    dpc: UnsafeCell<KDPC>,
    /// The lock also keeps settings of the timer object apart.
    state: SpinLock<State>,
    alarm: Alarm,
    _pinned: PhantomPinned,
}

#[derive(Clone, Copy)]
enum State {
    /// Not armed, or rung.
    Idle,
    /// To ring at this time of [`clock::monotonic_ns`].
    Armed(u64),
    /// Being dropped: armed no more.
    Over,
}

// SAFETY: the timer is only touched under the lock, the DPC only by the kernel after its initialisation.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    /// A timer that is not armed. `None` for lack of memory.
    pub fn new(alarm: Alarm) -> Option<Box<Timer>> {
        // The place first: one that was not initialised must not be dropped.
        let place = fallible::try_box(MaybeUninit::<Timer>::uninit())?;
        let timer = Box::write(
            place,
            Timer {
                timer: UnsafeCell::new(KTIMER::default()),
                dpc: UnsafeCell::new(KDPC::default()),
                state: SpinLock::new(State::Idle),
                alarm,
                _pinned: PhantomPinned,
            },
        );
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
    let mut state = timer.state.lock();
    let State::Armed(deadline) = *state else { return };
    let left = deadline.saturating_sub(clock::monotonic_ns());
    if left > 0 {
        timer.set(left);
        return;
    }
    *state = State::Idle;
    // Linux may arm the timer again from inside the ring.
    drop(state);
    timer.alarm.ring();
}

impl Timer {
    /// Sets the timer object. The lock is held.
    fn set(&self, delta_ns: u64) {
        // Relative times are negative, in 100 ns.
        let units = i64::try_from(delta_ns.div_ceil(100)).unwrap_or(i64::MAX).max(1);
        let due = large(units.saturating_neg());
        if routines::is_wine() {
            // SAFETY: initialised by new(), guarded by the lock.
            unsafe { KeCancelTimer(self.timer.get()) };
            // SAFETY: a cancelled timer is in no list of Wine's.
            unsafe { KeInitializeTimer(self.timer.get()) };
        }
        // SAFETY: initialised by new(), guarded by the lock. One that is set already is moved.
        unsafe { KeSetTimer(self.timer.get(), due, self.dpc.get()) };
    }
}

impl lkl::Timer for Timer {
    fn arm(&self, delta_ns: u64) {
        let mut state = self.state.lock();
        if let State::Over = *state {
            return;
        }
        *state = State::Armed(clock::monotonic_ns().saturating_add(delta_ns));
        self.set(delta_ns);
    }
}

impl Drop for Timer {
    /// IRQL: PASSIVE_LEVEL.
    fn drop(&mut self) {
        let mut state = self.state.lock();
        *state = State::Over;
        // SAFETY: initialised by new(), guarded by the lock.
        unsafe { KeCancelTimer(self.timer.get()) };
        drop(state);
        // SAFETY: PASSIVE_LEVEL, see above. After it no DPC of this timer runs or is queued.
        unsafe { KeFlushQueuedDpcs() };
    }
}
