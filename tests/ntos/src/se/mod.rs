//! Security: SIDs, descriptors, tokens, access checks.
//!
//! | module | what |
//! |---|---|
//! | [`sid`] | SIDs as bytes, and their imports |
//! | [`acl`] | access control lists, and their imports |
//! | [`descriptor`] | security descriptors, and their imports |
//! | [`token`] | tokens and subject contexts |
//! | [`check`] | SeAccessCheck |

use crate::{imports::Import, nt::*};

pub mod acl;
pub mod check;
pub mod descriptor;
pub mod sid;
pub mod token;

/// The generic access rights of files.
pub const FILE_MAPPING: GENERIC_MAPPING = GENERIC_MAPPING {
    GenericRead: FILE_GENERIC_READ,
    GenericWrite: FILE_GENERIC_WRITE,
    GenericExecute: FILE_GENERIC_EXECUTE,
    GenericAll: FILE_ALL_ACCESS,
};

/// Generic rights turned into a type's own.
pub fn map_generic(mut access: ACCESS_MASK, mapping: &GENERIC_MAPPING) -> ACCESS_MASK {
    for (generic, specific) in [
        (GENERIC_READ, mapping.GenericRead),
        (GENERIC_WRITE, mapping.GenericWrite),
        (GENERIC_EXECUTE, mapping.GenericExecute),
        (GENERIC_ALL, mapping.GenericAll),
    ] {
        if access & generic != 0 {
            access = (access & !generic) | specific;
        }
    }
    access
}

/// The access state of an open: what was asked for, what was granted, and who asks.
pub struct AccessState {
    raw: Box<ACCESS_STATE>,
}

impl AccessState {
    /// For an open of a file by the current thread. Generic rights are mapped.
    pub fn new(access: ACCESS_MASK) -> Self {
        let mapped = map_generic(access, &FILE_MAPPING);
        // SAFETY: an ACCESS_STATE of zeros is a valid one.
        let mut raw: Box<ACCESS_STATE> = Box::new(unsafe { std::mem::zeroed() });
        raw.RemainingDesiredAccess = mapped;
        raw.OriginalDesiredAccess = mapped;
        raw.Flags = token::TRAVERSE_PRIVILEGE;
        token::capture(&mut raw.SubjectSecurityContext);
        Self { raw }
    }

    /// What the driver gets.
    pub fn raw(&mut self) -> *mut ACCESS_STATE {
        &raw mut *self.raw
    }

    /// The rights that were asked for, mapped.
    pub fn desired(&self) -> ACCESS_MASK {
        self.raw.OriginalDesiredAccess
    }

    /// The rights that the driver granted.
    pub fn granted(&self) -> ACCESS_MASK {
        self.raw.PreviouslyGrantedAccess
    }
}

impl Drop for AccessState {
    fn drop(&mut self) {
        token::release(&mut self.raw.SubjectSecurityContext);
    }
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[
    sid::IMPORTS,
    acl::IMPORTS,
    descriptor::IMPORTS,
    token::IMPORTS,
    check::IMPORTS,
];
