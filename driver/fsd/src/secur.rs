//! `IRP_MJ_QUERY_SECURITY` and `IRP_MJ_SET_SECURITY`: who may do what, told as an NT descriptor.

use alloc::vec::Vec;

use lklfs_nt::NtStatus;

use crate::{Fcb, Outcome, Vcb, Volume};

/// The self-relative descriptor of a file: owner, group and list. The same one is checked by CREATE
/// (`SeAccessCheck`) and shown by [`query`].
///
/// # IRQL
///
/// <= APC_LEVEL; allocates, does not block.
pub fn descriptor<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>) -> Result<Vec<u8>, NtStatus> {
    let _ = (vcb, fcb);
    Err(NtStatus::NOT_IMPLEMENTED)
}

/// Answers a QUERY_SECURITY: the parts that `information` (`SECURITY_INFORMATION`) asks for, into `out`.
///
/// Information is the length that the answer needs; the status is BUFFER_OVERFLOW when it is longer than `out`, which
/// then stays untouched.
///
/// # IRQL
///
/// <= APC_LEVEL; allocates, does not block.
pub fn query<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, information: u32, out: &mut [u8]) -> Outcome {
    let _ = (vcb, fcb, information, out);
    Outcome::failed(NtStatus::NOT_IMPLEMENTED)
}

/// What a SET_SECURITY ends with.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn set() -> Outcome {
    Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
}
