//! Fast mutexes, which raise to APC_LEVEL, and guarded mutexes, which enter a guarded region.
//!
//! A FAST_MUTEX is initialised by a macro in the driver, so its state is the struct itself: a count of 1 is free, the
//! event wakes waiters.

#![allow(non_snake_case)]

use crate::{
    ke::{
        self, event, gate, irql,
        wait::{self, SYNCHRONIZATION_EVENT},
    },
    nt::*,
    ps,
    verifier::locks::{self, Held, LockKind},
};
use std::sync::Mutex;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ExAcquireFastMutex <= APC;
        ExTryToAcquireFastMutex <= APC;
        ExReleaseFastMutex <= APC;
        ExAcquireFastMutexUnsafe <= APC;
        ExReleaseFastMutexUnsafe <= APC;
        ExEnterCriticalRegionAndAcquireFastMutexUnsafe <= APC;
        ExReleaseFastMutexUnsafeAndLeaveCriticalRegion <= APC;
        KeInitializeGuardedMutex <= APC;
        KeAcquireGuardedMutex <= APC;
        KeReleaseGuardedMutex <= APC;
        KeTryToAcquireGuardedMutex <= APC;
        KeAcquireGuardedMutexUnsafe <= APC;
        KeReleaseGuardedMutexUnsafe <= APC;
    }
}

/// Guards the counts of all mutexes.
static COUNTS: Mutex<()> = Mutex::new(());

/// What the two kinds have in common.
struct Parts {
    address: usize,
    count: *mut i32,
    owner: *mut PKTHREAD,
    contention: *mut u32,
    event: PRKEVENT,
}

fn fast(mutex: PFAST_MUTEX) -> Parts {
    // SAFETY: only addresses of fields are taken.
    unsafe {
        Parts {
            address: mutex as usize,
            count: &raw mut (*mutex).Count,
            owner: &raw mut (*mutex).Owner,
            contention: &raw mut (*mutex).Contention,
            event: &raw mut (*mutex).Event,
        }
    }
}

fn guarded(mutex: PKGUARDED_MUTEX) -> Parts {
    // SAFETY: only addresses of fields are taken; a gate is a dispatcher header, as an event is.
    unsafe {
        Parts {
            address: mutex as usize,
            count: &raw mut (*mutex).Count,
            owner: &raw mut (*mutex).Owner,
            contention: &raw mut (*mutex).Contention,
            event: (&raw mut (*mutex).Gate).cast(),
        }
    }
}

impl Parts {
    /// Takes the mutex if it is free. Stops when it never was initialised.
    fn try_take(&self) -> bool {
        let _guard = COUNTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: the driver passes a mutex; a bad pointer faults and is reported.
        unsafe {
            let count = *self.count;
            if count != 0 && count != 1 {
                crate::fail!(
                    BadObject,
                    "{:#x} is no initialised mutex (count {count:#x})",
                    self.address
                );
            }
            if count == 0 {
                return false;
            }
            *self.count = 0;
            *self.owner = ps::current().object().cast();
            true
        }
    }

    fn acquire(&self) {
        let thread = ps::current();
        // SAFETY: the driver passes a mutex.
        if unsafe { *self.owner } == thread.object().cast() && unsafe { *self.count } == 0 {
            crate::fail!(
                LockOwner,
                "mutex {:#x} is taken again by its owner: a deadlock",
                self.address
            );
        }
        let held = thread.held().clone();
        locks::before_acquire(&held, LockKind::FastMutex, self.address);
        while !self.try_take() {
            // SAFETY: the driver passes a mutex.
            unsafe { *self.contention += 1 };
            wait::expect_type(self.event as usize, &[SYNCHRONIZATION_EVENT], "mutex");
            wait::wait_for(&[self.event as usize], false, None);
        }
        self.note();
    }

    fn note(&self) {
        let place = gate::caller();
        let held = Held {
            kind: LockKind::FastMutex,
            address: self.address,
            exclusive: true,
            place,
        };
        ps::current().held().push(held);
    }

