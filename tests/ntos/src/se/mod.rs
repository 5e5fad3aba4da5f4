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

/// What SeBackupPrivilege grants to an open with FILE_OPEN_FOR_BACKUP_INTENT, and what SeRestorePrivilege does.
const BACKUP_ACCESS: ACCESS_MASK = READ_CONTROL | ACCESS_SYSTEM_SECURITY | FILE_GENERIC_READ | FILE_TRAVERSE;
const RESTORE_ACCESS: ACCESS_MASK = WRITE_DAC
    | WRITE_OWNER
    | ACCESS_SYSTEM_SECURITY
    | FILE_GENERIC_WRITE
    | FILE_ADD_FILE
    | FILE_ADD_SUBDIRECTORY
    | DELETE;
/// TOKEN_HAS_BACKUP_PRIVILEGE and TOKEN_HAS_RESTORE_PRIVILEGE, flags of access states.
const BACKUP_PRIVILEGE: u32 = 2;
const RESTORE_PRIVILEGE: u32 = 4;

impl AccessState {
    /// For an open of a file by the current thread. Generic rights are mapped.
    pub fn new(access: ACCESS_MASK) -> Self {
        let mapped = map_generic(access, &FILE_MAPPING);
        // SAFETY: an ACCESS_STATE of zeros is a valid one.
        let mut raw: Box<ACCESS_STATE> = Box::new(unsafe { std::mem::zeroed() });
        raw.RemainingDesiredAccess = mapped;
        raw.OriginalDesiredAccess = mapped;
        token::capture(&mut raw.SubjectSecurityContext);
        let token = token::effective(&raw.SubjectSecurityContext);
        if token.has_privilege(token::privilege::CHANGE_NOTIFY) {
            raw.Flags |= token::TRAVERSE_PRIVILEGE;
        }
        Self { raw }
    }

    /// An open with FILE_OPEN_FOR_BACKUP_INTENT from user mode: the I/O manager grants what the backup and restore
    /// privileges are for before any file system sees the request.
    pub fn grant_backup_intent(&mut self) {
        let token = token::effective(&self.raw.SubjectSecurityContext);
        let raw = &mut *self.raw;
        for (privilege, rights, flag) in [
            (token::privilege::BACKUP, BACKUP_ACCESS, BACKUP_PRIVILEGE),
            (token::privilege::RESTORE, RESTORE_ACCESS, RESTORE_PRIVILEGE),
        ] {
            if !token.has_privilege(privilege) {
                continue;
            }
            let granted = if raw.RemainingDesiredAccess & MAXIMUM_ALLOWED != 0 {
                rights
            } else {
                raw.RemainingDesiredAccess & rights
            };
            raw.PreviouslyGrantedAccess |= granted;
            raw.RemainingDesiredAccess &= !rights;
            raw.Flags |= flag;
        }
    }

    /// What the driver gets.
    pub fn raw(&mut self) -> *mut ACCESS_STATE {
        &raw mut *self.raw
    }

    /// The rights that were asked for, mapped.
    pub fn desired(&self) -> ACCESS_MASK {
        self.raw.OriginalDesiredAccess
    }

    /// The I/O manager's check of a device's own descriptor, for all that is asked for. False: it is denied.
    pub fn check_device(&mut self, device: PDEVICE_OBJECT) -> bool {
        let (granted, enough) = self.device_grants(device, self.raw.RemainingDesiredAccess);
        if enough {
            self.raw.PreviouslyGrantedAccess |= granted;
            self.raw.RemainingDesiredAccess &= !(granted | MAXIMUM_ALLOWED);
        }
        enough
    }

    /// The I/O manager's check of an open of a name below a device: a creator without the privilege to pass through
    /// whatever comes must be allowed to pass through the device.
    pub fn check_traverse(&mut self, device: PDEVICE_OBJECT) -> bool {
        self.raw.Flags & token::TRAVERSE_PRIVILEGE != 0 || self.device_grants(device, FILE_TRAVERSE).1
    }

    fn device_grants(&self, device: PDEVICE_OBJECT, access: ACCESS_MASK) -> (ACCESS_MASK, bool) {
        if access == 0 {
            return (0, true);
        }
        let token = token::effective(&self.raw.SubjectSecurityContext);
        let mut bytes = device_descriptor(device);
        // SAFETY: the bytes are a descriptor that was checked when it was set, or one of ours, and live to the end.
        unsafe {
            let parts = descriptor::parts(bytes.as_mut_ptr().cast());
            check::granted(&parts, &token, access, &FILE_MAPPING)
        }
    }

    /// What the object manager gives to the handle of a successful open: what was granted, and all that the file system
    /// has left in what remains. MAXIMUM_ALLOWED that is still there becomes GENERIC_ALL, hence every right of a file's.
    pub fn handle_access(&self) -> ACCESS_MASK {
        let remaining = self.raw.RemainingDesiredAccess;
        let wanted = if remaining & MAXIMUM_ALLOWED != 0 {
            (remaining & !MAXIMUM_ALLOWED) | GENERIC_ALL
        } else {
            remaining
        };
        (map_generic(wanted, &FILE_MAPPING) | self.raw.PreviouslyGrantedAccess)
            & (FILE_ALL_ACCESS | ACCESS_SYSTEM_SECURITY)
    }
}

/// The descriptor of a device: the one that its driver set, else the one that the I/O manager gives to a device of most
/// types, of which everyone may read and write.
fn device_descriptor(device: PDEVICE_OBJECT) -> Vec<u8> {
    crate::ob::security_of(device.cast())
        .unwrap_or_else(|| for_everyone(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE))
}

/// A descriptor that grants `rights` to everyone, and all to administrators and the system.
pub fn for_everyone(rights: ACCESS_MASK) -> Vec<u8> {
    descriptor::of_entries(&[
        (sid::local_system(), GENERIC_ALL),
        (sid::administrators(), GENERIC_ALL),
        (sid::world(), rights),
    ])
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
