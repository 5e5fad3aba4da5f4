//! Allocation that may fail, for code that must not die of it: in a kernel, and in a program that lives on without Linux.
//!
//! `Vec` has `try_reserve` for this; `Box` and `Arc` have nothing in stable Rust.
//
// UNSAFETY: asks the allocator directly, to hear of failure.

#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

extern crate alloc;

use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;

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

/// `value` behind a count; `None` for lack of memory (then `value` is dropped). No stable function does this: so a block for
/// it is set aside first, for the allocator to hand out to this thread, and taken back if it was not wanted.
pub fn try_arc<T>(
    set_aside: impl FnOnce(Layout) -> bool,
    take_back: impl FnOnce(Layout),
    value: T,
) -> Option<Arc<T>> {
    // What an Arc allocates: its two counts, and the value. Were it something else, it would ask the allocator itself.
    let counts = Layout::new::<[AtomicUsize; 2]>();
    let (layout, _) = counts.extend(Layout::new::<T>()).ok()?;
    let layout = layout.pad_to_align();
    if !set_aside(layout) {
        return None;
    }
    let arc = Arc::new(value);
    take_back(layout);
    Some(arc)
}

/// `len` zero bytes; `None` for lack of memory.
pub fn try_zeroed(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}

/// A copy of `from`; `None` for lack of memory.
pub fn try_copy<T: Copy>(from: &[T]) -> Option<Vec<T>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(from.len()).ok()?;
    copy.extend_from_slice(from);
    Some(copy)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn a_box_is_an_ordinary_box() {
        let counted = Arc::new(7);
        let boxed = try_box(counted.clone()).unwrap();
        assert_eq!((**boxed, Arc::strong_count(&counted)), (7, 2));
        drop(boxed);
        assert_eq!(Arc::strong_count(&counted), 1);
        try_box(()).unwrap();
    }

    #[test]
    fn an_arc_asks_for_the_block_that_was_set_aside() {
        // As std makes it: its layout is what an allocator would be asked for.
        let wanted = Cell::new(None);
        let arc = try_arc(
            |layout| {
                wanted.set(Some(layout));
                true
            },
            |layout| assert_eq!(Some(layout), wanted.get()),
            [7u64; 5],
        );
        assert_eq!(*arc.unwrap(), [7; 5]);
        assert_eq!(wanted.get(), Some(Layout::new::<[u64; 7]>()));
    }

    #[test]
    fn without_a_block_there_is_no_arc_and_the_value_is_dropped() {
        let counted = Arc::new(7);
        let taken_back = Cell::new(false);
        let none = try_arc(|_| false, |_| taken_back.set(true), Arc::clone(&counted));
        assert!(none.is_none() && !taken_back.get());
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}
