//! Memory descriptor lists: building and locking. Mapping is in [`super::mapping`].
//!
//! The verifier's part: an MDL is not locked twice, not unlocked when it is not locked, not freed while it is locked,
//! and the frame numbers of a locked one stay as they are.

#![allow(non_snake_case)]

use crate::{
    ke,
    mm::{
        PAGE_SIZE, pages_spanned,
        phys::Pfn,
        pool::{self, Kind, Owner},
        space, user,
    },
    nt::*,
    ps,
    verifier::{
        fault::{self, Site},
        ledger::{self, Kind as Held},
    },
};
use std::{
    cell::Cell,
    collections::HashMap,
    ptr::null_mut,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::mapping::MmUnmapLockedPages;
pub use super::mapping::{segments, unmap_if_mapped};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        IoAllocateMdl <= DISPATCH;
        IoFreeMdl <= DISPATCH;
        IoBuildPartialMdl <= DISPATCH;
        MmBuildMdlForNonPagedPool <= DISPATCH;
        MmProbeAndLockPages <= DISPATCH;
        MmProbeAndLockProcessPages <= APC;
        MmUnlockPages <= DISPATCH;
        MmSizeOfMdl <= HIGH;
        MmAdvanceMdl <= DISPATCH;
    }
}

const TAG: u32 = u32::from_le_bytes(*b"Mdl ");
/// Bytes of an MDL before its frame numbers.
pub const HEADER: usize = size_of::<MDL>();
pub(super) const MAPPED: i16 = MDL_MAPPED_TO_SYSTEM_VA as i16;
pub(super) const LOCKED: i16 = MDL_PAGES_LOCKED as i16;
pub(super) const NONPAGED: i16 = MDL_SOURCE_IS_NONPAGED_POOL as i16;
pub(super) const PARTIAL: i16 = MDL_PARTIAL as i16;
pub(super) const PARTIAL_MAPPED: i16 = MDL_PARTIAL_HAS_BEEN_MAPPED as i16;
pub(super) const FOR_WRITING: i16 = MDL_WRITE_OPERATION as i16;
pub(super) const IO_PAGE_READ: i16 = MDL_IO_PAGE_READ as i16;

/// Pages that may be locked at the same time.
static MOST_LOCKED: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    /// The thread is in the user process's address space for a moment.
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
}

fn is_attached() -> bool {
    ATTACHED.get()
}

/// Lets no more than so many pages be locked at the same time.
pub fn limit_locked(pages: usize) {
    MOST_LOCKED.store(pages, Ordering::Relaxed);
}

/// The frame numbers of locked MDLs, as they were when they were locked.
static LOCKED_FRAMES: Mutex<Option<HashMap<usize, Vec<Pfn>>>> = Mutex::new(None);

fn locked_frames<R>(act: impl FnOnce(&mut HashMap<usize, Vec<Pfn>>) -> R) -> R {
    let mut frames = LOCKED_FRAMES
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    act(frames.get_or_insert_with(HashMap::new))
}

/// An MDL's parts, read and written through the driver's pointer.
///
/// # Safety
/// `mdl` points to an MDL; a bad pointer faults and is reported.
pub(super) unsafe fn parts<'a>(mdl: PMDL) -> &'a mut MDL {
    if mdl.is_null() || !(mdl as usize).is_multiple_of(8) {
        crate::fail!(Mdl, "{mdl:p} is no MDL");
    }
    // SAFETY: passed on from the caller.
    unsafe { &mut *mdl }
}

/// Pages that an MDL describes.
pub fn page_count(mdl: &MDL) -> usize {
    pages_spanned(mdl.ByteOffset as usize, mdl.ByteCount as usize)
}

/// The frame numbers behind the header.
///
/// # Safety
/// `mdl` was allocated with room for its pages.
pub unsafe fn frames<'a>(mdl: PMDL) -> &'a mut [Pfn] {
    // SAFETY: passed on from the caller.
    unsafe { std::slice::from_raw_parts_mut(mdl.add(1).cast(), page_count(&*mdl)) }
}

/// Fills in a header for a buffer.
unsafe fn initialize(mdl: PMDL, address: usize, length: usize) {
    let pages = pages_spanned(address, length);
    // SAFETY: the caller passes memory for an MDL of that many pages.
    unsafe {
        mdl.write_bytes(0, 1);
        (*mdl).Size = (HEADER + pages * 8) as i16;
        (*mdl).StartVa = (address & !(PAGE_SIZE - 1)) as PVOID;
        (*mdl).ByteOffset = (address % PAGE_SIZE) as u32;
        (*mdl).ByteCount = length as u32;
    }
}

/// An MDL for a buffer, with no frames yet; for the double's own use it is not in the ledger.
pub fn allocate(address: usize, length: usize) -> PMDL {
    let size = HEADER + pages_spanned(address, length) * 8;
    let mdl: PMDL = pool::allocate(Kind::NonPaged, size, TAG, Owner::Double).cast();
    // SAFETY: the block is new and long enough.
    unsafe { initialize(mdl, address, length) };
    mdl
}

