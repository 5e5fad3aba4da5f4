//! `IRP_MJ_READ`: through the cache manager, straight from Linux (non-cached and paging reads), or from the disk.
//!
//! The three ways meet in the cache: a cached read of data that is not there makes the memory manager send a paging
//! read for the same file, in this thread or another, and that one asks Linux.
//
// UNSAFETY: cache manager calls, the file object's position.

use crate::irp::Irp;
use crate::nt::{
    self, CcCopyRead, CcMdlRead, CcMdlReadComplete, FILE_OBJECT, FO_SYNCHRONOUS_IO,
    FsRtlCheckLockForReadAccess, IO_STATUS_BLOCK, IRP_MN_COMPLETE, IRP_MN_MDL, NTSTATUS, PMDL, YES, large,
};
use crate::open::Open;
use crate::{buffer, cache, fault, verify, work};
use core::ptr::null_mut;
use lkl_host_ntk::{DiskError, stack};
use lklfs_fsd::read::{self, Plan, Request};
use lklfs_fsd::{FcbKind, Outcome};
use lklfs_nt::NtStatus;

/// `FILE_USE_FILE_POINTER_POSITION` with the high half that goes with it.
const USE_FILE_POSITION: i64 = -2;
/// Bytes that are read at once from the disk for a read of the volume itself.
const DEVICE_PIECE: usize = 64 * 1024;

/// Answers a READ, or posts it when it would block and may not.
///
/// IRQL: <= APC_LEVEL.
pub fn read(mut irp: Irp, open: &Open, may_wait: bool) -> NTSTATUS {
    let minor = u32::from(irp.minor());
    if minor & IRP_MN_COMPLETE != 0 {
        return complete_mdl(irp);
    }
    let (length, mut offset) = irp.read();
    if offset == USE_FILE_POSITION {
        offset = irp.file().map_or(0, |file| nt::quad(&file.CurrentByteOffset));
    }
    let paging = irp.is_paging();
    let request = Request {
        offset,
        length,
        non_cached: irp.is_non_cached(),
        paging,
    };
    if !paging && open.fcb.fcb.kind() == FcbKind::File {
        // SAFETY: the lock belongs to the FCB, the IRP is ours.
        let free = unsafe { FsRtlCheckLockForReadAccess(open.fcb.locks(), irp.as_ptr()) } != 0;
        if !free {
            return irp.fail(NtStatus::FILE_LOCK_CONFLICT);
        }
    }
    let plan = read::plan(&open.volume.vcb, &open.fcb.fcb, &open.ccb, request);
    if let Plan::Done(outcome) = plan {
        return irp.complete(outcome);
    }
    if !may_wait {
        // The worker thread sees another address space, so the buffer is locked here.
        return match buffer::lock(&mut irp, length) {
            Ok(()) => work::post(irp, &open.volume),
            Err(status) => irp.fail(status),
        };
    }
    let mut outcome = perform(&mut irp, open, plan);
    if verify::again(&open.volume, !nt::succeeded(outcome.status)) {
        outcome = perform(&mut irp, open, plan);
    }
    advance(&irp, offset, paging, outcome);
    irp.complete(outcome)
}

fn perform(irp: &mut Irp, open: &Open, plan: Plan) -> Outcome {
    match plan {
        Plan::Done(outcome) => outcome,
        Plan::Cached { offset, length } if u32::from(irp.minor()) & IRP_MN_MDL != 0 => {
            read_mdl(irp, open, offset, length)
        }
        Plan::Cached { offset, length } => read_cached(irp, open, offset, length),
        Plan::Direct { offset, length, .. } => read_direct(irp, open, offset, length),
        Plan::Device { offset, length } => read_device(irp, open, offset, length),
    }
}

/// Moves the position of a synchronous file object behind what was read.
fn advance(irp: &Irp, offset: i64, paging: bool, outcome: Outcome) {
    let file: *mut FILE_OBJECT = irp.file_object();
    if paging || !nt::succeeded(outcome.status) {
        return;
    }
    let Ok(read) = i64::try_from(outcome.information) else {
        return;
    };
    // SAFETY: the IRP keeps the file object; the I/O manager lets one request at a time through to a synchronous one.
    let flags = unsafe { (*file).Flags };
    if flags & FO_SYNCHRONOUS_IO != 0 {
        // SAFETY: as above.
        unsafe { (*file).CurrentByteOffset = large(offset.saturating_add(read)) };
    }
}

