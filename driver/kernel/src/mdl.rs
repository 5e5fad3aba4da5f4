//! Locked pages, mapped into system space.
//
// UNSAFETY: one call that takes an MDL.

use crate::nt::{
    _MEMORY_CACHING_TYPE, KERNEL_MODE, MDL_MAPPING_NO_EXECUTE, MmMapLockedPagesSpecifyCache, NO, PMDL, PVOID,
    ULONG,
};
use crate::routines;
use core::ptr::null_mut;

/// `NormalPagePriority`.
const NORMAL_PAGE_PRIORITY: u32 = 16;

/// The priority argument of a mapping: not executable where the kernel knows the flag.
fn priority() -> u32 {
    if routines::has_no_execute() {
        NORMAL_PAGE_PRIORITY | MDL_MAPPING_NO_EXECUTE
    } else {
        NORMAL_PAGE_PRIORITY
    }
}

/// Maps a locked MDL into system space; null when there is no room.
///
/// # Safety
/// `mdl` describes locked pages.
pub unsafe fn map(mdl: PMDL) -> PVOID {
    // SAFETY: promised by the caller. FALSE: no bug check on failure.
    unsafe {
        MmMapLockedPagesSpecifyCache(
            mdl,
            KERNEL_MODE,
            _MEMORY_CACHING_TYPE::MmCached,
            null_mut(),
            ULONG::from(NO),
            priority() as _,
        )
    }
}
