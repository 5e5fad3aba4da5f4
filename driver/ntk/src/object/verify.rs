//! Verification: is the volume on the device still the one that is mounted?
//!
//! A device below says that this is a question by a flag of its device object (`DO_VERIFY_VOLUME`): a medium was
//! changed, or the machine slept and another system may have had the disk. From then on it refuses reads that do not say
//! that they are to find out. So nothing of another medium gets into Linux's cache; and every request for the volume
//! comes here first ([`ensure`]) and has the I/O manager ask, which calls us back with VERIFY_VOLUME ([`volume_control`]).
//!
//! The flag may be that of the device with the VPB, which every request looks at, or that of a device below it, of which
//! the first read that is refused tells ([`DeviceReader::is_doubted`]). The volume is verified on the device with the VPB in
//! either case, and then the flags of all devices of the stack are cleared: a device that wants a verification refuses
//! reads until a file system has done that. The device that IoGetDeviceToVerify names is not used, as Microsoft's own
//! FAT does not use it: some storage drivers enter pointers there that lead nowhere.
//!
//! The same superblock and the same fingerprint ([`lkl::probe::fingerprint`]): the same volume, unchanged, and all handles
//! live on. Anything else: the old mount is given up as WRONG_VOLUME, with all of its handles, and what is there now is
//! mounted afresh. A mix of old cache and new disk is never shown.
//!
//! [`DeviceReader::is_doubted`]: lklfs_kernel::disk::DeviceReader::is_doubted
//
// UNSAFETY: flags of the real device, IoVerifyVolume, a question on another thread's stack.

use crate::irp::Irp;
use crate::log;
use crate::object::extension::volume_of;
use crate::object::signature;
use crate::object::volume::MountedVolume;
use crate::workque::deferred::{self, Act, Room};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, Ordering};
use lklfs_fsd::Outcome;
use lklfs_kernel::nt::{
    self, DO_VERIFY_VOLUME, FILE_REMOVABLE_MEDIA, IRP_MN_VERIFY_VOLUME, IoGetLowerDeviceObject,
    IoVerifyVolume, NO, NTSTATUS, ObfDereferenceObject, ObfReferenceObject, PASSIVE, PDEVICE_OBJECT,
};
use lklfs_kernel::sync::Event;
use lklfs_kernel::{routines, stack};
use lklfs_nt::NtStatus;

/// How long a volume that was replaced waits for the I/O manager to put another VPB in the place of its own: 10 ms each.
const ATTEMPTS: u32 = 100;

impl MountedVolume {
    /// Whether a device below wants the volume to be verified. Any IRQL.
    pub fn wants_verification(&self) -> bool {
        self.disk.is_doubted()
            // SAFETY: referenced by the volume.
            || unsafe { self.real_device().as_ref() }.is_some_and(|real| real.Flags & DO_VERIFY_VOLUME != 0)
    }

    /// Whether a request has to take the long way: the volume refuses it, or has to be verified first. Any IRQL.
    pub fn is_doubtful(&self) -> bool {
        self.refusal().is_some() || self.wants_verification()
    }
}

/// The verification has taken place: the device with the VPB and those below it in its stack are told so.
///
/// IRQL: <= APC_LEVEL.
///
/// # Safety
/// `real` is null or a live device, and no more than one thread does this for it: the I/O manager holds its lock.
pub unsafe fn clear(real: PDEVICE_OBJECT) {
    let mut device = real;
    if !device.is_null() {
        // SAFETY: promised by the caller; given back below.
        unsafe { ObfReferenceObject(device.cast()) };
    }
    // SAFETY: null, or referenced.
    while let Some(flagged) = unsafe { device.as_mut() } {
        // File systems clear this flag, and only this one.
        flagged.Flags &= !DO_VERIFY_VOLUME;
        // SAFETY: referenced; what comes back is, too.
        let lower = unsafe { IoGetLowerDeviceObject(device) };
        // SAFETY: the reference is this loop's.
        let _ = unsafe { ObfDereferenceObject(device.cast()) };
        device = lower;
    }
}

/// A control without a file object: the I/O manager asks whether the volume is still the same.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn volume_control(irp: Irp) -> NTSTATUS {
    if u32::from(irp.minor()) != IRP_MN_VERIFY_VOLUME {
        return irp.fail(NtStatus::INVALID_DEVICE_REQUEST);
    }
    // SAFETY: the IRP was sent to this volume device and keeps it alive.
    let Some(volume) = (unsafe { volume_of(irp.device()) }) else {
        return irp.fail(NtStatus::WRONG_VOLUME);
    };
    let status = stack::on_large_stack(|| verify(volume));
    match status.unwrap_or(NtStatus::INSUFFICIENT_RESOURCES) {
        NtStatus::SUCCESS => irp.complete(Outcome::success(0)),
        status => irp.fail(status),
    }
}

