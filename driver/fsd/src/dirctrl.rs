//! `IRP_MJ_DIRECTORY_CONTROL`: listings, and notifications that never come.
//!
//! [`query`] keeps the pattern and the rules for statuses; [`listing`](crate::listing) walks the directory.

use alloc::vec::Vec;

use lklfs_nt::{FileInformationClass, NtStatus, dirinfo, utf16};

use crate::{Ccb, Fcb, FcbKind, Outcome, Vcb, Volume, listing::Listing};

pub use crate::listing::DirCursor;

/// The pattern that lets everything through.
const STAR: u16 = 0x2A;

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
/// The pattern of the first query stays that of the listing until a restart brings another. NO_SUCH_FILE when the first
/// query finds nothing, NO_MORE_FILES when a later one does; BUFFER_OVERFLOW when the name of the first entry is cut
/// (the listing goes on after it); INFO_LENGTH_MISMATCH when not even a record without name fits.
///
/// An error that Linux meets after some entries are written is told by the next query.
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
    let Some(node) = fcb.node().filter(|_| fcb.kind() == FcbKind::Directory) else {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    };
    let Some(least) = dirinfo::min_length(query.class) else {
        return Outcome::failed(NtStatus::INVALID_INFO_CLASS);
    };
    if out.len() < least {
        return Outcome::failed(NtStatus::INFO_LENGTH_MISMATCH);
    }
    let initial = cursor.pattern.is_none();
    let pattern = match (
        cursor.pattern.take(),
        query.pattern.filter(|pattern| !pattern.is_empty()),
    ) {
        (Some(old), None) => old,
        (Some(old), Some(_)) if !query.restart => old,
        (_, given) => {
            let mut pattern = Vec::new();
            if let Err(status) = utf16::append(&mut pattern, given.unwrap_or(&[STAR])) {
                return Outcome::failed(status);
            }
            pattern
        }
    };
    if query.restart || query.index.is_some() {
        cursor.rewind();
    }
    let listing = Listing {
        vcb,
        node,
        fcb,
        ccb,
        class: query.class,
        pattern: &pattern,
    };
    let outcome = match listing.write(cursor, query, out) {
        Err(NtStatus::NO_MORE_FILES) if initial => Outcome::failed(NtStatus::NO_SUCH_FILE),
        Err(status) => Outcome::failed(status),
        Ok(outcome) => outcome,
    };
    cursor.pattern = Some(pattern);
    outcome
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
