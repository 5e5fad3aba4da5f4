//! Linux's pool of pages, and views of some of them side by side.
//!
//! The pool is pages of an MDL (`MmAllocatePagesForMdlEx`: cleared by the kernel, any physical place), mapped once.
//! The frame numbers in that MDL are what later MDLs are made of: for [`Pages::map`], which maps scattered pages
//! contiguously, and for disk reads ([`crate::disk`]). A kernel that cannot give so many pages, or cannot map them,
//! gets the pool from non-paged pool instead.
//!
//! On either side of the pool lie [`GUARD`] bytes that Linux knows nothing of, and on either side of each view a page of
//! them: what a fault of Linux's writes just beyond its memory reaches no other driver's, and ends in no page fault, which
//! would stop the machine. At the pool's end [`Pages::free`] says whether it was written to.
//!
//! A mapping is found again by its address: the MDLs of all mappings hang in a hash table, chained by `MDL.Next`,
//! which the kernel leaves to whoever owns the MDL.
//
// UNSAFETY: builds MDLs by hand, maps and unmaps them, and keeps raw pointers to them.

use core::iter;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use lklfs_kernel::nt::{
    _MEMORY_CACHING_TYPE, IoAllocateMdl, IoFreeMdl, MDL_PAGES_LOCKED, MM_ALLOCATE_FULLY_REQUIRED,
    MmAllocatePagesForMdlEx, MmFreePagesFromMdl, MmGetPhysicalAddress, MmUnmapLockedPages, NO, PAGE_BYTES,
    PAGE_SHIFT, PMDL, Pfn, ULONG, large, mdl_pfns, quad,
};
use lklfs_kernel::sync::SpinLock;
use lklfs_kernel::{mdl, pool};

/// The most pages that an MDL's 16-bit size field can say: (32767 - 48) / 8.
const MAX_MDL_PAGES: usize = 4089;
/// Bytes that lie before the pool, and as many after it, for what is written beyond it.
const GUARD: usize = 16 * PAGE_BYTES;
/// Chains of mappings.
const BUCKETS: usize = 256;

struct Chains([PMDL; BUCKETS]);

// SAFETY: the MDLs are only reached under the lock.
unsafe impl Send for Chains {}

/// The pool and its views. One for each host.
pub struct Pages {
    /// Where the guard before the pool begins.
    base: AtomicPtr<u8>,
    /// Bytes of the pool and of its guards.
    bytes: AtomicUsize,
    /// The pool's MDL; null when it came from non-paged pool.
    mdl: AtomicPtr<lklfs_kernel::nt::MDL>,
    /// The block in non-paged pool, which need not start on a page; null when the pool has an MDL.
    block: AtomicPtr<core::ffi::c_void>,
    views: SpinLock<Chains>,
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl Pages {
    /// No pool yet.
    pub const fn new() -> Self {
        Pages {
            base: AtomicPtr::new(null_mut()),
            bytes: AtomicUsize::new(0),
            mdl: AtomicPtr::new(null_mut()),
            block: AtomicPtr::new(null_mut()),
            views: SpinLock::new(Chains([null_mut(); BUCKETS])),
        }
    }

    /// Makes the pool: `bytes` of zeros, a multiple of the page size.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn allocate(&self, bytes: usize) -> Option<NonNull<u8>> {
        let bytes = bytes.checked_add(2 * GUARD)?;
        let base = self.take_pages(bytes).or_else(|| self.take_pool(bytes))?;
        self.bytes.store(bytes, Ordering::Release);
        self.base.store(base.as_ptr(), Ordering::Release);
        NonNull::new(base.as_ptr().wrapping_add(GUARD))
    }

    /// Whether the guards are as they were made, all zeros.
    fn guards_are_whole(&self) -> bool {
        let base = self.base.load(Ordering::Acquire);
        let last = self.bytes.load(Ordering::Acquire).wrapping_sub(GUARD);
        [0, last].into_iter().all(|offset| {
            // SAFETY: the first and the last bytes of what was allocated, which only a fault of Linux's writes to.
            let guard = unsafe { core::slice::from_raw_parts(base.wrapping_add(offset), GUARD) };
            guard.iter().all(|byte| *byte == 0)
        })
    }

