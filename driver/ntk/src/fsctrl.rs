//! `IRP_MJ_FILE_SYSTEM_CONTROL` on a volume: VERIFY_VOLUME, and the controls that programs send.
//
// UNSAFETY: the VPB's device in a verification, input and output of METHOD_NEITHER.

use crate::irp::Irp;
use crate::nt::{
    CcWaitForCurrentLazyWriterActivity, DO_VERIFY_VOLUME, IRP_MN_KERNEL_CALL, IRP_MN_USER_FS_REQUEST,
    IRP_MN_VERIFY_VOLUME, KERNEL_MODE, KeDelayExecutionThread, NO, NTSTATUS, large,
};
use crate::open::Open;
use crate::volume::volume_of;
use crate::{buffer, fault};
use alloc::vec::Vec;
use lkl_host_ntk::stack;
use lklfs_fsd::fsctrl::{self, Plan, Request};
use lklfs_fsd::{Outcome, Requestor, linuxinfo, ranges};
use lklfs_nt::{ControlCode, NtStatus};

/// How often a lock looks for file objects that are left, and how long it pauses in between (10 ms, relative).
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: i64 = -100_000;
/// The largest input that is looked at, bytes.
const MOST_INPUT: u32 = 64 * 1024;
/// `METHOD_BUFFERED`, `METHOD_IN_DIRECT`, `METHOD_OUT_DIRECT` in the low two bits of a control code; else NEITHER.
const METHOD_BUFFERED: u32 = 0;
const METHOD_NEITHER: u32 = 3;

/// A control without a file object: the I/O manager asks whether the medium is still the same.
pub fn volume_control(irp: Irp) -> NTSTATUS {
    if u32::from(irp.minor()) != IRP_MN_VERIFY_VOLUME {
        return irp.fail(NtStatus::INVALID_DEVICE_REQUEST);
    }
    // SAFETY: the IRP was sent to this volume device and keeps it alive.
    let Some(volume) = (unsafe { volume_of(irp.device()) }) else {
        return irp.fail(NtStatus::WRONG_VOLUME);
    };
    if volume.state.lock().removed {
        return irp.fail(NtStatus::WRONG_VOLUME);
    }
    // The same superblock is the same volume.
    let again = stack::on_large_stack(|| {
        let found = crate::mount::identity(&volume.disk);
        let before = volume.vcb.volume().mounted().superblock().cloned();
        drop(volume);
        found.is_some() && found == before
    });
    if again != Ok(true) {
        return irp.fail(NtStatus::WRONG_VOLUME);
    }
    let (_, device) = irp.mount_volume();
    // SAFETY: the device that is being verified is live; clearing the flag is what answers the request.
    unsafe {
        if let Some(real) = device.as_mut() {
            real.Flags &= !DO_VERIFY_VOLUME;
        }
    }
    irp.complete(Outcome::success(0))
}

/// A control on an open.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn control(mut irp: Irp, open: &Open) -> NTSTATUS {
    let minor = u32::from(irp.minor());
    if minor != IRP_MN_USER_FS_REQUEST && minor != IRP_MN_KERNEL_CALL {
        return irp.fail(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let input = match input(&mut irp) {
        Ok(input) => input,
        Err(status) => return irp.fail(status),
    };
    let parameters = irp.control();
    let (code, length) = (parameters.code, parameters.output_length);
    let handle = irp.file_object().addr() as u64;
    let output = match code & 3 {
        METHOD_BUFFERED => Ok(irp.system_buffer(length)),
        _ => match buffer::lock(&mut irp, length) {
            Ok(()) => buffer::bytes(&mut irp, length),
            Err(status) => Err(status),
        },
    };
    let output = match output {
        Ok(output) => output,
        Err(status) => return irp.fail(status),
    };
    let plan = {
        let mut request = Request {
            code: ControlCode(code),
            input: &input,
            output: &mut *output,
            handle,
        };
        let mut state = open.volume.state.lock();
        let plan = fsctrl::user_request(&open.fcb.fcb, &open.ccb, &mut state, &mut request);
        open.volume.follow(&state);
        plan
    };
    match plan {
        Plan::Done(outcome) => irp.complete(outcome),
        // Oplocks are not granted: every opener of a read-only volume asks each time.
        Plan::Oplock => irp.fail(NtStatus::OPLOCK_NOT_GRANTED),
        Plan::AllocatedRanges => {
            let told = asked(|| ranges::allocated(&open.volume.vcb, &open.fcb.fcb, &input, output));
            irp.complete(told)
        }
        Plan::LinuxFile => {
            let told = asked(|| linuxinfo::file(&open.volume.vcb, &open.fcb.fcb, &open.ccb, output));
            irp.complete(told)
        }
        Plan::LinuxVolume => {
            let told = asked(|| linuxinfo::volume(&open.volume.vcb, output));
            irp.complete(told)
        }
        Plan::Lock => lock(irp, open),
        Plan::Unlock => irp.complete(Outcome::success(0)),
        Plan::Dismount => {
            open.volume.purge();
            irp.complete(Outcome::success(0))
        }
    }
}

/// What Linux has to be asked for.
fn asked(ask: impl FnOnce() -> Outcome) -> Outcome {
    stack::on_large_stack(ask).unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
}

/// The volume is locked by this handle, unless file objects are left besides the handle's own. Those that only the
/// cache keeps are purged; the cache manager may take a moment to let go of them.
fn lock(irp: Irp, open: &Open) -> NTSTATUS {
    for _ in 0..LOCK_ATTEMPTS {
        open.volume.purge();
        // SAFETY: PASSIVE_LEVEL, and no lock is held.
        let _ = unsafe { CcWaitForCurrentLazyWriterActivity() };
        if open.volume.state.lock().references <= 1 {
            return irp.complete(Outcome::success(0));
        }
        let mut pause = large(LOCK_PAUSE);
        // SAFETY: kernel mode, not alertable; the interval is readable.
        let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &mut pause) };
    }
    open.volume.state.lock().locked_by = None;
    irp.fail(NtStatus::ACCESS_DENIED)
}

/// A copy of the control's input.
fn input(irp: &mut Irp) -> Result<Vec<u8>, NtStatus> {
    let parameters = irp.control();
    let length = parameters.input_length.min(MOST_INPUT);
    let mut copy = Vec::new();
    copy.try_reserve_exact(length as usize)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    if length == 0 {
        return Ok(copy);
    }
    if parameters.code & 3 != METHOD_NEITHER {
        copy.extend_from_slice(irp.system_buffer(length));
        return Ok(copy);
    }
    let from = parameters.type3_input;
    let user = irp.context().requestor == Requestor::User;
    let end = from.addr().checked_add(length as usize);
    if from.is_null() || end.is_none_or(|end| user && end > buffer::highest_user_address()) {
        return Err(NtStatus::INVALID_USER_BUFFER);
    }
    copy.resize(length as usize, 0u8);
    let to = copy.as_mut_ptr();
    let act = || {
        // SAFETY: `to` has room for `length` bytes.
        unsafe { core::ptr::copy_nonoverlapping(from.cast::<u8>().cast_const(), to, length as usize) }
    };
    // SAFETY: a range of the caller's; a fault in it is caught, and a user's range ends below the kernel's.
    let copied = unsafe { fault::guarded(act) };
    copied.map_err(|_| NtStatus::INVALID_USER_BUFFER)?;
    Ok(copy)
}
