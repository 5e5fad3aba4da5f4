//! `IRP_MJ_PNP` on a volume: its disk goes away, politely or not.
//
// UNSAFETY: passes the IRP to the device below.

use crate::irp::Irp;
use crate::nt::{
    IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_REMOVE_DEVICE, IRP_MN_SURPRISE_REMOVAL,
    NTSTATUS,
};
use crate::volume::volume_of;
use lkl_host_ntk::stack;
use lklfs_fsd::pnp::{self, Minor, Plan};
use lklfs_nt::NtStatus;

/// Does what the core says, then passes the request down.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn pnp(irp: Irp) -> NTSTATUS {
    // SAFETY: the IRP was sent to this volume device and keeps it alive.
    let Some(volume) = (unsafe { volume_of(irp.device()) }) else {
        return irp.fail(NtStatus::VOLUME_DISMOUNTED);
    };
    let minor = match u32::from(irp.minor()) {
        IRP_MN_QUERY_REMOVE_DEVICE => Minor::QueryRemove,
        IRP_MN_REMOVE_DEVICE => Minor::Remove,
        IRP_MN_CANCEL_REMOVE_DEVICE => Minor::CancelRemove,
        IRP_MN_SURPRISE_REMOVAL => Minor::SurpriseRemoval,
        other => Minor::Other(other as u8),
    };
    let (plan, unused) = {
        let mut state = volume.state.lock();
        let plan = pnp::pnp(&mut state, minor);
        volume.follow(&state);
        (plan, state.references == 0)
    };
    let gone = match plan {
        Plan::Done(outcome) => return irp.complete(outcome),
        Plan::PassDown | Plan::DismountAndPassDown => false,
        Plan::GoneAndPassDown => true,
    };
    if gone {
        // Linux fails the volume's reads from now on, so that nobody waits for a device that is not there.
        volume.vcb.volume().device().gone();
    }
    // SAFETY: the volume has a reference to its disk, which is below its device.
    let status = unsafe { irp.pass_down(volume.disk.device()) };
    let _ = stack::on_large_stack(move || {
        if gone && unused {
            volume.tear_down();
        }
        drop(volume);
    });
    status
}
