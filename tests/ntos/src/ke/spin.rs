//! Spin locks: a word in the driver's memory that holds the owner's thread.

#![allow(non_snake_case)]

use crate::{
    ke::{self, gate},
    nt::*,
    ps,
    verifier::locks::{self, Held, LockKind},
};
use std::sync::atomic::{AtomicUsize, Ordering};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeInitializeSpinLock <= HIGH;
        KeAcquireSpinLockRaiseToDpc <= DISPATCH;
        KeReleaseSpinLock <= DISPATCH;
        KeAcquireSpinLockAtDpcLevel <= DISPATCH;
        KeReleaseSpinLockFromDpcLevel <= DISPATCH;
        KeTryToAcquireSpinLockAtDpcLevel <= DISPATCH;
        KeTestSpinLock <= DISPATCH;
        KeAcquireInStackQueuedSpinLock <= DISPATCH;
        KeReleaseInStackQueuedSpinLock <= DISPATCH;
        KeAcquireInStackQueuedSpinLockAtDpcLevel <= DISPATCH;
        KeReleaseInStackQueuedSpinLockFromDpcLevel <= DISPATCH;
        ExInterlockedInsertHeadList <= HIGH;
        ExInterlockedInsertTailList <= HIGH;
        ExInterlockedRemoveHeadList <= HIGH;
        ExInterlockedAddLargeInteger <= HIGH;
        ExInterlockedAddUlong <= HIGH;
    }
}

fn word(lock: PKSPIN_LOCK) -> &'static AtomicUsize {
    if !(lock as usize).is_multiple_of(8) || lock.is_null() {
        crate::fail!(BadObject, "{lock:p} is no spin lock");
    }
    // SAFETY: the driver passes a spin lock; a bad pointer faults and is reported.
    unsafe { &*lock.cast::<AtomicUsize>() }
}

fn note(thread: &ps::Thread, lock: PKSPIN_LOCK) {
    let held = Held {
        kind: LockKind::Spin,
        address: lock as usize,
        exclusive: true,
        place: gate::caller(),
    };
    thread.held().push(held);
}

/// Takes a lock; the level is DISPATCH_LEVEL or above already.
fn acquire(lock: PKSPIN_LOCK) {
    let thread = ps::current();
    if thread.irql.get() < 2 {
        crate::fail!(
            IrqlMismatch,
            "spin lock {lock:p} is taken for DPC level at IRQL {}",
            thread.irql.get()
        );
    }
    let me = thread.object() as usize;
    let word = word(lock);
    if word.load(Ordering::Relaxed) == me {
        crate::fail!(
            LockOwner,
            "spin lock {lock:p} is taken again by its owner: a deadlock"
        );
    }
    locks::before_acquire(&thread.held(), LockKind::Spin, lock as usize);
    let mut tries = 0_u32;
    while word
        .compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        tries += 1;
        if tries.is_multiple_of(64) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
    note(thread, lock);
}

/// Gives a lock back; the level stays.
fn release(lock: PKSPIN_LOCK) {
    let thread = ps::current();
    if word(lock).load(Ordering::Relaxed) != thread.object() as usize {
        crate::fail!(
            LockOwner,
            "spin lock {lock:p} is released by a thread that does not hold it"
        );
    }
    if thread.irql.get() < 2 {
        crate::fail!(
            IrqlMismatch,
            "spin lock {lock:p} is released at IRQL {}",
            thread.irql.get()
        );
    }
    thread.held().retain(|held| held.address != lock as usize);
    word(lock).store(0, Ordering::Release);
}

/// `KeInitializeSpinLock`.
pub unsafe extern "win64" fn KeInitializeSpinLock(lock: PKSPIN_LOCK) {
    word(lock).store(0, Ordering::Release);
}

/// `KeAcquireSpinLockRaiseToDpc`; returns the old level.
pub unsafe extern "win64" fn KeAcquireSpinLockRaiseToDpc(lock: PKSPIN_LOCK) -> KIRQL {
    let old = ke::raise_irql(2);
    acquire(lock);
    old
}

/// `KeReleaseSpinLock`.
pub unsafe extern "win64" fn KeReleaseSpinLock(lock: PKSPIN_LOCK, old: KIRQL) {
    release(lock);
    ke::lower_irql(old);
}

unsafe extern "win64" fn KeAcquireSpinLockAtDpcLevel(lock: PKSPIN_LOCK) {
    acquire(lock);
}

unsafe extern "win64" fn KeReleaseSpinLockFromDpcLevel(lock: PKSPIN_LOCK) {
    release(lock);
}

unsafe extern "win64" fn KeTryToAcquireSpinLockAtDpcLevel(lock: PKSPIN_LOCK) -> BOOLEAN {
    let thread = ps::current();
    if thread.irql.get() < 2 {
        crate::fail!(
            IrqlMismatch,
            "spin lock {lock:p} is tried for DPC level at IRQL {}",
            thread.irql.get()
        );
    }
    let me = thread.object() as usize;
    if word(lock)
        .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        return 0;
    }
    note(thread, lock);
    1
}

