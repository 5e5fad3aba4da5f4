//! Security descriptors, absolute and self-relative.

#![allow(non_snake_case)]

use crate::{
    nt::*,
    se::{acl, sid},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        RtlCreateSecurityDescriptor <= APC;
        RtlSetOwnerSecurityDescriptor <= APC;
        RtlSetGroupSecurityDescriptor <= APC;
        RtlSetDaclSecurityDescriptor <= APC;
        RtlGetOwnerSecurityDescriptor <= APC;
        RtlGetGroupSecurityDescriptor <= APC;
        RtlGetDaclSecurityDescriptor <= APC;
        RtlGetSaclSecurityDescriptor <= APC;
        RtlLengthSecurityDescriptor <= APC;
        RtlValidSecurityDescriptor <= APC;
        RtlValidRelativeSecurityDescriptor <= APC;
        SeValidSecurityDescriptor <= PASSIVE;
        RtlAbsoluteToSelfRelativeSD <= APC;
        SeQuerySecurityDescriptorInfo <= PASSIVE;
        RtlMapGenericMask <= DISPATCH;
        SeCaptureSecurityDescriptor <= PASSIVE;
        SeReleaseSecurityDescriptor <= PASSIVE;
    }
}

const OWNER_DEFAULTED: u16 = 1;
const GROUP_DEFAULTED: u16 = 2;
const DACL_PRESENT: u16 = 4;
const DACL_DEFAULTED: u16 = 8;
const SACL_PRESENT: u16 = 0x10;
const SACL_DEFAULTED: u16 = 0x20;
const SELF_RELATIVE: u16 = 0x8000;

/// The parts of a descriptor, whichever form it has.
#[derive(Clone, Copy)]
pub struct Parts {
    /// SE_... bits.
    pub control: u16,
    /// The owner's SID, or NULL.
    pub owner: PSID,
    /// The group's SID, or NULL.
    pub group: PSID,
    /// The SACL, or NULL.
    pub sacl: PACL,
    /// The DACL; NULL when absent, or when it is present and grants everything.
    pub dacl: PACL,
}

/// Takes a descriptor apart.
///
/// # Safety
/// `descriptor` points to a security descriptor.
pub unsafe fn parts(descriptor: PSECURITY_DESCRIPTOR) -> Parts {
    let absolute = descriptor.cast::<SECURITY_DESCRIPTOR>();
    // SAFETY: passed on from the caller; both forms begin alike.
    unsafe {
        let control = (*absolute).Control;
        if control & SELF_RELATIVE == 0 {
            let a = &*absolute;
            return Parts {
                control,
                owner: a.Owner,
                group: a.Group,
                sacl: a.Sacl,
                dacl: a.Dacl,
            };
        }
        let r = &*descriptor.cast::<SECURITY_DESCRIPTOR_RELATIVE>();
        let at = |offset: u32| match offset {
            0 => std::ptr::null_mut(),
            offset => descriptor.cast::<u8>().add(offset as usize),
        };
        Parts {
            control,
            owner: at(r.Owner).cast(),
            group: at(r.Group).cast(),
            sacl: if control & SACL_PRESENT != 0 {
                at(r.Sacl).cast()
            } else {
                std::ptr::null_mut()
            },
            dacl: if control & DACL_PRESENT != 0 {
                at(r.Dacl).cast()
            } else {
                std::ptr::null_mut()
            },
        }
    }
}

fn absolute(descriptor: PSECURITY_DESCRIPTOR) -> Result<*mut SECURITY_DESCRIPTOR, NTSTATUS> {
    let absolute = descriptor.cast::<SECURITY_DESCRIPTOR>();
    // SAFETY: the driver passes a descriptor.
    let (revision, control) = unsafe { ((*absolute).Revision, (*absolute).Control) };
    match (revision, control & SELF_RELATIVE) {
        (1, 0) => Ok(absolute),
        (1, _) => Err(STATUS_INVALID_SECURITY_DESCR),
        _ => Err(STATUS_UNKNOWN_REVISION),
    }
}

unsafe extern "win64" fn RtlCreateSecurityDescriptor(
    descriptor: PSECURITY_DESCRIPTOR,
    revision: ULONG,
) -> NTSTATUS {
    if revision != 1 {
        return STATUS_UNKNOWN_REVISION;
    }
    let descriptor = descriptor.cast::<SECURITY_DESCRIPTOR>();
    // SAFETY: the driver passes memory for a descriptor.
    unsafe {
        descriptor.write_bytes(0, 1);
        (*descriptor).Revision = 1;
    }
    STATUS_SUCCESS
}

