//! Memory descriptor lists: building, locking, mapping.
//!
//! The verifier's part: an MDL is not locked twice, not unlocked when it is not locked, not freed while it is locked,
//! and the frame numbers of a locked one stay as they are.

#![allow(non_snake_case)]

use crate::{
    ke,
    mm::{
        PAGE_SIZE, pages_spanned,
        phys::{self, Extent, Pfn},
        pool::{self, Kind, Owner},
        space::{self, Protection, RegionKind},
        user,
    },
    nt::*,
    ps,
    verifier::{
        fault::{self, Site},
        ledger::{self, Kind as Held},
    },
};
use std::{collections::HashMap, ptr::null_mut, sync::Mutex};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        IoAllocateMdl <= DISPATCH;
        IoFreeMdl <= DISPATCH;
        IoBuildPartialMdl <= DISPATCH;
        MmBuildMdlForNonPagedPool <= DISPATCH;
        MmProbeAndLockPages <= DISPATCH;
        MmUnlockPages <= DISPATCH;
        MmMapLockedPagesSpecifyCache <= DISPATCH;
        MmMapLockedPages <= DISPATCH;
        MmUnmapLockedPages <= DISPATCH;
        MmProtectMdlSystemAddress <= DISPATCH;
        MmSizeOfMdl <= HIGH;
        MmAdvanceMdl <= DISPATCH;
    }
}

