//! Volumes and disks that arrive: what has a file system of Linux's gets a drive letter, if it has none.
//!
//! Windows makes a volume device for every partition but gives letters only to types that it knows, so a Linux
//! partition would stay invisible. The PnP manager tells of each volume that is there or comes; a worker thread then
//! looks at its superblock, without mounting it, notes what is there ([`crate::letter::inventory`]), and gives it a letter: the one
//! that its policy says, or that the mount manager remembers, or the next. Volumes of Windows' own file systems are never
//! touched. Removal is the mount manager's own business.
//!
//! A volume that was there before this driver was may have been opened, and taken by the raw file system since nobody
//! else knew it; it would stay unreadable until it is dismounted. If nobody uses it, that is done here
//! ([`crate::letter::dismount::take_over`]); the next open then mounts it.
//!
//! A fixed disk without a partition table has no volume, so the PnP manager is asked for disks as well: if one has a file
//! system of Linux's on its whole, it gets a letter of our own making, since a disk is no client of the mount manager's.
//
// UNSAFETY: the notification's callback and its structure.

use crate::device::DeviceRef;
use crate::letter::assignment::{Wanted, Whose, give_letter};
use crate::letter::dismount::take_over;
use crate::letter::inventory::{self, Seen};
use crate::letter::letters::{self, Opened};
use crate::log::{self, Wide};
use crate::object::signature;
use crate::state::{self, Driver};
use crate::workque::deferred;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use lklfs_kernel::disk::DeviceReader;
use lklfs_kernel::nt::{
    _IO_NOTIFICATION_EVENT_CATEGORY, DEVICE_INTERFACE_CHANGE_NOTIFICATION, FILE_READ_ATTRIBUTES,
    FILE_REMOVABLE_MEDIA, GUID, IoRegisterPlugPlayNotification, IoUnregisterPlugPlayNotification,
    KERNEL_MODE, KeDelayExecutionThread, NO, NTSTATUS, PVOID, large, raw_status,
};
use lklfs_kernel::text;
use lklfs_nt::NtStatus;
use lklfs_nt::diskio::{
    DriveLayout, IOCTL_DISK_GET_DRIVE_LAYOUT_EX, IOCTL_MOUNTDEV_QUERY_DEVICE_NAME, PARTITION_STYLE_RAW,
};

/// `MOUNTDEV_MOUNTED_DEVICE_GUID`, the interface class of volumes.
const VOLUME_CLASS: GUID = GUID {
    Data1: 0x53f5_630d,
    Data2: 0xb6bf,
    Data3: 0x11d0,
    Data4: [0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b],
};
/// `GUID_DEVINTERFACE_DISK`, that of disks.
const DISK_CLASS: GUID = GUID {
    Data1: 0x53f5_6307,
    ..VOLUME_CLASS
};
/// `Data1` of `GUID_DEVICE_INTERFACE_ARRIVAL`; the removal's is one more, and the rest is the same.
const ARRIVAL: u32 = 0xcb3a_4004;
/// `PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES`.
const INCLUDE_EXISTING: u32 = 1;
/// 10 ms, relative.
const PAUSE: i64 = -100_000;

/// What arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Volume,
    Disk,
}

impl What {
    const ALL: [What; 2] = [What::Volume, What::Disk];

    const fn class(self) -> GUID {
        match self {
            What::Volume => VOLUME_CLASS,
            What::Disk => DISK_CLASS,
        }
    }
}

/// The driver's ear for volumes and disks.
pub struct Arrivals {
    /// In the order of [`What::ALL`].
    entries: [AtomicPtr<core::ffi::c_void>; 2],
    /// Volumes that a worker is looking at, or is about to.
    pending: AtomicU32,
}

impl Arrivals {
    /// Not listening yet.
    pub const fn new() -> Self {
        Arrivals {
            entries: [const { AtomicPtr::new(null_mut()) }; 2],
            pending: AtomicU32::new(0),
        }
    }

