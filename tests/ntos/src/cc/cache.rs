//! Cache maps: which file objects read their stream through the cache.
//!
//! The first `CcInitializeCacheMap` on a stream makes its shared cache map, which references that file
//! object; each file object has a private one with its read-ahead state. When the last file object
//! uninitialises, the shared map goes, at once or later by the lazy writer, by the seed. That one comes from a worker
//! thread, asks the file system's AcquireForLazyWrite to write what is dirty (nothing is), and acquires the file exclusively to
//! take the map away. Its pages stay in the segment.

use super::segment::{self, AHEAD_CLUSTER, Role, Segment, choose};
use crate::fsrtl::acquire;
use crate::io::{file, kernel, work};
use crate::ke;
use crate::mm::{PAGE_SIZE, pool};
use crate::nt::*;
use crate::verifier::{fail, fault, ledger as holdings};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

const TAG_SHARED: u32 = u32::from_le_bytes(*b"CcSc");
const TAG_PRIVATE: u32 = u32::from_le_bytes(*b"CcPc");
/// What the opaque maps' blocks hold, so that a stale pointer is told from a live one.
const MAP_BYTES: usize = 128;

/// A stream's cache map.
pub struct Shared {
    pointers: usize,
    file_object: usize,
    /// Its pages.
    pub segment: Arc<Segment>,
    callbacks: CACHE_MANAGER_CALLBACKS,
    context: usize,
    block: usize,
    /// File objects that use it; read-ahead and visits of the lazy writer that are under way.
    opens: AtomicU32,
    ahead: AtomicU32,
    events: Mutex<Vec<usize>>,
}

// SAFETY: the callbacks are function pointers; everything else is integers and synchronised.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// One file object's read-ahead state; offsets in bytes.
#[derive(Clone, Copy, Debug)]
struct Private {
    block: usize,
    granularity: u64,
    enabled: bool,
    /// Where the last read ended, and how many reads in a row began where one ended.
    last_end: u64,
    in_row: u32,
    /// Up to where was read ahead.
    ahead_to: u64,
}

#[derive(Default)]
struct Maps {
    shared: HashMap<usize, Arc<Shared>>,
    private: HashMap<usize, Private>,
    /// Reads that are under way, by file object.
    reads: HashMap<usize, u32>,
}

static MAPS: LazyLock<Mutex<Maps>> = LazyLock::new(Mutex::default);

fn maps() -> MutexGuard<'static, Maps> {
    MAPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cache map of `file_object`'s stream; a failure when `what` is called on a file that is not cached.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn shared_of(file_object: PFILE_OBJECT, what: &str) -> Arc<Shared> {
    // SAFETY: by contract.
    unsafe {
        let pointers = (*file_object).SectionObjectPointer;
        if (*file_object).PrivateCacheMap.is_null() || pointers.is_null() {
            fail!(
                Cache,
                "{what} on file object {file_object:p}, whose cache map is not initialised"
            );
        }
        match maps().shared.get(&(pointers as usize)) {
            Some(shared) => Arc::clone(shared),
            None => fail!(
                Cache,
                "{what}: the stream of {file_object:p} has no shared cache map"
            ),
        }
    }
}

/// A read through the cache that is under way: the file object's map must not be taken from it.
pub struct Reading(usize);

impl Reading {
    /// One more of `file_object`.
    pub fn new(file_object: PFILE_OBJECT) -> Reading {
        *maps().reads.entry(file_object as usize).or_default() += 1;
        Reading(file_object as usize)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut maps = maps();
        if let Some(count) = maps.reads.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                maps.reads.remove(&self.0);
            }
        }
    }
}

/// Cache maps that exist.
pub fn count() -> usize {
    maps().shared.len()
}

/// `CcInitializeCacheMap`.
pub unsafe extern "win64" fn CcInitializeCacheMap(
    file_object: PFILE_OBJECT,
    sizes: PCC_FILE_SIZES,
    _pin_access: BOOLEAN,
    callbacks: PCACHE_MANAGER_CALLBACKS,
    context: PVOID,
) {
    // SAFETY: the file system's contract is ours. An exception leaves no destructor behind here.
    if let Err(status) = unsafe { initialize(file_object, sizes, callbacks, context) } {
        ke::raise(status);
    }
}

