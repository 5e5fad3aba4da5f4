//! Volumes that arrive: one whose file system is Linux's gets a drive letter, if it has none.
//!
//! Windows makes a volume device for every partition but gives letters only to types that it knows, so a Linux
//! partition would stay invisible. The PnP manager tells of each volume that is there or comes; a worker thread then
//! looks at its superblock, without mounting it, and asks the mount manager for a letter: the one that it remembers for
//! this volume, or the next. Volumes of Windows' own file systems are never touched. Removal is the mount manager's own
//! business.
//
// UNSAFETY: the notification's callback and its structure, work items, file objects of handles.

use crate::entry::{self, Driver};
use crate::letters::{self, Opened};
use crate::mount;
use crate::nt::{
    self, _IO_NOTIFICATION_EVENT_CATEGORY, _WORK_QUEUE_TYPE, DEVICE_INTERFACE_CHANGE_NOTIFICATION,
    FILE_OBJECT, FILE_READ_ATTRIBUTES, GUID, IoAllocateWorkItem, IoFreeWorkItem, IoGetRelatedDeviceObject,
    IoQueueWorkItem, IoRegisterPlugPlayNotification, IoUnregisterPlugPlayNotification, KERNEL_MODE,
    KeDelayExecutionThread, NO, NTSTATUS, ObReferenceObjectByHandle, ObfDereferenceObject, PDEVICE_OBJECT,
    PIO_WORKITEM, PVOID, large, raw_status,
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use lkl_host_ntk::{DeviceDisk, NtkHost, stack};
use lklfs_nt::NtStatus;
use lklfs_nt::diskio::IOCTL_MOUNTDEV_QUERY_DEVICE_NAME;

/// `MOUNTDEV_MOUNTED_DEVICE_GUID`, the interface class of volumes.
const VOLUME_CLASS: GUID = GUID {
    Data1: 0x53f5_630d,
    Data2: 0xb6bf,
    Data3: 0x11d0,
    Data4: [0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b],
};
/// `Data1` of `GUID_DEVICE_INTERFACE_ARRIVAL`; the removal's is one more, and the rest is the same.
const ARRIVAL: u32 = 0xcb3a_4004;
/// `PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES`.
const INCLUDE_EXISTING: u32 = 1;
/// 10 ms, relative.
const PAUSE: i64 = -100_000;

/// The driver's ear for volumes.
pub struct Arrivals {
    entry: AtomicPtr<core::ffi::c_void>,
    /// Volumes that a worker is looking at, or is about to.
    pending: AtomicU32,
}

impl Arrivals {
    /// Not listening yet.
    pub const fn new() -> Self {
        Arrivals {
            entry: AtomicPtr::new(null_mut()),
            pending: AtomicU32::new(0),
        }
    }

    /// Listens from now on, and hears of the volumes that are there. Without a PnP manager that tells, letters are
    /// given on request only.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn listen(driver: &Driver) {
        let mut class = VOLUME_CLASS;
        let mut entry = null_mut();
        // SAFETY: the class outlives the call; the callback belongs to the image, which stays until the end of listening.
        let status = unsafe {
            IoRegisterPlugPlayNotification(
                _IO_NOTIFICATION_EVENT_CATEGORY::EventCategoryDeviceInterfaceChange,
                INCLUDE_EXISTING,
                (&raw mut class).cast(),
                driver.object(),
                Some(heard),
                null_mut(),
                &mut entry,
            )
        };
        if status >= 0 {
            driver.arrivals.entry.store(entry, Ordering::Release);
        } else {
            nt::debug_line(format_args!(
                "lklfs: volumes that arrive are not heard of: {status:#x}"
            ));
        }
    }

    /// Listens no more; no worker looks at a volume any more when this returns.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn stop(&self) {
        let entry = self.entry.swap(null_mut(), Ordering::AcqRel);
        if !entry.is_null() {
            // SAFETY: registered by listen(); this waits for a callback that runs.
            let _ = unsafe { IoUnregisterPlugPlayNotification(entry) };
        }
        while self.pending.load(Ordering::Acquire) != 0 {
            let mut pause = large(PAUSE);
            // SAFETY: kernel mode, not alertable; the interval is readable.
            let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &mut pause) };
        }
    }
}

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals::new()
    }
}

/// A volume that a worker is to look at.
struct Arrived {
    link: Vec<u16>,
    item: PIO_WORKITEM,
}

