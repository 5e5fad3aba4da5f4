//! `IRP_MJ_FILE_SYSTEM_CONTROL`: controls of a volume and of files on it.
//!
//! `IRP_MN_MOUNT_VOLUME` and `IRP_MN_VERIFY_VOLUME` are the edge's: it has the device, and it asks the signature probe
//! before Linux sees a byte. [`user_request`] decides `IRP_MN_USER_FS_REQUEST` and `IRP_MN_KERNEL_CALL`.

use lklfs_nt::NtStatus;

use crate::{Ccb, Fcb, IrpContext, Outcome, Vcb, Volume, VolumeState};

/// What a control leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Complete with this; the answer is in the output buffer.
    Done(Outcome),
    /// An oplock request: hand the IRP to `FsRtlOplockFsctrl`, which completes it.
    Oplock,
    /// The volume is now locked by this handle in `state`: flush and purge (`CcPurgeCacheSection`), and undo with
    /// [`VolumeState::locked_by`] = `None` when something still holds the volume's files.
    Lock,
    /// The volume is unlocked in `state`.
    Unlock,
    /// Dismount: the volume is marked in `state`; complete pended notifications, disconnect the VPB.
    Dismount,
    /// Not a file-system control: pass to the disk below.
    PassDown,
}

/// Decides a control on a file or volume. `handle` is the identity of the file object for volume locks.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
#[allow(clippy::too_many_arguments, reason = "the IRP's own parameters")]
pub fn user_request<V: Volume>(
    vcb: &Vcb<V>,
    context: IrpContext,
    fcb: &Fcb<V>,
    ccb: &Ccb,
    state: &mut VolumeState,
    handle: u64,
    code: u32,
    input: &[u8],
    output: &mut [u8],
) -> Plan {
    let _ = (vcb, context, fcb, ccb, state, handle, code, input, output);
    Plan::Done(Outcome::failed(NtStatus::INVALID_DEVICE_REQUEST))
}
