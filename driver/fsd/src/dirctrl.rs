//! `IRP_MJ_DIRECTORY_CONTROL`: listings, and notifications that never come.

use alloc::vec::Vec;

use lklfs_nt::{FileInformationClass, NtStatus};

use crate::{Ccb, Fcb, FcbKind, Outcome, Vcb, Volume};

/// Where a listing stands: its pattern, which its first query sets, and its position. One for each file object of a
/// directory, changed by each query, under the lock that the edge keeps for it.
#[derive(Debug, Default)]
pub struct DirCursor {
    pattern: Option<Vec<u16>>,
}

impl DirCursor {
    /// A listing that has not begun.
    pub const fn new() -> Self {
        Self { pattern: None }
    }
}

/// `IRP_MN_QUERY_DIRECTORY`, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// `Parameters.QueryDirectory.FileInformationClass`.
    pub class: FileInformationClass,
    /// `Parameters.QueryDirectory.FileName`, captured; `None` when null or empty.
    pub pattern: Option<&'a [u16]>,
    /// `SL_RESTART_SCAN`.
    pub restart: bool,
    /// `SL_RETURN_SINGLE_ENTRY`.
    pub single: bool,
    /// `Parameters.QueryDirectory.FileIndex` with `SL_INDEX_SPECIFIED`: go on after the entry with this index.
    pub index: Option<u32>,
}

/// Answers a directory query into `out`.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn query<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    ccb: &Ccb,
    cursor: &mut DirCursor,
    query: &Query<'_>,
    out: &mut [u8],
) -> Outcome {
    let _ = (vcb, fcb, ccb, cursor, query, out);
    Outcome::failed(NtStatus::NOT_IMPLEMENTED)
}

/// What a NOTIFY_CHANGE_DIRECTORY leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotifyPlan {
    /// Pend it (`FsRtlNotifyFullChangeDirectory`): contents never change, so CLEANUP or a dismount completes it.
    Pend,
    /// Complete with this.
    Done(Outcome),
}

/// Decides an `IRP_MN_NOTIFY_CHANGE_DIRECTORY`.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
pub fn notify<V: Volume>(fcb: &Fcb<V>, _ccb: &Ccb) -> NotifyPlan {
    match fcb.kind() {
        FcbKind::Directory => NotifyPlan::Pend,
        _ => NotifyPlan::Done(Outcome::failed(NtStatus::INVALID_PARAMETER)),
    }
}