    fn take_pages(&self, bytes: usize) -> Option<NonNull<u8>> {
        let any = large(i64::MAX);
        // SAFETY: plain numbers; pages come cleared, unless a flag says otherwise.
        let mdl = unsafe {
            MmAllocatePagesForMdlEx(
                large(0),
                any,
                large(0),
                bytes as _,
                _MEMORY_CACHING_TYPE::MmCached,
                MM_ALLOCATE_FULLY_REQUIRED,
            )
        };
        if mdl.is_null() {
            return None;
        }
        // A kernel that does not know FULLY_REQUIRED may give fewer.
        // SAFETY: the MDL is ours.
        let whole = usize::try_from(unsafe { (*mdl).ByteCount }).is_ok_and(|given| given == bytes);
        let base = if whole {
            // SAFETY: pages of such an MDL are locked.
            unsafe { mdl::map(mdl) }
        } else {
            null_mut()
        };
        match NonNull::new(base.cast::<u8>()) {
            Some(base) => {
                self.mdl.store(mdl, Ordering::Release);
                Some(base)
            }
            None => {
                free_pages(mdl);
                None
            }
        }
    }

    fn take_pool(&self, bytes: usize) -> Option<NonNull<u8>> {
        let block = pool::allocate(bytes.checked_add(PAGE_BYTES)?);
        let start = NonNull::new(block.cast::<u8>())?;
        let offset = start.as_ptr().align_offset(PAGE_BYTES);
        let base = NonNull::new(start.as_ptr().wrapping_add(offset))?;
        // SAFETY: `bytes` from `base` on are inside the block, which has a page to spare.
        unsafe { base.as_ptr().write_bytes(0, bytes) };
        self.block.store(block, Ordering::Release);
        Some(base)
    }

    /// Gives the pool back, and before it the views that Linux has left: parts of it keep theirs for good (EROFS its buffers for
    /// unpacking), and a page must not go to another owner while it is mapped. Whether Linux has kept to it.
    ///
    /// IRQL: PASSIVE_LEVEL.
    ///
    /// # Safety
    /// [`Pages::allocate`] made one, and nothing uses it any more.
    pub unsafe fn free(&self) -> bool {
        let whole = self.guards_are_whole();
        while let Some(view) = self.any_view() {
            // SAFETY: map() made it, and nothing uses it any more.
            unsafe { self.unmap(view) };
        }
        let base = self.base.swap(null_mut(), Ordering::AcqRel);
        self.bytes.store(0, Ordering::Release);
        let mdl = self.mdl.swap(null_mut(), Ordering::AcqRel);
        if !mdl.is_null() {
            // SAFETY: from_mdl() mapped it there.
            unsafe { MmUnmapLockedPages(base.cast(), mdl) };
            free_pages(mdl);
        }
        let block = self.block.swap(null_mut(), Ordering::AcqRel);
        if !block.is_null() {
            // SAFETY: from_pool() allocated it.
            unsafe { pool::free(block) };
        }
        whole
    }

    /// The frame of the page that `address` lies in: from the pool's own list, else from the page tables.
    ///
    /// IRQL: <= DISPATCH_LEVEL. `address` is in non-paged memory.
    pub fn pfn(&self, address: *const u8) -> Pfn {
        let offset = address
            .addr()
            .wrapping_sub(self.base.load(Ordering::Acquire).addr());
        let mdl = self.mdl.load(Ordering::Acquire);
        if !mdl.is_null() && offset < self.bytes.load(Ordering::Acquire) {
            // SAFETY: the MDL has a frame for each page of the pool, and the offset lies in the pool.
            let pfns = unsafe { mdl_pfns(mdl) };
            // SAFETY: as above.
            return unsafe { *pfns.wrapping_add(offset >> PAGE_SHIFT) };
        }
        // SAFETY: any system address is allowed.
        let physical = unsafe { MmGetPhysicalAddress(address.cast_mut().cast()) };
        (quad(&physical) as u64) >> PAGE_SHIFT
    }

