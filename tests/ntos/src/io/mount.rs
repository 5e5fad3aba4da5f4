//! Volumes: registered file systems, and the mount of a device at its first open.
//!
//! An open of a device whose VPB is not mounted takes the device's lock and offers the device to every
//! registered file system, the last registered first, with IRP_MJ_FILE_SYSTEM_CONTROL / IRP_MN_MOUNT_VOLUME.
//! STATUS_UNRECOGNIZED_VOLUME, and any other error that is not the device's own or the user's, passes on to
//! the next. There is no RAW file system here: what nobody recognises cannot be opened as a volume. The
//! reasons are kept for whoever asks why (see [`refusals`]).

use super::file::Waiter;
use super::ledger::Owner;
use super::{device, irp, kernel, request};
use crate::nt::*;
use crate::ob;
use crate::verifier::{fail, ledger as holdings};
use std::sync::{Mutex, PoisonError};

/// File systems, the last registered first.
static SYSTEMS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Mounted VPBs.
static MOUNTED: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// What file systems said when they refused a volume: device, status.
static REFUSALS: Mutex<Vec<(usize, NTSTATUS)>> = Mutex::new(Vec::new());
/// Who wants to hear of registrations: driver and routine.
static LISTENERS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registered file systems' device objects.
pub fn file_systems() -> Vec<usize> {
    lock(&SYSTEMS).clone()
}

/// With which status each attempt to mount `device` ended that did not succeed.
pub fn refusals(device: PDEVICE_OBJECT) -> Vec<NTSTATUS> {
    lock(&REFUSALS)
        .iter()
        .filter(|(refused, _)| *refused == device as usize)
        .map(|(_, status)| *status)
        .collect()
}

/// The VPB of the volume whose file-system device is `volume`.
pub fn vpb_of_volume(volume: PDEVICE_OBJECT) -> PVPB {
    // SAFETY: a listed VPB is live: it is taken off the list when its device drops it.
    let found = lock(&MOUNTED)
        .iter()
        .copied()
        .find(|vpb| unsafe { (*(*vpb as PVPB)).DeviceObject } == volume);
    found.unwrap_or(0) as PVPB
}

/// The VPB of `real` with one more reference, mounted if it can be.
///
/// # Safety
/// `real` is live and has a VPB.
pub unsafe fn mounted(real: PDEVICE_OBJECT) -> Result<PVPB, NTSTATUS> {
    // SAFETY: by contract; the device's lock orders mounts.
    unsafe {
        kernel::event_wait(&raw mut (*real).DeviceLock);
        let vpb = (*real).Vpb;
        let status = if (*vpb).Flags & VPB_MOUNTED as u16 != 0 {
            STATUS_SUCCESS
        } else {
            mount(real)
        };
        let vpb = (*real).Vpb;
        let result = if (*vpb).Flags & (VPB_LOCKED | VPB_REMOVE_PENDING) as u16 != 0 && nt_success(status) {
            Err(STATUS_ACCESS_DENIED)
        } else if nt_success(status) {
            device::reference_vpb(vpb);
            Ok(vpb)
        } else {
            Err(status)
        };
        kernel::event_set(&raw mut (*real).DeviceLock);
        result
    }
}

