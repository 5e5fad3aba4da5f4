//! A filter of file systems, as the filter manager is one: it attaches to each device that is registered as a file system
//! and to each volume that is mounted, and passes every request on.
//!
//! It hears of registrations, and detaches from a device whose registration is taken back; from a volume it detaches when
//! the volume's device is deleted (`FastIoDetachDevice`). A machine has it when it is asked for (`Builder::filter`).

use super::{call, device, irp, native};
use crate::nt::*;
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &str = "\\FileSystem\\FltMgr";

static WANTED: AtomicBool = AtomicBool::new(false);

/// The machine that starts now has it, or has not.
pub fn start(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

fn driver() -> PDRIVER_OBJECT {
    native::driver(NAME, dispatch)
}

/// A file system is registered, or a volume is mounted: `target` is its device.
///
/// # Safety
/// `target` is live.
pub unsafe fn attach_to(target: PDEVICE_OBJECT) {
    if !WANTED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: by contract; the new device is ours.
    unsafe {
        let made = device::create(
            driver(),
            size_of::<PDEVICE_OBJECT>(),
            None,
            (*target).DeviceType,
            0,
        );
        let Ok(filter) = made else { return };
        let below = device::IoAttachDeviceToDeviceStack(filter, target);
        if below.is_null() {
            device::delete(filter);
            return;
        }
        (*filter).DeviceExtension.cast::<PDEVICE_OBJECT>().write(below);
        (*filter).Flags &= !DO_DEVICE_INITIALIZING;
    }
}

/// The filter's device on top of `target` goes, if there is one; whether there was.
///
/// # Safety
/// `target` is live.
pub unsafe fn detach_from(target: PDEVICE_OBJECT) -> bool {
    // SAFETY: by contract; an attached device is live.
    unsafe {
        let filter = (*target).AttachedDevice;
        if filter.is_null() || (*filter).DriverObject != driver() {
            return false;
        }
        device::IoDetachDevice(target);
        device::delete(filter);
        true
    }
}

/// Every request: passed on.
///
/// # Safety
/// The I/O manager calls it with one of our devices and an IRP for it.
unsafe fn dispatch(device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: by contract; the extension holds the device below, which stays until ours is detached.
    unsafe {
        let below = (*device).DeviceExtension.cast::<PDEVICE_OBJECT>().read();
        std::ptr::copy_nonoverlapping(irp::current(packet), irp::next(packet), 1);
        (*irp::next(packet)).CompletionRoutine = None;
        (*irp::next(packet)).Control = 0;
        call::call_driver(below, packet)
    }
}
