//! Another file system, which takes whatever volume it is asked for. It is registered with a low priority and after the
//! driver, and so is asked after it. A machine has it when it is asked for (`Machine::start_other_file_system`).
//!
//! It is what a volume loses that the driver refuses in a way that ends the search. Its volumes are as the raw file
//! system's: they can be opened themselves, and there is nothing on them.

use super::{complete, device, irp, mount, native, raw};
use crate::nt::*;
use crate::verifier::fail;
use std::sync::{Mutex, PoisonError};

/// The name of its driver object.
pub const NAME: &str = "\\FileSystem\\Other";

/// Its device, while it is registered.
static REGISTERED: Mutex<Option<usize>> = Mutex::new(None);

/// Registers it.
pub fn start() {
    stop();
    let driver = native::driver(NAME, dispatch);
    // SAFETY: the driver lives for ever; the new device is ours.
    let made = unsafe { device::create(driver, 0, None, FILE_DEVICE_DISK_FILE_SYSTEM, 0) };
    let Ok(system) = made else {
        fail!(Device, "no memory for a file system of the double's own");
    };
    // SAFETY: as above.
    unsafe { (*system).Flags &= !DO_DEVICE_INITIALIZING };
    mount::add_file_system(system);
    *REGISTERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(system as usize);
}

/// Its registration ends, if there is one.
pub fn stop() {
    let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(system) = registered {
        mount::take_file_system(system as PDEVICE_OBJECT);
        // SAFETY: made by start(), and registered no more.
        unsafe { device::delete(system as PDEVICE_OBJECT) };
    }
}

/// Every request to the file system itself.
///
/// # Safety
/// The I/O manager calls it with our device and an IRP for it.
unsafe fn dispatch(device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: by contract; the VPB of a mount under way is live.
    unsafe {
        if raw::is_volume(device) {
            return raw::dispatch(device, packet);
        }
        let location = irp::current(packet);
        let mounts = (*location).MajorFunction == IRP_MJ_FILE_SYSTEM_CONTROL as u8
            && (*location).MinorFunction == IRP_MN_MOUNT_VOLUME as u8;
        let status = if mounts {
            let vpb = (*location).Parameters.MountVolume.Vpb;
            let driver = native::driver(NAME, dispatch);
            match raw::make_volume(driver, (*vpb).RealDevice, vpb) {
                true => STATUS_SUCCESS,
                false => STATUS_INSUFFICIENT_RESOURCES,
            }
        } else {
            STATUS_INVALID_DEVICE_REQUEST
        };
        irp::set_status(packet, status, 0);
        complete::complete(packet);
        status
    }
}