/// # Safety
/// As [`CcInitializeCacheMap`].
unsafe fn initialize(
    file_object: PFILE_OBJECT,
    sizes: PCC_FILE_SIZES,
    callbacks: PCACHE_MANAGER_CALLBACKS,
    context: PVOID,
) -> Result<(), NTSTATUS> {
    // SAFETY: the file system gives a live file object with section object pointers, sizes and callbacks.
    unsafe {
        let pointers = (*file_object).SectionObjectPointer;
        if pointers.is_null() {
            fail!(Cache, "CcInitializeCacheMap without SectionObjectPointer");
        }
        if !(*file_object).PrivateCacheMap.is_null() {
            return Ok(());
        }
        if (*file_object).Flags & FO_CLEANUP_COMPLETE != 0 {
            fail!(
                Cache,
                "CcInitializeCacheMap on file object {file_object:p} after its cleanup: nobody will take the map from it"
            );
        }
        if fault::should_fail(fault::Site::Cache) {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let size = u64::try_from((*sizes).FileSize.QuadPart).unwrap_or(0);
        let known = maps().shared.get(&(pointers as usize)).cloned();
        let shared = match known {
            Some(shared) => {
                shared.opens.fetch_add(1, Ordering::AcqRel);
                shared
            }
            None => {
                let segment = Segment::get(file_object, Role::Data, size)?;
                segment.set_size(size);
                file::reference(file_object);
                let block = kernel::take(MAP_BYTES, TAG_SHARED);
                let shared = Arc::new(Shared {
                    pointers: pointers as usize,
                    file_object: file_object as usize,
                    segment,
                    callbacks: *callbacks,
                    context: context as usize,
                    block: block as usize,
                    opens: AtomicU32::new(1),
                    ahead: AtomicU32::new(0),
                    events: Mutex::default(),
                });
                (*pointers).SharedCacheMap = block.cast();
                maps().shared.insert(pointers as usize, Arc::clone(&shared));
                holdings::add(holdings::Kind::CacheMap, block as usize, "shared cache map");
                shared
            }
        };
        let block = kernel::take(MAP_BYTES, TAG_PRIVATE);
        (*file_object).PrivateCacheMap = block.cast();
        let private = Private {
            block: block as usize,
            granularity: PAGE_SIZE as u64,
            enabled: (*file_object).Flags & FO_RANDOM_ACCESS == 0,
            last_end: 0,
            in_row: 0,
            ahead_to: 0,
        };
        maps().private.insert(file_object as usize, private);
        drop(shared);
    }
    Ok(())
}

/// Takes the shared map away, and gives its reference to the file object back.
fn destroy(shared: &Arc<Shared>) {
    if take_away(shared) {
        // SAFETY: the reference was the map's.
        unsafe { file::dereference(shared.file_object as PFILE_OBJECT) };
    }
}

/// Takes the shared map away, if it is not in use. True: its reference to the file object is the caller's now.
fn take_away(shared: &Arc<Shared>) -> bool {
    let gone = {
        let mut maps = maps();
        let idle = shared.opens.load(Ordering::Acquire) == 0 && shared.ahead.load(Ordering::Acquire) == 0;
        // The stream may have another map by now, when this one was taken away by somebody else.
        let listed = |listed: &Arc<Shared>| Arc::ptr_eq(listed, shared);
        let ours = idle && maps.shared.get(&shared.pointers).is_some_and(listed);
        ours && maps.shared.remove(&shared.pointers).is_some()
    };
    if !gone {
        return false;
    }
    holdings::remove(holdings::Kind::CacheMap, shared.block);
    // SAFETY: the stream's record lives while the map references a file object of it.
    unsafe {
        (*(shared.pointers as PSECTION_OBJECT_POINTERS)).SharedCacheMap = std::ptr::null_mut();
        pool::free(shared.block as *mut u8, TAG_SHARED);
        shared.segment.release();
        for event in std::mem::take(&mut *shared.events.lock().unwrap_or_else(PoisonError::into_inner)) {
            kernel::event_set((*(event as *mut CACHE_UNINITIALIZE_EVENT)).Event_mut());
        }
    }
    true
}

/// The lazy writer's last visit to a map that no file object uses: writes what is dirty, then takes it away. The visit is
/// counted as reading ahead, so the map is there.
fn visit(shared: &Arc<Shared>) {
    let callbacks = shared.callbacks;
    kernel::enter_critical_region();
    let acquired = callbacks.AcquireForLazyWrite.is_none_or(|routine| {
        // SAFETY: the file system gave the callback and its context for as long as the map lives.
        unsafe { kernel::call(routine as *const (), [shared.context, 1]) as u8 != 0 }
    });
    if acquired && let Some(release) = callbacks.ReleaseFromLazyWrite {
        // SAFETY: the map lives, and its context with it.
        unsafe { kernel::call(release as *const (), [shared.context]) };
    }
    kernel::leave_critical_region();
    let file_object = shared.file_object as PFILE_OBJECT;
    // SAFETY: the map references its file object while this visit is counted, and from then on this does.
    let acquired = unsafe {
        file::reference(file_object);
        acquire::acquire_exclusive(file_object)
    };
    shared.ahead.fetch_sub(1, Ordering::AcqRel);
    let is_gone = take_away(shared);
    // SAFETY: the reference taken above; that of the map is this function's if it is gone.
    unsafe {
        if acquired.is_ok() {
            acquire::release_for_section(file_object);
        }
        if is_gone {
            file::dereference(file_object);
        }
        file::dereference(file_object);
    }
}

/// The event of a `CACHE_UNINITIALIZE_EVENT`.
trait UninitializeEvent {
    fn Event_mut(&mut self) -> PKEVENT;
}

impl UninitializeEvent for CACHE_UNINITIALIZE_EVENT {
    fn Event_mut(&mut self) -> PKEVENT {
        &raw mut self.Event
    }
}

/// `CcUninitializeCacheMap`.
pub unsafe extern "win64" fn CcUninitializeCacheMap(
    file_object: PFILE_OBJECT,
    _truncate: PLARGE_INTEGER,
    event: PCACHE_UNINITIALIZE_EVENT,
) -> BOOLEAN {
    // SAFETY: the file system gives a live file object; the event, if any, lives until it is signalled.
    unsafe {
        let reads = maps().reads.get(&(file_object as usize)).copied().unwrap_or(0);
        if reads != 0 {
            fail!(
                Cache,
                "CcUninitializeCacheMap on file object {file_object:p} while {reads} reads through its map are under way"
            );
        }
        let private = maps().private.remove(&(file_object as usize));
        let pointers = (*file_object).SectionObjectPointer;
        let shared = maps().shared.get(&(pointers as usize)).cloned();
        let Some(private) = private else {
            match (shared, event.is_null()) {
                (Some(shared), false) => {
                    shared
                        .events
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(event as usize);
                }
                (None, false) => kernel::event_set((*event).Event_mut()),
                _ => {}
            }
            return 0;
        };
        (*file_object).PrivateCacheMap = std::ptr::null_mut();
        pool::free(private.block as *mut u8, TAG_PRIVATE);
        let Some(shared) = shared else {
            fail!(Cache, "a private cache map without a shared one")
        };
        if !event.is_null() {
            shared
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(event as usize);
        }
        if shared.opens.fetch_sub(1, Ordering::AcqRel) != 1 {
            return 0;
        }
        if shared.ahead.load(Ordering::Acquire) == 0 && choose(2) == 0 {
            destroy(&shared);
            return 1;
        }
        LAZY.fetch_add(1, Ordering::AcqRel);
        shared.ahead.fetch_add(1, Ordering::AcqRel);
        work::post("lazy writer".into(), move || {
            visit(&shared);
            LAZY.fetch_sub(1, Ordering::AcqRel);
        });
        0
    }
}

/// `CcSetFileSizes`.
pub unsafe extern "win64" fn CcSetFileSizes(file_object: PFILE_OBJECT, sizes: PCC_FILE_SIZES) {
    // SAFETY: the file system gives a live file object and sizes.
    unsafe {
        let pointers = (*file_object).SectionObjectPointer;
        let size = u64::try_from((*sizes).FileSize.QuadPart).unwrap_or(0);
        if let Some(segment) = segment::find(pointers, Role::Data) {
            segment.set_size(size);
        }
    }
}

/// `CcSetReadAheadGranularity`.
pub unsafe extern "win64" fn CcSetReadAheadGranularity(file_object: PFILE_OBJECT, granularity: ULONG) {
    if !granularity.is_power_of_two() || granularity < PAGE_SIZE as u32 {
        fail!(
            Cache,
            "read-ahead granularity {granularity} is no power of two of at least a page"
        );
    }
    match maps().private.get_mut(&(file_object as usize)) {
        Some(private) => private.granularity = u64::from(granularity),
        None => fail!(
            Cache,
            "CcSetReadAheadGranularity on {file_object:p}, which is not cached"
        ),
    }
}

/// `CcSetAdditionalCacheAttributes`.
pub unsafe extern "win64" fn CcSetAdditionalCacheAttributes(
    file_object: PFILE_OBJECT,
    no_read_ahead: BOOLEAN,
    _no_write_behind: BOOLEAN,
) {
    match maps().private.get_mut(&(file_object as usize)) {
        Some(private) => private.enabled = no_read_ahead == 0,
        None => fail!(
            Cache,
            "CcSetAdditionalCacheAttributes on {file_object:p}, which is not cached"
        ),
    }
}

/// `CcFlushCache`: nothing is ever dirty.
pub unsafe extern "win64" fn CcFlushCache(
    _pointers: PSECTION_OBJECT_POINTERS,
    _offset: PLARGE_INTEGER,
    _len: ULONG,
    block: PIO_STATUS_BLOCK,
) {
    if !block.is_null() {
        // SAFETY: the file system gives a place for the status.
        unsafe { *block = crate::io::irp::status_block(STATUS_SUCCESS, 0) };
    }
}

/// `CcPurgeCacheSection`.
pub unsafe extern "win64" fn CcPurgeCacheSection(
    pointers: PSECTION_OBJECT_POINTERS,
    offset: PLARGE_INTEGER,
    len: ULONG,
    flags: ULONG,
) -> BOOLEAN {
    // UNINITIALIZE_CACHE_MAPS: private maps are torn down, too.
    if flags & 1 != 0 {
        let files: Vec<usize> = {
            let maps = maps();
            // SAFETY: a file object with a private cache map is live.
            let of_stream =
                |file: &&usize| unsafe { (*(**file as PFILE_OBJECT)).SectionObjectPointer == pointers };
            maps.private.keys().filter(of_stream).copied().collect()
        };
        for file_object in files {
            // SAFETY: as above.
            unsafe {
                CcUninitializeCacheMap(
                    file_object as PFILE_OBJECT,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            };
        }
    }
    let Some(segment) = segment::find(pointers, Role::Data) else {
        return 1;
    };
    // SAFETY: the file system gives an offset or null.
    let first = unsafe { offset.as_ref().map_or(0, |offset| offset.QuadPart) };
    let first = u64::try_from(first).unwrap_or(0);
    let done = segment.purge(first, (!offset.is_null() && len != 0).then_some(u64::from(len)));
    if done && offset.is_null() {
        segment.delete();
    }
    done.into()
}

/// After a read of `len` bytes at `offset`: notes the pattern and reads ahead when it is sequential.
///
/// # Safety
/// `file_object` is live and cached.
pub unsafe fn note_read(file_object: PFILE_OBJECT, shared: &Arc<Shared>, offset: u64, len: u64) {
    let end = offset + len;
    let size = shared.segment.size();
    let next = {
        let mut maps = maps();
        let Some(private) = maps.private.get_mut(&(file_object as usize)) else {
            return;
        };
        private.in_row = if offset == private.last_end {
            private.in_row.saturating_add(1)
        } else {
            0
        };
        private.last_end = end;
        // SAFETY: by contract.
        let eager = unsafe { (*file_object).Flags } & FO_SEQUENTIAL_ONLY != 0;
        if !private.enabled || (private.in_row < 2 && !eager) || end + private.granularity < private.ahead_to
        {
            return;
        }
        let window = private.granularity.max((AHEAD_CLUSTER * PAGE_SIZE) as u64);
        let from = private.ahead_to.max(end);
        let to = (end + 2 * window).next_multiple_of(private.granularity).min(size);
        if to <= from {
            return;
        }
        private.ahead_to = to;
        (from, to - from)
    };
    // SAFETY: by contract.
    unsafe { read_ahead(file_object, shared, next.0, next.1) };
}

/// Reads `len` bytes at `offset` in from a worker thread.
///
/// # Safety
/// `file_object` is live and cached.
pub unsafe fn read_ahead(file_object: PFILE_OBJECT, shared: &Arc<Shared>, offset: u64, len: u64) {
    shared.ahead.fetch_add(1, Ordering::AcqRel);
    // SAFETY: by contract; the reference is given back below.
    unsafe { file::reference(file_object) };
    let (shared, file_object) = (Arc::clone(shared), file_object as usize);
    work::post("read-ahead".into(), move || {
        let callbacks = shared.callbacks;
        // Callbacks take resources and must leave APCs as they were, so the worker keeps them off around
        // both.
        kernel::enter_critical_region();
        let acquired = callbacks.AcquireForReadAhead.is_none_or(|acquire| {
            // SAFETY: the file system gave the callback and its context for as long as the map lives.
            unsafe { kernel::call(acquire as *const (), [shared.context, 1]) as u8 != 0 }
        });
        if acquired {
            // A read-ahead that fails is forgotten: the read itself will tell.
            let _ = shared.segment.page_in(offset, len, AHEAD_CLUSTER);
            if let Some(release) = callbacks.ReleaseFromReadAhead {
                // SAFETY: as above.
                unsafe { kernel::call(release as *const (), [shared.context]) };
            }
        }
        kernel::leave_critical_region();
        shared.ahead.fetch_sub(1, Ordering::AcqRel);
        if shared.opens.load(Ordering::Acquire) == 0 {
            destroy(&shared);
        }
        // SAFETY: the reference taken above.
        unsafe { file::dereference(file_object as PFILE_OBJECT) };
    });
}

/// `CcScheduleReadAhead`.
pub unsafe extern "win64" fn CcScheduleReadAhead(
    file_object: PFILE_OBJECT,
    offset: PLARGE_INTEGER,
    len: ULONG,
) {
    // SAFETY: the file system gives a live, cached file object.
    unsafe {
        let shared = shared_of(file_object, "CcScheduleReadAhead");
        note_read(
            file_object,
            &shared,
            u64::try_from((*offset).QuadPart).unwrap_or(0),
            u64::from(len),
        );
    }
}

/// `CcGetFileObjectFromSectionPtrs`.
pub unsafe extern "win64" fn CcGetFileObjectFromSectionPtrs(
    pointers: PSECTION_OBJECT_POINTERS,
) -> PFILE_OBJECT {
    let maps = maps();
    maps.shared
        .get(&(pointers as usize))
        .map_or(std::ptr::null_mut(), |shared| shared.file_object as PFILE_OBJECT)
}

/// `CcIsThereDirtyData`.
pub unsafe extern "win64" fn CcIsThereDirtyData(_vpb: PVPB) -> BOOLEAN {
    0
}

/// What the lazy writer has to do.
static LAZY: AtomicUsize = AtomicUsize::new(0);

/// `CcWaitForCurrentLazyWriterActivity`: reading ahead is not the lazy writer's.
pub unsafe extern "win64" fn CcWaitForCurrentLazyWriterActivity() -> NTSTATUS {
    while LAZY.load(Ordering::Acquire) != 0 {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    STATUS_SUCCESS
}

crate::table! {
    /// Cache maps.
    pub static IMPORTS = {
        CcInitializeCacheMap <= APC;
        CcUninitializeCacheMap <= APC;
        CcSetFileSizes <= APC;
        CcSetReadAheadGranularity <= APC;
        CcSetAdditionalCacheAttributes <= APC;
        CcFlushCache <= APC;
        CcPurgeCacheSection <= APC;
        CcScheduleReadAhead <= APC;
        CcGetFileObjectFromSectionPtrs <= APC;
        CcIsThereDirtyData <= APC;
        CcWaitForCurrentLazyWriterActivity <= APC;
    }
}
