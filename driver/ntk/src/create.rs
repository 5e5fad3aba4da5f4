//! `IRP_MJ_CREATE`: the core decides what is opened; here the inode gets its FCB, sharing is settled, and the file
//! object its two context words.
//
// UNSAFETY: reads and fills the file object; share access.

use crate::irp::Irp;
use crate::nt::{
    self, FO_CACHE_SUPPORTED, FO_NO_INTERMEDIATE_BUFFERING, IoCheckShareAccess, IoRemoveShareAccess,
    NTSTATUS, PFILE_OBJECT, SL_CASE_SENSITIVE, SL_OPEN_PAGING_FILE, SL_OPEN_TARGET_DIRECTORY, YES,
};
use crate::open::{Cursors, FcbHandle, Open};
use crate::pended;
use crate::sync::Guarded;
use crate::volume::{MountedVolume, volume_of};
use crate::{secur, verify};
use alloc::sync::Arc;
use core::sync::atomic::AtomicU8;
use lkl_host_ntk::{pool, stack};
use lklfs_fsd::create::{self, Opening, Plan, Reparse, Request};
use lklfs_fsd::{FcbKind, Outcome};
use lklfs_nt::{AccessMask, CreateDisposition, CreateOptions, NtStatus};

/// `IO_REMOUNT`: with STATUS_REPARSE, the I/O manager looks at the device's VPB once more.
const IO_REMOUNT: usize = 1;

/// Answers CREATE on a volume. Always in the thread that sent it.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn create(mut irp: Irp) -> NTSTATUS {
    // SAFETY: the IRP was sent to this volume device and keeps it alive.
    let Some(volume) = (unsafe { volume_of(irp.device()) }) else {
        return irp.fail(NtStatus::VOLUME_DISMOUNTED);
    };
    let opened = stack::on_large_stack(|| {
        let result = admitted(&volume, &mut irp);
        // The count of a volume that was torn down meanwhile may be the last one.
        drop(volume);
        result
    });
    match opened {
        Ok(Ok(outcome)) => irp.complete(outcome),
        Ok(Err(status)) => irp.fail(status),
        Err(stack::NoStack) => irp.fail(NtStatus::INSUFFICIENT_RESOURCES),
    }
}

/// Counts the CREATE while it is under way, so that the volume stays: it may be given up meanwhile.
fn admitted(volume: &Arc<MountedVolume>, irp: &mut Irp) -> Result<Outcome, NtStatus> {
    let begun = volume.state.lock().begin_opening();
    if let Err(status) = begun {
        return remount(irp, status);
    }
    let mut result = verify::ensure(volume).and_then(|()| try_create(volume, irp));
    if verify::again(volume, result.is_err()) {
        result = try_create(volume, irp);
    }
    let opened = matches!(&result, Ok(outcome) if outcome.status != NtStatus::REPARSE);
    // Before the device may be gone.
    let result = result.map_err(|status| volume.reason(status));
    let last = volume.state.lock().end_opening(opened);
    if last {
        volume.tear_down();
    }
    result.or_else(|status| remount(irp, status))
}

/// When another volume is in the place of this one: the name is parsed again and leads there, unless it begins at a file
/// object of this one.
fn remount(irp: &Irp, status: NtStatus) -> Result<Outcome, NtStatus> {
    let absolute = irp
        .file()
        .is_some_and(|object| object.RelatedFileObject.is_null());
    if absolute && status == NtStatus::WRONG_VOLUME {
        Ok(Outcome::new(NtStatus::REPARSE, IO_REMOUNT))
    } else {
        Err(status)
    }
}

fn try_create(volume: &Arc<MountedVolume>, irp: &mut Irp) -> Result<Outcome, NtStatus> {
    let flags = irp.stack_flags();
    if flags & SL_OPEN_PAGING_FILE != 0 {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let parameters = irp.create();
    let file: PFILE_OBJECT = irp.file_object();
    let object = irp.file().ok_or(NtStatus::INVALID_PARAMETER)?;
    // SAFETY: the I/O manager holds the related file object while this one is being opened.
    let related = unsafe { Open::of(object.RelatedFileObject) };
    if related.is_some_and(|related| !Arc::ptr_eq(&related.volume, volume)) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let options = CreateOptions(parameters.options & 0x00ff_ffff);
    let by_id = options.contains(CreateOptions::FILE_OPEN_BY_FILE_ID);
    let path;
    let (name, related) = if by_id {
        // The related file object only says on which volume.
        path = volume.known.lock().path(name_of(object))?;
        (path.as_slice(), None)
    } else {
        (name_of(object), related)
    };
    let request = Request {
        related: related.map(|open| (&open.fcb.fcb, &open.ccb)),
        name,
        case_sensitive: by_id || flags & SL_CASE_SENSITIVE != 0,
        open_target_directory: flags & SL_OPEN_TARGET_DIRECTORY != 0,
        desired_access: AccessMask(parameters.desired_access),
        options,
        disposition: CreateDisposition(parameters.options >> 24),
        ea_length: parameters.ea_length,
    };
    match create::open(&volume.vcb, irp.context(), &request)? {
        Plan::Reparse(reparse) => answer_reparse(irp, &reparse),
        Plan::Open(opening) => {
            let opening = *opening;
            let information = opening.information.0 as usize;
            let share = u32::from(parameters.share_access);
            let granted = secur::check(volume, irp, &opening)?;
            finish(volume, file, opening, granted, share)?;
            Ok(Outcome::success(information))
        }
    }
}

/// The name as UTF-16 units.
fn name_of(object: &nt::FILE_OBJECT) -> &[u16] {
    let name = &object.FileName;
    if name.Buffer.is_null() || name.Length == 0 {
        return &[];
    }
    // SAFETY: the I/O manager captured the name in pool, hence aligned; it belongs to the file object and does not change
    // during CREATE.
    unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) }
}

