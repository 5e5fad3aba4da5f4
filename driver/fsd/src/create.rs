//! `IRP_MJ_CREATE`: from a name to an open.
//!
//! [`open`] parses the name, walks it through the volume without ever following a link itself, checks options,
//! disposition and rights against what it finds on a read-only volume, and says what is left to do in a [`Plan`]. The
//! edge then looks the inode up in the [`FcbTable`](crate::FcbTable) (entering the plan's Fcb when it is new), checks
//! the security descriptor, share access and oplocks, and completes the IRP.

use alloc::{boxed::Box, vec::Vec};

use lklfs_nt::{AccessMask, CreateDisposition, CreateInformation, CreateOptions, NtStatus};

use crate::{Ccb, Fcb, IrpContext, Vcb, Volume};

/// What the IRP asks for, decoded.
pub struct Request<'a, V: Volume> {
    /// `RelatedFileObject`'s objects, when the name is relative to it.
    pub related: Option<(&'a Fcb<V>, &'a Ccb)>,
    /// `FileObject->FileName`, as it came: UTF-16 units, or the bytes of an ID for FILE_OPEN_BY_FILE_ID (see
    /// [`Request::id`]).
    pub name: &'a [u16],
    /// The raw bytes of the name, for an open by ID (8 or 16 bytes).
    pub id: &'a [u8],
    /// `SL_CASE_SENSITIVE` in the stack location's flags.
    pub case_sensitive: bool,
    /// `SL_OPEN_TARGET_DIRECTORY`: open the parent of the last component (for renames).
    pub open_target_directory: bool,
    /// What was asked (`SecurityContext->DesiredAccess`), generic rights allowed.
    pub desired_access: AccessMask,
    /// The low 24 bits of `Parameters.Create.Options`.
    pub options: CreateOptions,
    /// The top 8 bits of it.
    pub disposition: CreateDisposition,
    /// Bytes of extended attributes that a new file should get.
    pub ea_length: u32,
}

/// What a good CREATE leads to.
pub enum Plan<V: Volume> {
    /// Open this.
    Open(Box<Opening<V>>),
    /// Complete with `STATUS_REPARSE`: the name must be parsed again.
    Reparse(Reparse),
}

/// An open that is decided but for what NT itself must say (security, sharing, oplocks).
pub struct Opening<V: Volume> {
    /// The Fcb to enter in the table unless its key is there already (then drop this one, with no lock held).
    pub fcb: Fcb<V>,
    /// The Ccb of this file object.
    pub ccb: Ccb,
    /// `IoStatus.Information`.
    pub information: CreateInformation,
    /// Whether the opener asked for MAXIMUM_ALLOWED: the edge then reduces `ccb.granted` to what the descriptor allows
    /// instead of refusing.
    pub maximum_allowed: bool,
    /// The open is only for attributes or synchronisation: no share access is taken, no oplock is broken.
    pub attributes_only: bool,
    /// The open bypasses the cache (FILE_NO_INTERMEDIATE_BUFFERING): `FO_NO_INTERMEDIATE_BUFFERING`.
    pub no_buffering: bool,
}

/// A reparse point on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reparse {
    /// `IoStatus.Information`: the tag.
    pub tag: u32,
    /// A `REPARSE_DATA_BUFFER` whose `Reserved` field holds the length in bytes of the part of the name that is not yet
    /// parsed. The edge copies it to pool and hangs it at `Irp->Tail.Overlay.AuxiliaryBuffer`.
    pub data: Vec<u8>,
}

/// Decides an open.
///
/// # Errors
///
/// The status with which the IRP is completed; `IoStatus.Information` is then 0.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn open<V: Volume>(
    vcb: &Vcb<V>,
    context: IrpContext,
    request: &Request<'_, V>,
) -> Result<Plan<V>, NtStatus> {
    let _ = (vcb, context, request);
    Err(NtStatus::NOT_IMPLEMENTED)
}