/// `IoAllocateMdl`.
pub unsafe extern "win64" fn IoAllocateMdl(
    address: PVOID,
    length: ULONG,
    secondary: BOOLEAN,
    _charge_quota: BOOLEAN,
    irp: PIRP,
) -> PMDL {
    if fault::should_fail(Site::Mdl) {
        return null_mut();
    }
    let mdl = allocate(address as usize, length as usize);
    ledger::add(Held::Mdl, mdl as usize, format!("{length} bytes at {address:p}"));
    if !irp.is_null() {
        // SAFETY: the driver passes NULL or an IRP; the chain of its MDLs is well formed.
        unsafe {
            let mut slot = &raw mut (*irp).MdlAddress;
            if secondary != 0 {
                while !(*slot).is_null() {
                    slot = &raw mut (**slot).Next;
                }
            }
            *slot = mdl;
        }
    }
    mdl
}

/// `IoFreeMdl`.
pub unsafe extern "win64" fn IoFreeMdl(mdl: PMDL) {
    // SAFETY: passed on from the driver.
    let m = unsafe { parts(mdl) };
    // A driver that fills the frames in by itself sets the flag by itself, and nothing is locked by that.
    if locked_frames(|frames| frames.contains_key(&(mdl as usize))) {
        crate::fail!(Mdl, "MDL {mdl:p} is freed with its pages locked");
    }
    if m.MdlFlags & PARTIAL_MAPPED != 0 {
        // SAFETY: a mapped partial MDL; NT unmaps it here.
        unsafe { MmUnmapLockedPages(m.MappedSystemVa, mdl) };
    }
    if m.MdlFlags & MAPPED != 0 && m.MdlFlags & NONPAGED == 0 {
        crate::fail!(Mdl, "MDL {mdl:p} is freed while it is mapped");
    }
    ledger::remove(Held::Mdl, mdl as usize);
    pool::free(mdl.cast(), TAG);
}

unsafe extern "win64" fn IoBuildPartialMdl(source: PMDL, target: PMDL, address: PVOID, length: ULONG) {
    // SAFETY: passed on from the driver.
    let (s, t) = unsafe { (parts(source), parts(target)) };
    let first = s.StartVa as usize + s.ByteOffset as usize;
    let end = first + s.ByteCount as usize;
    let start = address as usize;
    let length = if length == 0 {
        end.wrapping_sub(start)
    } else {
        length as usize
    };
    if start < first || start.checked_add(length).is_none_or(|stop| stop > end) {
        crate::fail!(
            Mdl,
            "a partial MDL of {start:#x}+{length:#x} outside of {first:#x}..{end:#x}"
        );
    }
    if s.MdlFlags & (LOCKED | NONPAGED | PARTIAL) == 0 {
        crate::fail!(Mdl, "a partial MDL of {source:p}, whose pages are not locked");
    }
    let room = (usize::from(t.Size.cast_unsigned()).saturating_sub(HEADER)) / 8;
    let pages = pages_spanned(start, length);
    if pages > room {
        crate::fail!(Mdl, "a partial MDL of {pages} pages in an MDL for {room}");
    }
    let skipped = (start - s.StartVa as usize) / PAGE_SIZE;
    t.Process = s.Process;
    t.StartVa = (start & !(PAGE_SIZE - 1)) as PVOID;
    t.ByteOffset = (start % PAGE_SIZE) as u32;
    t.ByteCount = length as u32;
    let keep = t.MdlFlags & (MDL_ALLOCATED_FIXED_SIZE as i16);
    t.MdlFlags = keep | PARTIAL | (s.MdlFlags & (NONPAGED | MAPPED));
    t.MappedSystemVa = if s.MdlFlags & (NONPAGED | MAPPED) != 0 {
        (s.MappedSystemVa as usize + (start - first)) as PVOID
    } else {
        null_mut()
    };
    if t.MdlFlags & MAPPED != 0 {
        // The mapping is the source's; nothing is to be undone for the part.
        t.MdlFlags = (t.MdlFlags & !MAPPED) | NONPAGED;
    }
    // SAFETY: both have room for their pages, checked above for the target.
    unsafe { frames(target).copy_from_slice(&frames(source)[skipped..skipped + pages]) };
}

/// `MmBuildMdlForNonPagedPool`.
pub unsafe extern "win64" fn MmBuildMdlForNonPagedPool(mdl: PMDL) {
    // SAFETY: passed on from the driver.
    let m = unsafe { parts(mdl) };
    let start = m.StartVa as usize + m.ByteOffset as usize;
    if m.MdlFlags & (LOCKED | MAPPED | NONPAGED | PARTIAL) != 0 {
        crate::fail!(
            Mdl,
            "MDL {mdl:p} is built for pool, but has the flags {:#x}",
            m.MdlFlags
        );
    }
    if pool::kind_of(start) == Some(Kind::Paged) {
        crate::fail!(
            Mdl,
            "MDL {mdl:p} is built for nonpaged pool, but {start:#x} is paged pool"
        );
    }
    // SAFETY: the MDL has room for its pages.
    for (index, frame) in unsafe { frames(mdl) }.iter_mut().enumerate() {
        let address = m.StartVa as usize + index * PAGE_SIZE;
        let Some(pfn) = space::pfn_of(address) else {
            crate::fail!(
                Mdl,
                "MDL {mdl:p} is built for {address:#x}: {}",
                pool::explain(address)
            );
        };
        *frame = pfn;
    }
    m.MdlFlags |= NONPAGED;
    m.MappedSystemVa = start as PVOID;
}

