//! `IRP_MJ_FILE_SYSTEM_CONTROL`: controls of a volume and of files on it.
//!
//! `IRP_MN_MOUNT_VOLUME` and `IRP_MN_VERIFY_VOLUME` are the edge's: it has the device, and it asks the signature probe
//! before Linux sees a byte. [`user_request`] decides `IRP_MN_USER_FS_REQUEST` and `IRP_MN_KERNEL_CALL`.

use lklfs_nt::{
    AccessMask, ControlCode, NtStatus,
    linux::{FSCTL_LKLFS_QUERY_FILE, FSCTL_LKLFS_QUERY_VOLUME},
    record::Field,
    reparse,
};

use crate::{Ccb, Fcb, FcbKind, Outcome, Volume, VolumeState};

/// What a control leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Complete with this; the answer is in the output buffer.
    Done(Outcome),
    /// An oplock request: hand the IRP to `FsRtlOplockFsctrl`, which completes it.
    Oplock,
    /// The volume is now locked by this handle in `state`: flush and purge (`CcPurgeCacheSection`), and undo with
    /// [`VolumeState::locked_by`] = `None` when something still holds the volume's files.
    Lock,
    /// The volume is unlocked in `state`.
    Unlock,
    /// Dismount: the volume is marked in `state`; complete pended notifications, disconnect the VPB.
    Dismount,
    /// Complete with what [`ranges::allocated`](crate::ranges::allocated) says, which may block: with no lock held.
    AllocatedRanges,
    /// Complete with what [`linuxinfo::file`](crate::linuxinfo::file) says, which may block: with no lock held.
    LinuxFile,
    /// Complete with what [`linuxinfo::volume`](crate::linuxinfo::volume) says, which may block: with no lock held.
    LinuxVolume,
}

/// The parts of a control's IRP.
#[derive(Debug)]
pub struct Request<'a> {
    /// `Parameters.FileSystemControl.FsControlCode`.
    pub code: ControlCode,
    /// The input, captured when the code's method is METHOD_NEITHER.
    pub input: &'a [u8],
    /// The output. For METHOD_BUFFERED it is the same memory as the input in NT: the edge passes a copy of one of them.
    pub output: &'a mut [u8],
    /// The identity of the file object, for volume locks.
    pub handle: u64,
}

/// What a control that would change the volume ends with.
const PROTECTED: Plan = done(NtStatus::MEDIA_WRITE_PROTECTED);

const fn done(status: NtStatus) -> Plan {
    Plan::Done(Outcome::failed(status))
}

fn lock<V: Volume>(fcb: &Fcb<V>, ccb: &Ccb, state: &mut VolumeState, handle: u64) -> Plan {
    if fcb.kind() != FcbKind::Volume {
        return done(NtStatus::INVALID_PARAMETER);
    }
    if !ccb.may_take_away() {
        return done(NtStatus::ACCESS_DENIED);
    }
    // The one handle is the caller's.
    if state.locked_by.is_some() || state.handles > 1 {
        return done(NtStatus::ACCESS_DENIED);
    }
    state.locked_by = Some(handle);
    Plan::Lock
}

fn unlock<V: Volume>(fcb: &Fcb<V>, state: &mut VolumeState, handle: u64) -> Plan {
    if fcb.kind() != FcbKind::Volume {
        return done(NtStatus::INVALID_PARAMETER);
    }
    if state.locked_by != Some(handle) {
        return done(NtStatus::NOT_LOCKED);
    }
    state.locked_by = None;
    Plan::Unlock
}

fn dismount<V: Volume>(fcb: &Fcb<V>, ccb: &Ccb, state: &mut VolumeState, handle: u64) -> Plan {
    if fcb.kind() != FcbKind::Volume {
        return done(NtStatus::INVALID_PARAMETER);
    }
    if !ccb.may_take_away() {
        return done(NtStatus::ACCESS_DENIED);
    }
    if state.locked_by.is_some_and(|holder| holder != handle) {
        return done(NtStatus::ACCESS_DENIED);
    }
    if state.dismounted {
        return done(NtStatus::VOLUME_DISMOUNTED);
    }
    state.dismounted = true;
    state.dismounted_by = Some(handle);
    Plan::Dismount
}

/// Writes an answer of fixed size; BUFFER_TOO_SMALL when it does not fit.
fn answer(output: &mut [u8], bytes: &[u8]) -> Plan {
    match output.get_mut(..bytes.len()) {
        Some(place) => {
            place.copy_from_slice(bytes);
            Plan::Done(Outcome::success(bytes.len()))
        }
        None => done(NtStatus::BUFFER_TOO_SMALL),
    }
}

fn get_reparse_point(ccb: &Ccb, output: &mut [u8]) -> Plan {
    let Some(link) = &ccb.link else {
        return done(NtStatus::NOT_A_REPARSE_POINT);
    };
    let whole = match reparse::buffer(link.tag, 0, &link.data) {
        Ok(whole) => whole,
        Err(status) => return done(status),
    };
    if output.len() < reparse::HEADER_SIZE {
        return done(NtStatus::BUFFER_TOO_SMALL);
    }
    let length = whole.len().min(output.len());
    if let (Some(place), Some(bytes)) = (output.get_mut(..length), whole.get(..length)) {
        place.copy_from_slice(bytes);
    }
    let status = if length < whole.len() {
        NtStatus::BUFFER_OVERFLOW
    } else {
        NtStatus::SUCCESS
    };
    Plan::Done(Outcome::new(status, length))
}

