//! Names: Linux's bytes to Windows' UTF-16 and back, a bijection.

use alloc::vec::Vec;

use lklfs_nt::NtStatus;

/// A Linux name (one component, neither empty nor `.` nor `..`) as Windows sees it.
///
/// Total and injective: every name has a Windows form, and two names never have the same.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn to_windows(name: &[u8]) -> Result<Vec<u16>, NtStatus> {
    let _ = name;
    Err(NtStatus::NOT_IMPLEMENTED)
}

/// The Linux name whose Windows form this is; the inverse of [`to_windows`].
///
/// # Errors
///
/// OBJECT_NAME_INVALID when no Linux name has this form (an illegal character, an empty name).
pub fn to_linux(name: &[u16]) -> Result<Vec<u8>, NtStatus> {
    let _ = name;
    Err(NtStatus::NOT_IMPLEMENTED)
}
