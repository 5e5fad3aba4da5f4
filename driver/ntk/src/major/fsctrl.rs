//! `IRP_MJ_FILE_SYSTEM_CONTROL` on a volume: the controls that programs send. VERIFY_VOLUME is [`crate::object::verify`]'s.
//
// UNSAFETY: input and output of METHOD_NEITHER.

use crate::buffer;
use crate::irp::Irp;
use crate::object::events::{self, Event};
use crate::object::open::{FileRef, Open};
use crate::object::volume::MountedVolume;
use crate::workque::request;
use crate::workque::request::{Blocking, Kept, Output, Request};
use alloc::sync::Arc;
use alloc::vec::Vec;
use lklfs_fsd::fsctrl::{self, Plan};
use lklfs_fsd::{FcbKind, Outcome, Requestor, linuxinfo, ranges};
use lklfs_kernel::fault;
use lklfs_kernel::nt::{self, IRP_MN_KERNEL_CALL, IRP_MN_USER_FS_REQUEST, NTSTATUS, raw_status};
use lklfs_kernel::stack;
use lklfs_nt::{ControlCode, NtStatus};

/// The largest input that is looked at, bytes.
const MOST_INPUT: u32 = 64 * 1024;
/// The methods in the low two bits of a control code; else `METHOD_OUT_DIRECT`.
const METHOD_BUFFERED: u32 = 0;
const METHOD_IN_DIRECT: u32 = 1;
/// As above.
pub const METHOD_NEITHER: u32 = 3;

/// A control on an open.
///
/// IRQL: PASSIVE_LEVEL.
pub fn control(mut irp: Irp, open: &Open, blocking: Blocking) -> NTSTATUS {
    let minor = u32::from(irp.minor());
    if minor != IRP_MN_USER_FS_REQUEST && minor != IRP_MN_KERNEL_CALL {
        return irp.fail(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let input = match input(&mut irp) {
        Ok(input) => input,
        Err(status) => return irp.fail(status),
    };
    let parameters = irp.control();
    let (code, length) = (parameters.code, parameters.output_length.min(buffer::MOST_LOCKED));
    let file = irp.file_object();
    let is_volume = open.fcb.fcb.kind() == FcbKind::Volume && open.ccb.may_take_away();
    if is_volume {
        // Before the decision: whoever listens may close handles that are in its way.
        match ControlCode(code) {
            // SAFETY: the file object of an IRP that is ours.
            ControlCode::FSCTL_LOCK_VOLUME => unsafe { events::tell(file, Event::Lock) },
            // SAFETY: as above.
            ControlCode::FSCTL_DISMOUNT_VOLUME => unsafe { events::tell(file, Event::Dismount) },
            _ => {}
        }
    }
    let handle = file.addr() as u64;
    let output = match code & 3 {
        METHOD_BUFFERED => Ok(irp.system_buffer(length)),
        // What is called the output is a second input, locked for reading: there is none.
        METHOD_IN_DIRECT => Ok(Default::default()),
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
        let mut request = fsctrl::Request {
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
        Plan::Done(outcome) => {
            if is_volume && !nt::succeeded(outcome.status) {
                match ControlCode(code) {
                    // SAFETY: the file object of an IRP that is ours.
                    ControlCode::FSCTL_LOCK_VOLUME => unsafe { events::tell(file, Event::LockFailed) },
                    // SAFETY: as above.
                    ControlCode::FSCTL_DISMOUNT_VOLUME => unsafe {
                        events::tell(file, Event::DismountFailed);
                    },
                    _ => {}
                }
            }
            irp.complete(outcome)
        }
        // Oplocks are not granted: every opener of a read-only volume asks each time.
        Plan::Oplock => irp.fail(NtStatus::OPLOCK_NOT_GRANTED),
        Plan::AllocatedRanges | Plan::LinuxFile | Plan::LinuxVolume => {
            if let Some(status) = open.volume.refusal() {
                return irp.fail(status);
            }
            let output = match code & 3 {
                METHOD_BUFFERED => Output::Buffered,
                METHOD_IN_DIRECT => return irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
                _ => Output::Locked,
            };
            request::ask(irp, open, blocking, (length, output), move |open, room| {
                ask(open, plan, &input, room)
            })
        }
        Plan::Lock => {
            let pending = PendingLock {
                volume: Arc::clone(&open.volume),
                handle,
                // SAFETY: a control comes by a handle, so its file object is the object manager's.
                file: unsafe { FileRef::new(file) },
            };
            let volume = Arc::clone(&open.volume);
            let kept = Kept::open_of(&irp);
            request::run(irp, volume, kept, blocking, move |request, _| {
                lock(request, pending)
            })
        }
        Plan::Unlock => {
            // SAFETY: the file object of an IRP that is ours.
            unsafe { events::tell(file, Event::Unlock) };
            irp.complete(Outcome::success(0))
        }
        Plan::Dismount => {
            dismount(open);
            irp.complete(Outcome::success(0))
        }
    }
}

/// What Linux has to be asked for.
fn ask(open: &Open, plan: Plan, input: &[u8], room: &mut [u8]) -> Outcome {
    let (vcb, fcb) = (&open.volume.vcb, &open.fcb.fcb);
    let asked = stack::on_large_stack(|| match plan {
        Plan::AllocatedRanges => ranges::allocated(vcb, fcb, input, room),
        Plan::LinuxFile => linuxinfo::file(vcb, fcb, &open.ccb, room),
        Plan::LinuxVolume => linuxinfo::volume(vcb, room),
        _ => NtStatus::INVALID_DEVICE_REQUEST.into(),
    });
    asked.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
}

/// The volume is dismounted. If it was locked before, only this handle is left; else what is under way, by other handles
/// or for the cache, is not waited for: Linux fails its reads from now on.
fn dismount(open: &Open) {
    open.volume.let_go_of_vpb();
    open.volume.end_pended();
    if open.volume.state.lock().references <= 1 {
        return;
    }
    open.volume.vcb.volume().device().gone();
    open.volume.drain_later(1);
}

/// A volume that is locked for a handle whose request is not answered yet. Whatever becomes of the request, unless it is
/// granted: the lock is taken back, and who made room for it is told so.
struct PendingLock {
    volume: Arc<MountedVolume>,
    handle: u64,
    /// The handle's file object, until it is known whether it has the lock.
    file: Option<FileRef>,
}

impl PendingLock {
    /// The handle has the lock. The request still has the file object, so that it does not end here.
    fn grant(&mut self) {
        if let Some(file) = self.file.take() {
            file.release();
        }
    }

    /// The handle does not get the lock.
    ///
    /// IRQL: PASSIVE_LEVEL, with no lock held.
    fn refuse(&mut self) {
        let Some(file) = self.file.take() else { return };
        {
            let mut state = self.volume.state.lock();
            if state.locked_by == Some(self.handle) {
                state.locked_by = None;
            }
        }
        // SAFETY: the file object is referenced.
        unsafe { events::tell(file.as_ptr(), Event::LockFailed) };
    }
}

impl Drop for PendingLock {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// The volume is locked by this handle, unless file objects are left besides the handle's own, or the request was cancelled.
fn lock(request: Request, mut pending: PendingLock) -> NTSTATUS {
    let ended = if pending.volume.drain(1) {
        request.finish(|_| {
            pending.grant();
            Outcome::success(0)
        })
    } else {
        pending.refuse();
        request.finish(|_| NtStatus::ACCESS_DENIED.into())
    };
    ended.unwrap_or(raw_status(NtStatus::CANCELLED))
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