    fn release(&self) {
        let thread = ps::current();
        // SAFETY: the driver passes a mutex.
        if unsafe { *self.owner } != thread.object().cast() {
            crate::fail!(
                LockOwner,
                "mutex {:#x} is released by a thread that does not own it",
                self.address
            );
        }
        thread.held().retain(|lock| lock.address != self.address);
        let guard = COUNTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: as above. The next owner may free the mutex as soon as it can take it, so the event comes first,
        // under the same lock that takers need.
        unsafe {
            *self.owner = std::ptr::null_mut();
            event::KeSetEvent(self.event, 0, 0);
            *self.count = 1;
        }
        drop(guard);
    }
}

fn expect_apcs_disabled(address: usize) {
    if !irql::apcs_disabled() {
        crate::fail!(
            ApcsEnabled,
            "mutex {address:#x} is used in its unsafe form with normal kernel APCs enabled"
        );
    }
}

fn set_old_irql(mutex: PFAST_MUTEX, old: KIRQL) {
    // SAFETY: the driver passes a mutex, which the current thread owns now.
    unsafe { (*mutex).OldIrql = old.into() };
}

unsafe extern "win64" fn ExAcquireFastMutex(mutex: PFAST_MUTEX) {
    let old = ke::raise_irql(1);
    fast(mutex).acquire();
    set_old_irql(mutex, old);
}

unsafe extern "win64" fn ExTryToAcquireFastMutex(mutex: PFAST_MUTEX) -> BOOLEAN {
    let old = ke::raise_irql(1);
    let parts = fast(mutex);
    if !parts.try_take() {
        ke::lower_irql(old);
        return 0;
    }
    parts.note();
    set_old_irql(mutex, old);
    1
}

unsafe extern "win64" fn ExReleaseFastMutex(mutex: PFAST_MUTEX) {
    // SAFETY: the driver passes a mutex.
    let old = unsafe { (*mutex).OldIrql };
    if ke::irql() != 1 {
        crate::fail!(
            IrqlMismatch,
            "fast mutex {mutex:p} is released at IRQL {}, not at APC_LEVEL",
            ke::irql()
        );
    }
    fast(mutex).release();
    ke::lower_irql(old as KIRQL);
}

unsafe extern "win64" fn ExAcquireFastMutexUnsafe(mutex: PFAST_MUTEX) {
    expect_apcs_disabled(mutex as usize);
    fast(mutex).acquire();
}

unsafe extern "win64" fn ExReleaseFastMutexUnsafe(mutex: PFAST_MUTEX) {
    expect_apcs_disabled(mutex as usize);
    fast(mutex).release();
}

unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireFastMutexUnsafe(mutex: PFAST_MUTEX) {
    // SAFETY: no precondition.
    unsafe { irql::KeEnterCriticalRegion() };
    fast(mutex).acquire();
}

unsafe extern "win64" fn ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(mutex: PFAST_MUTEX) {
    fast(mutex).release();
    // SAFETY: the acquisition entered it.
    unsafe { irql::KeLeaveCriticalRegion() };
}

unsafe extern "win64" fn KeInitializeGuardedMutex(mutex: PKGUARDED_MUTEX) {
    // SAFETY: the driver passes memory for a mutex.
    unsafe {
        mutex.write_bytes(0, 1);
        (*mutex).Count = 1;
        event::KeInitializeEvent((&raw mut (*mutex).Gate).cast(), 1, 0);
    }
}

fn regions(change: i32) {
    let regions = &ps::current().guarded_regions;
    regions.set(regions.get() + change);
}

unsafe extern "win64" fn KeAcquireGuardedMutex(mutex: PKGUARDED_MUTEX) {
    regions(1);
    guarded(mutex).acquire();
}

unsafe extern "win64" fn KeReleaseGuardedMutex(mutex: PKGUARDED_MUTEX) {
    guarded(mutex).release();
    regions(-1);
}

unsafe extern "win64" fn KeTryToAcquireGuardedMutex(mutex: PKGUARDED_MUTEX) -> BOOLEAN {
    let parts = guarded(mutex);
    regions(1);
    if !parts.try_take() {
        regions(-1);
        return 0;
    }
    parts.note();
    1
}

unsafe extern "win64" fn KeAcquireGuardedMutexUnsafe(mutex: PKGUARDED_MUTEX) {
    expect_apcs_disabled(mutex as usize);
    guarded(mutex).acquire();
}

unsafe extern "win64" fn KeReleaseGuardedMutexUnsafe(mutex: PKGUARDED_MUTEX) {
    expect_apcs_disabled(mutex as usize);
    guarded(mutex).release();
}
