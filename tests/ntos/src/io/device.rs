//! Driver objects, device objects, their stacks and their volume parameter blocks.
//!
//! A device object is an object of the object manager whose body has the driver's extension behind it. It is
//! linked into its driver's list. It counts its opens in `ReferenceCount`; deleted while open, it stays until
//! the last open goes. Devices that can carry a volume get a VPB, which is a pool block of its own because
//! file systems replace and free it.

use super::kernel;
use super::names::{self, Node};
use crate::mm::pool;
use crate::nt::*;
use crate::ob::{self, ObjectType};
use crate::verifier::{fail, fault};
use std::mem::{offset_of, size_of};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

const TYPE_DEVICE: CSHORT = 3;
const TYPE_VPB: CSHORT = 10;
const TYPE_DEVICE_EXTENSION: CSHORT = 13;
/// Pool tag of VPBs.
pub const TAG_VPB: u32 = u32::from_le_bytes(*b"Vpb ");

/// mingw's DEVICE_OBJECT ends at 0x148; NT's x64 one is aligned to 16 and has 0x150 bytes.
const DEVICE_OBJECT_SIZE: usize = 0x150;

/// The type of devices. Their memory goes with the last reference, after [`delete`].
pub static DEVICE_OBJECT_TYPE: ObjectType = ObjectType {
    name: "Device",
    close: None,
    delete: |_| (),
};
/// The type of drivers.
pub static DRIVER_TYPE: ObjectType = ObjectType {
    name: "Driver",
    close: None,
    delete: |_| (),
};

/// The part of DEVOBJ_EXTENSION that is the system's own.
#[repr(C)]
struct Extension {
    public: DEVOBJ_EXTENSION,
    power_flags: u32,
    dope: *mut u8,
    /// DOE_* flags.
    flags: u32,
    attached_to: PDEVICE_OBJECT,
    rest: [u64; 10],
}

const DOE_UNLOAD_PENDING: u32 = 1;
const DOE_DELETE_PENDING: u32 = 2;
const DOE_REMOVE_PENDING: u32 = 4;

/// # Safety
/// `device` is live.
unsafe fn extension(device: PDEVICE_OBJECT) -> *mut Extension {
    // SAFETY: every device object was made here, with an extension of ours.
    unsafe { (*device).DeviceObjectExtension.cast() }
}

/// A new VPB for `device`.
pub fn new_vpb(device: PDEVICE_OBJECT) -> PVPB {
    let vpb: PVPB = kernel::take(size_of::<VPB>(), TAG_VPB).cast();
    if !vpb.is_null() {
        // SAFETY: the block is a VPB's size.
        unsafe {
            ptr::write_bytes(vpb, 0, 1);
            (*vpb).Type = TYPE_VPB;
            (*vpb).Size = size_of::<VPB>() as CSHORT;
            (*vpb).RealDevice = device;
        }
    }
    vpb
}

/// A new device of `driver` with an extension of `extra` bytes and perhaps a name.
///
/// # Safety
/// `driver` is live.
pub unsafe fn create(
    driver: PDRIVER_OBJECT,
    extra: usize,
    name: Option<&[u16]>,
    kind: u32,
    characteristics: u32,
) -> Result<PDEVICE_OBJECT, NTSTATUS> {
    let padded = extra.next_multiple_of(16);
    let device: PDEVICE_OBJECT = ob::create(
        &DEVICE_OBJECT_TYPE,
        DEVICE_OBJECT_SIZE + padded + size_of::<Extension>(),
    )
    .cast();
    if device.is_null() {
        return Err(STATUS_INSUFFICIENT_RESOURCES);
    }
    // SAFETY: the body is new, zeroed and large enough for the three parts.
    unsafe {
        (*device).Type = TYPE_DEVICE;
        (*device).Size = (DEVICE_OBJECT_SIZE + extra) as u16;
        (*device).DriverObject = driver;
        (*device).DeviceType = kind;
        (*device).Characteristics = characteristics;
        (*device).Flags = DO_DEVICE_INITIALIZING;
        (*device).StackSize = 1;
        if extra != 0 {
            (*device).DeviceExtension = device.cast::<u8>().add(DEVICE_OBJECT_SIZE).cast();
        }
        let system = device
            .cast::<u8>()
            .add(DEVICE_OBJECT_SIZE + padded)
            .cast::<Extension>();
        (*system).public.Type = TYPE_DEVICE_EXTENSION;
        (*system).public.DeviceObject = device;
        (*device).DeviceObjectExtension = system.cast();
        kernel::event_init(
            &raw mut (*device).DeviceLock,
            _EVENT_TYPE_SynchronizationEvent,
            true,
        );
        let queue = &raw mut (*device).DeviceQueue;
        super::irp::init_list(&raw mut (*queue).DeviceListHead);
        if matches!(
            kind,
            FILE_DEVICE_DISK | FILE_DEVICE_CD_ROM | FILE_DEVICE_TAPE | FILE_DEVICE_VIRTUAL_DISK
        ) {
            (*device).SectorSize = 512;
            (*device).Vpb = new_vpb(device);
        } else if matches!(
            kind,
            FILE_DEVICE_DISK_FILE_SYSTEM | FILE_DEVICE_CD_ROM_FILE_SYSTEM
        ) {
            (*device).SectorSize = 512;
        }
        if let Some(name) = name {
            let status = names::insert(name, Node::Device(device as usize));
            if !nt_success(status) {
                free_vpb(device);
                ob::dereference(device.cast());
                return Err(status);
            }
            (*device).Flags |= DO_DEVICE_HAS_NAME;
        }
        (*device).NextDevice = (*driver).DeviceObject;
        (*driver).DeviceObject = device;
    }
    Ok(device)
}

