//! `IRP_MN_MOUNT_VOLUME`: is this one of ours? Then it becomes a volume.
//!
//! The signature is looked for in safe code first, by plain reads of the device; Linux sees only what was recognised.
//! Then Linux gets the device as a disk and mounts it, the core takes the mount, and a volume device is made and
//! entered in the VPB. Whatever fails, everything made before is taken back by its drop.
//!
//! To the I/O manager UNRECOGNIZED_VOLUME alone means that the next file system may look at the volume; any other status
//! leaves it to RAW, or fails the open. So whatever goes wrong before the signature was seen is told it as that
//! ([`Refusal`]), and what is wrong with a volume of ours as what it is.
//
// UNSAFETY: device objects and the VPB of the request.

use crate::device::DeviceRef;
use crate::irp::Irp;
use crate::letter::policy::{self, Kept};
use crate::letter::settings::{How, Settings};
use crate::log;
use crate::object::account::Account;
use crate::object::copies;
use crate::object::events;
use crate::object::extension::{Extension, Kind, kind_of};
use crate::object::revival::Revival;
use crate::object::signature::{Found, ends_the_search, look};
use crate::object::teardown;
use crate::object::verify;
use crate::object::volume::MountedVolume;
use crate::state::{self, Driver};
use crate::workque::deferred;
use alloc::sync::Arc;
use core::ptr::null_mut;
use lkl::{Cause, DiskOptions, MountError};
use lkl_host_ntk::DeviceDisk;
use lkl_vfs::LklVolume;
use lklfs_fsd::errno::Context;
use lklfs_fsd::{Errno, Geometry, Medium, Outcome, Vcb, volinfo};
use lklfs_kernel::disk::DeviceReader;
use lklfs_kernel::nt::{
    self, DO_DEVICE_INITIALIZING, FILE_DEVICE_CD_ROM, FILE_DEVICE_CD_ROM_FILE_SYSTEM, FILE_DEVICE_DISK,
    FILE_DEVICE_DISK_FILE_SYSTEM, FILE_REMOVABLE_MEDIA, IoCreateDevice, NTSTATUS, PDEVICE_OBJECT, PVPB,
};
use lklfs_kernel::{pool, stack};
use lklfs_nt::NtStatus;

/// How often a file system is mounted that a volume has which is going, with 10 ms in between.
const ATTEMPTS: u32 = 300;
/// The same when another disk of that file system is mounted, which may be why.
const ATTEMPTS_BESIDE_ANOTHER: u32 = 50;

/// Why a volume is not mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// It is not known to be one of ours.
    Unrecognized(NtStatus),
    /// It is one of ours, or was asked for as one.
    Recognized(NtStatus),
}

impl Refusal {
    /// The true reason.
    fn reason(self) -> NtStatus {
        match self {
            Refusal::Unrecognized(status) | Refusal::Recognized(status) => status,
        }
    }

    /// What the I/O manager is told. That there is no device or medium, or another one than there was, it has to know;
    /// all else is no reason for other file systems not to look.
    fn status(self) -> NtStatus {
        match self {
            Refusal::Recognized(status) => status,
            Refusal::Unrecognized(status) if ends_the_search(status) => status,
            Refusal::Unrecognized(_) => NtStatus::UNRECOGNIZED_VOLUME,
        }
    }
}

/// Answers MOUNT_VOLUME. Always in the thread that sent it.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn mount(irp: Irp) -> NTSTATUS {
    let (vpb, target) = irp.mount_volume();
    let mounted = stack::on_large_stack(|| try_mount(vpb, target));
    match mounted.unwrap_or(Err(Refusal::Unrecognized(NtStatus::INSUFFICIENT_RESOURCES))) {
        Ok(()) => irp.complete(Outcome::success(0)),
        Err(refusal) => irp.fail(refusal.status()),
    }
}

fn try_mount(vpb: PVPB, target: PDEVICE_OBJECT) -> Result<(), Refusal> {
    let unrecognized = Refusal::Unrecognized(NtStatus::UNRECOGNIZED_VOLUME);
    let driver = state::driver().ok_or(unrecognized)?;
    // SAFETY: the VPB of a mount under way is live, and so is its real device.
    let real = unsafe { real_device(vpb) }.ok_or(unrecognized)?;
    try_mount_for(driver, &real, vpb, target)
        .inspect_err(|refusal| driver.mounts.refused(&real, refusal.reason()))
}

