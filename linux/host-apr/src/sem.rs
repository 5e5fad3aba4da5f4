//! Counting semaphores, of a mutex and a condition variable: libapr has none between threads.
//!
//! [`lkl::Semaphore::up`] signals while it has the mutex, so that a waiter's `down` returns, and may free the semaphore, only
//! when the caller of `up` has nothing to do with its memory but to leave the mutex.

#![allow(unsafe_code)]

use crate::apr::{
    APR_THREAD_MUTEX_DEFAULT, apr_thread_cond_create, apr_thread_cond_signal, apr_thread_cond_t,
    apr_thread_cond_timedwait, apr_thread_cond_wait, apr_thread_mutex_create, apr_thread_mutex_lock,
    apr_thread_mutex_t, apr_thread_mutex_unlock,
};
use crate::region::Region;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

/// A number that threads wait for, with the lock around it.
#[derive(Debug)]
pub(crate) struct Monitor {
    mutex: NonNull<apr_thread_mutex_t>,
    cond: NonNull<apr_thread_cond_t>,
    /// Changed under the mutex only.
    count: AtomicU32,
    /// What both are in. Last, so that it goes last.
    _region: Region,
}

// SAFETY: libapr's mutexes and condition variables are made for many threads.
unsafe impl Send for Monitor {}
// SAFETY: as above; the number is changed under the mutex.
unsafe impl Sync for Monitor {}

impl Monitor {
    /// `None` for lack of memory.
    pub(crate) fn new(count: u32) -> Option<Monitor> {
        let region = Region::new()?;
        let (mut mutex, mut cond) = (null_mut(), null_mut());
        // SAFETY: room for a pointer, and a region of ours.
        let status =
            unsafe { apr_thread_mutex_create(&mut mutex, APR_THREAD_MUTEX_DEFAULT, region.as_ptr()) };
        (status == 0).then_some(())?;
        // SAFETY: as above.
        let status = unsafe { apr_thread_cond_create(&mut cond, region.as_ptr()) };
        (status == 0).then_some(())?;
        Some(Monitor {
            mutex: NonNull::new(mutex)?,
            cond: NonNull::new(cond)?,
            count: AtomicU32::new(count),
            _region: region,
        })
    }

    fn lock(&self) {
        // SAFETY: our mutex, which the calling thread has not.
        let status = unsafe { apr_thread_mutex_lock(self.mutex.as_ptr()) };
        debug_assert_eq!(status, 0, "a mutex cannot be locked");
    }

    fn unlock(&self) {
        // SAFETY: our mutex, which the calling thread has.
        let status = unsafe { apr_thread_mutex_unlock(self.mutex.as_ptr()) };
        debug_assert_eq!(status, 0, "a mutex cannot be unlocked");
    }

    /// Changes the number and wakes one waiter.
    pub(crate) fn change(&self, change: impl FnOnce(u32) -> u32) {
        self.lock();
        self.count
            .store(change(self.count.load(Ordering::Relaxed)), Ordering::Relaxed);
        // SAFETY: our condition variable.
        unsafe { apr_thread_cond_signal(self.cond.as_ptr()) };
        self.unlock();
    }

    /// Waits until the number is not 0, for `microseconds` at most (for ever: `None`), and changes it then.
    pub(crate) fn wait(&self, microseconds: Option<i64>, change: impl FnOnce(u32) -> u32) {
        self.lock();
        while self.count.load(Ordering::Relaxed) == 0 {
            let (cond, mutex) = (self.cond.as_ptr(), self.mutex.as_ptr());
            match microseconds {
                // SAFETY: ours, and the calling thread has the mutex.
                None => unsafe { apr_thread_cond_wait(cond, mutex) },
                // SAFETY: as above.
                Some(most) => match unsafe { apr_thread_cond_timedwait(cond, mutex, most) } {
                    0 => continue,
                    // The time is over.
                    _ => return self.unlock(),
                },
            };
        }
        self.count
            .store(change(self.count.load(Ordering::Relaxed)), Ordering::Relaxed);
        self.unlock();
    }
}

/// A counting semaphore.
#[derive(Debug)]
pub struct Semaphore(Monitor);

impl Semaphore {
    /// A semaphore that starts at `count`. `None` for lack of memory.
    pub fn new(count: u32) -> Option<Semaphore> {
        Monitor::new(count).map(Semaphore)
    }
}

impl lkl::Semaphore for Semaphore {
    fn up(&self) {
        self.0.change(|count| count.saturating_add(1));
    }

    fn down(&self) {
        self.0.wait(None, |count| count.saturating_sub(1));
    }
}