    /// Listens from now on, and hears of the volumes that are there. Without a PnP manager that tells, letters are
    /// given on request only.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn listen(driver: &Driver) {
        for (what, slot) in What::ALL.into_iter().zip(&driver.arrivals.entries) {
            let mut class = what.class();
            let mut entry = null_mut();
            let callback = match what {
                What::Volume => heard_of_volume,
                What::Disk => heard_of_disk,
            };
            // SAFETY: the class outlives the call; the callback belongs to the image, which stays until the end of
            // listening.
            let status = unsafe {
                IoRegisterPlugPlayNotification(
                    _IO_NOTIFICATION_EVENT_CATEGORY::EventCategoryDeviceInterfaceChange,
                    INCLUDE_EXISTING,
                    (&raw mut class).cast(),
                    driver.object(),
                    Some(callback),
                    null_mut(),
                    &mut entry,
                )
            };
            if status >= 0 {
                slot.store(entry, Ordering::Release);
            } else {
                log::line(format_args!(
                    "a {what:?} that arrives is not heard of: {status:#x}"
                ));
            }
        }
    }

    /// Listens no more; no worker looks at a volume any more when this returns.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn stop(&self) {
        for entry in &self.entries {
            let entry = entry.swap(null_mut(), Ordering::AcqRel);
            if !entry.is_null() {
                // SAFETY: registered by listen(); this waits for a callback that runs.
                let _ = unsafe { IoUnregisterPlugPlayNotification(entry) };
            }
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

unsafe extern "C" fn heard_of_volume(notification: PVOID, _context: PVOID) -> NTSTATUS {
    // SAFETY: passed on from the PnP manager.
    unsafe { heard(What::Volume, notification) }
}

unsafe extern "C" fn heard_of_disk(notification: PVOID, _context: PVOID) -> NTSTATUS {
    // SAFETY: passed on from the PnP manager.
    unsafe { heard(What::Disk, notification) }
}

/// The PnP manager's callback, which must not wait for devices: a worker does.
///
/// # Safety
/// The notification is one of the PnP manager's, of a change of an interface.
unsafe fn heard(what: What, notification: PVOID) -> NTSTATUS {
    // SAFETY: for this category the PnP manager passes this structure.
    let told = unsafe { &*notification.cast::<DEVICE_INTERFACE_CHANGE_NOTIFICATION>() };
    // SAFETY: a string of the PnP manager's, valid for the time of the call.
    let name = unsafe { told.SymbolicLinkName.as_ref() };
    if let (Some(driver), Some(name)) = (state::driver(), name) {
        // SAFETY: as above.
        let link = unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) };
        if told.Event.Data1 == ARRIVAL {
            if what == What::Volume {
                driver.places.came(link);
            }
            queue(driver, what, link);
        } else {
            driver.places.went(link);
        }
    }
    raw_status(NtStatus::SUCCESS)
}

