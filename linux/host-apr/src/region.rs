//! A region of libapr's memory (`apr_pool_t`; the word pool is Linux's memory here). What libapr makes in it goes with it.

#![allow(unsafe_code)]

use crate::apr::{apr_initialize, apr_pool_create_ex, apr_pool_destroy, apr_pool_t};
use std::ptr::{NonNull, null_mut};
use std::sync::LazyLock;

/// Whether libapr has started. It is never ended: other code of the program may use it.
static STARTED: LazyLock<bool> = LazyLock::new(|| {
    // SAFETY: may be called at any time, any number of times.
    unsafe { apr_initialize() == 0 }
});

/// A region.
#[derive(Debug)]
pub struct Region {
    pool: NonNull<apr_pool_t>,
}

// SAFETY: a region may be used by any thread, by one at a time; those who have one reach into it when they make it and when
// they drop it, and libapr's root of all regions has a lock.
unsafe impl Send for Region {}
// SAFETY: a shared region gives its address only.
unsafe impl Sync for Region {}

impl Region {
    /// An empty region. `None` for lack of memory, or when libapr does not start.
    pub fn new() -> Option<Region> {
        if !*STARTED {
            return None;
        }
        let mut pool = null_mut();
        // SAFETY: libapr has started; no parent but its root, no allocator of its own.
        let status = unsafe { apr_pool_create_ex(&mut pool, null_mut(), None, null_mut()) };
        (status == 0).then_some(())?;
        NonNull::new(pool).map(|pool| Region { pool })
    }

    /// What libapr's functions take.
    pub(crate) fn as_ptr(&self) -> *mut apr_pool_t {
        self.pool.as_ptr()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: ours, and what is in it is not used any more: it belongs to the owner of the region.
        unsafe { apr_pool_destroy(self.pool.as_ptr()) }
    }
}
