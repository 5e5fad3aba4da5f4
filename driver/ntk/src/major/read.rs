//! `IRP_MJ_READ`: through the cache manager, straight from Linux (non-cached and paging reads), or from the disk.
//!
//! The three ways meet in the cache: a cached read of data that is not there makes the memory manager send a paging
//! read for the same file, in this thread or another, and that one asks Linux.
//!
//! What the cache has is copied at once. Everything else is read by a worker into memory of its own and copied to the
//! caller's buffer if the request is still there then. Paging reads alone go to Linux in the thread that they come in, and
//! into their pages: nobody cancels them.
//
// UNSAFETY: cache manager calls, the file object's position.

use crate::buffer;
use crate::irp::Irp;
use crate::object::cache::CacheUse;
use crate::object::open::{FileRef, Open};
use crate::object::verify;
use crate::workque::request;
use crate::workque::request::{Blocking, Gone, Kept, Request, Scratch};
use alloc::sync::Arc;
use core::ptr::null_mut;
use lklfs_fsd::read::{self, Plan};
use lklfs_fsd::{FcbKind, Outcome};
use lklfs_kernel::fault;
use lklfs_kernel::nt::{
    self, CcCopyRead, CcMdlRead, CcMdlReadComplete, FILE_OBJECT, FO_SYNCHRONOUS_IO,
    FsRtlCheckLockForReadAccess, IO_STATUS_BLOCK, IRP_MN_COMPLETE, IRP_MN_MDL, NTSTATUS, PFILE_OBJECT, PMDL,
    large,
};
use lklfs_kernel::stack;
use lklfs_nt::NtStatus;

/// `FILE_USE_FILE_POINTER_POSITION` with the high half that goes with it.
const USE_FILE_POSITION: i64 = -2;

