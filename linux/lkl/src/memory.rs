//! Allocation that may fail, for code that must not die of it.

// UNSAFETY: asks the allocator directly, to hear of failure.

#![allow(unsafe_code)]

use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;

/// Moves `value` to the heap; `None` for lack of memory (then `value` is dropped).
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    let layout = Layout::new::<T>();
    let place: NonNull<T> = if layout.size() == 0 {
        NonNull::dangling()
    } else {
        // SAFETY: the layout's size is not zero.
        NonNull::new(unsafe { alloc(layout) })?.cast()
    };
    // SAFETY: `place` is aligned, writable and big enough for a T.
    unsafe { place.write(value) };
    // SAFETY: `place` holds a T and was allocated as Box would do it.
    Some(unsafe { Box::from_raw(place.as_ptr()) })
}

/// `len` zero bytes; `None` for lack of memory.
pub(crate) fn try_zeroed(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}

/// A copy of `bytes`; `None` for lack of memory.
pub(crate) fn try_copy(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).ok()?;
    copy.extend_from_slice(bytes);
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_box_is_an_ordinary_box() {
        let counted = Arc::new(7);
        let boxed = try_box(counted.clone()).unwrap();
        assert_eq!((**boxed, Arc::strong_count(&counted)), (7, 2));
        drop(boxed);
        assert_eq!(Arc::strong_count(&counted), 1);
        try_box(()).unwrap();
    }
}