/// The PnP manager's callback, which must not wait for devices: a worker does.
unsafe extern "C" fn heard(notification: PVOID, _context: PVOID) -> NTSTATUS {
    // SAFETY: for this category the PnP manager passes this structure.
    let told = unsafe { &*notification.cast::<DEVICE_INTERFACE_CHANGE_NOTIFICATION>() };
    if told.Event.Data1 == ARRIVAL && !told.SymbolicLinkName.is_null() {
        // SAFETY: a string of the PnP manager's, valid for the time of the call.
        let name = unsafe { &*told.SymbolicLinkName };
        // SAFETY: as above.
        queue(unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) });
    }
    raw_status(NtStatus::SUCCESS)
}

/// Queues a volume for a worker. For lack of memory it keeps no letter, and can be given one by hand.
fn queue(link: &[u16]) {
    let Some(driver) = entry::driver() else { return };
    let mut copy = Vec::new();
    if copy.try_reserve_exact(link.len()).is_err() {
        return;
    }
    copy.extend_from_slice(link);
    // SAFETY: a device of ours, which lives as long as the driver.
    let item = unsafe { IoAllocateWorkItem(driver.any_device()) };
    if item.is_null() {
        return;
    }
    let Some(arrived) = lkl::try_box(Arrived { link: copy, item }) else {
        // SAFETY: allocated above, not queued.
        unsafe { IoFreeWorkItem(item) };
        return;
    };
    driver.arrivals.pending.fetch_add(1, Ordering::AcqRel);
    let context: PVOID = Box::into_raw(arrived).cast();
    // SAFETY: the item is ours, and the context is taken back by the callback.
    unsafe { IoQueueWorkItem(item, Some(look), _WORK_QUEUE_TYPE::DelayedWorkQueue, context) };
}

unsafe extern "C" fn look(_device: PDEVICE_OBJECT, context: PVOID) {
    // SAFETY: queue() made it of a box, and the callback runs once.
    let Arrived { link, item } = *unsafe { Box::from_raw(context.cast::<Arrived>()) };
    let looked = stack::on_large_stack(|| give_letter(&link));
    if let Ok(Err(status)) = looked
        && status != NtStatus::UNRECOGNIZED_VOLUME
    {
        nt::debug_line(format_args!(
            "lklfs: a volume that arrived has no letter: {status:?}"
        ));
    }
    // SAFETY: the item is not queued any more.
    unsafe { IoFreeWorkItem(item) };
    // The unload waits for this; nothing of the driver's state is used afterwards.
    if let Some(driver) = entry::driver() {
        driver.arrivals.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Gives the volume behind an interface a letter, if its file system is Linux's.
fn give_letter(link: &[u16]) -> Result<(), NtStatus> {
    // With no more than this right nothing is mounted.
    let opened = Opened::open(link, FILE_READ_ATTRIBUTES)?;
    let device = device_of(&opened)?;
    let host = Arc::new(NtkHost::new());
    // SAFETY: the open handle keeps the device.
    let disk = unsafe { DeviceDisk::open(device, host) }.map_err(|error| nt::status(error.0))?;
    let (found, _) = mount::look(&disk)?;
    if found.kind.is_windows_own() {
        return Ok(());
    }
    let mut answer = [0u8; 512];
    let length = letters::control(&opened, IOCTL_MOUNTDEV_QUERY_DEVICE_NAME, &mut [], &mut answer)?;
    let name = letters::counted_name(answer.get(..length).unwrap_or_default())?;
    drop(disk);
    drop(opened);
    letters::by_manager(&name, None).map(|_| ())
}

/// The top of the device stack that a handle is open on. It lives as long as the handle.
fn device_of(opened: &Opened) -> Result<PDEVICE_OBJECT, NtStatus> {
    let mut object = null_mut();
    // SAFETY: the handle is open; a null type means "whatever it is", and a handle of ZwOpenFile's is a file's.
    let status = unsafe {
        ObReferenceObjectByHandle(
            opened.handle(),
            0,
            null_mut(),
            KERNEL_MODE,
            &mut object,
            null_mut(),
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    // SAFETY: referenced just now.
    let device = unsafe { IoGetRelatedDeviceObject(object.cast::<FILE_OBJECT>()) };
    // SAFETY: as above; the handle has a reference of its own.
    let _ = unsafe { ObfDereferenceObject(object) };
    Ok(device)
}
