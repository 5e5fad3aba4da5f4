//! Access checks: a descriptor's DACL against a token.

#![allow(non_snake_case)]

use crate::{
    nt::*,
    se::{
        acl,
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
        for ace in unsafe { acl::aces(parts.dacl) } {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::se::FILE_MAPPING;

    /// An ACL of (type, mask, SID) entries.
    fn acl(entries: &[(u8, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, entries.len() as u8, 0, 0, 0];
        for (kind, mask, sid) in entries {
            bytes.extend([*kind, 0]);
            bytes.extend(((8 + sid.len()) as u16).to_le_bytes());
            bytes.extend(mask.to_le_bytes());
            bytes.extend(sid);
        }
        let size = (bytes.len() as u16).to_le_bytes();
        bytes[2..4].copy_from_slice(&size);
        bytes
    }

    fn check(entries: &[(u8, u32, Vec<u8>)], owner: &[u8], token: &Token, desired: u32) -> (u32, bool) {
        let mut list = acl(entries);
        let owner = owner.as_ptr() as PSID;
        let null = std::ptr::null_mut();
        let parts = Parts {
            control: 4,
            owner,
            group: null,
            sacl: null.cast(),
            dacl: list.as_mut_ptr().cast(),
        };
        // SAFETY: the parts point to well-formed bytes that live until the end of this function.
        unsafe { granted(&parts, token, desired, &FILE_MAPPING) }
    }

    #[test]
    fn the_first_ace_that_says_something_about_a_right_decides_it() {
        let (user, nobody) = (Token::user(), sid::make(5, &[21, 9]));
        let read = vec![(0, FILE_GENERIC_READ, sid::world())];
        assert_eq!(
            check(&read, &nobody, &user, FILE_READ_DATA),
            (FILE_READ_DATA, true)
        );
        assert!(!check(&read, &nobody, &user, FILE_WRITE_DATA).1);
        assert_eq!(
            check(&read, &nobody, &user, MAXIMUM_ALLOWED),
            (FILE_GENERIC_READ, true)
        );
        let denied = vec![
            (1, FILE_READ_DATA, sid::users()),
            (0, FILE_ALL_ACCESS, sid::world()),
        ];
        assert!(!check(&denied, &nobody, &user, FILE_READ_DATA).1);
        assert!(check(&denied, &nobody, &user, FILE_READ_EA).1);
        let late = vec![
            (0, FILE_READ_DATA, sid::world()),
            (1, FILE_READ_DATA, sid::users()),
        ];
        assert!(check(&late, &nobody, &user, FILE_READ_DATA).1);
        assert!(!check(&[], &nobody, &user, FILE_READ_DATA).1);
    }

    #[test]
    fn owners_and_privileges_grant_their_own_rights() {
        let (user, admin, nobody) = (Token::user(), Token::administrator(), sid::make(5, &[21, 9]));
        assert!(check(&[], &user.user, &user, READ_CONTROL | WRITE_DAC).1);
        assert!(!check(&[], &nobody, &user, READ_CONTROL).1);
        assert!(check(&[], &nobody, &admin, WRITE_OWNER | ACCESS_SYSTEM_SECURITY).1);
        assert!(!check(&[], &nobody, &user, WRITE_OWNER).1);
        let generic = vec![(0, GENERIC_READ, sid::administrators())];
        assert!(check(&generic, &nobody, &admin, GENERIC_READ).1);
    }
}