/// # Safety
/// `device` is live and its VPB, if any, is unused.
unsafe fn free_vpb(device: PDEVICE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        let vpb = ptr::replace(&raw mut (*device).Vpb, ptr::null_mut());
        if !vpb.is_null() {
            // It may be one that a file system has put there, with a tag of its own.
            pool::free(vpb.cast(), 0);
        }
    }
}

/// Deletes `device` now, or when its last open goes.
///
/// # Safety
/// `device` is live.
pub unsafe fn delete(device: PDEVICE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        let flags = &raw mut (*extension(device)).flags;
        if *flags & DOE_DELETE_PENDING != 0 {
            fail!(Device, "IoDeleteDevice twice on {device:p}");
        }
        // A filter of file systems is told by its FastIoDetachDevice; others have to be gone.
        if !(*device).AttachedDevice.is_null() && !super::filter::detach_from(device) {
            fail!(
                Device,
                "IoDeleteDevice on {device:p}, to which another device is attached"
            );
        }
        if !(*extension(device)).attached_to.is_null() {
            fail!(
                Device,
                "IoDeleteDevice on {device:p}, which is still attached to a device"
            );
        }
        *flags |= DOE_DELETE_PENDING;
        names::remove(&Node::Device(device as usize));
        if (*device).ReferenceCount == 0 {
            vanish(device);
        }
    }
}

/// # Safety
/// `device` is deleted and not open.
unsafe fn vanish(device: PDEVICE_OBJECT) {
    // SAFETY: the list is the driver's list of live devices.
    unsafe {
        let driver = (*device).DriverObject;
        let mut link = &raw mut (*driver).DeviceObject;
        while !(*link).is_null() && *link != device {
            link = &raw mut (**link).NextDevice;
        }
        if *link == device {
            *link = (*device).NextDevice;
        }
        let pending = (*extension(device)).flags & DOE_UNLOAD_PENDING != 0;
        let vpb = (*device).Vpb;
        if !vpb.is_null() && (*vpb).RealDevice == device {
            super::mount::forget(device);
            if (*vpb).Flags & VPB_MOUNTED as u16 == 0 {
                free_vpb(device);
            }
        }
        ob::dereference(device.cast());
        if pending {
            super::service::device_freed(driver);
        }
    }
}

/// `device` cannot be opened: it is deleted, or its driver is to be unloaded.
///
/// # Safety
/// `device` is live.
pub unsafe fn is_going(device: PDEVICE_OBJECT) -> bool {
    // SAFETY: by contract.
    unsafe {
        (*extension(device)).flags & (DOE_UNLOAD_PENDING | DOE_DELETE_PENDING | DOE_REMOVE_PENDING) != 0
    }
}

