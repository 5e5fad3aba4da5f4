//! Copies of texts and other slices, which may fail for lack of memory.

use alloc::vec::Vec;
use lklfs_nt::NtStatus;

/// A copy. INSUFFICIENT_RESOURCES for lack of memory.
pub fn copy<T: Copy>(from: &[T]) -> Result<Vec<T>, NtStatus> {
    let mut to = Vec::new();
    to.try_reserve_exact(from.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    to.extend_from_slice(from);
    Ok(to)
}

/// A text as UTF-16. INSUFFICIENT_RESOURCES for lack of memory.
pub fn units(text: &str) -> Result<Vec<u16>, NtStatus> {
    let mut units = Vec::new();
    // A text has no more units than bytes.
    units
        .try_reserve_exact(text.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    units.extend(text.encode_utf16());
    Ok(units)
}