/// Hangs the reparse data at the IRP, for the I/O manager to parse the name again.
fn answer_reparse(irp: &mut Irp, reparse: &Reparse) -> Result<Outcome, NtStatus> {
    let buffer: *mut u8 = pool::allocate(reparse.data.len()).cast();
    if buffer.is_null() {
        return Err(NtStatus::INSUFFICIENT_RESOURCES);
    }
    // SAFETY: the block is as long as the data, and new.
    unsafe { core::ptr::copy_nonoverlapping(reparse.data.as_ptr(), buffer, reparse.data.len()) };
    // SAFETY: the I/O manager frees it.
    unsafe { irp.set_auxiliary_buffer(buffer) };
    Ok(Outcome::new(NtStatus::REPARSE, reparse.tag.0 as usize))
}

/// Enters the FCB, settles sharing and fills the file object.
fn finish(
    volume: &Arc<MountedVolume>,
    file: PFILE_OBJECT,
    opening: Opening<lkl_vfs::LklVolume>,
    granted: AccessMask,
    share: u32,
) -> Result<(), NtStatus> {
    let Opening {
        fcb,
        mut ccb,
        attributes_only,
        no_buffering,
        ..
    } = opening;
    ccb.granted = granted;
    let key = fcb.key();
    let cacheable = fcb.kind() == FcbKind::File;
    let sector = volume.vcb.geometry().sector_size;
    let candidate = FcbHandle::new(fcb, sector).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let cursors = Guarded::new(Cursors::default()).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let entered = volume.table.lock().try_enter(key, || Arc::clone(&candidate));
    // If another open of the inode was first, or the table cannot grow, this closes what was opened in vain: after the
    // table's lock (lock rule 4).
    drop(candidate);
    let (fcb, _) = entered?;
    let shares = !attributes_only;
    if shares && let Err(status) = take_share_access(&fcb, file, granted, share) {
        volume.leave(fcb);
        return Err(status);
    }
    if cacheable {
        volume.note_cached(&fcb);
    }
    let again = Arc::clone(&fcb);
    let open = Open {
        fcb,
        ccb,
        cursors,
        volume: Arc::clone(volume),
        shares,
        pended: AtomicU8::new(pended::NOT_LISTED),
    };
    // SAFETY: the file object is the one of the CREATE under way.
    if let Err(status) = unsafe { open.attach(file, volume.vpb()) } {
        if shares {
            // SAFETY: the file object is the one of the CREATE under way.
            unsafe { give_share_access_back(&again, file) };
        }
        volume.leave(again);
        return Err(status);
    }
    drop(again);
    let flag = if no_buffering {
        FO_NO_INTERMEDIATE_BUFFERING
    } else if cacheable {
        FO_CACHE_SUPPORTED
    } else {
        0
    };
    // SAFETY: as above.
    unsafe { (*file).Flags |= flag };
    Ok(())
}

fn take_share_access(
    fcb: &FcbHandle,
    file: PFILE_OBJECT,
    granted: AccessMask,
    share: u32,
) -> Result<(), NtStatus> {
    fcb.main().acquire_exclusive(true);
    // SAFETY: the record is guarded by the main resource; the file object is the one of the CREATE under way.
    let status = unsafe { IoCheckShareAccess(granted.0, share, file, fcb.share(), YES) };
    fcb.main().release();
    if status < 0 {
        Err(nt::status(status))
    } else {
        Ok(())
    }
}

/// Undoes [`take_share_access`].
///
/// # Safety
/// `file` is the file object of an IRP that is ours, and the record of `fcb` counts it.
pub unsafe fn give_share_access_back(fcb: &FcbHandle, file: PFILE_OBJECT) {
    fcb.main().acquire_exclusive(true);
    // SAFETY: promised by the caller; the record is guarded by the main resource.
    unsafe { IoRemoveShareAccess(file, fcb.share()) };
    fcb.main().release();
}
