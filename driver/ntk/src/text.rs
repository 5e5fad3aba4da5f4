//! Copies of texts and other slices, which may fail for lack of memory.

use alloc::vec::Vec;
use lklfs_nt::NtStatus;

pub use lklfs_nt::utf16::from_str as units;

/// A copy. INSUFFICIENT_RESOURCES for lack of memory.
pub fn copy<T: Copy>(from: &[T]) -> Result<Vec<T>, NtStatus> {
    let mut to = Vec::new();
    to.try_reserve_exact(from.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    to.extend_from_slice(from);
    Ok(to)
}
