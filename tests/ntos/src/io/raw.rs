//! The raw file system, which takes what no other file system knows when a whole volume is opened, and keeps it until it
//! is dismounted. A machine has it when it is asked for (`Builder::raw_file_system`).
//!
//! It opens the volume itself and nothing on it, locks and dismounts it for whoever asks, and passes reads on to the
//! disk's device.

use super::{call, complete, device, irp, mount, native};
use crate::nt::*;
use std::sync::atomic::{AtomicBool, Ordering};

static WANTED: AtomicBool = AtomicBool::new(false);

/// The machine that starts now has it, or has not.
pub fn start(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

/// What a volume device of this file system has behind it.
#[repr(C)]
struct Extension {
    vpb: PVPB,
    /// File objects that are open.
    opens: u32,
    locked: bool,
    dismounted: bool,
}

/// Takes the volume on `real`, if the machine has this file system. Whether it did.
///
/// # Safety
/// `real` is live and its lock is held; `vpb` is its VPB, which nobody has mounted.
pub unsafe fn mount(real: PDEVICE_OBJECT, vpb: PVPB) -> bool {
    if !WANTED.load(Ordering::Relaxed) {
        return false;
    }
    // SAFETY: by contract.
    unsafe { make_volume(native::driver("\\FileSystem\\RAW", dispatch), real, vpb) }
}

/// Whether `device` is a volume of this kind.
///
/// # Safety
/// `device` is live.
pub unsafe fn is_volume(device: PDEVICE_OBJECT) -> bool {
    // SAFETY: by contract.
    unsafe { !(*device).DeviceExtension.is_null() }
}

/// Mounts a volume whose requests `driver` passes to [`dispatch`]. False for lack of memory.
///
/// # Safety
/// `driver` is a modelled one; the rest as for [`mount`].
pub unsafe fn make_volume(driver: PDRIVER_OBJECT, real: PDEVICE_OBJECT, vpb: PVPB) -> bool {
    // SAFETY: the driver lives for ever; the new device is ours; the rest by contract.
    unsafe {
        let Ok(device) = device::create(
            driver,
            size_of::<Extension>(),
            None,
            FILE_DEVICE_DISK_FILE_SYSTEM,
            0,
        ) else {
            return false;
        };
        (*device).StackSize = (*device::top(real)).StackSize + 1;
        (*device).SectorSize = (*real).SectorSize;
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
        let extension = (*device).DeviceExtension.cast::<Extension>();
        (*extension).vpb = vpb;
        (*vpb).DeviceObject = device;
    }
    true
}

/// Every request to a volume of this file system.
///
/// # Safety
/// The I/O manager calls it with one of our devices and an IRP for it.
pub unsafe fn dispatch(device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: by contract; the extension lives as long as its device, and requests of one volume come one by one here
    // but for its reads, which do not touch it.
    unsafe {
        let extension = (*device).DeviceExtension.cast::<Extension>();
        let location = irp::current(packet);
        let status = match u32::from((*location).MajorFunction) {
            IRP_MJ_CREATE => create(extension, location),
            IRP_MJ_CLEANUP | IRP_MJ_FLUSH_BUFFERS => STATUS_SUCCESS,
            IRP_MJ_CLOSE => {
                (*extension).opens -= 1;
                if (*extension).dismounted && (*extension).opens == 0 {
                    irp::set_status(packet, STATUS_SUCCESS, 0);
                    complete::complete(packet);
                    device::delete(device);
                    return STATUS_SUCCESS;
                }
                STATUS_SUCCESS
            }
            IRP_MJ_FILE_SYSTEM_CONTROL if u32::from((*location).MinorFunction) == IRP_MN_USER_FS_REQUEST => {
                control(extension, (*location).Parameters.FileSystemControl.FsControlCode)
            }
            IRP_MJ_READ | IRP_MJ_DEVICE_CONTROL => {
                let below = device::top((*(*extension).vpb).RealDevice);
                std::ptr::copy_nonoverlapping(location, irp::next(packet), 1);
                (*irp::next(packet)).CompletionRoutine = None;
                (*irp::next(packet)).Control = 0;
                return call::call_driver(below, packet);
            }
            _ => STATUS_INVALID_DEVICE_REQUEST,
        };
        irp::set_status(packet, status, 0);
        complete::complete(packet);
        status
    }
}

/// # Safety
/// Both belong to one CREATE.
unsafe fn create(extension: *mut Extension, location: PIO_STACK_LOCATION) -> NTSTATUS {
    // SAFETY: by contract.
    unsafe {
        let file = (*location).FileObject;
        if (*file).FileName.Length != 0 || !(*file).RelatedFileObject.is_null() {
            return STATUS_INVALID_PARAMETER;
        }
        if (*extension).locked || (*extension).dismounted {
            return STATUS_ACCESS_DENIED;
        }
        (*extension).opens += 1;
        STATUS_SUCCESS
    }
}

/// # Safety
/// The extension is one of ours.
unsafe fn control(extension: *mut Extension, code: u32) -> NTSTATUS {
    // SAFETY: by contract; a mounted VPB is live.
    unsafe {
        match code {
            FSCTL_LOCK_VOLUME if (*extension).opens > 1 || (*extension).locked => STATUS_ACCESS_DENIED,
            FSCTL_LOCK_VOLUME => {
                (*extension).locked = true;
                STATUS_SUCCESS
            }
            FSCTL_UNLOCK_VOLUME => {
                (*extension).locked = false;
                STATUS_SUCCESS
            }
            FSCTL_DISMOUNT_VOLUME if !(*extension).locked => STATUS_ACCESS_DENIED,
            FSCTL_DISMOUNT_VOLUME => {
                (*extension).dismounted = true;
                // The device gets a new VPB, so that the next open mounts afresh; open file objects keep the old one.
                mount::replace_vpb((*(*extension).vpb).RealDevice, (*extension).vpb);
                STATUS_SUCCESS
            }
            _ => STATUS_INVALID_DEVICE_REQUEST,
        }
    }
}
