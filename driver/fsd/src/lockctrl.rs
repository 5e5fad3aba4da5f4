//! `IRP_MJ_LOCK_CONTROL`: byte-range locks, kept by FsRtl, binding for readers.

use lklfs_nt::NtStatus;

use crate::{Fcb, FcbKind, Outcome, Volume};

/// What a lock request leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Check the oplock, then hand the IRP to `FsRtlProcessFileLock`, which completes it.
    FsRtl,
    /// Complete with this.
    Done(Outcome),
}

/// Decides a LOCK_CONTROL: only files with data have ranges.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
pub fn lock_control<V: Volume>(fcb: &Fcb<V>) -> Plan {
    match fcb.kind() {
        FcbKind::File => Plan::FsRtl,
        _ => Plan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER)),
    }
}
