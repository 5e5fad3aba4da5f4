//! Devices that others made: referenced, named, and asked who has mounted what is on them.
//
// UNSAFETY: object references, file objects of handles, fields of devices and VPBs.

use crate::letter::letters::Opened;
use crate::state;
use alloc::vec::Vec;
use core::ptr::null_mut;
use lklfs_kernel::nt::{
    self, FILE_OBJECT, IoAcquireVpbSpinLock, IoGetRelatedDeviceObject, IoReleaseVpbSpinLock, KIRQL,
    OBJECT_NAME_INFORMATION, ObQueryNameString, ObReferenceObjectByHandle, ObfDereferenceObject,
    ObfReferenceObject, PDEVICE_OBJECT, PFILE_OBJECT, VPB_MOUNTED,
};
use lklfs_kernel::text;
use lklfs_nt::NtStatus;

/// The raw file system, which takes what nobody else knows.
const RAW: &str = "\\FileSystem\\RAW";
/// Room for the name of a device: a UNICODE_STRING and the longest name that one has.
const NAME_ROOM: usize = 1024;

/// A device with a reference.
#[derive(Debug)]
pub struct DeviceRef(PDEVICE_OBJECT);

// SAFETY: a referenced device object may be used by any thread.
unsafe impl Send for DeviceRef {}
// SAFETY: as above.
unsafe impl Sync for DeviceRef {}

/// Who has mounted what is on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounter {
    /// Nobody yet.
    Nobody,
    /// This driver.
    Us,
    /// The raw file system: nobody knew it when it was first opened.
    Raw,
    /// Another file system.
    Other,
}

/// The file object of a handle, with a reference for the time of `act`.
///
/// IRQL: PASSIVE_LEVEL.
pub fn with_file<T>(opened: &Opened, act: impl FnOnce(PFILE_OBJECT) -> T) -> Result<T, NtStatus> {
    let mut object = null_mut();
    // SAFETY: the handle is open; a null type means "whatever it is", and a handle of ZwOpenFile's is a file's.
    let status = unsafe {
        ObReferenceObjectByHandle(
            opened.handle(),
            0,
            null_mut(),
            nt::KERNEL_MODE,
            &mut object,
            null_mut(),
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    let result = act(object.cast::<FILE_OBJECT>());
    // SAFETY: referenced above.
    let _ = unsafe { ObfDereferenceObject(object) };
    Ok(result)
}

impl DeviceRef {
    /// Takes a reference.
    ///
    /// # Safety
    /// `device` is live.
    pub unsafe fn new(device: PDEVICE_OBJECT) -> Self {
        // SAFETY: promised by the caller; given back by drop().
        unsafe { ObfReferenceObject(device.cast()) };
        DeviceRef(device)
    }

    /// One more reference.
    pub fn again(&self) -> Self {
        // SAFETY: the device is referenced.
        unsafe { DeviceRef::new(self.0) }
    }

    /// The device that was opened by name, below what may be mounted on it.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn real(opened: &Opened) -> Result<Self, NtStatus> {
        with_file(opened, |file| {
            // SAFETY: the file object is referenced, and keeps its device.
            let device = unsafe { (*file).DeviceObject };
            // SAFETY: as above.
            unsafe { DeviceRef::new(device) }
        })
    }

    /// The top of the stack of devices that a handle is open on.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn top(opened: &Opened) -> Result<Self, NtStatus> {
        with_file(opened, |file| {
            // SAFETY: the file object is referenced, and keeps its device.
            let device = unsafe { IoGetRelatedDeviceObject(file) };
            // SAFETY: as above.
            unsafe { DeviceRef::new(device) }
        })
    }

    /// The device. It lives as long as this.
    pub fn as_ptr(&self) -> PDEVICE_OBJECT {
        self.0
    }

    /// Its name, `\Device\HarddiskVolume3`. OBJECT_NAME_NOT_FOUND when it has none.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn name(&self) -> Result<Vec<u16>, NtStatus> {
        let mut room = Vec::new();
        room.try_reserve_exact(NAME_ROOM / 8)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        room.resize(NAME_ROOM / 8, 0u64);
        let place: *mut OBJECT_NAME_INFORMATION = room.as_mut_ptr().cast();
        let mut needed = 0;
        // SAFETY: the room is as long as told and aligned for the structure.
        let status = unsafe { ObQueryNameString(self.0.cast(), place, NAME_ROOM as u32, &mut needed) };
        if status < 0 {
            return Err(nt::status(status));
        }
        // SAFETY: filled in by the call.
        let name = unsafe { &(*place).Name };
        if name.Buffer.is_null() || name.Length == 0 {
            return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        // SAFETY: the string lies behind the structure, in the room.
        let units = unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) };
        text::copy(units)
    }

    /// Who has mounted what is on it.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn mounter(&self) -> Mounter {
        let mut irql: KIRQL = 0;
        // SAFETY: the saved IRQL goes back below.
        unsafe { IoAcquireVpbSpinLock(&mut irql) };
        // SAFETY: the device is referenced; its VPB changes under the lock only.
        let vpb = unsafe { (*self.0).Vpb };
        // SAFETY: as above.
        let volume = match unsafe { vpb.as_ref() } {
            Some(vpb) if u32::from(vpb.Flags) & VPB_MOUNTED != 0 => vpb.DeviceObject,
            _ => null_mut(),
        };
        // SAFETY: a mounted VPB's volume lives while the lock is held.
        let driver = unsafe { volume.as_ref() }.map_or(null_mut(), |volume| volume.DriverObject);
        if !driver.is_null() {
            // SAFETY: a device's driver object lives as long as the device; given back below.
            unsafe { ObfReferenceObject(driver.cast()) };
        }
        // SAFETY: taken above.
        unsafe { IoReleaseVpbSpinLock(irql) };
        if driver.is_null() {
            return Mounter::Nobody;
        }
        // SAFETY: the driver object is referenced; its name does not change.
        let name = unsafe { &(*driver).DriverName };
        let is_raw = !name.Buffer.is_null() && {
            // SAFETY: a string of the kernel's.
            let units = unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) };
            units.iter().copied().eq(RAW.encode_utf16())
        };
        // SAFETY: referenced above.
        let _ = unsafe { ObfDereferenceObject(driver.cast()) };
        match state::driver() {
            Some(ours) if ours.object() == driver => Mounter::Us,
            _ if is_raw => Mounter::Raw,
            _ => Mounter::Other,
        }
    }
}

impl PartialEq for DeviceRef {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for DeviceRef {
    fn drop(&mut self) {
        // SAFETY: taken by new().
        let _ = unsafe { ObfDereferenceObject(self.0.cast()) };
    }
}