/// Sets one part of an absolute descriptor.
fn set(descriptor: PSECURITY_DESCRIPTOR, act: impl FnOnce(&mut SECURITY_DESCRIPTOR)) -> NTSTATUS {
    match absolute(descriptor) {
        Ok(absolute) => {
            // SAFETY: a descriptor of the driver's, checked above.
            act(unsafe { &mut *absolute });
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

fn bit(control: &mut u16, bit: u16, on: bool) {
    *control = if on { *control | bit } else { *control & !bit };
}

unsafe extern "win64" fn RtlSetOwnerSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    owner: PSID,
    defaulted: BOOLEAN,
) -> NTSTATUS {
    set(sd, |sd| {
        sd.Owner = owner;
        bit(&mut sd.Control, OWNER_DEFAULTED, defaulted != 0);
    })
}

unsafe extern "win64" fn RtlSetGroupSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    group: PSID,
    defaulted: BOOLEAN,
) -> NTSTATUS {
    set(sd, |sd| {
        sd.Group = group;
        bit(&mut sd.Control, GROUP_DEFAULTED, defaulted != 0);
    })
}

unsafe extern "win64" fn RtlSetDaclSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    present: BOOLEAN,
    dacl: PACL,
    defaulted: BOOLEAN,
) -> NTSTATUS {
    set(sd, |sd| {
        bit(&mut sd.Control, DACL_PRESENT, present != 0);
        if present != 0 {
            sd.Dacl = dacl;
            bit(&mut sd.Control, DACL_DEFAULTED, defaulted != 0);
        }
    })
}

