//! `IRP_MJ_QUERY_SECURITY`, and the access check of CREATE: both use the descriptor that the core makes of owner,
//! group and mode.
//
// UNSAFETY: SeAccessCheck takes raw descriptors and the creator's access state, whose tokens are referenced.

use crate::buffer;
use crate::irp::Irp;
use crate::object::open::{FcbHandle, Open};
use crate::object::volume::MountedVolume;
use core::ptr::null_mut;
use lklfs_fsd::{Metadata, Requestor, secur};
use lklfs_kernel::nt::{
    self, GENERIC_MAPPING, IoGetFileObjectGenericMapping, NTSTATUS, ObfDereferenceObject, ObfReferenceObject,
    PRIVILEGE_SET, PRIVILEGE_SET_ALL_NECESSARY, SE_MANAGE_VOLUME_PRIVILEGE, SECURITY_SUBJECT_CONTEXT,
    SeAccessCheck, SeFreePrivileges, SePrivilegeCheck, TOKEN_HAS_TRAVERSE_PRIVILEGE,
};
use lklfs_nt::{AccessMask, NtStatus};

/// What the opener is granted: what the core worked out (`wanted`, with all that reading allows if MAXIMUM_ALLOWED is
/// asked for), as far as the I/O manager has granted it before or the descriptor does.
///
/// Before a file system sees a CREATE the I/O manager grants what a backup privilege is for, and what the device's own
/// descriptor gives to an open of the volume itself.
///
/// # Errors
/// ACCESS_DENIED, or whatever SeAccessCheck says.
///
/// IRQL: PASSIVE_LEVEL; waits for nothing.
pub fn check(
    volume: &MountedVolume,
    irp: &Irp,
    fcb: &FcbHandle,
    wanted: AccessMask,
) -> Result<AccessMask, NtStatus> {
    let parameters = irp.create();
    let forced = irp.stack_flags() & nt::SL_FORCE_ACCESS_CHECK != 0;
    let trusted = irp.context().requestor == Requestor::Kernel && !forced;
    // SAFETY: null, or the access state of the CREATE under way, which nothing else uses meanwhile.
    let Some(state) = (unsafe { parameters.access_state.as_mut() }).filter(|_| !trusted) else {
        return Ok(wanted);
    };
    let everyone_reads = volume.vcb.options().everyone_reads;
    let asked = secur::Asked {
        desired: AccessMask(parameters.desired_access),
        granted_before: AccessMask(state.PreviouslyGrantedAccess),
        maximum: AccessMask(state.RemainingDesiredAccess).contains(AccessMask::MAXIMUM_ALLOWED),
    };
    match secur::decide(&fcb.fcb, everyone_reads, asked) {
        secur::Decision::Granted(granted) => Ok(granted),
        secur::Decision::Check {
            before,
            desired,
            most,
        } => {
            let mut descriptor = secur::descriptor(&volume.vcb, &fcb.fcb)?;
            let granted = access_check(
                &mut state.SubjectSecurityContext,
                &mut descriptor,
                desired,
                before,
            )?;
            Ok(granted.intersection(most))
        }
    }
}

/// The creator, whose tokens are kept: for a check while the IRP is not at hand.
pub struct Subject(SECURITY_SUBJECT_CONTEXT);

// SAFETY: the context holds referenced tokens, which any thread may use and give back.
unsafe impl Send for Subject {}

impl Subject {
    /// The creator, if each directory on the way has to be checked: a program's that has lost SeChangeNotifyPrivilege,
    /// which everyone has by default.
    pub fn to_traverse(irp: &Irp) -> Option<Self> {
        let forced = irp.stack_flags() & nt::SL_FORCE_ACCESS_CHECK != 0;
        if irp.context().requestor == Requestor::Kernel && !forced {
            return None;
        }
        // SAFETY: null, or the access state of the CREATE under way, which nothing else changes meanwhile.
        let state = unsafe { irp.create().access_state.as_ref() }?;
        if state.Flags & TOKEN_HAS_TRAVERSE_PRIVILEGE != 0 {
            return None;
        }
        let context = state.SubjectSecurityContext;
        for token in [context.ClientToken, context.PrimaryToken] {
            if !token.is_null() {
                // SAFETY: the access state keeps its tokens; given back by drop().
                unsafe { ObfReferenceObject(token) };
            }
        }
        Some(Subject(context))
    }

