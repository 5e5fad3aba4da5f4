//! `IRP_MJ_LOCK_CONTROL`: byte-range locks are FsRtl's.
//
// UNSAFETY: hands the IRP to FsRtl.

use crate::irp::Irp;
use crate::nt::{FsRtlProcessFileLock, NTSTATUS};
use crate::open::Open;
use core::ptr::null_mut;
use lklfs_fsd::lockctrl::{self, Plan};

/// Lets FsRtl work on the FCB's locks, or refuses.
pub fn lock_control(irp: Irp, open: &Open) -> NTSTATUS {
    match lockctrl::lock_control(&open.fcb.fcb) {
        Plan::Done(outcome) => irp.complete(outcome),
        Plan::FsRtl => {
            let raw = irp.hand_over();
            // SAFETY: the lock belongs to the FCB; FsRtl completes the IRP, now or later.
            unsafe { FsRtlProcessFileLock(open.fcb.locks(), raw.as_ptr(), null_mut()) }
        }
    }
}
