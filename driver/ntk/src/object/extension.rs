//! What stands behind each device of this driver: its kind, and the volume or the disk that it is.
//
// UNSAFETY: device extensions, and counts that are kept in them as pointers.

use crate::image::disk::ImageDisk;
use crate::object::volume::MountedVolume;
use alloc::sync::Arc;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use lklfs_kernel::name::Name;
use lklfs_kernel::nt::{
    self, FILE_DEVICE_SECURE_OPEN, IoAcquireVpbSpinLock, IoCreateDevice, IoReleaseVpbSpinLock, KIRQL,
    PDEVICE_OBJECT, PDRIVER_OBJECT,
};
use lklfs_nt::NtStatus;

/// What a device of this driver is. Zero, which a new extension holds, is [`Kind::Unready`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Being made.
    Unready = 0,
    /// `\Device\Lklfs`, which `userctl` talks to for administrators.
    Control = 1,
    /// What is registered as a file system: receives MOUNT_VOLUME.
    FileSystem = 2,
    /// A mounted volume.
    Volume = 3,
    /// An image file as a disk.
    ImageDisk = 4,
    /// `\Device\LklfsStatus`, which tells everybody how the driver is doing.
    Status = 5,
}

/// The extension of each device of this driver.
#[repr(C)]
pub struct Extension {
    kind: Kind,
    /// For a volume: one count of it. Null after the tear-down.
    pub(super) volume: AtomicPtr<MountedVolume>,
    /// For a disk made of an image: one count of it. Null after its removal.
    disk: AtomicPtr<ImageDisk>,
}

/// The extension of a device of ours.
///
/// # Safety
/// `device` belongs to this driver and is alive for `'a`.
pub(super) unsafe fn extension<'a>(device: PDEVICE_OBJECT) -> &'a Extension {
    // SAFETY: promised by the caller.
    let extension: *const Extension = unsafe { (*device).DeviceExtension }.cast();
    // SAFETY: each device of this driver is created with an Extension, which starts as zeros.
    unsafe { &*extension }
}

/// Says what a new device is.
///
/// # Safety
/// `device` is being made by this driver and nobody else uses it yet.
pub unsafe fn set_kind(device: PDEVICE_OBJECT, kind: Kind) {
    // SAFETY: promised by the caller.
    let extension: *mut Extension = unsafe { (*device).DeviceExtension }.cast();
    // SAFETY: as above; see extension().
    unsafe { (*extension).kind = kind };
}

/// What a device is.
///
/// # Safety
/// As for `extension`.
pub unsafe fn kind_of(device: PDEVICE_OBJECT) -> Kind {
    // SAFETY: promised by the caller.
    unsafe { extension(device) }.kind
}

/// The volume behind a device, counted; `None` when it is not a volume or is torn down.
///
/// # Safety
/// As for `extension`; an IRP that was sent to the device, or its file object, keeps it alive.
pub unsafe fn volume_of(device: PDEVICE_OBJECT) -> Option<Arc<MountedVolume>> {
    // SAFETY: promised by the caller.
    counted(unsafe { &extension(device).volume })
}

/// The disk behind a device, counted; `None` when it is not a disk or is removed.
///
/// # Safety
/// As for `extension`; an IRP that was sent to the device, or its file object, keeps it alive.
pub unsafe fn image_disk_of(device: PDEVICE_OBJECT) -> Option<Arc<ImageDisk>> {
    // SAFETY: promised by the caller.
    counted(unsafe { &extension(device).disk })
}

