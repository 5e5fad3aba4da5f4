//! Counting semaphores: a counter for the usual case, and a semaphore of NT's for who must sleep.
//!
//! The counter is the count minus the waiters. Only an `up` that finds it negative, and a `down` that makes it so, call
//! the kernel, so NT's own upper limit and the length of a system call do not matter for the rest. An `up` does not touch
//! the memory again after its addition, but for the handle that it read before, and then a waiter is still waiting for
//! exactly this release: a waiter may free the semaphore the moment its `down` returns.

#![allow(unsafe_code)]

use std::ptr::null;
use std::sync::atomic::{AtomicI64, Ordering};
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE};
use windows_sys::Win32::System::Threading::{
    CreateSemaphoreW, INFINITE, ReleaseSemaphore, WaitForSingleObject,
};

/// Rounds that a `down` spins before it sleeps: a context switch of Linux is often answered at once.
const SPINS: u32 = 32;

/// A counting semaphore.
#[derive(Debug)]
pub struct Semaphore {
    /// The count, or if negative the number of waiters.
    count: AtomicI64,
    handle: HANDLE,
}

// SAFETY: a semaphore's handle may be used by any thread.
unsafe impl Send for Semaphore {}
// SAFETY: as above.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// A semaphore that starts at `count`. `None` when the system has none to give.
    pub fn new(count: u32) -> Option<Semaphore> {
        // SAFETY: no name and no attributes. It counts wake-ups on their way, which are fewer than threads.
        let handle = unsafe { CreateSemaphoreW(null(), 0, i32::MAX, null()) };
        (!handle.is_null()).then(|| Semaphore {
            count: AtomicI64::new(i64::from(count)),
            handle,
        })
    }

    fn try_down(&self) -> bool {
        let mut seen = self.count.load(Ordering::Relaxed);
        while seen > 0 {
            match self
                .count
                .compare_exchange_weak(seen, seen - 1, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}

impl lkl::Semaphore for Semaphore {
    fn up(&self) {
        let handle = self.handle;
        if self.count.fetch_add(1, Ordering::Release) < 0 {
            // SAFETY: a waiter keeps the semaphore until this wakes it.
            unsafe { ReleaseSemaphore(handle, 1, std::ptr::null_mut()) };
        }
    }

    fn down(&self) {
        for _ in 0..SPINS {
            if self.try_down() {
                return;
            }
            std::hint::spin_loop();
        }
        if self.count.fetch_sub(1, Ordering::Acquire) <= 0 {
            // SAFETY: the handle is this semaphore's.
            unsafe { WaitForSingleObject(self.handle, INFINITE) };
        }
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { CloseHandle(self.handle) };
    }
}
