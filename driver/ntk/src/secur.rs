//! `IRP_MJ_QUERY_SECURITY`, and the access check of CREATE: both use the descriptor that the core makes of owner,
//! group and mode.
//
// UNSAFETY: SeAccessCheck takes raw descriptors and the creator's access state.

use crate::buffer;
use crate::irp::Irp;
use crate::nt::{
    self, GENERIC_MAPPING, IoGetFileObjectGenericMapping, NTSTATUS, PRIVILEGE_SET, SeAccessCheck,
    SeFreePrivileges,
};
use crate::open::{FcbHandle, Open};
use crate::volume::MountedVolume;
use core::ptr::null_mut;
use lklfs_fsd::{FcbKind, Requestor, secur};
use lklfs_nt::{AccessMask, NtStatus};

/// What the opener is granted: what the core worked out, as far as the descriptor of the inode allows it.
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
    maximum_allowed: bool,
) -> Result<AccessMask, NtStatus> {
    let forced = irp.stack_flags() & nt::SL_FORCE_ACCESS_CHECK != 0;
    if (irp.context().requestor == Requestor::Kernel && !forced)
        || fcb.fcb.kind() == FcbKind::Volume
        || volume.vcb.options().everyone_reads
    {
        return Ok(wanted);
    }
    let state = irp.create().access_state;
    if state.is_null() || wanted.is_empty() {
        return Ok(wanted);
    }
    let mut descriptor = secur::descriptor(&volume.vcb, &fcb.fcb)?;
    let asked = if maximum_allowed {
        wanted | AccessMask::MAXIMUM_ALLOWED
    } else {
        wanted
    };
    let mut granted = 0;
    let mut status: NTSTATUS = 0;
    let mut privileges: *mut PRIVILEGE_SET = null_mut();
    // SAFETY: the kernel's own mapping for files.
    let mapping: *mut GENERIC_MAPPING = unsafe { IoGetFileObjectGenericMapping() };
    // SAFETY: the access state lives as long as the CREATE under way.
    let subject = unsafe { &raw mut (*state).SubjectSecurityContext };
    // SAFETY: the descriptor is self-relative and whole; the subject context belongs to the CREATE under way.
    let allowed = unsafe {
        SeAccessCheck(
            descriptor.as_mut_ptr().cast(),
            subject,
            nt::NO,
            asked.0,
            0,
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
    if allowed == 0 {
        return Err(if status < 0 {
            nt::status(status)
        } else {
            NtStatus::ACCESS_DENIED
        });
    }
    // Never more than the core worked out: that is what a read-only volume can grant.
    Ok(AccessMask(granted).intersection(wanted))
}

/// Answers QUERY_SECURITY.
pub fn query(mut irp: Irp, open: &Open) -> NTSTATUS {
    let (information, length) = irp.query_security();
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