/// Takes a volume away from its device: the extension's count. Requests that come to the device now find no volume.
///
/// # Safety
/// As for `extension`.
pub unsafe fn disconnect(device: PDEVICE_OBJECT) -> Option<Arc<MountedVolume>> {
    let mut irql: KIRQL = 0;
    // SAFETY: the saved IRQL goes back below.
    unsafe { IoAcquireVpbSpinLock(&mut irql) };
    // SAFETY: promised by the caller.
    let counted = unsafe { extension(device) }
        .volume
        .swap(null_mut(), Ordering::AcqRel);
    // SAFETY: taken above.
    unsafe { IoReleaseVpbSpinLock(irql) };
    if counted.is_null() {
        return None;
    }
    // SAFETY: connect() put one count there, and it was taken off just now.
    Some(unsafe { Arc::from_raw(counted) })
}

/// One of the driver's own devices, by name.
///
/// IRQL: PASSIVE_LEVEL.
pub(crate) fn make_named_device(
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

/// What a failed request to a device of this driver says: that the disk is gone, when that is why it failed. Any IRQL up
/// to DISPATCH_LEVEL.
///
/// # Safety
/// As for `extension`; an IRP that was sent to the device keeps it alive.
pub unsafe fn reason(device: PDEVICE_OBJECT, status: NtStatus) -> NtStatus {
    // SAFETY: promised by the caller.
    let extension = unsafe { extension(device) };
    if extension.kind != Kind::Volume {
        return status;
    }
    let mut irql: KIRQL = 0;
    // SAFETY: the saved IRQL goes back below.
    unsafe { IoAcquireVpbSpinLock(&mut irql) };
    // SAFETY: the extension's count lives while its pointer stands there, and it is taken away under this lock only.
    let volume = unsafe { extension.volume.load(Ordering::Acquire).as_ref() };
    let status = volume.map_or(status, |volume| volume.reason(status));
    // SAFETY: taken above.
    unsafe { IoReleaseVpbSpinLock(irql) };
    status
}

/// Puts a disk behind its device, or takes it away.
///
/// # Safety
/// As for `extension`; the device is a disk's.
pub unsafe fn set_image_disk(device: PDEVICE_OBJECT, disk: Option<Arc<ImageDisk>>) {
    let new = disk.map_or(null_mut(), |disk| Arc::into_raw(disk).cast_mut());
    let mut irql: KIRQL = 0;
    // SAFETY: the saved IRQL goes back below.
    unsafe { IoAcquireVpbSpinLock(&mut irql) };
    // SAFETY: promised by the caller.
    let old = unsafe { extension(device) }.disk.swap(new, Ordering::AcqRel);
    // SAFETY: taken above.
    unsafe { IoReleaseVpbSpinLock(irql) };
    if !old.is_null() {
        // SAFETY: it was put there by this function, with its count.
        drop(unsafe { Arc::from_raw(old) });
    }
}

/// What an extension's pointer leads to, with a count of the caller's.
fn counted<T>(slot: &AtomicPtr<T>) -> Option<Arc<T>> {
    let mut irql: KIRQL = 0;
    // Whoever takes the pointer away does it under the same lock.
    // SAFETY: the saved IRQL goes back below.
    unsafe { IoAcquireVpbSpinLock(&mut irql) };
    let pointer = slot.load(Ordering::Acquire);
    if !pointer.is_null() {
        // SAFETY: the extension has a count as long as the pointer stands there.
        unsafe { Arc::increment_strong_count(pointer) };
    }
    // SAFETY: taken above.
    unsafe { IoReleaseVpbSpinLock(irql) };
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the count was taken just now.
    Some(unsafe { Arc::from_raw(pointer) })
}

/// Devices of volumes and of images, until nothing uses them any more.
static DEVICES: AtomicU32 = AtomicU32::new(0);

/// How many devices of volumes and images there are, those included that are deleted and still in use.
pub fn devices() -> u32 {
    DEVICES.load(Ordering::Acquire)
}

/// A device of a volume or image is made, or is used by nothing any more.
pub fn count_device(made: bool) {
    if made {
        DEVICES.fetch_add(1, Ordering::AcqRel);
    } else {
        DEVICES.fetch_sub(1, Ordering::AcqRel);
    }
}
