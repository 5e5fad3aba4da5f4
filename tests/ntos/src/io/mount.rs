//! Volumes: registered file systems, and the mount of a device at its first open.
//!
//! An open of a device whose VPB is not mounted takes the device's lock and offers the device to every
//! registered file system for devices of its type, the last registered first, with IRP_MJ_FILE_SYSTEM_CONTROL / IRP_MN_MOUNT_VOLUME.
//! STATUS_UNRECOGNIZED_VOLUME passes on to the next; what else a file system may say ends the search ([`refusal`]).
//! What none recognises the raw file system takes, if the machine has it ([`raw`]) and the whole
//! volume is opened; otherwise the open fails. The reasons are kept for tests to ask for (see [`refusals`]).

use super::file::Waiter;
use super::ledger::Owner;
use super::refusal::{self, Search};
use super::{device, irp, kernel, raw, request};
use crate::nt::*;
use crate::ob;
use crate::verifier::{fail, ledger as holdings};
use std::sync::{Mutex, PoisonError};

/// File systems, the last registered first.
static SYSTEMS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Devices on which something was mounted; their VPBs say whether it is still.
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
    // SAFETY: a listed device is live, and so is its VPB.
    let vpbs = lock(&MOUNTED)
        .iter()
        .map(|real| unsafe { (*(*real as PDEVICE_OBJECT)).Vpb })
        .collect::<Vec<_>>();
    // SAFETY: as above.
    let found = vpbs
        .into_iter()
        .find(|vpb| unsafe { (**vpb).DeviceObject } == volume);
    found.unwrap_or(std::ptr::null_mut())
}

/// The VPB of `real` with one more reference, mounted if it can be; `whole` when the volume itself is opened and nothing
/// on it.
///
/// # Safety
/// `real` is live and has a VPB.
pub unsafe fn mounted(real: PDEVICE_OBJECT, whole: bool) -> Result<PVPB, NTSTATUS> {
    // SAFETY: by contract; the device's lock orders mounts.
    unsafe {
        loop {
            if let Some(counted) = count_in(real) {
                return counted;
            }
            kernel::event_wait(&raw mut (*real).DeviceLock);
            let is_mounted = (*(*real).Vpb).Flags & VPB_MOUNTED as u16 != 0;
            let status = if is_mounted {
                STATUS_SUCCESS
            } else {
                mount(real, whole)
            };
            kernel::event_set(&raw mut (*real).DeviceLock);
            if !nt_success(status) {
                return Err(status);
            }
        }
    }
}

/// Counts an open in the device's VPB, as one step with the look at it; None when nothing is mounted there.
///
/// # Safety
/// `real` is live and has a VPB.
unsafe fn count_in(real: PDEVICE_OBJECT) -> Option<Result<PVPB, NTSTATUS>> {
    let before = kernel::lock_acquire(VPB_LOCK.as_ptr());
    // SAFETY: by contract; a device's VPB is replaced under its lock only.
    let counted = unsafe {
        let vpb = (*real).Vpb;
        let flags = u32::from((*vpb).Flags);
        if flags & VPB_REMOVE_PENDING != 0 {
            Some(Err(STATUS_NO_SUCH_DEVICE))
        } else if flags & VPB_LOCKED != 0 {
            Some(Err(STATUS_ACCESS_DENIED))
        } else if flags & VPB_MOUNTED != 0 {
            device::reference_vpb(vpb);
            Some(Ok(vpb))
        } else {
            None
        }
    };
    kernel::lock_release(VPB_LOCK.as_ptr(), before);
    counted
}

/// What the PnP manager does to the VPB of a device that may leave or leaves (`pending`), or that stays after all: once a
/// mount that is under way has ended, no new one begins.
///
/// # Safety
/// `real` is live and has a VPB.
pub unsafe fn set_removal(real: PDEVICE_OBJECT, pending: bool) {
    // SAFETY: by contract.
    unsafe {
        kernel::event_wait(&raw mut (*real).DeviceLock);
        let before = kernel::lock_acquire(VPB_LOCK.as_ptr());
        let vpb = (*real).Vpb;
        if pending {
            (*vpb).Flags |= VPB_REMOVE_PENDING as u16;
        } else {
            (*vpb).Flags &= !VPB_REMOVE_PENDING as u16;
        }
        kernel::lock_release(VPB_LOCK.as_ptr(), before);
        kernel::event_set(&raw mut (*real).DeviceLock);
    }
}

/// The type of the file systems that are asked for a device of that type: there is a queue of them for each.
fn queue_for(device: u32) -> u32 {
    match device {
        FILE_DEVICE_CD_ROM => FILE_DEVICE_CD_ROM_FILE_SYSTEM,
        FILE_DEVICE_TAPE => FILE_DEVICE_TAPE_FILE_SYSTEM,
        _ => FILE_DEVICE_DISK_FILE_SYSTEM,
    }
}

