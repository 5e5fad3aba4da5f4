//! `IRP_MJ_QUERY_VOLUME_INFORMATION` and `IRP_MJ_SET_VOLUME_INFORMATION`: what a volume is like.

use lklfs_nt::{FsInformationClass, NtStatus};

use crate::{Outcome, Vcb, Volume};

/// Answers a query of the volume into `out` (the IRP's system buffer).
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block for the size classes, not for the rest.
pub fn query<V: Volume>(vcb: &Vcb<V>, class: FsInformationClass, out: &mut [u8]) -> Outcome {
    let _ = (vcb, class, out);
    Outcome::failed(NtStatus::NOT_IMPLEMENTED)
}

/// What a SET_VOLUME_INFORMATION ends with: the label, quotas and object ID cannot be changed.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn set(_class: FsInformationClass) -> Outcome {
    Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
}