/// Marks every device of `driver`: from now on none can be opened.
///
/// # Safety
/// `driver` is live.
pub unsafe fn mark_unload(driver: PDRIVER_OBJECT) {
    // SAFETY: the list is the driver's list of live devices.
    unsafe {
        let mut device = (*driver).DeviceObject;
        while !device.is_null() {
            (*extension(device)).flags |= DOE_UNLOAD_PENDING;
            device = (*device).NextDevice;
        }
    }
}

/// What keeps `driver` from being unloaded: a device that is open, or that another device is attached to.
///
/// # Safety
/// `driver` is live.
pub unsafe fn in_use(driver: PDRIVER_OBJECT) -> bool {
    // SAFETY: the list is the driver's list of live devices.
    unsafe {
        let mut device = (*driver).DeviceObject;
        while !device.is_null() {
            if (*device).ReferenceCount != 0 || !(*device).AttachedDevice.is_null() {
                return true;
            }
            device = (*device).NextDevice;
        }
    }
    false
}

/// One more open of `device`.
///
/// # Safety
/// `device` is live.
pub unsafe fn opened(device: PDEVICE_OBJECT) {
    // SAFETY: by contract.
    unsafe { AtomicI32::from_ptr(&raw mut (*device).ReferenceCount).fetch_add(1, Ordering::AcqRel) };
}

/// One open of `device` less; a deleted device vanishes with the last.
///
/// # Safety
/// `device` is live and was opened.
pub unsafe fn closed(device: PDEVICE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        let before = AtomicI32::from_ptr(&raw mut (*device).ReferenceCount).fetch_sub(1, Ordering::AcqRel);
        if before <= 0 {
            fail!(Device, "the ReferenceCount of device {device:p} falls below zero");
        }
        let flags = (*extension(device)).flags;
        if before == 1 && flags & DOE_DELETE_PENDING != 0 {
            vanish(device);
        } else if before == 1 && flags & DOE_UNLOAD_PENDING != 0 {
            super::service::device_freed((*device).DriverObject);
        }
    }
}

/// One more user of `vpb`.
///
/// # Safety
/// `vpb` is live.
pub unsafe fn reference_vpb(vpb: PVPB) {
    // SAFETY: by contract.
    unsafe { AtomicU32::from_ptr(&raw mut (*vpb).ReferenceCount).fetch_add(1, Ordering::AcqRel) };
}

/// One user of `vpb` less. A VPB that its device no longer has is freed with the last, unless a file system
/// keeps it.
///
/// # Safety
/// `vpb` is live and was referenced.
pub unsafe fn dereference_vpb(vpb: PVPB) {
    // SAFETY: by contract.
    unsafe {
        let before = AtomicU32::from_ptr(&raw mut (*vpb).ReferenceCount).fetch_sub(1, Ordering::AcqRel);
        if before == 0 {
            fail!(Device, "the ReferenceCount of VPB {vpb:p} falls below zero");
        }
        let current = (*(*vpb).RealDevice).Vpb == vpb;
        if before == 1 && !current && (*vpb).Flags & VPB_PERSISTENT as u16 == 0 {
            pool::free(vpb.cast(), 0);
        }
    }
}

/// The top of the stack that `device` is in.
///
/// # Safety
/// `device` is live.
pub unsafe fn top(mut device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: attached devices are live until they detach.
    unsafe {
        while !(*device).AttachedDevice.is_null() {
            device = (*device).AttachedDevice;
        }
    }
    device
}

