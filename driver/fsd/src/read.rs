//! `IRP_MJ_READ`: where the bytes come from, and how many.
//!
//! [`plan`] never blocks: it checks the request against the open and the file's size and says which way the read goes.
//! The edge then copies from the cache ([`Plan::Cached`]), which comes back with paging I/O, or runs [`direct`] for
//! non-cached and paging reads ([`Plan::Direct`]), or passes a read of the volume itself to the disk below
//! ([`Plan::Device`]).
//!
//! The order of the checks is that of FAT and NTFS: what is no file, a length of zero, numbers that make no sense, the end of the
//! file, and only then whole sectors. The I/O manager has looked at an offset that the caller gave and at the length already;
//! the position of a file object that has read an unaligned file to its end is past the I/O manager's checks, and has to meet
//! the end of the file here.

use lklfs_nt::NtStatus;

use crate::{Ccb, Fcb, FcbKind, Outcome, Vcb, Volume, errno::Context};

/// The largest file that is cached, bytes: the largest that NTFS had for long (16 TiB - 64 KiB), so every cache manager takes it.
/// Above 16 PiB no section can be made, and the cache is one. Larger files are read past the cache.
pub const MOST_CACHED: u64 = (1 << 44) - (1 << 16);

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
        /// Bytes from the start of the file: whole sectors, but for paging reads and files that are too large for the cache.
        offset: u64,
        /// Bytes of the buffer to fill: what is beyond the file's end is zeroed.
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
pub fn plan<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, _ccb: &Ccb, request: Request) -> Plan {
    match fcb.kind() {
        FcbKind::File | FcbKind::Volume => {}
        FcbKind::Directory | FcbKind::Reparse => return refuse(NtStatus::INVALID_DEVICE_REQUEST),
    }
    if request.length == 0 {
        return Plan::Done(Outcome::success(0));
    }
    let Ok(offset) = u64::try_from(request.offset) else {
        return refuse(NtStatus::INVALID_PARAMETER);
    };
    let end = offset
        .checked_add(request.length.into())
        .filter(|end| i64::try_from(*end).is_ok());
    if end.is_none() {
        return refuse(NtStatus::INVALID_PARAMETER);
    }
    let available = fcb.file_size().saturating_sub(offset);
    if available == 0 {
        return refuse(NtStatus::END_OF_FILE);
    }
    let non_cached = request.non_cached || request.paging;
    // The memory manager reads where it likes: the parts of a program begin at any multiple of 512 bytes in its file,
    // whatever the sectors of the disk are, and a length may end with the file.
    let whole_sectors = is_aligned(vcb, offset) && is_aligned(vcb, request.length.into());
    if !request.paging && (non_cached || fcb.kind() == FcbKind::Volume) && !whole_sectors {
        return refuse(NtStatus::INVALID_PARAMETER);
    }
    let inside = u32::try_from(available).map_or(request.length, |available| available.min(request.length));
    match (fcb.kind(), non_cached) {
        (FcbKind::Volume, _) => Plan::Device {
            offset,
            length: inside,
        },
        (_, true) => Plan::Direct {
            offset,
            length: request.length,
            information: inside,
        },
        (_, false) if fcb.file_size() > MOST_CACHED => Plan::Direct {
            offset,
            length: inside,
            information: inside,
        },
        (_, false) => Plan::Cached {
            offset,
            length: inside,
        },
    }
}

const fn refuse(status: NtStatus) -> Plan {
    Plan::Done(Outcome::failed(status))
}

/// Whether a count of bytes is whole sectors.
fn is_aligned<V: Volume>(vcb: &Vcb<V>, bytes: u64) -> bool {
    bytes & u64::from(vcb.geometry().sector_size).saturating_sub(1) == 0
}

/// Fills `out` with the file's data from `offset`, zeros after its end. Information is the count of bytes before the
/// file's end.
///
/// Fails as a whole: `out` is zeroed when Linux reports an error, so that no half of a page is taken for data.
/// FILE_CORRUPT_ERROR when the data ends before the size that the inode tells.
///
/// # IRQL
///
/// <= APC_LEVEL (the memory manager's paging reads come there); may block.
pub fn direct<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, offset: u64, out: &mut [u8]) -> Outcome {
    let Some(node) = fcb.node().filter(|_| fcb.kind() == FcbKind::File) else {
        return Outcome::failed(NtStatus::INVALID_DEVICE_REQUEST);
    };
    let available = fcb.file_size().saturating_sub(offset);
    if available == 0 && !out.is_empty() {
        return Outcome::failed(NtStatus::END_OF_FILE);
    }
    let inside = usize::try_from(available).map_or(out.len(), |available| available.min(out.len()));
    let (data, rest) = out.split_at_mut_checked(inside).unwrap_or((&mut [], &mut []));
    rest.fill(0);
    let result = fill(vcb.volume(), node, offset, data);
    if result.is_err() {
        data.fill(0);
    }
    Outcome::from(result.map(|()| inside))
}

/// Reads until `data` is full.
fn fill<V: Volume>(volume: &V, node: &V::Node, offset: u64, data: &mut [u8]) -> Result<(), NtStatus> {
    let mut at = offset;
    let mut rest = data;
    while !rest.is_empty() {
        let count = volume
            .read(node, at, rest)
            .map_err(|errno| errno.to_status(Context::Reading))?;
        if count == 0 {
            return Err(NtStatus::FILE_CORRUPT_ERROR);
        }
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        rest = rest.get_mut(count..).ok_or(NtStatus::INTERNAL_ERROR)?;
    }
    Ok(())
}
