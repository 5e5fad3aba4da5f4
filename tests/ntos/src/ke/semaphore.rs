//! Semaphores.

#![allow(non_snake_case)]

use crate::{
    ke::{
        self,
        wait::{self, SEMAPHORE},
    },
    nt::*,
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeInitializeSemaphore <= HIGH;
        KeReleaseSemaphore <= DISPATCH;
        KeReadStateSemaphore <= DISPATCH;
    }
}

/// `KeInitializeSemaphore`.
pub unsafe extern "win64" fn KeInitializeSemaphore(semaphore: PRKSEMAPHORE, count: i32, limit: i32) {
    if count < 0 || limit < 1 || count > limit {
        crate::fail!(BadArgument, "a semaphore with count {count} and limit {limit}");
    }
    wait::forbid_waiters(semaphore as usize, "semaphore");
    // SAFETY: the driver passes memory for a semaphore.
    unsafe {
        wait::initialize_header(semaphore.cast(), SEMAPHORE, size_of::<KSEMAPHORE>(), count);
        (*semaphore).Limit = limit;
    }
}

/// `KeReleaseSemaphore`; above the limit it raises STATUS_SEMAPHORE_LIMIT_EXCEEDED.
pub unsafe extern "win64" fn KeReleaseSemaphore(
    semaphore: PRKSEMAPHORE,
    _increment: i32,
    adjustment: i32,
    wait: BOOLEAN,
) -> i32 {
    wait::expect_type(semaphore as usize, &[SEMAPHORE], "semaphore");
    if wait != 0 {
        crate::fail!(BadArgument, "KeReleaseSemaphore with Wait = TRUE is not modelled");
    }
    let object = semaphore as usize;
    let mut dispatcher = wait::lock();
    let old = wait::state(object);
    // SAFETY: a semaphore by its type.
    let limit = unsafe { (*semaphore).Limit };
    match old.checked_add(adjustment) {
        Some(new) if adjustment > 0 && new <= limit => wait::set_state(object, new),
        _ => {
            drop(dispatcher);
            ke::raise(STATUS_SEMAPHORE_LIMIT_EXCEEDED);
        }
    }
    dispatcher.wake(object);
    old
}

unsafe extern "win64" fn KeReadStateSemaphore(semaphore: PRKSEMAPHORE) -> i32 {
    wait::expect_type(semaphore as usize, &[SEMAPHORE], "semaphore");
    let _dispatcher = wait::lock();
    wait::state(semaphore as usize)
}