/// # Safety
/// The device's lock is held.
unsafe fn mount(real: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: registered devices are live until they unregister.
    unsafe {
        lock(&REFUSALS).retain(|(refused, _)| *refused != real as usize);
        let mut last = STATUS_UNRECOGNIZED_VOLUME;
        for system in file_systems() {
            let target = device::top(system as PDEVICE_OBJECT);
            let vpb = (*real).Vpb;
            let waiter = Waiter::new();
            let packet = request::start(target, Owner::Manager, 0);
            if packet.is_null() {
                return STATUS_INSUFFICIENT_RESOURCES;
            }
            (*packet).Flags = IRP_MOUNT_COMPLETION | IRP_SYNCHRONOUS_PAGING_IO;
            (*packet).UserIosb = waiter.block();
            (*packet).UserEvent = waiter.event();
            let location = irp::next(packet);
            (*location).MajorFunction = IRP_MJ_FILE_SYSTEM_CONTROL as u8;
            (*location).MinorFunction = IRP_MN_MOUNT_VOLUME as u8;
            (*location).Parameters.MountVolume.Vpb = vpb;
            (*location).Parameters.MountVolume.DeviceObject = device::top(real);
            kernel::enter_critical_region();
            let (status, _) = waiter.send(target, packet);
            kernel::leave_critical_region();
            if nt_success(status) {
                if (*vpb).DeviceObject.is_null() {
                    fail!(
                        Device,
                        "a file system said that it mounted a volume but set no DeviceObject in the VPB"
                    );
                }
                if (*(*vpb).DeviceObject).Flags & DO_DEVICE_INITIALIZING != 0 {
                    fail!(
                        Device,
                        "the volume's device object still has DO_DEVICE_INITIALIZING"
                    );
                }
                if (*(*vpb).DeviceObject).StackSize <= (*device::top(real)).StackSize {
                    fail!(
                        Device,
                        "the volume's StackSize leaves no location for the disk's own stack"
                    );
                }
                (*vpb).Flags |= VPB_MOUNTED as u16;
                lock(&MOUNTED).retain(|known| *known != vpb as usize);
                lock(&MOUNTED).push(vpb as usize);
                return STATUS_SUCCESS;
            }
            lock(&REFUSALS).push((real as usize, status));
            last = status;
            if matches!(
                status,
                STATUS_NO_MEDIA_IN_DEVICE
                    | STATUS_DEVICE_NOT_READY
                    | STATUS_NO_SUCH_DEVICE
                    | STATUS_IO_TIMEOUT
                    | STATUS_VERIFY_REQUIRED
                    | STATUS_NONEXISTENT_SECTOR
            ) {
                break;
            }
        }
        last
    }
}

/// Mounted volumes as (real device, volume device).
pub fn volumes() -> Vec<(PDEVICE_OBJECT, PDEVICE_OBJECT)> {
    let list = lock(&MOUNTED);
    // SAFETY: a listed VPB is live, and so is its device.
    unsafe {
        list.iter()
            .filter(|vpb| {
                let vpb = **vpb as PVPB;
                (*(*vpb).RealDevice).Vpb == vpb && (*vpb).Flags & VPB_MOUNTED as u16 != 0
            })
            .map(|vpb| ((*(*vpb as PVPB)).RealDevice, (*(*vpb as PVPB)).DeviceObject))
            .collect()
    }
}

/// A VPB is freed, or its device goes.
pub fn forget(vpb: PVPB) {
    lock(&MOUNTED).retain(|known| *known != vpb as usize);
}

/// `IoRegisterFileSystem`.
pub unsafe extern "win64" fn IoRegisterFileSystem(system: PDEVICE_OBJECT) {
    // SAFETY: the driver's device is live.
    unsafe {
        ob::reference(system.cast());
        device::opened(system);
        (*system).Flags &= !DO_DEVICE_INITIALIZING;
        let first = (*system).Flags & DO_LOW_PRIORITY_FILESYSTEM == 0;
        let mut systems = lock(&SYSTEMS);
        if systems.contains(&(system as usize)) {
            fail!(Device, "IoRegisterFileSystem twice for {system:p}");
        }
        if first {
            systems.insert(0, system as usize)
        } else {
            systems.push(system as usize)
        }
    }
    holdings::add(holdings::Kind::Registration, system as usize, "file system");
    notify(system, true);
}

/// `IoUnregisterFileSystem`.
pub unsafe extern "win64" fn IoUnregisterFileSystem(system: PDEVICE_OBJECT) {
    let before = lock(&SYSTEMS).len();
    lock(&SYSTEMS).retain(|known| *known != system as usize);
    if lock(&SYSTEMS).len() == before {
        fail!(
            Device,
            "IoUnregisterFileSystem for {system:p}, which is not registered"
        );
    }
    holdings::remove(holdings::Kind::Registration, system as usize);
    notify(system, false);
    // SAFETY: the registration's references were ours.
    unsafe {
        device::closed(system);
        ob::dereference(system.cast());
    }
}

fn notify(system: PDEVICE_OBJECT, active: bool) {
    let routines: Vec<usize> = lock(&LISTENERS).iter().map(|(_, routine)| *routine).collect();
    for routine in routines {
        // SAFETY: the routine was registered and not unregistered.
        unsafe { kernel::call(routine as *const (), [system as usize, usize::from(active)]) };
    }
}