/// # Safety
/// The device's lock is held.
unsafe fn mount(real: PDEVICE_OBJECT, whole: bool) -> NTSTATUS {
    // SAFETY: registered devices are live until they unregister.
    unsafe {
        lock(&REFUSALS).retain(|(refused, _)| *refused != real as usize);
        let mut last = STATUS_UNRECOGNIZED_VOLUME;
        let kind = queue_for((*real).DeviceType);
        let asked = |system: &usize| (*(*system as PDEVICE_OBJECT)).DeviceType == kind;
        for system in file_systems().into_iter().filter(asked) {
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
                super::filter::attach_to((*vpb).DeviceObject);
                lock(&MOUNTED).retain(|known| *known != real as usize);
                lock(&MOUNTED).push(real as usize);
                return STATUS_SUCCESS;
            }
            lock(&REFUSALS).push((real as usize, status));
            last = status;
            match refusal::after(status) {
                Search::Next => {}
                Search::RawOnly => break,
                Search::Over => return last,
            }
        }
        let vpb = (*real).Vpb;
        if whole && raw::mount(real, vpb) {
            (*vpb).Flags |= VPB_MOUNTED as u16;
            lock(&MOUNTED).retain(|known| *known != real as usize);
            lock(&MOUNTED).push(real as usize);
            return STATUS_SUCCESS;
        }
        last
    }
}

/// Mounted volumes as (real device, volume device).
pub fn volumes() -> Vec<(PDEVICE_OBJECT, PDEVICE_OBJECT)> {
    let list = lock(&MOUNTED);
    // SAFETY: a listed device is live, and so is its VPB.
    unsafe {
        list.iter()
            .map(|real| *real as PDEVICE_OBJECT)
            .filter(|real| (*(**real).Vpb).Flags & VPB_MOUNTED as u16 != 0)
            .map(|real| (real, (*(*real).Vpb).DeviceObject))
            .collect()
    }
}

/// A volume is dismounted: `real` gets a new VPB, and `old` stays with the file objects that have it.
///
/// # Safety
/// `real` is live, and `old` is a VPB that it had.
pub unsafe fn replace_vpb(real: PDEVICE_OBJECT, old: PVPB) {
    let fresh = device::new_vpb(real);
    let before = kernel::lock_acquire(VPB_LOCK.as_ptr());
    // SAFETY: by contract; a device's VPB is replaced under its lock only.
    let replaced = unsafe {
        let replaced = (*real).Vpb == old;
        if replaced {
            (*real).Vpb = fresh;
        }
        replaced
    };
    kernel::lock_release(VPB_LOCK.as_ptr(), before);
    if !replaced {
        crate::mm::pool::free(fresh.cast(), device::TAG_VPB);
    }
}

/// A device goes.
pub fn forget(real: PDEVICE_OBJECT) {
    lock(&MOUNTED).retain(|known| *known != real as usize);
}

/// A file system of the double's own is registered, the last to be asked.
pub fn add_file_system(system: PDEVICE_OBJECT) {
    lock(&SYSTEMS).push(system as usize);
}

/// The registration of [`add_file_system`] ends.
pub fn take_file_system(system: PDEVICE_OBJECT) {
    lock(&SYSTEMS).retain(|known| *known != system as usize);
}

/// The name of the driver whose file system has mounted the volume on `real`.
pub fn mounted_by(real: PDEVICE_OBJECT) -> Option<String> {
    let (_, volume) = volumes().into_iter().find(|(known, _)| *known == real)?;
    // SAFETY: a mounted volume's device and its driver are live.
    Some(unsafe { super::name_of_driver((*volume).DriverObject) })
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
    // SAFETY: the device is live while it is registered, and until its registration has ended.
    unsafe {
        if active {
            super::filter::attach_to(system);
        } else {
            super::filter::detach_from(system);
        }
    }
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
        // Counted, so that the volume's device stays while it is asked.
        if let Some(Ok(vpb)) = count_in(real) {
            let target = device::top((*vpb).DeviceObject);
            let waiter = Waiter::new();
            let packet = request::start(target, Owner::Manager, 0);
            if packet.is_null() {
                device::dereference_vpb(vpb);
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
            device::dereference_vpb(vpb);
        }
        if status == STATUS_WRONG_VOLUME {
            let fresh = device::new_vpb(real);
            let before = kernel::lock_acquire(VPB_LOCK.as_ptr());
            let replaced = (*real).Vpb == vpb;
            if replaced {
                // The file system keeps the old VPB for its open files; the device gets a new one to mount.
                (*real).Vpb = fresh;
            }
            kernel::lock_release(VPB_LOCK.as_ptr(), before);
            if !replaced {
                crate::mm::pool::free(fresh.cast(), device::TAG_VPB);
            }
            status = mount(real, false);
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