    /// Whether the creator may pass through a directory.
    ///
    /// IRQL: PASSIVE_LEVEL; waits for nothing.
    pub fn may_pass(&self, volume: &MountedVolume, directory: &Metadata) -> Result<(), NtStatus> {
        let mut descriptor = secur::descriptor_on_the_way(&volume.vcb, directory)?;
        let mut context = self.0;
        access_check(
            &mut context,
            &mut descriptor,
            AccessMask::FILE_TRAVERSE,
            AccessMask::empty(),
        )
        .map(|_| ())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        for token in [self.0.ClientToken, self.0.PrimaryToken] {
            if !token.is_null() {
                // SAFETY: referenced by to_traverse().
                let _ = unsafe { ObfDereferenceObject(token) };
            }
        }
    }
}

/// What a descriptor grants to the creator, of `desired` and beside `before`.
fn access_check(
    subject: &mut SECURITY_SUBJECT_CONTEXT,
    descriptor: &mut [u8],
    desired: AccessMask,
    before: AccessMask,
) -> Result<AccessMask, NtStatus> {
    let mut granted = 0;
    let mut status: NTSTATUS = 0;
    let mut privileges: *mut PRIVILEGE_SET = null_mut();
    // SAFETY: the kernel's own mapping for files.
    let mapping: *mut GENERIC_MAPPING = unsafe { IoGetFileObjectGenericMapping() };
    // SAFETY: the descriptor is self-relative and whole; the subject context belongs to the CREATE under way.
    let allowed = unsafe {
        SeAccessCheck(
            descriptor.as_mut_ptr().cast(),
            subject,
            nt::NO,
            desired.0,
            before.0,
            &mut privileges,
            mapping,
            nt::USER_MODE,
            &mut granted,
            &mut status,
        )
    };
    if !privileges.is_null() {
        // SAFETY: SeAccessCheck allocated them; nothing here uses them.
        unsafe { SeFreePrivileges(privileges) };
    }
    if allowed != 0 {
        Ok(AccessMask(granted))
    } else if status < 0 {
        Err(nt::status(status))
    } else {
        Err(NtStatus::ACCESS_DENIED)
    }
}

/// Whether the creator may manage volumes: the kernel may, others by their privilege.
///
/// IRQL: PASSIVE_LEVEL; waits for nothing.
pub fn manages_volumes(irp: &Irp) -> bool {
    let forced = irp.stack_flags() & nt::SL_FORCE_ACCESS_CHECK != 0;
    if irp.context().requestor == Requestor::Kernel && !forced {
        return true;
    }
    // SAFETY: null, or the access state of the CREATE under way, which nothing else uses meanwhile.
    let Some(state) = (unsafe { irp.create().access_state.as_mut() }) else {
        return false;
    };
    let mut set = PRIVILEGE_SET {
        PrivilegeCount: 1,
        Control: PRIVILEGE_SET_ALL_NECESSARY,
        ..PRIVILEGE_SET::default()
    };
    if let Some(place) = set.Privilege.first_mut() {
        place.Luid.LowPart = SE_MANAGE_VOLUME_PRIVILEGE;
    }
    // SAFETY: the set has as many privileges as it says; the subject context belongs to the CREATE under way.
    unsafe { SePrivilegeCheck(&mut set, &mut state.SubjectSecurityContext, nt::USER_MODE) != 0 }
}

/// Tells the object manager what a CREATE that succeeds has granted: exactly this. What it finds left to be granted it
/// would give to the handle, and all rights of a file's for a MAXIMUM_ALLOWED that is left.
pub fn tell(irp: &Irp, granted: AccessMask) {
    // SAFETY: null, or the access state of the CREATE under way, which nothing else uses meanwhile.
    if let Some(state) = unsafe { irp.create().access_state.as_mut() } {
        state.PreviouslyGrantedAccess = granted.0;
        state.RemainingDesiredAccess = 0;
    }
}

/// Answers QUERY_SECURITY.
pub fn query(mut irp: Irp, open: &Open) -> NTSTATUS {
    let (information, length) = irp.query_security();
    let length = length.min(buffer::MOST_LOCKED);
    if let Err(status) = buffer::lock(&mut irp, length) {
        return irp.fail(status);
    }
    let fcb: &FcbHandle = &open.fcb;
    let outcome = match buffer::bytes(&mut irp, length) {
        Ok(out) => secur::query(&open.volume.vcb, &fcb.fcb, information, out),
        Err(status) => status.into(),
    };
    irp.complete(outcome)
}
