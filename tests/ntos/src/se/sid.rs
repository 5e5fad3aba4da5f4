//! SIDs: revision, authority, sub-authorities.

#![allow(non_snake_case)]

use crate::nt::*;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        RtlLengthSid <= DISPATCH;
        RtlLengthRequiredSid <= DISPATCH;
        RtlValidSid <= DISPATCH;
        RtlEqualSid <= DISPATCH;
        RtlCopySid <= DISPATCH;
        RtlInitializeSid <= DISPATCH;
        RtlSubAuthoritySid <= DISPATCH;
        RtlSubAuthorityCountSid <= DISPATCH;
    }
}

/// A SID as its bytes.
pub fn make(authority: u8, parts: &[u32]) -> Vec<u8> {
    let mut bytes = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, authority];
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    bytes
}

/// Everyone, S-1-1-0.
pub fn world() -> Vec<u8> {
    make(1, &[0])
}

/// The local system, S-1-5-18.
pub fn local_system() -> Vec<u8> {
    make(5, &[18])
}

/// Administrators, S-1-5-32-544.
pub fn administrators() -> Vec<u8> {
    make(5, &[32, 544])
}

/// Users, S-1-5-32-545.
pub fn users() -> Vec<u8> {
    make(5, &[32, 545])
}

/// Authenticated users, S-1-5-11.
pub fn authenticated() -> Vec<u8> {
    make(5, &[11])
}

/// The bytes of the SID at an address.
///
/// # Safety
/// `sid` points to a SID.
pub unsafe fn bytes<'a>(sid: PSID) -> &'a [u8] {
    let start = sid as *const u8;
    // SAFETY: passed on from the caller: the second byte counts the sub-authorities.
    unsafe { std::slice::from_raw_parts(start, 8 + usize::from(*start.add(1)) * 4) }
}

/// A SID in words, S-1-...
pub fn text(sid: &[u8]) -> String {
    let authority = sid.get(2..8).map_or(0, |b| {
        b.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    });
    let mut text = format!("S-{}-{authority}", sid.first().copied().unwrap_or(0));
    for part in sid.get(8..).unwrap_or_default().chunks_exact(4) {
        text += &format!("-{}", u32::from_le_bytes([part[0], part[1], part[2], part[3]]));
    }
    text
}

unsafe extern "win64" fn RtlLengthSid(sid: PSID) -> ULONG {
    // SAFETY: the driver passes a SID.
    unsafe { bytes(sid) }.len() as u32
}

unsafe extern "win64" fn RtlLengthRequiredSid(count: ULONG) -> ULONG {
    8 + count * 4
}

unsafe extern "win64" fn RtlValidSid(sid: PSID) -> BOOLEAN {
    // SAFETY: the driver passes NULL or memory for a SID.
    u8::from(!sid.is_null() && unsafe { *sid.cast::<u8>() == 1 && *sid.cast::<u8>().add(1) <= 15 })
}

unsafe extern "win64" fn RtlEqualSid(first: PSID, second: PSID) -> BOOLEAN {
    // SAFETY: the driver passes two SIDs.
    u8::from(unsafe { bytes(first) == bytes(second) })
}

unsafe extern "win64" fn RtlCopySid(length: ULONG, to: PSID, from: PSID) -> NTSTATUS {
    // SAFETY: the driver passes a SID and a buffer of `length` bytes.
    unsafe {
        let source = bytes(from);
        if source.len() > length as usize {
            return STATUS_BUFFER_TOO_SMALL;
        }
        std::ptr::copy(source.as_ptr(), to.cast(), source.len());
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlInitializeSid(sid: PSID, authority: *const u8, count: u8) -> NTSTATUS {
    if count > 15 {
        return STATUS_INVALID_PARAMETER;
    }
    let start = sid.cast::<u8>();
    // SAFETY: the driver passes memory for a SID and the six bytes of an authority.
    unsafe {
        start.write(1);
        start.add(1).write(count);
        std::ptr::copy(authority, start.add(2), 6);
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlSubAuthoritySid(sid: PSID, index: ULONG) -> *mut u32 {
    // SAFETY: the driver passes a SID with that sub-authority.
    unsafe { sid.cast::<u8>().add(8).cast::<u32>().add(index as usize) }
}

unsafe extern "win64" fn RtlSubAuthorityCountSid(sid: PSID) -> *mut u8 {
    // SAFETY: the driver passes a SID.
    unsafe { sid.cast::<u8>().add(1) }
}