/// No flag of the persistent state is ever set.
fn query_persistent_state(input: &[u8], output: &mut [u8]) -> Plan {
    // VolumeFlags, FlagMask, Version, Reserved.
    let version = input.get(8..).and_then(u32::get);
    if version != Some(1) || input.len() < 16 {
        return done(NtStatus::INVALID_PARAMETER);
    }
    let mut state = [0; 16];
    if let (Some(place), Some(mask)) = (state.get_mut(4..12), input.get(4..12)) {
        place.copy_from_slice(mask);
    }
    answer(output, &state)
}

/// Decides a control on a file or volume.
///
/// What asks is answered, what changes the volume is refused with MEDIA_WRITE_PROTECTED, and what is not known with
/// INVALID_DEVICE_REQUEST, as NT demands: programs take that for "not this file system".
///
/// # IRQL
///
/// PASSIVE_LEVEL; does not block.
pub fn user_request<V: Volume>(
    fcb: &Fcb<V>,
    ccb: &Ccb,
    state: &mut VolumeState,
    request: &mut Request<'_>,
) -> Plan {
    type C = ControlCode;
    let handle = request.handle;
    match request.code {
        C::FSCTL_LOCK_VOLUME => lock(fcb, ccb, state, handle),
        C::FSCTL_UNLOCK_VOLUME => unlock(fcb, state, handle),
        C::FSCTL_DISMOUNT_VOLUME => dismount(fcb, ccb, state, handle),
        C::FSCTL_IS_VOLUME_MOUNTED if state.dismounted => done(NtStatus::VOLUME_DISMOUNTED),
        C::FSCTL_IS_VOLUME_MOUNTED | C::FSCTL_IS_PATHNAME_VALID => Plan::Done(Outcome::success(0)),
        C::FSCTL_ALLOW_EXTENDED_DASD_IO if fcb.kind() == FcbKind::Volume => Plan::Done(Outcome::success(0)),
        C::FSCTL_IS_VOLUME_DIRTY => answer(request.output, &[0; 4]),
        C::FSCTL_REQUEST_OPLOCK_LEVEL_1
        | C::FSCTL_REQUEST_OPLOCK_LEVEL_2
        | C::FSCTL_REQUEST_BATCH_OPLOCK
        | C::FSCTL_REQUEST_FILTER_OPLOCK
        | C::FSCTL_REQUEST_OPLOCK
        | C::FSCTL_OPLOCK_BREAK_ACKNOWLEDGE
        | C::FSCTL_OPLOCK_BREAK_ACK_NO_2
        | C::FSCTL_OPLOCK_BREAK_NOTIFY
        | C::FSCTL_OPBATCH_ACK_CLOSE_PENDING => match fcb.kind() {
            FcbKind::File | FcbKind::Directory => Plan::Oplock,
            FcbKind::Volume | FcbKind::Reparse => done(NtStatus::INVALID_PARAMETER),
        },
        C::FSCTL_GET_REPARSE_POINT => get_reparse_point(ccb, request.output),
        C::FSCTL_GET_COMPRESSION => answer(request.output, &[0; 2]),
        C::FSCTL_GET_OBJECT_ID => done(NtStatus::OBJECTID_NOT_FOUND),
        C::FSCTL_QUERY_ALLOCATED_RANGES => match fcb.kind() {
            FcbKind::File => Plan::AllocatedRanges,
            _ => done(NtStatus::INVALID_PARAMETER),
        },
        FSCTL_LKLFS_QUERY_FILE | FSCTL_LKLFS_QUERY_VOLUME => match state.refusal() {
            Some(status) => done(status),
            None if !ccb.granted.contains(AccessMask::FILE_READ_ATTRIBUTES) => done(NtStatus::ACCESS_DENIED),
            None if request.code == FSCTL_LKLFS_QUERY_FILE => Plan::LinuxFile,
            None => Plan::LinuxVolume,
        },
        C::FSCTL_QUERY_PERSISTENT_VOLUME_STATE => query_persistent_state(request.input, request.output),
        C::FSCTL_MARK_VOLUME_DIRTY
        | C::FSCTL_SET_COMPRESSION
        | C::FSCTL_MOVE_FILE
        | C::FSCTL_SET_OBJECT_ID
        | C::FSCTL_DELETE_OBJECT_ID
        | C::FSCTL_CREATE_OR_GET_OBJECT_ID
        | C::FSCTL_SET_REPARSE_POINT
        | C::FSCTL_DELETE_REPARSE_POINT
        | C::FSCTL_SET_SPARSE
        | C::FSCTL_SET_ZERO_DATA
        | C::FSCTL_WRITE_USN_CLOSE_RECORD
        | C::FSCTL_SET_PERSISTENT_VOLUME_STATE
        | C::FSCTL_FILE_LEVEL_TRIM => PROTECTED,
        // Disk runs, bitmaps, USN, NTFS's own data: these are not told.
        _ => done(NtStatus::INVALID_DEVICE_REQUEST),
    }
}
