//! Access checks: a descriptor's DACL against a token.

#![allow(non_snake_case)]

use crate::{
    nt::*,
    se::{
        descriptor::{self, Parts},
        map_generic, sid,
        token::{self, Token, privilege},
    },
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        SeAccessCheck <= PASSIVE;
        SePrivilegeCheck <= PASSIVE;
        SeFreePrivileges <= PASSIVE;
        SeAppendPrivileges <= PASSIVE;
    }
}

const ALLOWED_ACE: u8 = 0;
const DENIED_ACE: u8 = 1;
const INHERIT_ONLY: u8 = 8;

/// What a token may do: all rights of `mapping` that the descriptor grants it, and whether the asked ones are among
/// them.
///
/// # Safety
/// The parts are those of a live descriptor.
pub unsafe fn granted(parts: &Parts, token: &Token, desired: u32, mapping: &GENERIC_MAPPING) -> (u32, bool) {
    let all = mapping.GenericAll | STANDARD_RIGHTS_ALL;
    let (mut allowed, mut denied) = (0_u32, 0_u32);
    if parts.dacl.is_null() {
        allowed = all;
    } else {
        // SAFETY: passed on from the caller.
        for ace in unsafe { descriptor::aces(parts.dacl) } {
            let mask = map_generic(u32::from_le_bytes([ace[4], ace[5], ace[6], ace[7]]), mapping);
            if ace[1] & INHERIT_ONLY != 0 || !token.has(ace.get(8..).unwrap_or_default()) {
                continue;
            }
            match ace[0] {
                ALLOWED_ACE => allowed |= mask & !denied,
                DENIED_ACE => denied |= mask & !allowed,
                _ => {}
            }
        }
        // SAFETY: passed on from the caller.
        if !parts.owner.is_null() && token.has(unsafe { sid::bytes(parts.owner) }) {
            allowed |= (READ_CONTROL | WRITE_DAC) & !denied;
        }
    }
    if token.has_privilege(privilege::SECURITY) {
        allowed |= ACCESS_SYSTEM_SECURITY;
    }
    if token.has_privilege(privilege::TAKE_OWNERSHIP) {
        allowed |= WRITE_OWNER;
    }
    let wanted = map_generic(desired & !MAXIMUM_ALLOWED, mapping);
    let enough = allowed & wanted == wanted;
    let answer = if desired & MAXIMUM_ALLOWED != 0 {
        allowed | wanted
    } else {
        wanted
    };
    (answer, enough && (answer != 0 || desired == 0))
}

#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
unsafe extern "win64" fn SeAccessCheck(
    sd: PSECURITY_DESCRIPTOR,
    context: *mut SECURITY_SUBJECT_CONTEXT,
    _locked: BOOLEAN,
    desired: ACCESS_MASK,
    previously: ACCESS_MASK,
    privileges: *mut *mut PRIVILEGE_SET,
    mapping: *const GENERIC_MAPPING,
    mode: i8,
    granted_access: *mut ACCESS_MASK,
    status: *mut NTSTATUS,
) -> BOOLEAN {
    // SAFETY: the driver passes all of these, NULL or valid as NT documents.
    unsafe {
        if !privileges.is_null() {
            *privileges = std::ptr::null_mut();
        }
        let mapping = &*mapping;
        if mode == 0 {
            let wanted = map_generic(desired & !MAXIMUM_ALLOWED, mapping);
            let maximum = if desired & MAXIMUM_ALLOWED != 0 {
                mapping.GenericAll
            } else {
                0
            };
            *granted_access = wanted | maximum | previously;
            *status = STATUS_SUCCESS;
            return 1;
        }
        if sd.is_null() {
            *status = STATUS_ACCESS_DENIED;
            return 0;
        }
        if desired == 0 {
            *granted_access = previously;
            *status = if previously == 0 {
                STATUS_ACCESS_DENIED
            } else {
                STATUS_SUCCESS
            };
            return u8::from(previously != 0);
        }
        let token = token::effective(&*context);
        let (access, enough) = granted(&descriptor::parts(sd), &token, desired, mapping);
        if enough {
            *granted_access = access | previously;
            *status = STATUS_SUCCESS;
        } else {
            *granted_access = 0;
            *status = STATUS_ACCESS_DENIED;
        }
        u8::from(enough)
    }
}

unsafe extern "win64" fn SePrivilegeCheck(
    set: *mut PRIVILEGE_SET,
    context: *mut SECURITY_SUBJECT_CONTEXT,
    mode: i8,
) -> BOOLEAN {
    if mode == 0 {
        return 1;
    }
    // SAFETY: the driver passes a set with its count, and a captured context.
    unsafe {
        let token = token::effective(&*context);
        let count = (*set).PrivilegeCount as usize;
        let list =
            std::slice::from_raw_parts((&raw const (*set).Privilege).cast::<LUID_AND_ATTRIBUTES>(), count);
        let has = |wanted: &LUID_AND_ATTRIBUTES| token.has_privilege(wanted.Luid.LowPart);
        // PRIVILEGE_SET_ALL_NECESSARY.
        let enough = if (*set).Control & 1 != 0 {
            list.iter().all(has)
        } else {
            list.iter().any(has)
        };
        u8::from(enough)
    }
}

/// SeAccessCheck of the double never hands out a set, so that there is none to free.
unsafe extern "win64" fn SeFreePrivileges(set: *mut PRIVILEGE_SET) {
    crate::fail!(BadArgument, "SeFreePrivileges of {set:p}, which nobody allocated");
}

unsafe extern "win64" fn SeAppendPrivileges(_state: *mut ACCESS_STATE, _set: *mut PRIVILEGE_SET) -> NTSTATUS {
    STATUS_SUCCESS
}
