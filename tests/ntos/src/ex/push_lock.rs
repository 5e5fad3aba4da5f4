//! Push locks and rundown protection: words in the driver's memory.

#![allow(non_snake_case)]

use crate::{
    ke::{gate, irql},
    nt::*,
    ps,
    verifier::locks::{self, Held, LockKind},
};
use std::sync::{Condvar, Mutex, MutexGuard};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ExfAcquirePushLockExclusive <= APC;
        ExfAcquirePushLockShared <= APC;
        ExfReleasePushLockExclusive <= APC;
        ExfReleasePushLockShared <= APC;
        ExfReleasePushLock <= APC;
        ExInitializeRundownProtection <= DISPATCH;
        ExReInitializeRundownProtection <= APC;
        ExAcquireRundownProtection <= DISPATCH;
        ExReleaseRundownProtection <= DISPATCH;
        ExWaitForRundownProtectionRelease <= APC;
        ExRundownCompleted <= APC;
    }
}

/// Guards all words. Everybody who waits looks again when one changes.
static WORDS: Mutex<()> = Mutex::new(());
static CHANGED: Condvar = Condvar::new();

type Guard = MutexGuard<'static, ()>;

fn lock() -> Guard {
    WORDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn next(guard: Guard) -> Guard {
    CHANGED
        .wait(guard)
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A word of the driver's.
fn get(word: *mut usize) -> usize {
    // SAFETY: the driver passes a lock; a bad pointer faults and is reported.
    unsafe { word.read_volatile() }
}

fn put(word: *mut usize, value: usize) {
    // SAFETY: as above; under the lock on all words.
    unsafe { word.write_volatile(value) };
    CHANGED.notify_all();
}

/// Bit 0: taken exclusively; the rest counts those who share.
const EXCLUSIVE: usize = 1;
const SHARER: usize = 16;

fn acquire(word: *mut usize, exclusive: bool) {
    let thread = ps::current();
    if !irql::apcs_disabled() {
        crate::fail!(
            ApcsEnabled,
            "push lock {word:p} is acquired with normal kernel APCs enabled"
        );
    }
    if thread.held().iter().any(|lock| lock.address == word as usize) {
        crate::fail!(
            LockOwner,
            "push lock {word:p} is taken again by its owner: a deadlock"
        );
    }
    let held = thread.held().clone();
    locks::before_acquire(&held, LockKind::PushLock, word as usize);
    let mut guard = lock();
    while get(word) & EXCLUSIVE != 0 || (exclusive && get(word) != 0) {
        guard = next(guard);
    }
    put(word, if exclusive { EXCLUSIVE } else { get(word) + SHARER });
    drop(guard);
    let place = gate::caller();
    thread.held().push(Held {
        kind: LockKind::PushLock,
        address: word as usize,
        exclusive,
        place,
    });
}

fn release(word: *mut usize) {
    let thread = ps::current();
    let mut held = thread.held();
    let Some(index) = held.iter().position(|lock| lock.address == word as usize) else {
        drop(held);
        crate::fail!(
            LockOwner,
            "push lock {word:p} is released by a thread that does not hold it"
        );
    };
    let exclusive = held.remove(index).exclusive;
    drop(held);
    let _guard = lock();
    put(word, if exclusive { 0 } else { get(word) - SHARER });
}

unsafe extern "win64" fn ExfAcquirePushLockExclusive(word: *mut usize) {
    acquire(word, true);
}

unsafe extern "win64" fn ExfAcquirePushLockShared(word: *mut usize) {
    acquire(word, false);
}

unsafe extern "win64" fn ExfReleasePushLockExclusive(word: *mut usize) {
    release(word);
}

unsafe extern "win64" fn ExfReleasePushLockShared(word: *mut usize) {
    release(word);
}

unsafe extern "win64" fn ExfReleasePushLock(word: *mut usize) {
    release(word);
}

/// Bit 0 of a rundown reference: the rundown has begun; the rest counts twice those who hold protection.
const RUNDOWN: usize = 1;

unsafe extern "win64" fn ExInitializeRundownProtection(word: *mut usize) {
    let _guard = lock();
    put(word, 0);
}

unsafe extern "win64" fn ExReInitializeRundownProtection(word: *mut usize) {
    let _guard = lock();
    if get(word) != RUNDOWN {
        crate::fail!(
            BadObject,
            "rundown protection {word:p} is used again before its rundown ended"
        );
    }
    put(word, 0);
}

unsafe extern "win64" fn ExAcquireRundownProtection(word: *mut usize) -> BOOLEAN {
    let _guard = lock();
    if get(word) & RUNDOWN != 0 {
        return 0;
    }
    put(word, get(word) + 2);
    1
}

unsafe extern "win64" fn ExReleaseRundownProtection(word: *mut usize) {
    let _guard = lock();
    if get(word) < 2 {
        crate::fail!(Reference, "rundown protection {word:p} is released too often");
    }
    put(word, get(word) - 2);
}

unsafe extern "win64" fn ExWaitForRundownProtectionRelease(word: *mut usize) {
    let mut guard = lock();
    put(word, get(word) | RUNDOWN);
    while get(word) != RUNDOWN {
        guard = next(guard);
    }
}

unsafe extern "win64" fn ExRundownCompleted(word: *mut usize) {
    let _guard = lock();
    put(word, RUNDOWN);
}
