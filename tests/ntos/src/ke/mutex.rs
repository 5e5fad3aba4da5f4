//! Mutexes (KMUTEX, a mutant that disables kernel APCs while it is held).

#![allow(non_snake_case)]

use crate::{
    ke::{
        self, irql,
        wait::{self, MUTANT},
    },
    nt::*,
    ps::{self, Thread},
    verifier::locks::{self, Held, LockKind},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeInitializeMutex <= HIGH;
        KeReleaseMutex <= DISPATCH;
        KeReadStateMutex <= DISPATCH;
    }
}

fn mutant(object: usize) -> *mut KMUTANT {
    object as *mut KMUTANT
}

/// The thread that owns a mutex, or 0.
pub(crate) fn owner(object: usize) -> usize {
    // SAFETY: the caller saw the type.
    unsafe { (*mutant(object)).OwnerThread as usize }
}

/// A wait for the mutex is satisfied; under the dispatcher's lock.
pub(crate) fn take(object: usize, thread: &Thread) -> NTSTATUS {
    wait::set_state(object, wait::state(object) - 1);
    // SAFETY: the caller saw the type; under the dispatcher's lock.
    let abandoned = unsafe {
        (*mutant(object)).OwnerThread = thread.object().cast();
        std::mem::replace(&mut (*mutant(object)).Abandoned, 0)
    };
    if abandoned != 0 {
        STATUS_ABANDONED_WAIT_0
    } else {
        STATUS_SUCCESS
    }
}

/// The current thread is about to wait for a mutex.
pub(crate) fn before_wait(object: usize) {
    locks::before_acquire(&ps::current().held(), LockKind::Mutex, object);
}

/// The current thread has waited; when it got the mutex for the first time, APCs are off until the release.
pub(crate) fn after_wait(object: usize) {
    let thread = ps::current();
    if owner(object) != thread.object() as usize || wait::state(object) != 0 {
        return;
    }
    if thread.held().iter().any(|lock| lock.address == object) {
        return;
    }
    let place = ke::gate::caller();
    thread.held().push(Held {
        kind: LockKind::Mutex,
        address: object,
        exclusive: true,
        place,
    });
    thread.critical_regions.set(thread.critical_regions.get() + 1);
}

unsafe extern "win64" fn KeInitializeMutex(mutex: PRKMUTEX, _level: ULONG) {
    wait::forbid_waiters(mutex as usize, "mutex");
    // SAFETY: the driver passes memory for a mutex.
    unsafe {
        wait::initialize_header(mutex.cast(), MUTANT, size_of::<KMUTANT>(), 1);
        (*mutex).OwnerThread = std::ptr::null_mut();
        (*mutex).Abandoned = 0;
        (*mutex).ApcDisable = 1;
    }
}

unsafe extern "win64" fn KeReleaseMutex(mutex: PRKMUTEX, wait: BOOLEAN) -> i32 {
    let object = mutex as usize;
    wait::expect_type(object, &[MUTANT], "mutex");
    if wait != 0 {
        crate::fail!(BadArgument, "KeReleaseMutex with Wait = TRUE is not modelled");
    }
    let thread = ps::current();
    let mut dispatcher = wait::lock();
    let old = wait::state(object);
    if owner(object) != thread.object() as usize {
        drop(dispatcher);
        ke::raise(STATUS_MUTANT_NOT_OWNED);
    }
    wait::set_state(object, old + 1);
    if old + 1 == 1 {
        // SAFETY: a mutex by its type; under the dispatcher's lock.
        unsafe { (*mutant(object)).OwnerThread = std::ptr::null_mut() };
        thread.held().retain(|lock| lock.address != object);
        dispatcher.wake(object);
        drop(dispatcher);
        // SAFETY: the acquisition entered the region.
        unsafe { irql::KeLeaveCriticalRegion() };
    }
    old
}

unsafe extern "win64" fn KeReadStateMutex(mutex: PRKMUTEX) -> i32 {
    wait::expect_type(mutex as usize, &[MUTANT], "mutex");
    let _dispatcher = wait::lock();
    wait::state(mutex as usize)
}