fn outcome_of(status: &IO_STATUS_BLOCK) -> Outcome {
    // SAFETY: both members of the union are written as a status by the cache manager.
    let raw = unsafe { status.__bindgen_anon_1.Status };
    Outcome::new(nt::status(raw), status.Information as usize)
}

/// The error of a read that ended by an exception.
fn raised(code: NTSTATUS) -> Outcome {
    Outcome::failed(if code < 0 {
        nt::status(code)
    } else {
        NtStatus::UNSUCCESSFUL
    })
}

fn read_cached(irp: &Irp, open: &Open, offset: u64, length: u32) -> Outcome {
    let file = irp.file_object();
    let to = if irp.mdl().is_null() {
        irp.user_buffer()
    } else {
        match buffer::address(irp) {
            Ok(address) => address,
            Err(status) => return status.into(),
        }
    };
    let Ok(position) = i64::try_from(offset) else {
        return NtStatus::INVALID_PARAMETER.into();
    };
    // SAFETY: the file object is the IRP's, and the open is the one behind it.
    if let Err(status) = unsafe { cache::initialize(file, open) } {
        return status.into();
    }
    let mut at = large(position);
    let mut status = IO_STATUS_BLOCK::default();
    let act = || {
        // SAFETY: the file object has a cache map; the buffer is the caller's.
        unsafe { CcCopyRead(file, &mut at, length, YES, to, &mut status) }
    };
    // SAFETY: one NT call. It raises when a page cannot be read or the caller's buffer faults, and holds nothing then;
    // the I/O manager has probed a user's buffer.
    let copied = unsafe { fault::guarded(act) };
    match copied {
        Ok(0) => NtStatus::CANT_WAIT.into(),
        Ok(_) => outcome_of(&status),
        Err(code) => raised(code),
    }
}

fn read_mdl(irp: &mut Irp, open: &Open, offset: u64, length: u32) -> Outcome {
    let file = irp.file_object();
    let Ok(position) = i64::try_from(offset) else {
        return NtStatus::INVALID_PARAMETER.into();
    };
    // SAFETY: the file object is the IRP's, and the open is the one behind it.
    if let Err(status) = unsafe { cache::initialize(file, open) } {
        return status.into();
    }
    let mut at = large(position);
    let mut status = IO_STATUS_BLOCK::default();
    let mut chain: PMDL = null_mut();
    let act = || {
        // SAFETY: the file object has a cache map.
        unsafe { CcMdlRead(file, &mut at, length, &mut chain, &mut status) }
    };
    // SAFETY: one NT call, as in read_cached(); when it raises, it has taken its MDLs back.
    let locked = unsafe { fault::guarded(act) };
    match locked {
        Ok(()) => {
            irp.set_mdl(chain);
            outcome_of(&status)
        }
        Err(code) => raised(code),
    }
}

/// The caller is done with the MDLs of an MDL read.
fn complete_mdl(mut irp: Irp) -> NTSTATUS {
    let chain = irp.mdl();
    if !chain.is_null() {
        // SAFETY: the chain is the one that read_mdl() hung there.
        unsafe { CcMdlReadComplete(irp.file_object(), chain) };
        irp.set_mdl(null_mut());
    }
    irp.complete(Outcome::success(0))
}

fn read_direct(irp: &mut Irp, open: &Open, offset: u64, length: u32) -> Outcome {
    if let Err(status) = buffer::lock(irp, length) {
        return status.into();
    }
    let out = match buffer::bytes(irp, length) {
        Ok(out) => out,
        Err(status) => return status.into(),
    };
    let done = stack::on_large_stack(|| read::direct(&open.volume.vcb, &open.fcb.fcb, offset, out));
    done.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
}

/// A read of the volume itself: whole sectors, through a buffer of our own.
fn read_device(irp: &mut Irp, open: &Open, offset: u64, length: u32) -> Outcome {
    if let Err(status) = buffer::lock(irp, length) {
        return status.into();
    }
    let out = match buffer::bytes(irp, length) {
        Ok(out) => out,
        Err(status) => return status.into(),
    };
    let mut piece = alloc::vec::Vec::new();
    if piece.try_reserve_exact(DEVICE_PIECE.min(out.len())).is_err() {
        return NtStatus::INSUFFICIENT_RESOURCES.into();
    }
    let mut at = offset;
    for part in out.chunks_mut(DEVICE_PIECE) {
        piece.clear();
        piece.resize(part.len(), 0u8);
        if let Err(DiskError(status)) = open.volume.disk.read_now(at, &mut piece) {
            return nt::status(status).into();
        }
        part.copy_from_slice(&piece);
        at = at.saturating_add(part.len() as u64);
    }
    Outcome::success(out.len())
}