unsafe extern "win64" fn KeTestSpinLock(lock: PKSPIN_LOCK) -> BOOLEAN {
    u8::from(word(lock).load(Ordering::Relaxed) == 0)
}

/// The queued forms differ in fairness only; the handle remembers lock and level.
unsafe fn acquire_queued(lock: PKSPIN_LOCK, handle: PKLOCK_QUEUE_HANDLE, old: KIRQL) {
    acquire(lock);
    // SAFETY: the driver passes memory for the handle.
    unsafe {
        (*handle).LockQueue.Next = std::ptr::null_mut();
        (*handle).LockQueue.Lock = lock;
        (*handle).OldIrql = old;
    }
}

unsafe extern "win64" fn KeAcquireInStackQueuedSpinLock(lock: PKSPIN_LOCK, handle: PKLOCK_QUEUE_HANDLE) {
    let old = ke::raise_irql(2);
    // SAFETY: passed on from the driver.
    unsafe { acquire_queued(lock, handle, old) };
}

unsafe extern "win64" fn KeReleaseInStackQueuedSpinLock(handle: PKLOCK_QUEUE_HANDLE) {
    // SAFETY: the driver passes the handle of the acquisition.
    let (lock, old) = unsafe { ((*handle).LockQueue.Lock, (*handle).OldIrql) };
    release(lock);
    ke::lower_irql(old);
}

unsafe extern "win64" fn KeAcquireInStackQueuedSpinLockAtDpcLevel(
    lock: PKSPIN_LOCK,
    handle: PKLOCK_QUEUE_HANDLE,
) {
    // SAFETY: passed on from the driver.
    unsafe { acquire_queued(lock, handle, 2) };
}

unsafe extern "win64" fn KeReleaseInStackQueuedSpinLockFromDpcLevel(handle: PKLOCK_QUEUE_HANDLE) {
    // SAFETY: the driver passes the handle of the acquisition.
    release(unsafe { (*handle).LockQueue.Lock });
}

/// What the ExInterlocked functions do: with interrupts off, under a spin lock of the driver's.
fn interlocked<R>(lock: PKSPIN_LOCK, act: impl FnOnce() -> R) -> R {
    let thread = ps::current();
    let old = thread.irql.replace(15);
    acquire(lock);
    let result = act();
    release(lock);
    thread.irql.set(old);
    result
}

/// Puts an entry between two neighbours.
unsafe fn link(before: PLIST_ENTRY, entry: PLIST_ENTRY, after: PLIST_ENTRY) {
    // SAFETY: the caller passes entries of a list.
    unsafe {
        if (*before).Flink != after || (*after).Blink != before {
            crate::fail!(BadObject, "the list at {before:p} is corrupt");
        }
        (*entry).Flink = after;
        (*entry).Blink = before;
        (*before).Flink = entry;
        (*after).Blink = entry;
    }
}

unsafe extern "win64" fn ExInterlockedInsertHeadList(
    head: PLIST_ENTRY,
    entry: PLIST_ENTRY,
    lock: PKSPIN_LOCK,
) -> PLIST_ENTRY {
    // SAFETY: the driver passes a list and an entry of its own.
    interlocked(lock, || unsafe {
        let first = (*head).Flink;
        link(head, entry, first);
        if first == head {
            std::ptr::null_mut()
        } else {
            first
        }
    })
}

unsafe extern "win64" fn ExInterlockedInsertTailList(
    head: PLIST_ENTRY,
    entry: PLIST_ENTRY,
    lock: PKSPIN_LOCK,
) -> PLIST_ENTRY {
    // SAFETY: the driver passes a list and an entry of its own.
    interlocked(lock, || unsafe {
        let last = (*head).Blink;
        link(last, entry, head);
        if last == head { std::ptr::null_mut() } else { last }
    })
}

unsafe extern "win64" fn ExInterlockedRemoveHeadList(head: PLIST_ENTRY, lock: PKSPIN_LOCK) -> PLIST_ENTRY {
    // SAFETY: the driver passes a list.
    interlocked(lock, || unsafe {
        let first = (*head).Flink;
        if first == head {
            return std::ptr::null_mut();
        }
        let next = (*first).Flink;
        if (*first).Blink != head || (*next).Blink != first {
            crate::fail!(BadObject, "the list at {head:p} is corrupt");
        }
        (*head).Flink = next;
        (*next).Blink = head;
        first
    })
}

unsafe extern "win64" fn ExInterlockedAddLargeInteger(
    addend: *mut i64,
    increment: i64,
    lock: PKSPIN_LOCK,
) -> i64 {
    // SAFETY: the driver passes a number of its own.
    interlocked(lock, || unsafe {
        std::mem::replace(&mut *addend, (*addend).wrapping_add(increment))
    })
}

unsafe extern "win64" fn ExInterlockedAddUlong(addend: *mut u32, increment: u32, lock: PKSPIN_LOCK) -> u32 {
    // SAFETY: the driver passes a number of its own.
    interlocked(lock, || unsafe {
        std::mem::replace(&mut *addend, (*addend).wrapping_add(increment))
    })
}
