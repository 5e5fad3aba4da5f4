//! `IRP_MJ_QUERY_INFORMATION` and `IRP_MJ_SET_INFORMATION`: what a file is like.

use lklfs_nt::{FileInformationClass, NtStatus};

use crate::{Ccb, Fcb, Outcome, Vcb, Volume};

/// What only the file object knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileObjectState {
    /// `CurrentByteOffset`.
    pub position: i64,
    /// `FO_*` as create options, for FileModeInformation (`IopGetModeInformation`'s bits).
    pub mode: u32,
}

/// Answers a query of one file into `out` (the IRP's system buffer, `Parameters.QueryFile.Length` bytes long).
///
/// Information is the count of bytes written. `INFO_LENGTH_MISMATCH` when the fixed part does not fit,
/// `BUFFER_OVERFLOW` when a name is cut, `INVALID_INFO_CLASS` for a class that is not answered here.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block for FileStreamInformation, FileEaInformation and the link classes, not for the rest.
pub fn query<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    ccb: &Ccb,
    state: FileObjectState,
    class: FileInformationClass,
    out: &mut [u8],
) -> Outcome {
    let _ = (vcb, fcb, ccb, state, class, out);
    Outcome::failed(NtStatus::NOT_IMPLEMENTED)
}

/// What a SET_INFORMATION leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetPlan {
    /// Set `FileObject->CurrentByteOffset` and succeed.
    Position(i64),
    /// Complete with this.
    Done(Outcome),
}

/// Decides a SET_INFORMATION: the position can be set, everything else would change the volume.
///
/// `alignment_requirement` is the file object's device's, checked for opens without buffering.
///
/// # IRQL
///
/// Any; never blocks.
pub fn set<V: Volume>(
    vcb: &Vcb<V>,
    fcb: &Fcb<V>,
    ccb: &Ccb,
    class: FileInformationClass,
    input: &[u8],
) -> SetPlan {
    let _ = (vcb, fcb, ccb, class, input);
    SetPlan::Done(Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED))
}