fn try_mount_for(
    driver: &state::Driver,
    real: &DeviceRef,
    vpb: PVPB,
    target: PDEVICE_OBJECT,
) -> Result<(), Refusal> {
    // The signature first: a device that is none of ours must cost nothing but a few reads.
    let (looked, medium) = recognize(driver, real, target).map_err(Refusal::Unrecognized)?;
    let asked = driver.mounts.asked(real).map_err(|status| match &looked {
        Ok(_) => Refusal::Recognized(status),
        Err(_) => Refusal::Unrecognized(status),
    })?;
    let names_it = asked.as_ref().is_some_and(|asked| !asked.fs_name.is_empty());
    let found = match looked {
        Ok(found) => Some(found),
        // Linux may know it nevertheless.
        Err(NtStatus::UNRECOGNIZED_VOLUME) if names_it => None,
        Err(status) => return Err(Refusal::Unrecognized(status)),
    };
    mount_recognized(driver, real, (vpb, target), found, asked, medium).map_err(Refusal::Recognized)
}

/// What is on a device, and what kind of device it is.
fn recognize(
    driver: &state::Driver,
    real: &DeviceRef,
    target: PDEVICE_OBJECT,
) -> Result<(Result<Found, NtStatus>, Medium), NtStatus> {
    // SAFETY: the device that is being mounted is live; the I/O manager holds it for the time of the request.
    let reader = unsafe { DeviceReader::open(target) }?;
    let looked = look(&reader);
    let medium = medium(driver, real, target, &reader);
    Ok((looked, medium))
}

/// Mounts what was recognised, or what the user has named.
fn mount_recognized(
    driver: &state::Driver,
    real: &DeviceRef,
    (vpb, target): (PVPB, PDEVICE_OBJECT),
    found: Option<Found>,
    asked: Option<Settings>,
    medium: Medium,
) -> Result<(), NtStatus> {
    let recognized = found.is_some();
    let key = found.as_ref().and_then(|(superblock, _)| policy::key(superblock));
    let kept = match &key {
        Some(key) => driver.policies.get(key)?,
        None => Kept::default(),
    };
    match (&key, &asked) {
        (Some(key), None) if driver.linux.is_fatal(key) => {
            log::line(format_args!(
                "a volume is not mounted: Linux has died of it before; userctl mount asks for it all the same"
            ));
            return Err(NtStatus::DISK_CORRUPT_ERROR);
        }
        (Some(key), Some(_)) => driver.linux.forgive(key),
        _ => {}
    }
    if kept.never && asked.is_none() {
        log::line(format_args!(
            "a volume is not mounted, since its policy says never"
        ));
        return Err(NtStatus::UNRECOGNIZED_VOLUME);
    }
    let how = asked
        .unwrap_or_default()
        .decide(&kept.settings, medium)
        .inspect_err(|_| {
            log::line(format_args!(
                "a volume is not mounted, since its settings make no sense"
            ));
        })?;

    let (_, host) = driver.linux.get_or_boot()?;
    // SAFETY: the device that is being mounted is live; from here on the disk has a reference of its own.
    let reader = unsafe { DeviceReader::open(target) }?;
    let disk = DeviceDisk::new(reader, host)?;
    let disk = pool::try_arc(disk).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let account = Account::new()?;
    let volume = mount_in_linux(driver, account, (target, &disk), &how, recognized).map_err(|status| {
        if disk.is_gone() && teardown::may_hide_removal(status) {
            NtStatus::NO_SUCH_DEVICE
        } else {
            status
        }
    });
    let (volume, found) = volume.inspect_err(|_| account.note_death(driver, real, found.as_ref()))?;
    show(driver, account, real, (vpb, target), &disk, how, (volume, found))
}

