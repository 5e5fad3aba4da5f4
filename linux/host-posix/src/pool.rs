//! Linux's memory: one memory file, mapped once as a whole and in pieces wherever Linux wants pages side by side.
//!
//! Each mapping lies between guards, pages without access: what a fault of Linux's reads or writes just beyond its memory is a
//! fault of the processor, of which Linux dies, and no other memory of the process.

#![allow(unsafe_code)]

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::os::fd::OwnedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

/// Bytes of a page.
const PAGE: usize = 4096;

/// Bytes of a guard on either side of the pool.
const POOL_GUARD: usize = 16 * PAGE;
/// Bytes of a guard on either side of pages side by side.
const VIEW_GUARD: usize = PAGE;

/// Linux writes a record of every page at boot, at the beginning of the pool...
const BYTES_OF_A_PAGE_RECORD: usize = 64;
/// ... and about this much besides. To ask for all of that at once is cheaper than a fault for each page.
const TOUCHED_AT_BOOT: usize = 2 << 20;

/// The pool of one boot.
#[derive(Debug, Default)]
pub struct Pool {
    /// The memory file and its size, while there is one.
    file: Mutex<Option<(Arc<OwnedFd>, usize)>>,
}

impl Pool {
    /// `size` bytes of zeros, a multiple of 4096. Memory is only taken as it is touched. None for lack of it.
    pub fn alloc(&self, size: usize) -> Option<NonNull<u8>> {
        if size == 0 || !size.is_multiple_of(PAGE) {
            return None;
        }
        let file = memfd_create("lkl-pool", MemfdFlags::CLOEXEC).ok()?;
        ftruncate(&file, u64::try_from(size).ok()?).ok()?;
        let base = reserve(size, POOL_GUARD)?;
        let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: replaces the inside of the range that was just made and that nobody knows.
        if unsafe { mmap(base.as_ptr().cast(), size, protection, flags, &file, 0) }.is_err() {
            // SAFETY: as above.
            unsafe { release(base, size, POOL_GUARD) };
            return None;
        }
        let touched = size.min(size / PAGE * BYTES_OF_A_PAGE_RECORD + TOUCHED_AT_BOOT);
        // A hint: page by page on demand would do as well.
        // SAFETY: a part of the mapping that was just made.
        let _ = unsafe { rustix::mm::madvise(base.as_ptr().cast(), touched, Advice::LinuxPopulateWrite) };
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::new(file), size));
        Some(base)
    }

    /// Gives the pool back.
    ///
    /// # Safety
    /// `base` and `size` are those of the last `alloc`, and nothing uses the memory any more.
    pub unsafe fn free(&self, base: NonNull<u8>, size: usize) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // SAFETY: the caller's promise.
        unsafe { release(base, size, POOL_GUARD) };
    }

    /// Maps pages of the pool side by side. None when one is outside, or the process has no more mappings to give.
    pub fn map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        let (file, size) = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        if pages.is_empty() || pages.iter().any(|page| *page >= size / PAGE) {
            return None;
        }
        let total = pages.len().checked_mul(PAGE)?;
        let range = reserve(total, VIEW_GUARD)?;
        let mut at = 0;
        for run in runs(pages) {
            let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let place = range.as_ptr().wrapping_add(at).cast();
            let (len, offset) = (run.len() * PAGE, (run[0] * PAGE) as u64);
            // SAFETY: replaces a part of the range that was just made and that nobody knows.
            if unsafe { mmap(place, len, protection, flags, &*file, offset) }.is_err() {
                // SAFETY: as above.
                unsafe { release(range, total, VIEW_GUARD) };
                return None;
            }
            at += len;
        }
        Some(range)
    }

    /// Undoes a `map`.
    ///
    /// # Safety
    /// `addr` came from `map` with `count` pages, and nothing uses the range any more.
    pub unsafe fn unmap(&self, addr: NonNull<u8>, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { release(addr, count * PAGE, VIEW_GUARD) };
    }
}

/// `size` bytes of address space without access, between guards of `guard` bytes each.
fn reserve(size: usize, guard: usize) -> Option<NonNull<u8>> {
    let whole = size.checked_add(2 * guard)?;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let range = unsafe { mmap_anonymous(null_mut(), whole, ProtFlags::empty(), MapFlags::PRIVATE) };
    NonNull::new(range.ok()?.cast::<u8>().wrapping_add(guard))
}

/// Undoes a [`reserve`], whatever was mapped in it since.
///
/// # Safety
/// The three are those of `reserve`, and nothing uses the range any more.
unsafe fn release(inside: NonNull<u8>, size: usize, guard: usize) {
    let range = inside.as_ptr().wrapping_sub(guard);
    // SAFETY: the caller's promise.
    let unmapped = unsafe { munmap(range.cast(), size + 2 * guard) };
    debug_assert!(unmapped.is_ok(), "a range of pages cannot be unmapped");
}

/// Splits page numbers into runs of neighbours, each of which one mapping does.
fn runs(pages: &[usize]) -> impl Iterator<Item = &[usize]> {
    pages.chunk_by(|a, b| a.checked_add(1) == Some(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_make_one_run() {
        let all: Vec<_> = runs(&[3, 4, 5, 9, 8, 8, usize::MAX]).collect();
        assert_eq!(all, [&[3, 4, 5][..], &[9], &[8], &[8], &[usize::MAX]]);
    }

    #[test]
    fn pages_outside_are_refused() {
        let pool = Pool::default();
        assert_eq!(pool.map(&[0]), None);
        let base = pool.alloc(2 * PAGE).unwrap();
        assert_eq!(pool.map(&[0, 2]), None);
        assert_eq!(pool.map(&[]), None);
        // SAFETY: nobody uses it.
        unsafe { pool.free(base, 2 * PAGE) };
    }
}
