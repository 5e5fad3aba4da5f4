//! `IRP_MJ_CLEANUP`: the last handle of a file object is gone.
//
// UNSAFETY: NT's routines over the file object.

use crate::irp::Irp;
use crate::major::create::give_share_access_back;
use crate::object::cache;
use crate::object::events::{self, Event};
use crate::object::open::Open;
use core::ptr::null_mut;
use lklfs_fsd::{Outcome, cleanup};
use lklfs_kernel::nt::{
    FO_CLEANUP_COMPLETE, FsRtlFastUnlockAll, FsRtlNotifyCleanup, IoGetRequestorProcess, NTSTATUS,
};

/// Does what the core's plan says, in its order. Always succeeds.
///
/// IRQL: PASSIVE_LEVEL; blocks for the volume's locks only.
pub fn cleanup(irp: Irp, open: &Open) -> NTSTATUS {
    let file = irp.file_object();
    let (plan, given_up) = {
        let mut state = open.volume.state.lock();
        let plan = cleanup::cleanup(&open.fcb.fcb, &open.ccb, &mut state, file.addr() as u64);
        (plan, state.refusal().is_some())
    };
    if plan.volume_unlocked && !given_up {
        // SAFETY: the file object is this CLEANUP's.
        unsafe { events::tell(file, Event::Unlock) };
    }
    open.volume.pended.forget(open, file);
    if plan.complete_notifications {
        let (sync, list) = open.volume.notifications();
        let context = (&raw const *open).cast_mut().cast();
        // SAFETY: both belong to the volume; the context is what dirctrl pended with.
        unsafe { FsRtlNotifyCleanup(sync, list, context) };
    }
    if plan.unlock_ranges {
        // SAFETY: the IRP is ours.
        let process = unsafe { IoGetRequestorProcess(irp.as_ptr()) };
        // SAFETY: the lock belongs to the FCB, the file object is this IRP's.
        let _ = unsafe { FsRtlFastUnlockAll(open.fcb.locks(), file, process, null_mut()) };
    }
    if plan.uninitialize_cache {
        // SAFETY: the file object is this CLEANUP's, and the open is the one behind it.
        unsafe { cache::close(file, open) };
    }
    if plan.remove_share_access && open.shares {
        // SAFETY: the file object is the one of the CLEANUP, and was counted when it was opened.
        unsafe { give_share_access_back(&open.fcb, file) };
    }
    if plan.cleanup_complete {
        // SAFETY: in CLEANUP this flag is the file system's to set.
        unsafe { (*file).Flags |= FO_CLEANUP_COMPLETE };
    }
    irp.complete(Outcome::success(0))
}
