//! `IRP_MJ_READ`: where the bytes come from, and how many.
//!
//! [`plan`] never blocks: it checks the request against the open and the file's size and says which way the read goes.
//! The edge then copies from the cache ([`Plan::Cached`]), which comes back with paging I/O, or runs [`direct`] for
//! non-cached and paging reads ([`Plan::Direct`]), or passes a read of the volume itself to the disk below
//! ([`Plan::Device`]).

use lklfs_nt::NtStatus;

use crate::{Ccb, Fcb, Outcome, Vcb, Volume};

/// What the IRP asks for, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// `Parameters.Read.ByteOffset`, the file's current position already put in.
    pub offset: i64,
    /// `Parameters.Read.Length`, bytes.
    pub length: u32,
    /// `IRP_NOCACHE`: the file object is opened without buffering, or the request is paging I/O.
    pub non_cached: bool,
    /// `IRP_PAGING_IO`.
    pub paging: bool,
}

/// How a READ goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Complete with this (zero length, end of file, an error).
    Done(Outcome),
    /// Copy `length` bytes at `offset` through the cache manager (or hand out MDLs); `length` is cut to the file's end.
    Cached {
        /// Bytes from the start of the file.
        offset: u64,
        /// Bytes, at least 1.
        length: u32,
    },
    /// Run [`direct`] with these numbers on the locked buffer.
    Direct {
        /// Bytes from the start of the file, a multiple of the sector size.
        offset: u64,
        /// Bytes of the buffer to fill, as asked: what is beyond the file's end is zeroed.
        length: u32,
        /// `IoStatus.Information` of success: bytes before the file's end.
        information: u32,
    },
    /// Pass to the disk below.
    Device {
        /// Bytes from the start of the volume.
        offset: u64,
        /// Bytes.
        length: u32,
    },
}

/// Decides a READ.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
pub fn plan<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, ccb: &Ccb, request: Request) -> Plan {
    let _ = (vcb, fcb, ccb, request);
    Plan::Done(Outcome::failed(NtStatus::NOT_IMPLEMENTED))
}

/// Fills `out` with the file's data from `offset`, zeros after its end. Information is the count of bytes before the
/// file's end.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn direct<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, offset: u64, out: &mut [u8]) -> Outcome {
    let _ = (vcb, fcb, offset, out);
    Outcome::failed(NtStatus::NOT_IMPLEMENTED)
}
