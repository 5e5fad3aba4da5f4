//! Linux's memory: one anonymous segment of libapr's shared memory, which is zero when it is new and takes memory as it is touched.

#![allow(unsafe_code)]

use crate::apr::{apr_shm_baseaddr_get, apr_shm_create};
use crate::region::Region;
use std::ptr::{NonNull, null, null_mut};
use std::sync::{Mutex, PoisonError};

/// Bytes of a page.
const PAGE: usize = 4096;

/// The pool of one boot.
#[derive(Debug, Default)]
pub struct Pool {
    /// The segment is in there, and goes with it.
    region: Mutex<Option<Region>>,
}

impl Pool {
    /// `size` bytes of zeros, a multiple of 4096, at an address that is one. `None` for lack of memory.
    pub fn alloc(&self, size: usize) -> Option<NonNull<u8>> {
        if size == 0 || !size.is_multiple_of(PAGE) {
            return None;
        }
        let region = Region::new()?;
        let mut segment = null_mut();
        // libapr keeps a record in front, so that its address is no multiple of a page.
        let with_room = size.checked_add(PAGE)?;
        // SAFETY: room for a pointer, no name, a region of ours.
        let status = unsafe { apr_shm_create(&mut segment, with_room, null(), region.as_ptr()) };
        (status == 0).then_some(())?;
        // SAFETY: a segment that was just made.
        let base: *mut u8 = unsafe { apr_shm_baseaddr_get(segment) }.cast();
        let base = NonNull::new(base.map_addr(|addr| addr.next_multiple_of(PAGE)))?;
        *self.region.lock().unwrap_or_else(PoisonError::into_inner) = Some(region);
        Some(base)
    }

    /// Gives the pool back: Linux has stopped using it.
    pub fn free(&self) {
        self.region.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