    /// Maps pages of the pool, named by their index, side by side. `None` when it cannot be done.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        let guarded = pages.len().checked_add(2)?;
        if pages.is_empty() || guarded > MAX_MDL_PAGES {
            return None;
        }
        let base = self.base.load(Ordering::Acquire);
        let last = self.bytes.load(Ordering::Acquire).wrapping_sub(PAGE_BYTES);
        let bytes = ULONG::try_from(guarded.checked_mul(PAGE_BYTES)?).ok()?;
        // SAFETY: an MDL for that many bytes from address 0, not tied to an IRP.
        let mdl = unsafe { IoAllocateMdl(null_mut(), bytes, NO, NO, null_mut()) };
        if mdl.is_null() {
            return None;
        }
        // SAFETY: the MDL is ours and has room for one frame a page.
        let pfns = unsafe { mdl_pfns(mdl) };
        let inside = pages
            .iter()
            .map(|page| GUARD.wrapping_add(page.wrapping_mul(PAGE_BYTES)));
        for (index, offset) in iter::once(0).chain(inside).chain(iter::once(last)).enumerate() {
            let pfn = self.pfn(base.wrapping_add(offset));
            // SAFETY: as above.
            unsafe { *pfns.wrapping_add(index) = pfn };
        }
        // SAFETY: the MDL is ours; the pool's pages never leave memory, which is what "locked" says.
        unsafe { (*mdl).MdlFlags |= MDL_PAGES_LOCKED as i16 };
        // SAFETY: the pages are locked.
        let view = unsafe { mdl::map(mdl) };
        let Some(view) = NonNull::new(view.cast::<u8>()) else {
            // SAFETY: the MDL is ours and not mapped.
            unsafe { IoFreeMdl(mdl) };
            return None;
        };
        let mut views = self.views.lock();
        if let Some(chain) = views.0.get_mut(bucket(view.as_ptr())) {
            // SAFETY: the MDL is ours, and no chain of anybody else's.
            unsafe { (*mdl).Next = *chain };
            *chain = mdl;
        }
        NonNull::new(view.as_ptr().wrapping_add(PAGE_BYTES))
    }

    /// Undoes [`Pages::map`].
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `view` came from `map` and nothing uses it any more.
    pub unsafe fn unmap(&self, view: NonNull<u8>) {
        let mapped = view.as_ptr().wrapping_sub(PAGE_BYTES);
        let mdl = self.take_view(mapped);
        if mdl.is_null() {
            return;
        }
        // SAFETY: map() mapped this MDL there.
        unsafe { MmUnmapLockedPages(mapped.cast(), mdl) };
        // SAFETY: the MDL is ours.
        unsafe { IoFreeMdl(mdl) };
    }

    /// What [`Pages::map`] said of a view that is there.
    fn any_view(&self) -> Option<NonNull<u8>> {
        let views = self.views.lock();
        let mdl = views.0.iter().copied().find(|chain| !chain.is_null())?;
        // SAFETY: every chain leads to MDLs of map()'s, and the lock is held.
        let mapped = unsafe { (*mdl).MappedSystemVa }.cast::<u8>();
        NonNull::new(mapped.wrapping_add(PAGE_BYTES))
    }

    /// Takes the MDL that is mapped at `mapped` from its chain.
    fn take_view(&self, mapped: *mut u8) -> PMDL {
        let mut views = self.views.lock();
        let Some(chain) = views.0.get_mut(bucket(mapped)) else {
            return null_mut();
        };
        let mut link: *mut PMDL = chain;
        // SAFETY: every link leads to an MDL of map()'s or is null, and the lock is held.
        while let Some(mdl) = NonNull::new(unsafe { *link }) {
            let mdl = mdl.as_ptr();
            // SAFETY: as above.
            if unsafe { (*mdl).MappedSystemVa } == mapped.cast() {
                // SAFETY: as above.
                let next = unsafe { (*mdl).Next };
                // SAFETY: as above.
                unsafe { *link = next };
                // SAFETY: as above.
                unsafe { (*mdl).Next = null_mut() };
                return mdl;
            }
            // SAFETY: as above.
            link = unsafe { &raw mut (*mdl).Next };
        }
        null_mut()
    }
}

/// Views lie pages apart, so the page number spreads them well enough.
fn bucket(view: *const u8) -> usize {
    (view.addr() >> PAGE_SHIFT) % BUCKETS
}

fn free_pages(mdl: PMDL) {
    // SAFETY: the MDL and its pages came from MmAllocatePagesForMdlEx and are not mapped.
    unsafe { MmFreePagesFromMdl(mdl) };
    // SAFETY: the header is pool that the kernel allocated for us; its tag is the kernel's.
    unsafe { lklfs_kernel::nt::ExFreePool(mdl.cast()) };
}