/// Mounts a disk in Linux; what was found on it.
fn mount_in_linux(
    driver: &Driver,
    account: Account,
    (target, disk): (PDEVICE_OBJECT, &Arc<DeviceDisk>),
    how: &How,
    recognized: bool,
) -> Result<(LklVolume, Option<Found>), NtStatus> {
    // Once more: Linux may have been booted in between.
    let found = match look(disk) {
        Ok(found) => Some(found),
        Err(NtStatus::UNRECOGNIZED_VOLUME) if !recognized && how.names_it() => None,
        // It was there a moment ago.
        Err(NtStatus::UNRECOGNIZED_VOLUME) => return Err(lost(target)),
        Err(status) => return Err(status),
    };
    let (kind, options) = how.for_linux();
    let mut attempts = 0;
    loop {
        let (kernel, _) = driver.linux.get_or_boot()?;
        let kernel = kernel.on_account(account.number());
        let as_disk: Arc<dyn lkl::Disk> = Arc::clone(disk) as Arc<dyn lkl::Disk>;
        let mounted = match kernel.add_disk(as_disk, DiskOptions::default()) {
            Ok(device) => LklVolume::mount(&kernel, device, kind, &options),
            Err(errno) if kernel.is_dead() => Err(MountError::of(errno)),
            Err(errno) => return Err(Errno(i32::from(errno.number())).to_status(Context::Mounting)),
        };
        let error = match mounted {
            Ok(volume) => return Ok((volume, found)),
            Err(error) => error,
        };
        if kernel.is_dead() && !account.has_killed(&kernel) && attempts < ATTEMPTS {
            // Of something else, meanwhile.
            attempts = attempts.saturating_add(1);
            continue;
        }
        // btrfs says EEXIST of the same disk.
        if matches!(error.errno, lkl::Errno::EBUSY | lkl::Errno::EEXIST) {
            // A volume that was given up, or could not be taken, may be Linux's for a moment longer.
            let is_held = copies::has_holder(driver, found.as_ref());
            let most = if is_held {
                ATTEMPTS_BESIDE_ANOTHER
            } else {
                ATTEMPTS
            };
            if attempts < most {
                attempts = attempts.saturating_add(1);
                deferred::pause();
                continue;
            }
            if is_held {
                copies::tell_of_holder(driver, found.as_ref());
            }
        }
        if kernel.is_dead() {
            // Linux's word for that is one for a volume of another kind, too: but the volume is known, and is no other's to take.
            log::line(format_args!("{error}"));
            return Err(NtStatus::NO_SUCH_DEVICE);
        }
        if recognized && error.fs_name.is_none() && error.errno == lkl::Errno::EINVAL {
            // Linux was shown the disk and has seen nothing on it.
            return Err(lost(target));
        }
        return Err(refused(&error, !options.extra.is_empty()));
    }
}

/// Makes a volume of NT's of what Linux has mounted.
fn show(
    driver: &Driver,
    account: Account,
    real: &DeviceRef,
    (vpb, target): (PVPB, PDEVICE_OBJECT),
    disk: &Arc<DeviceDisk>,
    mut how: How,
    (mut volume, found): (LklVolume, Option<Found>),
) -> Result<(), NtStatus> {
    let shown = core::mem::take(&mut how.volume);
    let revival = Revival::new(Arc::clone(disk), how, found.clone(), account.number())
        .ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    volume.lives_on(revival);
    let vcb = Vcb::new(volume, geometry(target, disk), shown)?;
    // SAFETY: the VPB of a mount under way is null or leads to a live device.
    if let Some(vpb) = unsafe { vpb.as_ref() } {
        // What was looked at is what is mounted, so a wanted verification has taken place; unless the medium was changed
        // meanwhile. From here on a change is noticed.
        // SAFETY: as above.
        unsafe { verify::clear(vpb.RealDevice) };
    }
    if vcb.geometry().characteristics & FILE_REMOVABLE_MEDIA != 0 && look(disk).ok() != found {
        return Err(NtStatus::VERIFY_REQUIRED);
    }
    copies::tell_of_copies(driver, found.as_ref());
    connect(driver, account, (vpb, target), vcb, disk, found, real.again())
}

/// Why a volume that was recognised is not recognised any more: another medium, or a lack of memory to look.
fn lost(target: PDEVICE_OBJECT) -> NtStatus {
    // SAFETY: the device that is being mounted is live.
    if unsafe { (*target).Characteristics } & FILE_REMOVABLE_MEDIA != 0 {
        NtStatus::VERIFY_REQUIRED
    } else {
        NtStatus::INSUFFICIENT_RESOURCES
    }
}

/// The device whose VPB this is.
///
/// # Safety
/// `vpb` is null, or the VPB of a mount under way.
unsafe fn real_device(vpb: PVPB) -> Option<DeviceRef> {
    // SAFETY: promised by the caller.
    let device = unsafe { vpb.as_ref() }?.RealDevice;
    // SAFETY: as above.
    Some(unsafe { DeviceRef::new(device) })
}

/// What a volume is on.
fn medium(driver: &Driver, real: &DeviceRef, target: PDEVICE_OBJECT, disk: &DeviceReader) -> Medium {
    // SAFETY: the device is referenced.
    let maker = unsafe { (*real.as_ptr()).DriverObject };
    // SAFETY: a device of this driver's, which has this driver's extension.
    if maker == driver.object() && unsafe { kind_of(real.as_ptr()) } == Kind::ImageDisk {
        return Medium::Image;
    }
    let attachment = disk.attachment().ok();
    let removable = [real.as_ptr(), target].into_iter().any(|device| {
        // SAFETY: the device that is being mounted is live, and so is the real one.
        let device = unsafe { &*device };
        device.DeviceType == FILE_DEVICE_CD_ROM || device.Characteristics & FILE_REMOVABLE_MEDIA != 0
    });
    Medium::of(
        removable || attachment.is_some_and(|attachment| attachment.removable_media),
        attachment.map(|attachment| attachment.bus),
    )
}

