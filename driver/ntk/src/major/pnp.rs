//! `IRP_MJ_PNP` on a volume: its disk goes away, politely or not.
//
// UNSAFETY: passes the IRP to the device below.

use crate::irp::Irp;
use crate::object::extension::volume_of;
use crate::object::volume::MountedVolume;
use crate::state;
use alloc::sync::Arc;
use lklfs_fsd::pnp::{self, Minor, Plan};
use lklfs_kernel::nt::{
    IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_REMOVE_DEVICE, IRP_MN_SURPRISE_REMOVAL,
    NTSTATUS,
};
use lklfs_kernel::stack;
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
    let plan = {
        let mut state = volume.state.lock();
        let plan = pnp::pnp(&mut state, minor);
        volume.follow(&state);
        plan
    };
    match plan {
        Plan::Done(outcome) => irp.complete(outcome),
        Plan::PassDown => pass_down(irp, volume),
        Plan::Leave => {
            let _ = volume.drain(0);
            let plan = {
                let mut state = volume.state.lock();
                let plan = pnp::leave(&mut state);
                volume.follow(&state);
                plan
            };
            match plan {
                Plan::Done(outcome) => irp.complete(outcome),
                _ => {
                    volume.end_pended();
                    pass_down(irp, volume)
                }
            }
        }
        Plan::GoneAndPassDown => {
            // Linux fails the volume's reads from now on, so that nobody waits for a device that is not there.
            volume.vcb.volume().device().gone();
            volume.end_pended();
            if let Some(driver) = state::driver() {
                driver.mounts.device_gone(&volume.mounted_on);
            }
            pass_down(irp, volume)
        }
    }
}

/// Passes the request down. If the volume is given up, what the cache keeps of it goes after that, when the driver below
/// has ended the reads that were under way; and the volume with it, when nobody uses it.
fn pass_down(irp: Irp, volume: Arc<MountedVolume>) -> NTSTATUS {
    // SAFETY: the volume has a reference to its disk, which is below its device.
    let status = unsafe { irp.pass_down(volume.disk.device()) };
    if volume.refusal().is_some() {
        volume.purge();
        volume.drain_later(0);
    }
    stack::insist(move || {
        let over = volume.state.lock().is_over();
        if over {
            volume.tear_down();
        }
        drop(volume);
    });
    status
}
