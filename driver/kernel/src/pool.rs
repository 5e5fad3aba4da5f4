//! The allocator behind `alloc`: non-paged, non-executable pool with the tag `LkFs`.
//!
//! Everything that the driver allocates may be touched at DISPATCH_LEVEL (a disk read ends there), so all of it is
//! non-paged; the one big block, Linux's pool of pages, is the matter of Linux's host. Blocks of a page and more start on a
//! page, smaller ones on 16 bytes, which is what Rust's types ask for.
//!
//! A block may be set aside for the next allocation of a thread ([`set_aside_for`]), so that it cannot fail: that is how
//! [`try_arc`] makes an `Arc` that is not to be had without a panic otherwise.
//
// UNSAFETY: implements `GlobalAlloc`.

use crate::nt::{ExAllocatePoolWithTag, ExFreePoolWithTag, POOL_TAG, PVOID, PsGetCurrentThread};
use crate::routines;
use crate::sync::SpinLock;
use alloc::sync::Arc;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

/// `NonPagedPool`: executable, and all there is before NT 6.2.
const NON_PAGED_POOL: u32 = 0;
/// `NonPagedPoolNx`.
const NON_PAGED_POOL_NX: u32 = 512;
/// What the pool aligns every block to on x64.
const POOL_ALIGNMENT: usize = 16;

/// Bytes that Rust has asked for and not given back.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Bytes of pool that the driver holds by this allocator. Any IRQL.
pub fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// The NT pool as Rust's global allocator: the image says `#[global_allocator] static POOL: NtPool = NtPool;`.
#[derive(Debug)]
pub struct NtPool;

/// `bytes` of non-paged pool, not cleared; null for lack of it.
///
/// IRQL: <= DISPATCH_LEVEL.
pub fn allocate(bytes: usize) -> PVOID {
    let kind = if routines::has_no_execute() {
        NON_PAGED_POOL_NX
    } else {
        NON_PAGED_POOL
    };
    // SAFETY: any size is allowed but 0, which pool gives a block for too; the type is one that this kernel knows.
    unsafe { ExAllocatePoolWithTag(kind, bytes.max(1), POOL_TAG) }
}

/// Gives back what [`allocate`] gave.
///
/// # Safety
/// `block` came from [`allocate`] (or from the kernel, with our tag) and is not used again.
pub unsafe fn free(block: PVOID) {
    // SAFETY: promised by the caller.
    unsafe { ExFreePoolWithTag(block, POOL_TAG) }
}

/// Gives back a block of pool that somebody else allocated and left to us, whatever its tag.
///
/// # Safety
/// `block` is a block of pool that is ours to free, and is not used again.
pub unsafe fn free_foreign(block: PVOID) {
    // SAFETY: promised by the caller; without a tag, none is compared.
    unsafe { ExFreePoolWithTag(block, 0) }
}

/// A block that was set aside for the next allocation of this layout by this thread.
#[derive(Clone, Copy)]
struct Aside {
    thread: PVOID,
    block: *mut u8,
    layout: Layout,
}

struct Asides([Option<Aside>; 16]);

// SAFETY: blocks of pool, which any thread may use; threads are only compared.
unsafe impl Send for Asides {}

static ASIDES: SpinLock<Asides> = SpinLock::new(Asides([None; 16]));
/// How many there are.
static SET_ASIDE: AtomicUsize = AtomicUsize::new(0);

/// Sets a block aside; false when no place is free.
fn set_aside(aside: Aside) -> bool {
    let mut asides = ASIDES.lock();
    let Some(place) = asides.0.iter_mut().find(|place| place.is_none()) else {
        return false;
    };
    *place = Some(aside);
    SET_ASIDE.fetch_add(1, Ordering::AcqRel);
    true
}

/// Takes what this thread has set aside for such a layout.
fn take_aside(layout: Layout) -> Option<*mut u8> {
    // SAFETY: may be called anywhere.
    let thread = unsafe { PsGetCurrentThread() };
    let mut asides = ASIDES.lock();
    let wanted = |place: &&mut Option<Aside>| {
        place.is_some_and(|aside| aside.thread == thread && aside.layout == layout)
    };
    let aside = asides.0.iter_mut().find(wanted)?.take()?;
    SET_ASIDE.fetch_sub(1, Ordering::AcqRel);
    Some(aside.block)
}

/// Sets a block aside for the next allocation of this layout by the calling thread; false when there is none.
///
/// IRQL: <= DISPATCH_LEVEL.
pub fn set_aside_for(layout: Layout) -> bool {
    if layout.align() > POOL_ALIGNMENT {
        return false;
    }
    let block: *mut u8 = allocate(layout.size()).cast();
    // SAFETY: may be called anywhere.
    let thread = unsafe { PsGetCurrentThread() };
    let aside = Aside {
        thread,
        block,
        layout,
    };
    if block.is_null() {
        return false;
    }
    let kept = set_aside(aside);
    if !kept {
        // SAFETY: allocated above.
        unsafe { free(block.cast()) };
    }
    kept
}

/// Takes back what the calling thread has set aside for this layout, if it is there still.
///
/// IRQL: <= DISPATCH_LEVEL.
pub fn take_back(layout: Layout) {
    if let Some(unused) = take_aside(layout) {
        // SAFETY: allocated by set_aside_for(), and nobody has it.
        unsafe { free(unused.cast()) };
    }
}

/// `value` behind a count. `None` for lack of memory; then it is dropped.
///
/// IRQL: <= DISPATCH_LEVEL, if dropping the value may happen there.
pub fn try_arc<T>(value: T) -> Option<Arc<T>> {
    const { assert!(align_of::<T>() <= POOL_ALIGNMENT) };
    fallible::try_arc(set_aside_for, take_back, value)
}

/// A new block, counted if there is one.
fn counted(block: *mut u8, layout: Layout) -> *mut u8 {
    if !block.is_null() {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
    }
    block
}

// SAFETY: the pool's blocks are as long as asked, unique, and aligned to 16 bytes; for stricter layouts the block is
// larger and remembers its own start just before the part that is handed out.
unsafe impl GlobalAlloc for NtPool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if SET_ASIDE.load(Ordering::Acquire) != 0
            && let Some(block) = take_aside(layout)
        {
            return counted(block, layout);
        }
        if layout.align() <= POOL_ALIGNMENT {
            return counted(allocate(layout.size()).cast(), layout);
        }
        let Some(bytes) = layout
            .size()
            .checked_add(layout.align())
            .and_then(|n| n.checked_add(size_of::<usize>()))
        else {
            return core::ptr::null_mut();
        };
        let block: *mut u8 = allocate(bytes).cast();
        if block.is_null() {
            return block;
        }
        let first = block.wrapping_add(size_of::<usize>());
        let aligned = first.wrapping_add(first.align_offset(layout.align()));
        // SAFETY: the word before `aligned` is inside the block: `aligned` is at least one word past its start.
        unsafe { aligned.cast::<*mut u8>().wrapping_sub(1).write_unaligned(block) };
        counted(aligned, layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let start = if layout.align() <= POOL_ALIGNMENT {
            block
        } else {
            // SAFETY: alloc() wrote the block's start there.
            unsafe { block.cast::<*mut u8>().wrapping_sub(1).read_unaligned() }
        };
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `start` is what the pool gave.
        unsafe { free(start.cast()) }
    }
}