/// What a mount that Linux refuses ends with. EINVAL is its answer to an option that it does not know, ENOENT to a subvolume
/// that is not there; without options they are what it says of a volume that it does not know after all.
fn refused(error: &MountError, with_options: bool) -> NtStatus {
    log::line(format_args!("{error}"));
    match error.cause {
        // Not UNRECOGNIZED_VOLUME, which would leave the volume to RAW, and Windows would offer to format it.
        Cause::Unsupported => return NtStatus::UNKNOWN_REVISION,
        Cause::NoRoom => return NtStatus::DISK_FULL,
        Cause::Other => {}
    }
    if with_options && matches!(error.errno, lkl::Errno::EINVAL | lkl::Errno::ENOENT) {
        return NtStatus::INVALID_PARAMETER;
    }
    Errno(i32::from(error.errno.number())).to_status(Context::Mounting)
}

fn geometry(target: PDEVICE_OBJECT, disk: &DeviceReader) -> Geometry {
    // SAFETY: the disk has a reference to the device.
    let characteristics = unsafe { (*target).Characteristics };
    // SAFETY: as above.
    let device_type = unsafe { (*target).DeviceType };
    // SAFETY: as above.
    let alignment_requirement = unsafe { (*target).AlignmentRequirement };
    let device_type = if device_type == FILE_DEVICE_CD_ROM {
        FILE_DEVICE_CD_ROM
    } else {
        FILE_DEVICE_DISK
    };
    Geometry {
        sector_size: disk.block_bytes(),
        physical_sector_size: disk.block_bytes(),
        size: disk.bytes(),
        characteristics,
        device_type,
        alignment_requirement,
    }
}

/// Makes the volume device and fills the VPB.
fn connect(
    driver: &Driver,
    account: Account,
    (vpb, target): (PVPB, PDEVICE_OBJECT),
    vcb: Vcb<LklVolume>,
    disk: &Arc<DeviceDisk>,
    found: Option<Found>,
    real: DeviceRef,
) -> Result<(), NtStatus> {
    let kind = if vcb.geometry().device_type == FILE_DEVICE_CD_ROM {
        FILE_DEVICE_CD_ROM_FILE_SYSTEM
    } else {
        FILE_DEVICE_DISK_FILE_SYSTEM
    };
    let sector = u16::try_from(vcb.geometry().sector_size).unwrap_or(512);
    let place = driver.volumes.reserve()?;
    let volume = MountedVolume::new(account.number().get(), vcb, Arc::clone(disk), found, real)
        .ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let mut device: PDEVICE_OBJECT = null_mut();
    // SAFETY: the driver object is ours, the pointers outlive the call.
    let status = unsafe {
        IoCreateDevice(
            driver.object(),
            size_of::<Extension>() as u32,
            null_mut(),
            kind,
            0,
            nt::NO,
            &mut device,
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    // SAFETY: the target is live.
    let stack_size = unsafe { (*target).StackSize };
    // SAFETY: as above.
    let alignment = unsafe { (*target).AlignmentRequirement };
    // SAFETY: the device is new.
    let ours = unsafe { &mut *device };
    ours.StackSize = stack_size.wrapping_add(1);
    ours.AlignmentRequirement = alignment;
    ours.SectorSize = sector;
    // SAFETY: until the mount is complete the VPB is ours to fill.
    unsafe { label(vpb, &volume) };
    // SAFETY: both belong to this request.
    unsafe { volume.connect(device, vpb) };
    disk.end_verification();
    place.fill(&volume);
    // SAFETY: the device is ready now.
    unsafe { (*device).Flags &= !DO_DEVICE_INITIALIZING };
    events::mounted(&volume);
    Ok(())
}

/// Enters label and serial number.
///
/// # Safety
/// `vpb` is the VPB of a mount under way.
unsafe fn label(vpb: PVPB, volume: &MountedVolume) {
    let serial = volinfo::serial_32(&volume.vcb);
    let mut units = [0u16; 32];
    let mut bytes = 0u16;
    for (place, unit) in units
        .iter_mut()
        .zip(volinfo::label(&volume.vcb).unwrap_or_default())
    {
        *place = unit;
        bytes = bytes.saturating_add(2);
    }
    // SAFETY: promised by the caller.
    let vpb = unsafe { &mut *vpb };
    vpb.SerialNumber = serial;
    vpb.VolumeLabel = units;
    vpb.VolumeLabelLength = bytes;
}
