//! `IRP_MJ_QUERY_EA` and `IRP_MJ_SET_EA`: extended attributes.

use lklfs_nt::NtStatus;

use crate::{Ccb, Fcb, Outcome, Vcb, Volume};

/// Where a listing of extended attributes stands; one for each file object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EaCursor {
    next: usize,
}

/// `IRP_MJ_QUERY_EA`, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// `Parameters.QueryEa.EaList`: a captured `FILE_GET_EA_INFORMATION` list of the names asked for.
    pub list: Option<&'a [u8]>,
    /// `SL_RESTART_SCAN`.
    pub restart: bool,
    /// `SL_RETURN_SINGLE_ENTRY`.
    pub single: bool,
    /// `Parameters.QueryEa.EaIndex` with `SL_INDEX_SPECIFIED`, counted from 1.
    pub index: Option<u32>,
}

/// Answers a QUERY_EA into `out` as a `FILE_FULL_EA_INFORMATION` list.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn query<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    ccb: &Ccb,
    cursor: &mut EaCursor,
    query: &Query<'_>,
    out: &mut [u8],
) -> Outcome {
    let _ = (vcb, fcb, ccb, &cursor.next, query, out);
    Outcome::failed(NtStatus::NOT_IMPLEMENTED)
}

/// What a SET_EA ends with.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn set() -> Outcome {
    Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
}
