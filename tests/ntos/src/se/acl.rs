//! Access control lists.

#![allow(non_snake_case)]

use crate::{nt::*, se::sid};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        RtlCreateAcl <= APC;
        RtlAddAccessAllowedAce <= APC;
        RtlAddAccessAllowedAceEx <= APC;
        RtlAddAce <= APC;
        RtlGetAce <= APC;
    }
}

/// The bytes of an ACL.
///
/// # Safety
/// `acl` points to an ACL.
pub unsafe fn bytes<'a>(acl: PACL) -> &'a [u8] {
    // SAFETY: passed on from the caller.
    unsafe { std::slice::from_raw_parts(acl.cast(), usize::from((*acl).AclSize)) }
}

unsafe extern "win64" fn RtlCreateAcl(acl: PACL, length: ULONG, revision: ULONG) -> NTSTATUS {
    if (length as usize) < size_of::<ACL>() {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if !(2..=4).contains(&revision) || length > 0xFFFC {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the driver passes memory of that length.
    unsafe {
        acl.write(ACL {
            AclRevision: revision as u8,
            Sbz1: 0,
            AclSize: length as u16 & !3,
            AceCount: 0,
            Sbz2: 0,
        })
    };
    STATUS_SUCCESS
}

/// The ACEs of an ACL, as bytes.
///
/// # Safety
/// `acl` points to an ACL.
pub unsafe fn aces<'a>(acl: PACL) -> Vec<&'a [u8]> {
    // SAFETY: passed on from the caller.
    let (whole, count) = unsafe { (bytes(acl), (*acl).AceCount) };
    let mut at = size_of::<ACL>();
    let mut list = Vec::new();
    for _ in 0..count {
        let size = whole
            .get(at + 2..at + 4)
            .map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        let Some(ace) = whole.get(at..at + size).filter(|ace| ace.len() >= 8) else {
            break;
        };
        list.push(ace);
        at += size;
    }
    list
}

/// Appends ACEs.
unsafe fn append(acl: PACL, ace: &[u8], count: u16) -> NTSTATUS {
    // SAFETY: the driver passes an ACL whose size is what RtlCreateAcl was told.
    unsafe {
        let used = size_of::<ACL>() + aces(acl).iter().map(|ace| ace.len()).sum::<usize>();
        if used + ace.len() > usize::from((*acl).AclSize) {
            return STATUS_ALLOTTED_SPACE_EXCEEDED;
        }
        std::ptr::copy(ace.as_ptr(), acl.cast::<u8>().add(used), ace.len());
        (*acl).AceCount += count;
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlAddAccessAllowedAceEx(
    acl: PACL,
    revision: ULONG,
    flags: ULONG,
    mask: ACCESS_MASK,
    who: PSID,
) -> NTSTATUS {
    if revision > 4 {
        return STATUS_REVISION_MISMATCH;
    }
    // SAFETY: the driver passes a SID.
    let sid = unsafe { sid::bytes(who) };
    let size = (8 + sid.len()) as u16;
    let mut ace = vec![0, flags as u8];
    ace.extend(size.to_le_bytes());
    ace.extend(mask.to_le_bytes());
    ace.extend(sid);
    // SAFETY: passed on from the driver.
    unsafe { append(acl, &ace, 1) }
}

unsafe extern "win64" fn RtlAddAccessAllowedAce(
    acl: PACL,
    revision: ULONG,
    mask: ACCESS_MASK,
    who: PSID,
) -> NTSTATUS {
    // SAFETY: passed on from the driver.
    unsafe { RtlAddAccessAllowedAceEx(acl, revision, 0, mask, who) }
}

unsafe extern "win64" fn RtlAddAce(
    acl: PACL,
    _revision: ULONG,
    at: ULONG,
    list: PVOID,
    length: ULONG,
) -> NTSTATUS {
    if at != u32::MAX {
        crate::fail!(Unmodelled, "RtlAddAce at index {at}: only appending is modelled");
    }
    // SAFETY: the driver passes ACEs of that length.
    let bytes = unsafe { std::slice::from_raw_parts(list.cast::<u8>(), length as usize) };
    let (mut offset, mut count) = (0, 0);
    while let Some(head) = bytes.get(offset..offset + 4) {
        offset += usize::from(u16::from_le_bytes([head[2], head[3]])).max(4);
        count += 1;
    }
    if offset != bytes.len() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: passed on from the driver.
    unsafe { append(acl, bytes, count) }
}

unsafe extern "win64" fn RtlGetAce(acl: PACL, index: ULONG, ace: *mut PVOID) -> NTSTATUS {
    // SAFETY: the driver passes an ACL and a place for the pointer.
    unsafe {
        match aces(acl).get(index as usize) {
            Some(bytes) => {
                *ace = bytes.as_ptr() as PVOID;
                STATUS_SUCCESS
            }
            None => STATUS_INVALID_PARAMETER,
        }
    }
}
