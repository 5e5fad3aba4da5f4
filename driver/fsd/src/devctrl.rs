//! `IRP_MJ_DEVICE_CONTROL` on a volume: asked of the disk below, unless it could change the disk.

use lklfs_nt::{ControlCode, NtStatus, ioctl::FILE_WRITE_ACCESS};

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
/// A code that demands a handle with write access can change the disk or its layout (formatting, trimming, raw SCSI and
/// ATA commands, partition tables): it is refused, whatever the handle. All others are asked of the disk below.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
pub fn device_control<V: Volume>(fcb: &Fcb<V>, code: ControlCode) -> Plan {
    if fcb.kind() != FcbKind::Volume {
        return Plan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER));
    }
    if code.access() & FILE_WRITE_ACCESS != 0 {
        return Plan::Done(Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED));
    }
    Plan::PassDown
}
