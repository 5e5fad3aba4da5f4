//! `IRP_MJ_LOCK_CONTROL`: byte-range locks are FsRtl's.
//
// UNSAFETY: hands the IRP to FsRtl.

use crate::irp::Irp;
use crate::object::open::Open;
use crate::object::pending::Held;
use lklfs_fsd::lockctrl::{self, Plan};
use lklfs_kernel::nt::{FsRtlProcessFileLock, NTSTATUS};

/// Lets FsRtl work on the FCB's locks, or refuses.
pub fn lock_control(irp: Irp, open: &Open) -> NTSTATUS {
    match lockctrl::lock_control(&open.fcb.fcb) {
        Plan::Done(outcome) => irp.complete(outcome),
        Plan::FsRtl => {
            let held = match Held::new(&irp, open) {
                Ok(held) => held,
                Err(status) => return irp.fail(status),
            };
            let raw = irp.hand_over();
            let context = (&raw const *open).cast_mut().cast();
            // SAFETY: the lock belongs to the FCB; FsRtl completes the IRP by its routine, now or later.
            let status = unsafe { FsRtlProcessFileLock(open.fcb.locks(), raw.as_ptr(), context) };
            held.settle();
            status
        }
    }
}