/// `IoRegisterFsRegistrationChange`: the routine hears of file systems that exist already, too.
pub unsafe extern "win64" fn IoRegisterFsRegistrationChange(
    driver: PDRIVER_OBJECT,
    routine: PVOID,
) -> NTSTATUS {
    lock(&LISTENERS).push((driver as usize, routine as usize));
    holdings::add(
        holdings::Kind::Registration,
        routine as usize,
        "file-system registration change",
    );
    for system in file_systems() {
        // SAFETY: the driver gave the routine.
        unsafe { kernel::call(routine as *const (), [system, 1]) };
    }
    STATUS_SUCCESS
}

/// `IoUnregisterFsRegistrationChange`.
pub unsafe extern "win64" fn IoUnregisterFsRegistrationChange(driver: PDRIVER_OBJECT, routine: PVOID) {
    lock(&LISTENERS).retain(|known| *known != (driver as usize, routine as usize));
    holdings::remove(holdings::Kind::Registration, routine as usize);
}

/// The VPB spin lock.
static VPB_LOCK: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// `IoAcquireVpbSpinLock`.
pub unsafe extern "win64" fn IoAcquireVpbSpinLock(old: PKIRQL) {
    let before = kernel::lock_acquire(VPB_LOCK.as_ptr());
    // SAFETY: the driver gives a place for the old level.
    unsafe { *old = before };
}

/// `IoReleaseVpbSpinLock`.
pub unsafe extern "win64" fn IoReleaseVpbSpinLock(old: KIRQL) {
    kernel::lock_release(VPB_LOCK.as_ptr(), old);
}

/// `IoVerifyVolume`: asks the file system to verify the volume, and mounts anew when it says that it is
/// another one.
pub unsafe extern "win64" fn IoVerifyVolume(real: PDEVICE_OBJECT, _allow_raw: BOOLEAN) -> NTSTATUS {
    // SAFETY: the device is live.
    unsafe {
        kernel::event_wait(&raw mut (*real).DeviceLock);
        let vpb = (*real).Vpb;
        let mut status = STATUS_SUCCESS;
        if (*vpb).Flags & VPB_MOUNTED as u16 != 0 {
            let target = device::top((*vpb).DeviceObject);
            let waiter = Waiter::new();
            let packet = request::start(target, Owner::Manager, 0);
            if packet.is_null() {
                kernel::event_set(&raw mut (*real).DeviceLock);
                return STATUS_INSUFFICIENT_RESOURCES;
            }
            (*packet).Flags = IRP_MOUNT_COMPLETION | IRP_SYNCHRONOUS_PAGING_IO;
            (*packet).UserIosb = waiter.block();
            (*packet).UserEvent = waiter.event();
            let location = irp::next(packet);
            (*location).MajorFunction = IRP_MJ_FILE_SYSTEM_CONTROL as u8;
            (*location).MinorFunction = IRP_MN_VERIFY_VOLUME as u8;
            (*location).Flags = SL_ALLOW_RAW_MOUNT as u8;
            (*location).Parameters.VerifyVolume.Vpb = vpb;
            (*location).Parameters.VerifyVolume.DeviceObject = (*vpb).DeviceObject;
            status = waiter.send(target, packet).0;
        }
        if status == STATUS_WRONG_VOLUME {
            if (*real).Vpb == vpb {
                // The file system keeps the old VPB for its open files; the device gets a new one to mount.
                (*real).Vpb = device::new_vpb(real);
            }
            status = mount(real);
        }
        kernel::event_set(&raw mut (*real).DeviceLock);
        status
    }
}

crate::table! {
    /// Volumes.
    pub static IMPORTS = {
        IoRegisterFileSystem <= PASSIVE;
        IoUnregisterFileSystem <= PASSIVE;
        IoRegisterFsRegistrationChange <= PASSIVE;
        IoUnregisterFsRegistrationChange <= PASSIVE;
        IoAcquireVpbSpinLock <= DISPATCH;
        IoReleaseVpbSpinLock <= DISPATCH;
        IoVerifyVolume <= PASSIVE;
    }
}