/// Queues a volume for a worker. For lack of memory it keeps no letter, and can be given one by hand.
fn queue(driver: &Driver, what: What, link: &[u16]) {
    let Ok(link) = text::copy(link) else { return };
    driver.arrivals.pending.fetch_add(1, Ordering::AcqRel);
    if !deferred::queue(move || look(what, &link)) {
        driver.arrivals.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// On a large stack.
fn look(what: What, link: &[u16]) {
    let Some(driver) = state::driver() else { return };
    let looked = match what {
        What::Volume => look_at(driver, link),
        What::Disk => look_at_disk(driver, link),
    };
    if let Err(status) = looked {
        log::line(format_args!("{} has no letter: {status:?}", Wide(link)));
    }
    // The unload waits for this.
    driver.arrivals.pending.fetch_sub(1, Ordering::AcqRel);
}

/// Notes what is on the volume behind an interface, and gives it a letter if its file system is Linux's.
fn look_at(driver: &Driver, link: &[u16]) -> Result<(), NtStatus> {
    // With no more than this right nothing is mounted.
    let opened = Opened::open(link, FILE_READ_ATTRIBUTES)?;
    let top = DeviceRef::top(&opened)?;
    // SAFETY: the device is referenced.
    let disk = unsafe { DeviceReader::open(top.as_ptr()) }?;
    let found = match signature::look(&disk) {
        Ok((superblock, _)) => Some(superblock),
        Err(NtStatus::UNRECOGNIZED_VOLUME) => None,
        Err(absent) => return Err(absent),
    };
    let mut answer = [0u8; 512];
    let length = letters::control(&opened, IOCTL_MOUNTDEV_QUERY_DEVICE_NAME, &mut [], &mut answer)?;
    let name = letters::counted_name(answer.get(..length).unwrap_or_default())?;
    let is_ours = found.as_ref().is_some_and(|found| !found.kind.is_windows_own());
    let seen = inventory::look(&opened, &disk, &name, found)?;
    let key = seen.key.as_deref().map(text::copy).transpose()?;
    driver.places.saw(link, seen);
    drop(disk);
    if !is_ours {
        return Ok(());
    }
    let real = DeviceRef::real(&opened)?;
    drop(opened);
    match take_over(&real, &name) {
        Ok(false) => {}
        Ok(true) => log::line(format_args!("{} was raw, and is ours now", Wide(&name))),
        Err(status) => log::line(format_args!("{} is in use as raw: {status:?}", Wide(&name))),
    }
    let kept = match &key {
        Some(key) => driver.policies.get(key)?,
        None => Default::default(),
    };
    if kept.never {
        return Ok(());
    }
    match give_letter(driver, &name, key.as_deref(), Wanted::Any, Whose::Arrived) {
        // Without a mount manager letters are given on request only.
        Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND) => Ok(()),
        given => given.map(|_| ()),
    }
}

/// Gives a disk without a table a letter, if a file system of Linux's is on its whole.
fn look_at_disk(driver: &Driver, link: &[u16]) -> Result<(), NtStatus> {
    let opened = Opened::open(link, FILE_READ_ATTRIBUTES)?;
    match inventory::asked::<DriveLayout>(&opened, IOCTL_DISK_GET_DRIVE_LAYOUT_EX) {
        Some(layout) if layout.partition_style == PARTITION_STYLE_RAW => {}
        // Its volumes come by themselves.
        _ => return Ok(()),
    }
    let top = DeviceRef::top(&opened)?;
    // SAFETY: the device is referenced.
    if unsafe { (*top.as_ptr()).Characteristics } & FILE_REMOVABLE_MEDIA != 0 {
        // Windows makes a volume of a whole medium that can be taken out.
        return Ok(());
    }
    // SAFETY: the device is referenced.
    let disk = unsafe { DeviceReader::open(top.as_ptr()) }?;
    let found = match signature::look(&disk) {
        Ok((superblock, _)) if !superblock.kind.is_windows_own() => superblock,
        Ok(_) | Err(NtStatus::UNRECOGNIZED_VOLUME) => return Ok(()),
        Err(absent) => return Err(absent),
    };
    let real = DeviceRef::real(&opened)?;
    let name = real.name()?;
    let seen = inventory::look(&opened, &disk, &name, Some(found))?;
    let key = seen.key.as_deref().map(text::copy).transpose()?;
    driver.places.came(link);
    driver.places.saw(
        link,
        Seen {
            whole_disk: true,
            ..seen
        },
    );
    drop(disk);
    drop(opened);
    if let Err(status) = take_over(&real, &name) {
        log::line(format_args!("{} is in use as raw: {status:?}", Wide(&name)));
    }
    let kept = match &key {
        Some(key) => driver.policies.get(key)?,
        None => Default::default(),
    };
    if kept.never {
        return Ok(());
    }
    give_letter(driver, &name, key.as_deref(), Wanted::Any, Whose::WholeDisk).map(|_| ())
}
