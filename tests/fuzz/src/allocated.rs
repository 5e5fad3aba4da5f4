//! How much memory a call takes at most: what a thread holds of the heap is counted.
//
// UNSAFETY: an allocator around the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get().wrapping_add(bytes));
    MOST.set(MOST.get().max(HELD.get()));
}

fn bytes(layout: Layout) -> isize {
    isize::try_from(layout.size()).unwrap_or(isize::MAX)
}

// SAFETY: all is the system's; what is counted changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(bytes(layout));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(bytes(layout).wrapping_neg());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Makes a call, which must hold no more than `limit` bytes at any time beyond what was held before it. An allocation counts even
/// when it fails.
///
/// # Panics
/// When it holds more.
pub fn within<T>(limit: usize, call: impl FnOnce() -> T) -> T {
    let (before, most) = (HELD.get(), MOST.get());
    MOST.set(before);
    let result = call();
    let taken = MOST.get().wrapping_sub(before);
    MOST.set(most.max(MOST.get()));
    assert!(
        usize::try_from(taken).is_ok_and(|taken| taken <= limit),
        "{taken} bytes were allocated, and {limit} are the most"
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_takes_is_counted_though_it_gives_it_back() {
        within(1000, || drop(vec![0u8; 1000]));
        within(0, || ());
        let nested = || within(2000, || drop(vec![0u8; 1500]));
        assert!(std::panic::catch_unwind(|| within(1000, nested)).is_err() || cfg!(panic = "abort"));
    }

    #[test]
    #[should_panic(expected = "are the most")]
    fn more_than_the_limit_is_a_finding() {
        within(999, || drop(vec![0u8; 1000]));
    }
}