fn verify(volume: Arc<MountedVolume>) -> NtStatus {
    if volume.refusal().is_some() {
        return NtStatus::WRONG_VOLUME;
    }
    if !volume.wants_verification() {
        // Somebody else was faster.
        return NtStatus::SUCCESS;
    }
    // What cannot be told apart is not the same.
    let same = |found: &signature::Found| Some(found) == volume.found.as_ref() && found.1.is_some();
    let mut looked = signature::look(&volume.disk);
    if looked.as_ref().is_ok_and(same) {
        // SAFETY: referenced by the volume.
        unsafe { clear(volume.real_device()) };
        volume.disk.end_doubt();
        if volume.vcb.geometry().characteristics & FILE_REMOVABLE_MEDIA != 0 {
            // A change that came between the look and the clearing of the flag has left no other trace.
            looked = signature::look(&volume.disk);
        }
    }
    match looked {
        Ok(found) if same(&found) => NtStatus::SUCCESS,
        Ok(_) | Err(NtStatus::UNRECOGNIZED_VOLUME) => {
            replace(volume);
            NtStatus::WRONG_VOLUME
        }
        // No medium: the question stays.
        Err(absent) => absent,
    }
}

/// Gives the volume up: something else is in its place.
fn replace(volume: Arc<MountedVolume>) {
    log::line(format_args!(
        "volume {} was changed by somebody else; what is there now is mounted afresh",
        volume.id
    ));
    let over = {
        let mut state = volume.state.lock();
        state.replaced = true;
        volume.follow(&state);
        state.is_over()
    };
    volume.keep_vpb();
    volume.vcb.volume().device().gone();
    volume.end_pended();
    // Not here: the I/O manager still works with the VPB. A volume with open files goes with the last of them; without
    // memory for a task, one that has none goes with the driver.
    if over {
        let _ = deferred::queue(move || tear_down_replaced(&volume));
    } else {
        volume.drain_later(0);
    }
}

/// Tears a replaced volume down once the I/O manager has put another VPB in the place of its own.
fn tear_down_replaced(volume: &Arc<MountedVolume>) {
    volume.wait_for_successor(ATTEMPTS);
    volume.tear_down();
}

/// Before a request for the volume is worked on: has the I/O manager verify it, if the device wants that. An error when
/// it is not the volume any more, or when that could not be found out.
///
/// IRQL: <= APC_LEVEL; blocks then.
pub fn ensure(volume: &MountedVolume) -> Result<(), NtStatus> {
    if !volume.wants_verification() {
        return Ok(());
    }
    let real = volume.real_device();
    let status = if routines::irql() == PASSIVE {
        // SAFETY: the device is referenced by the volume; no lock is held.
        unsafe { IoVerifyVolume(real, NO) }
    } else {
        verify_in_worker(real)
    };
    match volume.refusal() {
        Some(refusal) => Err(refusal),
        None if status < 0 => Err(nt::status(status)),
        None => Ok(()),
    }
}

/// Whether a request that has failed is to be tried again: its reads may have failed because the device began to want a
/// verification meanwhile, which has then taken place here. An error is what the request ends with instead of its own.
///
/// IRQL: <= APC_LEVEL; blocks then.
pub fn again(volume: &MountedVolume, failed: bool) -> Result<bool, NtStatus> {
    if failed && volume.wants_verification() {
        ensure(volume).map(|()| true)
    } else {
        Ok(false)
    }
}

/// A paging read waits for another thread, which may do what it may not.
struct Question {
    real: PDEVICE_OBJECT,
    status: AtomicI32,
    done: Event,
}

fn verify_in_worker(real: PDEVICE_OBJECT) -> NTSTATUS {
    let no_memory = nt::raw_status(NtStatus::INSUFFICIENT_RESOURCES);
    let Some(room) = Room::reserve() else {
        return no_memory;
    };
    let question = Question {
        real,
        status: AtomicI32::new(no_memory),
        done: Event::uninit(),
    };
    question.done.init();
    room.queue(Asking(&raw const question));
    question.done.wait();
    question.status.load(Ordering::Acquire)
}

/// The question, whose asker waits for the answer.
struct Asking(*const Question);

// SAFETY: the asker leaves the question alone until it is answered.
unsafe impl Send for Asking {}

impl Act for Asking {
    fn act(&mut self) {
        // SAFETY: verify_in_worker() waits until `done` is set.
        let question = unsafe { &*self.0 };
        // SAFETY: referenced by the volume whose read waits.
        let status = unsafe { IoVerifyVolume(question.real, NO) };
        question.status.store(status, Ordering::Release);
        question.done.set();
    }
}
