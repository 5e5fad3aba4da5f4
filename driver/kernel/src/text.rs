//! Copies of texts and other slices, which may fail for lack of memory.

use alloc::vec::Vec;
use lklfs_nt::NtStatus;

pub use lklfs_nt::utf16::from_str as units;

/// A copy. INSUFFICIENT_RESOURCES for lack of memory.
pub fn copy<T: Copy>(from: &[T]) -> Result<Vec<T>, NtStatus> {
    fallible::try_copy(from).ok_or(NtStatus::INSUFFICIENT_RESOURCES)
}