unsafe extern "win64" fn RtlGetOwnerSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    owner: *mut PSID,
    defaulted: *mut BOOLEAN,
) -> NTSTATUS {
    // SAFETY: the driver passes a descriptor and two places.
    unsafe {
        let parts = parts(sd);
        *owner = parts.owner;
        *defaulted = u8::from(parts.control & OWNER_DEFAULTED != 0);
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlGetGroupSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    group: *mut PSID,
    defaulted: *mut BOOLEAN,
) -> NTSTATUS {
    // SAFETY: the driver passes a descriptor and two places.
    unsafe {
        let parts = parts(sd);
        *group = parts.group;
        *defaulted = u8::from(parts.control & GROUP_DEFAULTED != 0);
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlGetDaclSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    present: *mut BOOLEAN,
    dacl: *mut PACL,
    defaulted: *mut BOOLEAN,
) -> NTSTATUS {
    // SAFETY: the driver passes a descriptor and three places.
    unsafe {
        let parts = parts(sd);
        *present = u8::from(parts.control & DACL_PRESENT != 0);
        *dacl = parts.dacl;
        *defaulted = u8::from(parts.control & DACL_DEFAULTED != 0);
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlGetSaclSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    present: *mut BOOLEAN,
    sacl: *mut PACL,
    defaulted: *mut BOOLEAN,
) -> NTSTATUS {
    // SAFETY: the driver passes a descriptor and three places.
    unsafe {
        let parts = parts(sd);
        *present = u8::from(parts.control & SACL_PRESENT != 0);
        *sacl = parts.sacl;
        *defaulted = u8::from(parts.control & SACL_DEFAULTED != 0);
    }
    STATUS_SUCCESS
}

/// A descriptor in its self-relative form.
///
/// # Safety
/// `descriptor` points to a security descriptor.
pub unsafe fn to_relative(descriptor: PSECURITY_DESCRIPTOR, information: u32) -> Vec<u8> {
    let mut bytes = vec![0_u8; size_of::<SECURITY_DESCRIPTOR_RELATIVE>()];
    // SAFETY: passed on from the caller.
    let p = unsafe { parts(descriptor) };
    let mut control = SELF_RELATIVE;
    let put = |part: Option<&[u8]>, at: usize, bytes: &mut Vec<u8>| {
        if let Some(part) = part {
            let offset = bytes.len() as u32;
            bytes[at..at + 4].copy_from_slice(&offset.to_le_bytes());
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    };
    let wants = |bit: u32| information & bit != 0;
    // SAFETY: the parts of a descriptor are SIDs and ACLs.
    unsafe {
        if wants(OWNER_SECURITY_INFORMATION) {
            control |= p.control & OWNER_DEFAULTED;
            put((!p.owner.is_null()).then(|| sid::bytes(p.owner)), 4, &mut bytes);
        }
        if wants(GROUP_SECURITY_INFORMATION) {
            control |= p.control & GROUP_DEFAULTED;
            put((!p.group.is_null()).then(|| sid::bytes(p.group)), 8, &mut bytes);
        }
        if wants(SACL_SECURITY_INFORMATION) {
            control |= p.control & (SACL_PRESENT | SACL_DEFAULTED | 0x2800);
            put((!p.sacl.is_null()).then(|| acl::bytes(p.sacl)), 12, &mut bytes);
        }
        if wants(DACL_SECURITY_INFORMATION) {
            control |= p.control & (DACL_PRESENT | DACL_DEFAULTED | 0x1400);
            put((!p.dacl.is_null()).then(|| acl::bytes(p.dacl)), 16, &mut bytes);
        }
    }
    bytes[0] = 1;
    bytes[2..4].copy_from_slice(&control.to_le_bytes());
    bytes
}

/// A self-relative descriptor with nothing but a list that allows these SIDs these rights.
pub fn of_entries(entries: &[(Vec<u8>, ACCESS_MASK)]) -> Vec<u8> {
    let mut list = vec![2, 0, 0, 0, entries.len() as u8, 0, 0, 0];
    for (sid, mask) in entries {
        list.extend([0, 0]);
        list.extend(((8 + sid.len()) as u16).to_le_bytes());
        list.extend(mask.to_le_bytes());
        list.extend(sid);
    }
    let size = (list.len() as u16).to_le_bytes();
    list[2..4].copy_from_slice(&size);
    let mut bytes = vec![0; size_of::<SECURITY_DESCRIPTOR_RELATIVE>()];
    bytes[0] = 1;
    bytes[2..4].copy_from_slice(&(SELF_RELATIVE | DACL_PRESENT).to_le_bytes());
    let offset = bytes.len() as u32;
    bytes[16..20].copy_from_slice(&offset.to_le_bytes());
    bytes.extend(list);
    bytes
}

/// Everything that a descriptor can have.
const ALL: u32 = OWNER_SECURITY_INFORMATION
    | GROUP_SECURITY_INFORMATION
    | DACL_SECURITY_INFORMATION
    | SACL_SECURITY_INFORMATION;

unsafe extern "win64" fn RtlLengthSecurityDescriptor(sd: PSECURITY_DESCRIPTOR) -> ULONG {
    // SAFETY: the driver passes a descriptor.
    let relative = unsafe { to_relative(sd, ALL) }.len();
    // SAFETY: as above.
    let is_relative = unsafe { parts(sd) }.control & SELF_RELATIVE != 0;
    let header = if is_relative {
        0
    } else {
        size_of::<SECURITY_DESCRIPTOR>() - size_of::<SECURITY_DESCRIPTOR_RELATIVE>()
    };
    (relative + header) as u32
}

unsafe extern "win64" fn RtlValidSecurityDescriptor(sd: PSECURITY_DESCRIPTOR) -> BOOLEAN {
    // SAFETY: the driver passes NULL or memory for a descriptor.
    u8::from(!sd.is_null() && unsafe { *sd.cast::<u8>() } == 1)
}

/// The parts of a self-relative descriptor lie in its bytes and are well formed.
fn valid_relative(bytes: &[u8], required: u32) -> bool {
    let header = size_of::<SECURITY_DESCRIPTOR_RELATIVE>();
    if bytes.len() < header || bytes[0] != 1 {
        return false;
    }
    let control = u16::from_le_bytes([bytes[2], bytes[3]]);
    let field =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
    let sid_ok = |at: usize| {
        let head = bytes.get(at..at + 8);
        head.is_some_and(|h| h[0] == 1 && h[1] <= 15 && at + 8 + usize::from(h[1]) * 4 <= bytes.len())
    };
    let acl_ok = |at: usize| {
        let size = bytes
            .get(at..at + 8)
            .map(|h| usize::from(u16::from_le_bytes([h[2], h[3]])));
        size.is_some_and(|size| size >= 8 && at + size <= bytes.len())
    };
    let (owner, group, dacl) = (field(4), field(8), field(16));
    control & SELF_RELATIVE != 0
        && (owner == 0 && required & OWNER_SECURITY_INFORMATION == 0 || owner != 0 && sid_ok(owner))
        && (group == 0 && required & GROUP_SECURITY_INFORMATION == 0 || group != 0 && sid_ok(group))
        && (control & DACL_PRESENT == 0 && required & DACL_SECURITY_INFORMATION == 0
            || dacl == 0
            || acl_ok(dacl))
}

unsafe extern "win64" fn RtlValidRelativeSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    length: ULONG,
    required: ULONG,
) -> BOOLEAN {
    // SAFETY: the driver passes a buffer of that length.
    u8::from(valid_relative(
        unsafe { std::slice::from_raw_parts(sd.cast(), length as usize) },
        required,
    ))
}

unsafe extern "win64" fn SeValidSecurityDescriptor(length: ULONG, sd: PSECURITY_DESCRIPTOR) -> BOOLEAN {
    // SAFETY: the driver passes a buffer of that length.
    u8::from(valid_relative(
        unsafe { std::slice::from_raw_parts(sd.cast(), length as usize) },
        0,
    ))
}

/// Copies bytes out when they fit; `length` gets what is needed.
unsafe fn hand_out(bytes: &[u8], to: PVOID, length: *mut ULONG) -> NTSTATUS {
    // SAFETY: the driver passes a buffer and its length.
    unsafe {
        let room = std::mem::replace(&mut *length, bytes.len() as u32) as usize;
        if room < bytes.len() {
            return STATUS_BUFFER_TOO_SMALL;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), bytes.len());
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn RtlAbsoluteToSelfRelativeSD(
    sd: PSECURITY_DESCRIPTOR,
    to: PVOID,
    length: *mut ULONG,
) -> NTSTATUS {
    if let Err(status) = absolute(sd) {
        return if status == STATUS_INVALID_SECURITY_DESCR {
            STATUS_BAD_DESCRIPTOR_FORMAT
        } else {
            status
        };
    }
    // SAFETY: the driver passes a descriptor, a buffer and its length.
    unsafe { hand_out(&to_relative(sd, ALL), to, length) }
}

unsafe extern "win64" fn SeQuerySecurityDescriptorInfo(
    information: *const u32,
    to: PSECURITY_DESCRIPTOR,
    length: *mut ULONG,
    descriptor: *const PSECURITY_DESCRIPTOR,
) -> NTSTATUS {
    // SAFETY: the driver passes all four.
    unsafe {
        let relative = if (*descriptor).is_null() {
            let mut empty = vec![0_u8; size_of::<SECURITY_DESCRIPTOR_RELATIVE>()];
            empty[0] = 1;
            empty[2..4].copy_from_slice(&SELF_RELATIVE.to_le_bytes());
            empty
        } else {
            to_relative(*descriptor, *information)
        };
        hand_out(&relative, to, length)
    }
}

unsafe extern "win64" fn SeCaptureSecurityDescriptor(
    sd: PSECURITY_DESCRIPTOR,
    _mode: i8,
    pool_type: POOL_TYPE,
    _force: BOOLEAN,
    captured: *mut PSECURITY_DESCRIPTOR,
) -> NTSTATUS {
    // SAFETY: the driver passes a descriptor and a place for the copy.
    unsafe {
        let bytes = to_relative(sd, ALL);
        let tag = u32::from_le_bytes(*b"SeSd");
        let block = crate::mm::pool_imports::ExAllocatePoolWithTag(pool_type, bytes.len() as u64, tag);
        if block.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), block.cast(), bytes.len());
        *captured = block;
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn SeReleaseSecurityDescriptor(sd: PSECURITY_DESCRIPTOR, _mode: i8, _force: BOOLEAN) {
    // SAFETY: the driver passes what SeCaptureSecurityDescriptor gave.
    unsafe { crate::mm::pool_imports::ExFreePoolWithTag(sd, 0) };
}

unsafe extern "win64" fn RtlMapGenericMask(mask: *mut ACCESS_MASK, mapping: *const GENERIC_MAPPING) {
    // SAFETY: the driver passes both.
    unsafe { *mask = super::map_generic(*mask, &*mapping) };
}
