//! Mappings of MDLs: into the kernel's space, into the user's, and how a device reaches their bytes.

#![allow(non_snake_case)]

use crate::{
    ke,
    mm::{
        PAGE_SIZE,
        mdl::{
            FOR_WRITING, IO_PAGE_READ, LOCKED, MAPPED, NONPAGED, PARTIAL, PARTIAL_MAPPED, frames, page_count,
            parts,
        },
        phys::{self, Extent, Pfn},
        space::{self, Protection, RegionKind},
        user,
    },
    nt::*,
    verifier::{
        fault::{self, Site},
        ledger::{self, Kind as Held},
    },
};
use std::ptr::null_mut;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        MmMapLockedPagesSpecifyCache <= DISPATCH;
        MmMapLockedPages <= DISPATCH;
        MmUnmapLockedPages <= DISPATCH;
        MmProtectMdlSystemAddress <= DISPATCH;
    }
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
    // What was locked for reading is no place to write to: NT would not see the page change, and lose it.
    let read_only =
        m.MdlFlags & LOCKED != 0 && m.MdlFlags & (FOR_WRITING | IO_PAGE_READ) == 0 && !m.Process.is_null();
    let protection = if read_only {
        Protection::Read
    } else {
        Protection::ReadWrite
    };
    let region = space::map(kind, frames.len(), PAGE_SIZE, runs(frames), protection);
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
