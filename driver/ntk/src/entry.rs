//! DriverEntry and its counterpart: the control device, the file systems that are registered, and the end.
//!
//! Three devices live as long as the driver: `\Device\Lklfs` (linked as `\DosDevices\Lklfs`, for administrators
//! only), and one device for each kind of medium that file systems are registered for. They are registered with low
//! priority: Windows' own file systems see a volume first, and what they do not know comes here.
//
// UNSAFETY: creates and deletes devices, fills the driver object, and keeps the driver's state behind a static.

use crate::dispatch::dispatch;
use crate::fastio;
use crate::images::Images;
use crate::linux::Linux;
use crate::name::Name;
use crate::nt::{
    self, DO_DEVICE_INITIALIZING, DO_LOW_PRIORITY_FILESYSTEM, FILE_DEVICE_CD_ROM_FILE_SYSTEM,
    FILE_DEVICE_DISK_FILE_SYSTEM, FILE_DEVICE_SECURE_OPEN, FILE_DEVICE_UNKNOWN, HANDLE, IoCreateDevice,
    IoCreateSymbolicLink, IoDeleteDevice, IoDeleteSymbolicLink, IoRegisterFileSystem, IoUnregisterFileSystem,
    NTSTATUS, OBJ_KERNEL_HANDLE, ObOpenObjectByPointer, ObfDereferenceObject, ObfReferenceObject,
    PDEVICE_OBJECT, PDRIVER_OBJECT, WRITE_DAC, ZwClose, ZwSetSecurityObject, raw_status,
};
use crate::volume::{Extension, Kind, MountedVolume, Volumes, kind_of, set_kind, volume_of};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use lkl_host_ntk::{routines, stack};
use lklfs_nt::NtStatus;
use lklfs_nt::control;

/// Names of the devices that are registered as file systems.
const DISK_FILE_SYSTEM: &str = "\\LklfsDisk";
const CD_FILE_SYSTEM: &str = "\\LklfsCd";

/// `DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION`.
const PROTECTED_DACL: u32 = 0x8000_0004;

/// What lives as long as the driver.
pub struct Driver {
    object: PDRIVER_OBJECT,
    control: PDEVICE_OBJECT,
    file_systems: [PDEVICE_OBJECT; 2],
    /// The one Linux.
    pub linux: Linux,
    /// The image files that are disks.
    pub images: Images,
    /// The volumes that are mounted.
    pub volumes: Volumes,
}

static DRIVER: AtomicPtr<Driver> = AtomicPtr::new(null_mut());

/// The driver's state; `None` before the end of DriverEntry and after the beginning of the unload.
pub fn driver<'a>() -> Option<&'a Driver> {
    // SAFETY: the pointer is null or leads to a box that only the unload frees, when no request is left.
    unsafe { DRIVER.load(Ordering::Acquire).as_ref() }
}

impl Driver {
    /// The driver object.
    pub fn object(&self) -> PDRIVER_OBJECT {
        self.object
    }
}

/// What DriverEntry does.
///
/// IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// `object` is the driver object that the kernel passes to DriverEntry.
pub unsafe fn driver_entry(object: PDRIVER_OBJECT) -> NTSTATUS {
    routines::init();
    // SAFETY: promised by the caller.
    match unsafe { start(object) } {
        Ok(()) => raw_status(NtStatus::SUCCESS),
        Err(status) => raw_status(status),
    }
}

unsafe fn start(object: PDRIVER_OBJECT) -> Result<(), NtStatus> {
    let linux = Linux::new().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let images = Images::new().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let mut driver = lkl::try_box(Driver {
        object,
        control: null_mut(),
        file_systems: [null_mut(); 2],
        linux,
        images,
        volumes: Volumes::new(),
    })
    .ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let made = make_devices(&mut driver);
    if let Err(status) = made {
        delete_devices(&driver);
        return Err(status);
    }
    // SAFETY: the driver object is ours to fill until DriverEntry returns.
    let ours = unsafe { &mut *object };
    for entry in &mut ours.MajorFunction {
        *entry = Some(dispatch);
    }
    ours.FastIoDispatch = fastio::table();
    ours.DriverUnload = Some(unload);
    let file_systems = driver.file_systems;
    let control = driver.control;
    DRIVER.store(Box::into_raw(driver), Ordering::Release);
    for device in file_systems {
        // SAFETY: the device is ours; an extra reference keeps it until the unload is done with it, as registration
        // may be taken back by others.
        unsafe { ObfReferenceObject(device.cast()) };
        // SAFETY: as above; it is ready now.
        unsafe { (*device).Flags &= !DO_DEVICE_INITIALIZING };
        // SAFETY: as above.
        unsafe { IoRegisterFileSystem(device) };
    }
    // SAFETY: as above.
    unsafe { (*control).Flags &= !DO_DEVICE_INITIALIZING };
    Ok(())
}

fn make_devices(driver: &mut Driver) -> Result<(), NtStatus> {
    driver.control = make_device(
        driver.object,
        control::DEVICE_NAME,
        FILE_DEVICE_UNKNOWN,
        Kind::Control,
    )?;
    for (slot, (name, kind)) in driver.file_systems.iter_mut().zip([
        (DISK_FILE_SYSTEM, FILE_DEVICE_DISK_FILE_SYSTEM),
        (CD_FILE_SYSTEM, FILE_DEVICE_CD_ROM_FILE_SYSTEM),
    ]) {
        *slot = make_device(driver.object, name, kind, Kind::FileSystem)?;
        // SAFETY: the device is ours and not registered yet.
        unsafe { (**slot).Flags |= DO_LOW_PRIORITY_FILESYSTEM };
    }
    protect(driver.control)?;
    let (mut link, mut target) = (Name::new(control::LINK_NAME), Name::new(control::DEVICE_NAME));
    // SAFETY: both strings outlive the call.
    let status = unsafe { IoCreateSymbolicLink(&mut link.string(), &mut target.string()) };
    if status < 0 {
        Err(nt::status(status))
    } else {
        Ok(())
    }
}

