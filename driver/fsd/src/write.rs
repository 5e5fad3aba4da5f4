//! `IRP_MJ_WRITE`: refused. Nothing in the driver writes to a volume.

use lklfs_nt::NtStatus;

use crate::Outcome;

/// What a WRITE ends with, whatever it asks: paging writes included, since no page of this volume is ever dirty.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn write() -> Outcome {
    Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
}