/// `IoCreateDevice`.
pub unsafe extern "win64" fn IoCreateDevice(
    driver: PDRIVER_OBJECT,
    extra: ULONG,
    name: PUNICODE_STRING,
    kind: ULONG,
    characteristics: ULONG,
    exclusive: BOOLEAN,
    device: *mut PDEVICE_OBJECT,
) -> NTSTATUS {
    if fault::should_fail(fault::Site::Device) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: the driver's contract is ours.
    unsafe {
        *device = ptr::null_mut();
        let characters = (!name.is_null()).then(|| names::characters(name));
        match create(
            driver,
            extra as usize,
            characters.as_deref(),
            kind,
            characteristics,
        ) {
            Ok(new) => {
                if exclusive != 0 {
                    (*new).Flags |= DO_EXCLUSIVE;
                }
                *device = new;
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }
}

/// `IoDeleteDevice`.
pub unsafe extern "win64" fn IoDeleteDevice(device: PDEVICE_OBJECT) {
    // SAFETY: the driver's contract is ours.
    unsafe { delete(device) }
}

/// `IoAttachDeviceToDeviceStack`.
pub unsafe extern "win64" fn IoAttachDeviceToDeviceStack(
    source: PDEVICE_OBJECT,
    target: PDEVICE_OBJECT,
) -> PDEVICE_OBJECT {
    // SAFETY: both devices are live.
    unsafe {
        let target = top(target);
        let gone = DOE_DELETE_PENDING | DOE_UNLOAD_PENDING | DOE_REMOVE_PENDING;
        if (*target).Flags & DO_DEVICE_INITIALIZING != 0 || (*extension(target)).flags & gone != 0 {
            return ptr::null_mut();
        }
        (*target).AttachedDevice = source;
        (*extension(source)).attached_to = target;
        (*source).StackSize = (*target).StackSize + 1;
        (*source).AlignmentRequirement = (*target).AlignmentRequirement;
        (*source).SectorSize = (*target).SectorSize;
        target
    }
}

/// `IoDetachDevice`.
pub unsafe extern "win64" fn IoDetachDevice(target: PDEVICE_OBJECT) {
    // SAFETY: the target is live and something is attached to it, or we say so.
    unsafe {
        let attached = ptr::replace(&raw mut (*target).AttachedDevice, ptr::null_mut());
        if attached.is_null() {
            fail!(
                Device,
                "IoDetachDevice on {target:p}, to which nothing is attached"
            );
        }
        (*extension(attached)).attached_to = ptr::null_mut();
        if (*extension(target)).flags & DOE_UNLOAD_PENDING != 0 && (*target).ReferenceCount == 0 {
            super::service::device_freed((*target).DriverObject);
        }
    }
}

/// `IoGetAttachedDevice`.
pub unsafe extern "win64" fn IoGetAttachedDevice(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the device is live.
    unsafe { top(device) }
}

/// `IoGetAttachedDeviceReference`.
pub unsafe extern "win64" fn IoGetAttachedDeviceReference(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the device is live.
    unsafe {
        let device = top(device);
        ob::reference(device.cast());
        device
    }
}

/// `IoGetDeviceAttachmentBaseRef`.
pub unsafe extern "win64" fn IoGetDeviceAttachmentBaseRef(mut device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the devices of a stack are live.
    unsafe {
        while !(*extension(device)).attached_to.is_null() {
            device = (*extension(device)).attached_to;
        }
        ob::reference(device.cast());
        device
    }
}

/// `IoGetLowerDeviceObject`.
pub unsafe extern "win64" fn IoGetLowerDeviceObject(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the devices of a stack are live.
    unsafe {
        let below = (*extension(device)).attached_to;
        if !below.is_null() {
            ob::reference(below.cast());
        }
        below
    }
}

/// `IoGetDiskDeviceObject`.
pub unsafe extern "win64" fn IoGetDiskDeviceObject(
    device: PDEVICE_OBJECT,
    disk: *mut PDEVICE_OBJECT,
) -> NTSTATUS {
    // SAFETY: the device is live; only a mounted volume's VPB points to it.
    unsafe {
        let vpb = if (*device).Vpb.is_null() {
            super::mount::vpb_of_volume(device)
        } else {
            (*device).Vpb
        };
        if vpb.is_null() || (*vpb).Flags & VPB_MOUNTED as u16 == 0 {
            return STATUS_VOLUME_DISMOUNTED;
        }
        let real = (*vpb).RealDevice;
        ob::reference(real.cast());
        *disk = real;
    }
    STATUS_SUCCESS
}

const _: () = assert!(offset_of!(DEVICE_OBJECT, DeviceObjectExtension) == 0x138);
const _: () = assert!(size_of::<DEVICE_OBJECT>() <= DEVICE_OBJECT_SIZE);

crate::table! {
    /// Devices.
    pub static IMPORTS = {
        IoCreateDevice <= APC;
        IoDeleteDevice <= APC;
        IoAttachDeviceToDeviceStack <= DISPATCH;
        IoDetachDevice <= PASSIVE;
        IoGetAttachedDevice <= DISPATCH;
        IoGetAttachedDeviceReference <= DISPATCH;
        IoGetDeviceAttachmentBaseRef <= DISPATCH;
        IoGetLowerDeviceObject <= DISPATCH;
        IoGetDiskDeviceObject <= APC;
    }
}
