//! `IRP_MJ_DEVICE_CONTROL` on a volume: the core says which go to the disk below.
//
// UNSAFETY: passes the IRP to the device below.

use crate::irp::Irp;
use crate::object::open::Open;
use lklfs_fsd::devctrl::{self, Plan};
use lklfs_kernel::nt::NTSTATUS;
use lklfs_nt::ControlCode;

/// Passes it down, or completes it.
pub fn device_control(irp: Irp, open: &Open) -> NTSTATUS {
    match devctrl::device_control(&open.fcb.fcb, ControlCode(irp.control().code)) {
        Plan::Done(outcome) => irp.complete(outcome),
        // SAFETY: the volume has a reference to its disk, which is below its device.
        Plan::PassDown => unsafe { irp.pass_down(open.volume.disk.device()) },
    }
}