const TAG: u32 = u32::from_le_bytes(*b"Mdl ");
/// Bytes of an MDL before its frame numbers.
pub const HEADER: usize = size_of::<MDL>();
const MAPPED: i16 = MDL_MAPPED_TO_SYSTEM_VA as i16;
const LOCKED: i16 = MDL_PAGES_LOCKED as i16;
const NONPAGED: i16 = MDL_SOURCE_IS_NONPAGED_POOL as i16;
const PARTIAL: i16 = MDL_PARTIAL as i16;
const PARTIAL_MAPPED: i16 = MDL_PARTIAL_HAS_BEEN_MAPPED as i16;
const FOR_WRITING: i16 = MDL_WRITE_OPERATION as i16;

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
unsafe fn parts<'a>(mdl: PMDL) -> &'a mut MDL {
    if mdl.is_null() || mdl as usize % 8 != 0 {
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

/// Runs of frames that lie side by side.
pub fn runs(frames: &[Pfn]) -> Vec<Extent> {
    let mut list: Vec<Extent> = Vec::new();
    for &frame in frames {
        match list.last_mut() {
            Some(run) if run.first + run.count == frame => run.count += 1,
            _ => list.push(Extent {
                first: frame,
                count: 1,
            }),
        }
    }
    list
}

/// Maps an MDL's pages into the kernel's or the user's space. `None`: it cannot be done now.
///
/// # Safety
/// `mdl` is a locked MDL, a partial one, or one whose frames the driver filled in.
pub unsafe fn map(mdl: PMDL, user_mode: bool) -> Option<PVOID> {
    // SAFETY: passed on from the caller.
    let m = unsafe { parts(mdl) };
    if m.MdlFlags & MAPPED != 0 {
        crate::fail!(Mdl, "MDL {mdl:p} is mapped twice");
    }
    if !user_mode && m.MdlFlags & NONPAGED != 0 {
        return Some(m.MappedSystemVa);
    }
    if m.MdlFlags & (LOCKED | PARTIAL | NONPAGED) == 0 {
        crate::fail!(Mdl, "MDL {mdl:p} is mapped, but its pages are not locked");
    }
    if fault::should_fail(Site::Mapping) {
        return None;
    }
    // SAFETY: the MDL has room for its pages.
    let frames = unsafe { frames(mdl) };
    if let Some(bad) = frames.iter().find(|frame| !phys::is_valid(**frame)) {
        crate::fail!(
            Mdl,
            "MDL {mdl:p} names the page frame {bad:#x}, which does not exist"
        );
    }
    let kind = if user_mode {
        RegionKind::User
    } else {
        RegionKind::Mapping
    };
    let region = space::map(kind, frames.len(), PAGE_SIZE, runs(frames), Protection::ReadWrite);
    let address = (region.base + m.ByteOffset as usize) as PVOID;
    ledger::add(
        Held::Mapping,
        region.base,
        format!("MDL {mdl:p}, {} pages", frames.len()),
    );
    if !user_mode {
        m.MdlFlags |= MAPPED
            | if m.MdlFlags & PARTIAL != 0 {
                PARTIAL_MAPPED
            } else {
                0
            };
        m.MappedSystemVa = address;
    }
    Some(address)
}

/// `MmMapLockedPagesSpecifyCache`.
pub unsafe extern "win64" fn MmMapLockedPagesSpecifyCache(
    mdl: PMDL,
    mode: i8,
    _cache: i32,
    _address: PVOID,
    stop_on_failure: ULONG,
    _priority: ULONG,
) -> PVOID {
    // SAFETY: passed on from the driver.
    match unsafe { map(mdl, mode != 0) } {
        Some(address) => address,
        None if mode != 0 => ke::raise(STATUS_INSUFFICIENT_RESOURCES),
        None if stop_on_failure != 0 => crate::fail!(
            BugCheck,
            "no system addresses for MDL {mdl:p}, and no way to fail"
        ),
        None => null_mut(),
    }
}

unsafe extern "win64" fn MmMapLockedPages(mdl: PMDL, mode: i8) -> PVOID {
    // SAFETY: passed on from the driver.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, mode, 1, null_mut(), 1, 0) }
}

/// `MmGetSystemAddressForMdlSafe`, which is a macro in NT's headers.
///
/// # Safety
/// As [`map`].
pub unsafe fn system_address(mdl: PMDL) -> *mut u8 {
    // SAFETY: passed on from the caller.
    let m = unsafe { parts(mdl) };
    if m.MdlFlags & (MAPPED | NONPAGED) != 0 {
        return m.MappedSystemVa.cast();
    }
    // SAFETY: passed on from the caller.
    unsafe { map(mdl, false) }.map_or(null_mut(), |address| address.cast())
}

/// `MmUnmapLockedPages`.
pub unsafe extern "win64" fn MmUnmapLockedPages(address: PVOID, mdl: PMDL) {
    // SAFETY: passed on from the driver.
    let m = unsafe { parts(mdl) };
    if m.MdlFlags & NONPAGED != 0 && !user::is_user(address as usize) {
        return;
    }
    let base = address as usize & !(PAGE_SIZE - 1);
    let mapped = matches!(space::kind_of(base), Some(RegionKind::Mapping | RegionKind::User));
    if !mapped || !ledger::remove(Held::Mapping, base) {
        crate::fail!(
            Mdl,
            "MmUnmapLockedPages of {address:p}, where MDL {mdl:p} is not mapped"
        );
    }
    space::release(base);
    if !user::is_user(address as usize) {
        m.MdlFlags &= !(MAPPED | PARTIAL_MAPPED);
        m.MappedSystemVa = null_mut();
    }
}

unsafe extern "win64" fn MmProtectMdlSystemAddress(mdl: PMDL, protect: ULONG) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    let m = unsafe { parts(mdl) };
    if m.MdlFlags & MAPPED == 0 {
        return STATUS_NOT_MAPPED_VIEW;
    }
    let protection = match protect {
        PAGE_NOACCESS => Protection::None,
        PAGE_READONLY => Protection::Read,
        PAGE_READWRITE => Protection::ReadWrite,
        _ => return STATUS_INVALID_PAGE_PROTECTION,
    };
    let base = m.MappedSystemVa as usize & !(PAGE_SIZE - 1);
    space::protect(base..base + page_count(m) * PAGE_SIZE, protection);
    STATUS_SUCCESS
}

unsafe extern "win64" fn MmSizeOfMdl(address: PVOID, length: SIZE_T) -> SIZE_T {
    (HEADER + pages_spanned(address as usize, length as usize) * 8) as u64
}

unsafe extern "win64" fn MmAdvanceMdl(mdl: PMDL, bytes: ULONG) -> NTSTATUS {
    crate::fail!(Unmodelled, "MmAdvanceMdl of {mdl:p} by {bytes} bytes")
}

/// The first `length` bytes that an MDL describes, as pieces of physical memory: how a device reaches them.
///
/// # Safety
/// The MDL's frames are filled in and stay so, and nobody else uses the bytes, while the pieces are in use.
pub unsafe fn segments<'a>(mdl: PMDL, length: usize) -> Vec<&'a mut [u8]> {
    // SAFETY: passed on from the caller.
    let (m, list) = unsafe { (parts(mdl), frames(mdl)) };
    if m.MdlFlags & (LOCKED | NONPAGED | PARTIAL) == 0 {
        crate::fail!(Mdl, "a device is given MDL {mdl:p}, whose pages are not locked");
    }
    let mut left = length.min(m.ByteCount as usize);
    let mut skip = m.ByteOffset as usize;
    let mut pieces = Vec::new();
    for run in runs(list) {
        let size = (run.count as usize * PAGE_SIZE - skip).min(left);
        if size == 0 {
            break;
        }
        // SAFETY: the frames of a run lie side by side in the mapping of physical memory.
        pieces.push(unsafe { std::slice::from_raw_parts_mut(phys::at(run.first).add(skip), size) });
        left -= size;
        skip = 0;
    }
    pieces
}

/// Takes a mapping that a driver made of an MDL of the double's away, as NT does when it takes the MDL back.
///
/// # Safety
/// `mdl` is an MDL that nobody uses any more.
pub unsafe fn unmap_if_mapped(mdl: PMDL) {
    // SAFETY: passed on from the caller.
    let m = unsafe { parts(mdl) };
    if m.MdlFlags & MAPPED != 0 && m.MdlFlags & NONPAGED == 0 {
        // SAFETY: it is mapped there.
        unsafe { MmUnmapLockedPages(m.MappedSystemVa, mdl) };
    }
}