/// Answers a READ: at once if the cache has it all, else where it may block.
///
/// IRQL: <= APC_LEVEL; PASSIVE_LEVEL for [`Blocking::Posted`].
pub fn read(mut irp: Irp, open: &Open, blocking: Blocking) -> NTSTATUS {
    let minor = u32::from(irp.minor());
    if minor & IRP_MN_COMPLETE != 0 {
        return complete_mdl(irp);
    }
    let (length, mut offset) = irp.read();
    if offset == USE_FILE_POSITION {
        offset = irp.file().map_or(0, |file| nt::quad(&file.CurrentByteOffset));
    }
    let paging = irp.is_paging();
    let request = read::Request {
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
    let mdl = minor & IRP_MN_MDL != 0;
    match plan {
        Plan::Done(outcome) => return irp.complete(outcome),
        Plan::Direct { offset, length, .. } if paging => return page_in(irp, open, offset, length),
        Plan::Cached { offset, length } if blocking == Blocking::Posted && !mdl => {
            if let Some(outcome) = read_at_once(&irp, open, offset, length) {
                advance(&irp, offset, outcome);
                return irp.complete(outcome);
            }
        }
        _ => {}
    }
    if !mdl && let Err(status) = buffer::lock(&mut irp, length) {
        return irp.fail(status);
    }
    let mut kept = Kept::open_of(&irp);
    if matches!(plan, Plan::Cached { .. }) {
        // SAFETY: the file object of an IRP that is ours, a READ.
        kept.file = unsafe { FileRef::new(irp.file_object()) };
    }
    let work = Work {
        plan,
        mdl,
        position: u64::try_from(offset).unwrap_or(0),
    };
    let volume = Arc::clone(&open.volume);
    let posts = match volume.refusal() {
        // This handle has dismounted the volume, or the read would not come this far.
        Some(_) if matches!(plan, Plan::Device { .. }) => Arc::clone(&volume.sector_posts),
        _ => Arc::clone(&volume.posts),
    };
    request::run_among(irp, posts, volume, kept, blocking, move |request, scratch| {
        work.perform(request, scratch)
    })
}

/// A paging read: into the pages themselves, in the thread that the memory manager has chosen.
fn page_in(mut irp: Irp, open: &Open, offset: u64, length: u32) -> NTSTATUS {
    if let Err(status) = verify::ensure(&open.volume) {
        return irp.fail(status);
    }
    let mut outcome = read_pages(&mut irp, open, offset, length);
    match verify::again(&open.volume, !nt::succeeded(outcome.status)) {
        Ok(true) => outcome = read_pages(&mut irp, open, offset, length),
        Ok(false) => {}
        Err(status) => outcome = status.into(),
    }
    irp.complete(outcome)
}

fn read_pages(irp: &mut Irp, open: &Open, offset: u64, length: u32) -> Outcome {
    if let Err(status) = buffer::lock(irp, length) {
        return status.into();
    }
    match buffer::bytes(irp, length) {
        Ok(out) => direct(open, offset, out),
        Err(status) => status.into(),
    }
}

/// Copies what the cache has, without waiting for anything. `None` when that is not all.
fn read_at_once(irp: &Irp, open: &Open, offset: u64, length: u32) -> Option<Outcome> {
    if open.volume.is_doubtful() {
        return None;
    }
    let file = irp.file_object();
    let to = if irp.mdl().is_null() {
        irp.user_buffer()
    } else {
        buffer::address(irp).ok()?
    };
    // SAFETY: the file object is the IRP's, and the open is the one behind it; the I/O manager has probed the buffer.
    let outcome = unsafe { copy_read(file, open, offset, length, to.cast(), false) };
    (outcome.status != NtStatus::CANT_WAIT).then_some(outcome)
}

/// A read that may block.
struct Work {
    plan: Plan,
    mdl: bool,
    /// Where it begins, for the file's position.
    position: u64,
}

impl Work {
    fn perform(self, request: Request, scratch: &mut Scratch) -> NTSTATUS {
        let volume = match request.open() {
            Some(open) => Arc::clone(&open.volume),
            None => return request.fail(NtStatus::INVALID_DEVICE_REQUEST),
        };
        if let Err(status) = verify::ensure(&volume) {
            return request.fail(status);
        }
        if let Plan::Cached { offset, length } = self.plan
            && self.mdl
        {
            return read_mdl(request, offset, length);
        }
        let mut outcome = self.copy(&request, scratch);
        let failed = outcome.is_ok_and(|outcome| !nt::succeeded(outcome.status));
        match verify::again(&volume, failed) {
            Ok(true) => outcome = self.copy(&request, scratch),
            Ok(false) => {}
            Err(status) => outcome = Ok(status.into()),
        }
        match outcome {
            Ok(outcome) => request.end(|irp| {
                advance(irp, self.position, outcome);
                outcome
            }),
            Err(Gone) => nt::raw_status(NtStatus::CANCELLED),
        }
    }

    /// Reads piece by piece and copies each to the caller's buffer.
    fn copy(&self, request: &Request, scratch: &mut Scratch) -> Result<Outcome, Gone> {
        let Some(open) = request.open() else {
            return Ok(NtStatus::INVALID_DEVICE_REQUEST.into());
        };
        let (Plan::Cached { offset, length }
        | Plan::Direct { offset, length, .. }
        | Plan::Device { offset, length }) = self.plan
        else {
            return Ok(NtStatus::INTERNAL_ERROR.into());
        };
        let mut information = 0usize;
        let mut done = 0u32;
        while done < length {
            let piece = match scratch.bytes(length.saturating_sub(done) as usize) {
                Ok(piece) => piece,
                Err(status) => return Ok(status.into()),
            };
            let at = offset.saturating_add(done.into());
            let read = match self.plan {
                Plan::Cached { .. } => {
                    let to = piece.as_mut_ptr();
                    // SAFETY: the request keeps the file object, and the open is the one behind it; the piece is as
                    // long as that.
                    unsafe { copy_read(request.file(), open, at, piece.len() as u32, to, true) }
                }
                // What is behind the end of the file is zero.
                Plan::Direct { .. } if at >= open.fcb.fcb.file_size() => {
                    piece.fill(0);
                    Outcome::success(0)
                }
                Plan::Direct { .. } => direct(open, at, piece),
                Plan::Device { .. } => match open.volume.disk.read_now(at, piece) {
                    Ok(()) => Outcome::success(piece.len()),
                    Err(status) => status.into(),
                },
                Plan::Done(outcome) => outcome,
            };
            if !nt::succeeded(read.status) {
                return Ok(read);
            }
            if let Err(status) = request.with(|irp| buffer::write(irp, done, piece))? {
                return Ok(status.into());
            }
            information = information.saturating_add(read.information);
            done = done.saturating_add(piece.len() as u32);
        }
        Ok(Outcome::success(information))
    }
}

/// Asks Linux.
fn direct(open: &Open, offset: u64, out: &mut [u8]) -> Outcome {
    let done = stack::on_large_stack(|| read::direct(&open.volume.vcb, &open.fcb.fcb, offset, out));
    done.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
}

/// Moves the position of a synchronous file object behind what was read.
fn advance(irp: &Irp, offset: u64, outcome: Outcome) {
    let file: *mut FILE_OBJECT = irp.file_object();
    if !nt::succeeded(outcome.status) {
        return;
    }
    let Ok(end) = i64::try_from(offset.saturating_add(outcome.information as u64)) else {
        return;
    };
    // SAFETY: the IRP keeps the file object; the I/O manager lets one request at a time through to a synchronous one.
    let flags = unsafe { (*file).Flags };
    if flags & FO_SYNCHRONOUS_IO != 0 {
        // SAFETY: as above.
        unsafe { (*file).CurrentByteOffset = large(end) };
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

/// Copies from the cache; CANT_WAIT when something is not there and `wait` forbids to wait for it.
///
/// # Safety
/// `file` is alive, and `open` stands behind it; `to` is a buffer of `length` bytes, the system's or a user's that was probed.
unsafe fn copy_read(
    file: PFILE_OBJECT,
    open: &Open,
    offset: u64,
    length: u32,
    to: *mut u8,
    wait: bool,
) -> Outcome {
    let Ok(position) = i64::try_from(offset) else {
        return NtStatus::INVALID_PARAMETER.into();
    };
    // SAFETY: promised by the caller.
    let _use = match unsafe { CacheUse::new(file, open, wait) } {
        Ok(held) => held,
        Err(status) => return status.into(),
    };
    let mut at = large(position);
    let mut status = IO_STATUS_BLOCK::default();
    let act = || {
        // SAFETY: the file object has a cache map; the buffer is the caller's.
        unsafe { CcCopyRead(file, &mut at, length, u8::from(wait), to.cast(), &mut status) }
    };
    // SAFETY: one NT call. It raises when a page cannot be read or the caller's buffer faults, and holds nothing then.
    let copied = unsafe { fault::guarded(act) };
    match copied {
        Ok(0) => NtStatus::CANT_WAIT.into(),
        Ok(_) => outcome_of(&status),
        Err(code) => raised(code),
    }
}

/// Hands out the cache's own pages.
fn read_mdl(request: Request, offset: u64, length: u32) -> NTSTATUS {
    // SAFETY: the request keeps its file object.
    let Some(file) = (unsafe { FileRef::new(request.file()) }) else {
        return request.fail(NtStatus::INVALID_DEVICE_REQUEST);
    };
    let (Some(open), Ok(position)) = (file.open(), i64::try_from(offset)) else {
        return request.fail(NtStatus::INVALID_PARAMETER);
    };
    // SAFETY: the file object is referenced here, and the open is the one behind it.
    let _used = match unsafe { CacheUse::new(file.as_ptr(), open, true) } {
        Ok(used) => used,
        Err(status) => return request.fail(status),
    };
    let mut at = large(position);
    let mut status = IO_STATUS_BLOCK::default();
    let mut chain: PMDL = null_mut();
    let act = || {
        // SAFETY: the file object has a cache map.
        unsafe { CcMdlRead(file.as_ptr(), &mut at, length, &mut chain, &mut status) }
    };
    // SAFETY: one NT call, as in copy_read(); when it raises, it has taken its MDLs back.
    let locked = unsafe { fault::guarded(act) };
    if let Err(code) = locked {
        return request.complete(raised(code));
    }
    let outcome = outcome_of(&status);
    let ended = request.finish(|irp| {
        irp.set_mdl(chain);
        advance(irp, offset, outcome);
        outcome
    });
    ended.unwrap_or_else(|_gone| {
        if !chain.is_null() {
            // SAFETY: the chain is this function's, and so is the use of the map.
            unsafe { CcMdlReadComplete(file.as_ptr(), chain) };
        }
        nt::raw_status(NtStatus::CANCELLED)
    })
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
