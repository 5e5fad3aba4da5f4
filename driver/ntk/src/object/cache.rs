//! The cache manager's side of an FCB: its cache map, and the callbacks around its reading ahead.
//
// UNSAFETY: Cc* calls and callbacks.

use crate::object::open::{FcbBlock, Open};
use crate::workque::deferred;
use core::ptr::null_mut;
use lklfs_kernel::fault;
use lklfs_kernel::nt::{
    self, _MMFLUSH_TYPE, BOOLEAN, CACHE_MANAGER_CALLBACKS, CC_FILE_SIZES, CcInitializeCacheMap,
    CcPurgeCacheSection, CcUninitializeCacheMap, IoGetTopLevelIrp, IoSetTopLevelIrp, MmFlushImageSection,
    PFILE_OBJECT, PVOID, large,
};
use lklfs_nt::NtStatus;

/// `FSRTL_CACHE_TOP_LEVEL_IRP`: the thread's top-level "IRP" while the cache manager reads ahead.
const CACHE_TOP_LEVEL: usize = 2;

struct Callbacks(CACHE_MANAGER_CALLBACKS);

// SAFETY: the table is only read.
unsafe impl Sync for Callbacks {}

static CALLBACKS: Callbacks = Callbacks(CACHE_MANAGER_CALLBACKS {
    AcquireForLazyWrite: Some(acquire),
    ReleaseFromLazyWrite: Some(release),
    AcquireForReadAhead: Some(acquire),
    ReleaseFromReadAhead: Some(release),
});

/// A use of a file object's cache map, which stays as long as this does.
pub struct CacheUse<'a> {
    file: PFILE_OBJECT,
    open: &'a Open,
}

impl<'a> CacheUse<'a> {
    /// Gives a file object a cache map, if it has none yet: once, whatever number of requests on it come at the same time,
    /// under the FCB's main resource. CANT_WAIT if somebody else has that and `wait` forbids to wait; FILE_CLOSED after the
    /// CLEANUP.
    ///
    /// IRQL: <= APC_LEVEL.
    ///
    /// # Safety
    /// `file` is a file object that stays for `'a`, and `open` the open behind it.
    pub unsafe fn new(file: PFILE_OBJECT, open: &'a Open, wait: bool) -> Result<Self, NtStatus> {
        {
            let mut users = open.cache.lock();
            if users.closed {
                return Err(NtStatus::FILE_CLOSED);
            }
            users.count = users.count.saturating_add(1);
        }
        let this = CacheUse { file, open };
        // SAFETY: promised by the caller.
        unsafe { initialize(file, open, wait) }?;
        Ok(this)
    }
}

impl Drop for CacheUse<'_> {
    fn drop(&mut self) {
        let is_last = {
            let mut users = self.open.cache.lock();
            users.count = users.count.saturating_sub(1);
            users.closed && users.count == 0
        };
        if is_last {
            uninitialize(self.file, &self.open.fcb);
        }
    }
}

/// Takes the cache map from a file object whose last handle is closed: now, or when the last use of it has ended.
///
/// IRQL: PASSIVE_LEVEL; blocks for the FCB's main resource.
///
/// # Safety
/// `file` is the file object of a CLEANUP, and `open` the open behind it.
pub unsafe fn close(file: PFILE_OBJECT, open: &Open) {
    let is_used = {
        let mut users = open.cache.lock();
        users.closed = true;
        users.count != 0
    };
    if !is_used {
        uninitialize(file, &open.fcb);
    }
}

/// Nobody uses the map by an IRP. FsRtl's fast reads hold the main resource shared.
fn uninitialize(file: PFILE_OBJECT, fcb: &FcbBlock) {
    fcb.main().acquire_exclusive(true);
    // A file object that only the cache kept may be closed in this.
    deferred::inside(|| {
        // SAFETY: allowed whether or not the file object, which the caller holds, has a cache map.
        let _ = unsafe { CcUninitializeCacheMap(file, null_mut(), null_mut()) };
    });
    fcb.main().release();
}

/// See [`CacheUse::new`].
///
/// # Safety
/// As there.
unsafe fn initialize(file: PFILE_OBJECT, open: &Open, wait: bool) -> Result<(), NtStatus> {
    // SAFETY: promised by the caller.
    if !unsafe { (*file).PrivateCacheMap }.is_null() {
        return Ok(());
    }
    let fcb: &FcbBlock = &open.fcb;
    if !fcb.main().acquire_exclusive(wait) {
        return Err(NtStatus::CANT_WAIT);
    }
    // SAFETY: promised by the caller.
    if !unsafe { (*file).PrivateCacheMap }.is_null() {
        fcb.main().release();
        return Ok(());
    }
    let (allocation, size, valid) = fcb.sizes();
    let mut sizes = CC_FILE_SIZES {
        AllocationSize: large(allocation),
        FileSize: large(size),
        ValidDataLength: large(valid),
    };
    let context: PVOID = (&raw const *fcb).cast_mut().cast();
    let callbacks = (&raw const CALLBACKS.0).cast_mut();
    let act = || {
        // SAFETY: the FCB outlives the cache map, because file objects with one keep it.
        unsafe { CcInitializeCacheMap(file, &mut sizes, nt::NO, callbacks, context) }
    };
    // SAFETY: one NT call, which raises for lack of memory and has then changed nothing.
    let made = unsafe { fault::guarded(act) };
    fcb.main().release();
    made.map_err(|code| {
        if code < 0 {
            nt::status(code)
        } else {
            NtStatus::INSUFFICIENT_RESOURCES
        }
    })
}

/// Throws away what the cache and the memory manager hold of a file; whether nothing is left. Both keep a file that was
/// mapped or run, and its file object, for a while after the last view is gone.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn purge(fcb: &FcbBlock) -> bool {
    fcb.main().acquire_exclusive(true);
    // File objects that only a section kept may be closed in this.
    let (flushed, purged) = deferred::inside(|| {
        // SAFETY: the section pointers are the FCB's, and the main resource is held.
        let flushed = unsafe { MmFlushImageSection(fcb.sections(), _MMFLUSH_TYPE::MmFlushForWrite) } != 0;
        // SAFETY: the section pointers are the FCB's, and the main resource is held. Nothing is dirty.
        let purged = unsafe { CcPurgeCacheSection(fcb.sections(), null_mut(), 0, 0) } != 0;
        (flushed, purged)
    });
    fcb.main().release();
    flushed && purged
}

// The callbacks lock nothing: sizes never change and nothing is written, so there is nothing that reading ahead could
// disturb or be disturbed by. They only tell our READ that the cache manager stands above it.
unsafe extern "C" fn acquire(_context: PVOID, _wait: BOOLEAN) -> BOOLEAN {
    // SAFETY: marks this thread until release().
    unsafe { IoSetTopLevelIrp(core::ptr::without_provenance_mut(CACHE_TOP_LEVEL)) };
    nt::YES
}

unsafe extern "C" fn release(_context: PVOID) {
    // SAFETY: may be called anywhere.
    let top_level = unsafe { IoGetTopLevelIrp() };
    if top_level.addr() == CACHE_TOP_LEVEL {
        // SAFETY: set by acquire() in this thread.
        unsafe { IoSetTopLevelIrp(null_mut()) };
    }
}