fn make_device(
    object: PDRIVER_OBJECT,
    name: &str,
    device_type: u32,
    kind: Kind,
) -> Result<PDEVICE_OBJECT, NtStatus> {
    let mut name = Name::new(name);
    let mut device: PDEVICE_OBJECT = null_mut();
    // SAFETY: all pointers outlive the call; the driver object is ours.
    let status = unsafe {
        IoCreateDevice(
            object,
            size_of::<Extension>() as u32,
            &mut name.string(),
            device_type,
            FILE_DEVICE_SECURE_OPEN,
            nt::NO,
            &mut device,
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    // SAFETY: the device is new.
    unsafe { set_kind(device, kind) };
    Ok(device)
}

/// `D:P(A;;GA;;;SY)(A;;GA;;;BA)` as a self-relative security descriptor.
const ADMINISTRATORS_ONLY: [u8; 20 + 8 + 20 + 24] = {
    let mut bytes = [0u8; 72];
    let head = [
        1, 0, 0x04, 0x90, // revision 1; SE_DACL_PRESENT | SE_DACL_PROTECTED | SE_SELF_RELATIVE
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // no owner, group, system list
        20, 0, 0, 0, // the list's offset
        2, 0, 52, 0, 2, 0, 0, 0, // ACL revision 2, 52 bytes, 2 entries
        0, 0, 20, 0, 0, 0, 0, 0x10, // allowed, 20 bytes, GENERIC_ALL
        1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0, // S-1-5-18
        0, 0, 24, 0, 0, 0, 0, 0x10, // allowed, 24 bytes, GENERIC_ALL
        1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 0x02, 0, 0, // S-1-5-32-544
    ];
    let mut at = 0;
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "evaluated by the compiler"
    )]
    while at < head.len() {
        bytes[at] = head[at];
        at += 1;
    }
    bytes
};

/// A copy of the descriptor, aligned as the kernel reads it.
#[repr(align(8))]
struct Descriptor([u8; ADMINISTRATORS_ONLY.len()]);

/// Lets only SYSTEM and administrators open the device.
fn protect(device: PDEVICE_OBJECT) -> Result<(), NtStatus> {
    let mut handle: HANDLE = null_mut();
    // SAFETY: the device is ours; a null type means "whatever it is", which a kernel-mode caller may say.
    let status = unsafe {
        ObOpenObjectByPointer(
            device.cast(),
            OBJ_KERNEL_HANDLE,
            null_mut(),
            WRITE_DAC,
            null_mut(),
            nt::KERNEL_MODE,
            &mut handle,
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    let mut descriptor = Descriptor(ADMINISTRATORS_ONLY);
    // SAFETY: the descriptor is well formed and outlives the call.
    let status = unsafe { ZwSetSecurityObject(handle, PROTECTED_DACL, descriptor.0.as_mut_ptr().cast()) };
    // SAFETY: the handle is ours and not used again.
    let _ = unsafe { ZwClose(handle) };
    if status < 0 {
        Err(nt::status(status))
    } else {
        Ok(())
    }
}

fn delete_devices(driver: &Driver) {
    let mut link = Name::new(control::LINK_NAME);
    // SAFETY: the string outlives the call. If the link was never made, nothing happens.
    let _ = unsafe { IoDeleteSymbolicLink(&mut link.string()) };
    for device in driver.file_systems.into_iter().chain([driver.control]) {
        if !device.is_null() {
            // SAFETY: made by make_device(), and deleted once.
            unsafe { IoDeleteDevice(device) };
        }
    }
}

/// The end: nothing is open on any device of the driver when the kernel calls this.
unsafe extern "C" fn unload(object: PDRIVER_OBJECT) {
    let driver = DRIVER.load(Ordering::Acquire);
    // SAFETY: DriverEntry put a box there; it is taken back below.
    let Some(state) = (unsafe { driver.as_ref() }) else {
        return;
    };
    for device in state.file_systems {
        // SAFETY: registered by DriverEntry.
        unsafe { IoUnregisterFileSystem(device) };
        // SAFETY: referenced by DriverEntry.
        unsafe { ObfDereferenceObject(device.cast()) };
    }
    while let Some(volume) = first_volume(object) {
        volume.purge();
        let ended = stack::on_large_stack(move || {
            volume.tear_down();
            drop(volume);
        });
        if ended.is_err() {
            break;
        }
    }
    state.images.clear();
    // Without a larger stack Linux cannot be halted; then its threads would run on in an image that is gone, so this
    // waits until there is one. If there never was a mount there is nothing to halt.
    while state.linux.booted().is_some() && stack::on_large_stack(|| state.linux.halt()).is_err() {}
    delete_devices(state);
    DRIVER.store(null_mut(), Ordering::Release);
    // SAFETY: DriverEntry made it of a box; nobody can reach it any more.
    drop(unsafe { Box::from_raw(driver) });
}

/// A volume that still has its device.
fn first_volume(object: PDRIVER_OBJECT) -> Option<Arc<MountedVolume>> {
    // SAFETY: during the unload the list of the driver's devices is only changed by this thread.
    let mut device = unsafe { (*object).DeviceObject };
    while !device.is_null() {
        // SAFETY: a device of ours.
        if unsafe { kind_of(device) } == Kind::Volume {
            // SAFETY: as above.
            if let Some(volume) = unsafe { volume_of(device) } {
                return Some(volume);
            }
        }
        // SAFETY: as above.
        device = unsafe { (*device).NextDevice };
    }
    None
}