/// What `MmProbeAndLockPages` does, with the exception as an error.
///
/// # Safety
/// `mdl` was made by [`allocate`] or `IoAllocateMdl`.
pub unsafe fn lock_pages(mdl: PMDL, user_mode: bool, write: bool) -> Result<(), NTSTATUS> {
    // SAFETY: passed on from the caller.
    let m = unsafe { parts(mdl) };
    if m.MdlFlags & (LOCKED | NONPAGED | PARTIAL) != 0 {
        crate::fail!(Mdl, "MDL {mdl:p} is locked, but has the flags {:#x}", m.MdlFlags);
    }
    let (base, user_memory) = (m.StartVa as usize, user::is_user(m.StartVa as usize));
    if user_mode && !user_memory {
        return Err(STATUS_ACCESS_VIOLATION);
    }
    if ke::irql() > 1 && (user_memory || pool::kind_of(base) == Some(Kind::Paged)) {
        crate::fail!(
            IrqlTooHigh,
            "MmProbeAndLockPages of pageable memory at IRQL {}",
            ke::irql()
        );
    }
    let count = page_count(m);
    if user_memory && ps::current_process() == ps::system_process() && !is_attached() {
        // A user's addresses mean nothing there.
        return Err(STATUS_ACCESS_VIOLATION);
    }
    if locked_frames(|frames| frames.values().map(Vec::len).sum::<usize>() + count)
        > MOST_LOCKED.load(Ordering::Relaxed)
    {
        return Err(STATUS_WORKING_SET_QUOTA);
    }
    let mut list = Vec::with_capacity(count);
    for address in (base..base + count * PAGE_SIZE).step_by(PAGE_SIZE) {
        if user_memory && !user::accessible(address, write) {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        list.push(space::pfn_of(address).ok_or(STATUS_ACCESS_VIOLATION)?);
    }
    // SAFETY: the MDL has room for its pages.
    unsafe { frames(mdl) }.copy_from_slice(&list);
    m.MdlFlags |= LOCKED | if write { FOR_WRITING } else { 0 };
    if user_memory {
        m.Process = ps::current_process();
    }
    locked_frames(|frames| frames.insert(mdl as usize, list));
    ledger::add(
        Held::LockedPages,
        mdl as usize,
        format!("{count} pages at {base:#x}"),
    );
    Ok(())
}

/// `MmProbeAndLockPages`: raises when a page cannot be had. Operation 0 reads from memory, others write to it.
pub unsafe extern "win64" fn MmProbeAndLockPages(mdl: PMDL, mode: i8, operation: i32) {
    // SAFETY: passed on from the driver.
    if let Err(status) = unsafe { lock_pages(mdl, mode != 0, operation != 0) } {
        ke::raise(status);
    }
}

/// `MmProbeAndLockProcessPages`: the same in the address space of `process`.
pub unsafe extern "win64" fn MmProbeAndLockProcessPages(
    mdl: PMDL,
    process: PEPROCESS,
    mode: i8,
    operation: i32,
) {
    ATTACHED.set(process == ps::user_process());
    // SAFETY: passed on from the driver.
    let locked = unsafe { lock_pages(mdl, mode != 0, operation != 0) };
    ATTACHED.set(false);
    if let Err(status) = locked {
        ke::raise(status);
    }
}

/// `MmUnlockPages`.
pub unsafe extern "win64" fn MmUnlockPages(mdl: PMDL) {
    // SAFETY: passed on from the driver.
    let m = unsafe { parts(mdl) };
    if m.MdlFlags & LOCKED == 0 {
        crate::fail!(Mdl, "MDL {mdl:p} is unlocked, but is not locked");
    }
    if m.MdlFlags & MAPPED != 0 {
        // SAFETY: a mapped MDL; NT unmaps it here.
        unsafe { MmUnmapLockedPages(m.MappedSystemVa, mdl) };
    }
    // SAFETY: the MDL has room for its pages.
    let now = unsafe { frames(mdl) };
    if locked_frames(|frames| frames.remove(&(mdl as usize))).is_some_and(|then| then != now) {
        crate::fail!(Mdl, "the frames of MDL {mdl:p} changed while it was locked");
    }
    m.MdlFlags &= !(LOCKED | FOR_WRITING);
    m.Process = null_mut();
    ledger::remove(Held::LockedPages, mdl as usize);
}

unsafe extern "win64" fn MmSizeOfMdl(address: PVOID, length: SIZE_T) -> SIZE_T {
    (HEADER + pages_spanned(address as usize, length as usize) * 8) as u64
}

unsafe extern "win64" fn MmAdvanceMdl(mdl: PMDL, bytes: ULONG) -> NTSTATUS {
    crate::fail!(Unmodelled, "MmAdvanceMdl of {mdl:p} by {bytes} bytes")
}
