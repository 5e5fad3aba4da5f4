//! The modelled disk driver: `\Driver\Disk`, its devices and its dispatch routines. A volume's device does the work
//! itself, or is attached to a port's device (`DiskConfig::layered`) and passes reads on to it.
//!
//! The routines are Rust functions that run on the caller's host stack ([`crate::io::native`]), so they cost
//! the driver above no kernel stack. Each device's extension holds the address of its [`Unit`].

use super::{Disk, DiskConfig, Image, ImageError, Layout, Partition, Volume, ioctl, queue};
use crate::io::{call, complete, device, harderror, irp, names, native};
use crate::nt::*;
use crate::verifier::fail;
use crate::{ob, se};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What one device stands for: a range of a disk.
pub(super) struct Unit {
    pub(super) disk: Arc<Disk>,
    /// First byte on the disk.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// The partition, if it is one.
    pub(super) partition: Option<Partition>,
    /// M of HarddiskVolumeM, or 0 for `DR0`.
    pub(super) volume: u32,
    /// The port's device that this one is attached to, or 0.
    port: usize,
}

struct Present {
    disk: Arc<Disk>,
    devices: Vec<usize>,
}

static PRESENT: Mutex<Vec<Present>> = Mutex::new(Vec::new());
static NEXT_VOLUME: AtomicU32 = AtomicU32::new(1);
static NEXT_DISK: AtomicU32 = AtomicU32::new(0);

fn list() -> std::sync::MutexGuard<'static, Vec<Present>> {
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every disk device there is.
pub fn devices() -> Vec<PDEVICE_OBJECT> {
    list()
        .iter()
        .flat_map(|present| present.devices.iter().map(|device| *device as PDEVICE_OBJECT))
        .collect()
}

/// Every disk.
pub fn present() -> Vec<Arc<Disk>> {
    list().iter().map(|present| Arc::clone(&present.disk)).collect()
}

/// The disk that `device` belongs to.
pub fn find(device: PDEVICE_OBJECT) -> Option<Arc<Disk>> {
    let list = list();
    let present = list
        .iter()
        .find(|present| present.devices.contains(&(device as usize)))?;
    Some(Arc::clone(&present.disk))
}

/// Starts the disk numbers anew, for a new machine.
pub fn reset() {
    assert!(
        list().is_empty(),
        "disks are detached before a new machine starts"
    );
    NEXT_VOLUME.store(1, Ordering::Relaxed);
    NEXT_DISK.store(0, Ordering::Relaxed);
}

/// Plugs a disk in: opens the image, reads its partition table and creates the devices.
pub fn attach(config: DiskConfig, seed: u64) -> Result<Arc<Disk>, ImageError> {
    let image = Image::open(&config.image, config.sector)?;
    let layout = Layout::read(&image);
    let disk = Arc::new(Disk {
        number: NEXT_DISK.fetch_add(1, Ordering::Relaxed),
        image,
        layout,
        counts: super::Counts::default(),
        config,
        removed: false.into(),
        empty: false.into(),
        changes: 0.into(),
        faults: Mutex::default(),
        volumes: Mutex::default(),
        queue: queue::Queue::new(seed),
    });
    let whole = (0, disk.image.size());
    let mut devices = vec![create(&disk, whole, None, Place::Whole)];
    let mut add = |range, partition: Option<Partition>| {
        let number = NEXT_VOLUME.fetch_add(1, Ordering::Relaxed);
        let part = partition.as_ref().map_or(0, |partition| partition.number);
        let port = disk
            .config()
            .layered
            .then(|| create(&disk, range, partition.clone(), Place::Port));
        let place = Place::Volume(number, port.unwrap_or(0));
        let device = create(&disk, range, partition, place);
        devices.push(device);
        devices.extend(port);
        let volume = Volume {
            partition: part,
            number,
            device,
            notices: port.unwrap_or(device),
        };
        disk.volumes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(volume);
    };
    if disk.layout.partitions().is_empty() && !disk.config().bare {
        add(whole, None);
    }
    for partition in disk.layout.partitions() {
        add((partition.start, partition.len), Some(partition.clone()));
    }
    list().push(Present {
        disk: Arc::clone(&disk),
        devices,
    });
    Ok(disk)
}

/// Unplugs everything. Nothing may use the devices any more.
pub fn detach_all() {
    let all = std::mem::take(&mut *list());
    for present in all {
        present.disk.remove();
        for device in present.devices {
            let device = device as PDEVICE_OBJECT;
            // SAFETY: the device and its unit were made by `create` and are used by nobody.
            unsafe {
                let unit = *(*device).DeviceExtension.cast::<*mut Unit>();
                if (*unit).port != 0 {
                    device::IoDetachDevice((*unit).port as PDEVICE_OBJECT);
                }
                device::delete(device);
                drop(Box::from_raw(unit));
            }
        }
    }
}

/// What a device is for.
enum Place {
    /// The whole disk.
    Whole,
    /// The volume of that number, on the port's device or on none (0).
    Volume(u32, usize),
    /// A volume's port.
    Port,
}

fn create(disk: &Arc<Disk>, (start, len): (u64, u64), partition: Option<Partition>, place: Place) -> usize {
    let (name, volume, port) = match place {
        Place::Whole => (Some(format!("\\Device\\Harddisk{}\\DR0", disk.number)), 0, 0),
        Place::Volume(number, port) => (Some(format!("\\Device\\HarddiskVolume{number}")), number, port),
        Place::Port => (None, 0, 0),
    };
    let wide = name.as_deref().map(names::wide);
    let driver = native::driver("\\Driver\\Disk", dispatch);
    let unit = Box::into_raw(Box::new(Unit {
        disk: Arc::clone(disk),
        start,
        len,
        partition,
        volume,
        port,
    }));
    let removable = if disk.config().removable {
        FILE_REMOVABLE_MEDIA
    } else {
        0
    };
    // SAFETY: the driver lives for ever; the new device is ours.
    unsafe {
        let extra = std::mem::size_of::<*mut Unit>();
        let device = match device::create(driver, extra, wide.as_deref(), FILE_DEVICE_DISK, removable) {
            Ok(device) => device,
            Err(status) => fail!(Device, "{name:?}: {}", crate::nt::name(status)),
        };
        // As Windows has it: a fixed disk is looked at and passed through by everyone, a medium that can be taken out read.
        let everyone = if disk.config().removable {
            GENERIC_READ | GENERIC_EXECUTE
        } else {
            GENERIC_EXECUTE
        };
        ob::set_security(device.cast(), se::for_everyone(everyone));
        *(*device).DeviceExtension.cast::<*mut Unit>() = unit;
        (*device).SectorSize = disk.image.sector() as u16;
        (*device).AlignmentRequirement = FILE_WORD_ALIGNMENT;
        (*device).StackSize = 1;
        (*device).Flags |= DO_DIRECT_IO;
        if port != 0 && device::IoAttachDeviceToDeviceStack(device, port as PDEVICE_OBJECT).is_null() {
            fail!(Device, "{name:?} cannot be attached to its port's device");
        }
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
        device as usize
    }
}

/// Every request to a disk device.
///
/// # Safety
/// The I/O manager calls it with one of our devices and an IRP for it.
unsafe fn dispatch(device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: by contract; a unit lives as long as its device.
    unsafe {
        let unit = &**(*device).DeviceExtension.cast::<*const Unit>();
        let location = irp::current(packet);
        let major = u32::from((*location).MajorFunction);
        if unit.disk.is_removed() && !matches!(major, IRP_MJ_CLEANUP | IRP_MJ_CLOSE) {
            return done(packet, STATUS_NO_SUCH_DEVICE, 0);
        }
        match major {
            IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE | IRP_MJ_FLUSH_BUFFERS | IRP_MJ_SHUTDOWN => {
                done(packet, STATUS_SUCCESS, 0)
            }
            IRP_MJ_READ if unit.port != 0 => {
                std::ptr::copy_nonoverlapping(location, irp::next(packet), 1);
                (*irp::next(packet)).CompletionRoutine = None;
                (*irp::next(packet)).Control = 0;
                call::call_driver(unit.port as PDEVICE_OBJECT, packet)
            }
            IRP_MJ_READ => read(unit, packet),
            IRP_MJ_WRITE => {
                unit.disk.counts.writes.fetch_add(1, Ordering::Relaxed);
                eprintln!("ntos: a write request reached disk {}", unit.disk.number);
                done(packet, STATUS_MEDIA_WRITE_PROTECTED, 0)
            }
            IRP_MJ_DEVICE_CONTROL => {
                unit.disk.counts.controls.fetch_add(1, Ordering::Relaxed);
                let (status, information) = ioctl::answer(unit, packet);
                done(packet, status, information)
            }
            IRP_MJ_PNP | IRP_MJ_POWER | IRP_MJ_SYSTEM_CONTROL => done(packet, STATUS_NOT_SUPPORTED, 0),
            _ => done(packet, STATUS_INVALID_DEVICE_REQUEST, 0),
        }
    }
}

/// # Safety
/// The IRP is ours.
unsafe fn done(packet: PIRP, status: NTSTATUS, information: usize) -> NTSTATUS {
    // SAFETY: by contract.
    unsafe {
        harderror::before_completion(packet, (*irp::current(packet)).DeviceObject, status);
        irp::set_status(packet, status, information);
        complete::complete(packet);
    }
    status
}

/// # Safety
/// The IRP is a read for `unit`.
unsafe fn read(unit: &Unit, packet: PIRP) -> NTSTATUS {
    // SAFETY: by contract.
    unsafe {
        let parameters = &(*irp::current(packet)).Parameters.Read;
        let len = u64::from(parameters.Length);
        let sector = u64::from(unit.disk.image.sector());
        let Ok(offset) = u64::try_from(parameters.ByteOffset.QuadPart) else {
            return done(packet, STATUS_INVALID_PARAMETER, 0);
        };
        let inside = offset.checked_add(len).is_some_and(|end| end <= unit.len);
        if !offset.is_multiple_of(sector) || !len.is_multiple_of(sector) || !inside {
            return done(packet, STATUS_INVALID_PARAMETER, 0);
        }
        if len == 0 {
            return done(packet, STATUS_SUCCESS, 0);
        }
        if unit.disk.empty.load(Ordering::SeqCst) {
            return done(packet, STATUS_NO_MEDIA_IN_DEVICE, 0);
        }
        let location = irp::current(packet);
        let verifies = u32::from((*location).Flags) & SL_OVERRIDE_VERIFY_VOLUME != 0;
        if (*(*location).DeviceObject).Flags & DO_VERIFY_VOLUME != 0 && !verifies {
            return done(packet, STATUS_VERIFY_REQUIRED, 0);
        }
        let mdl = (*packet).MdlAddress;
        if mdl.is_null() {
            fail!(
                Irp,
                "a read of {len} bytes was sent to a disk without an MDL, though it has DO_DIRECT_IO"
            );
        }
        if u64::from((*mdl).ByteCount) < len {
            fail!(
                Irp,
                "a read of {len} bytes was sent to a disk with an MDL of {} bytes",
                (*mdl).ByteCount
            );
        }
        queue::start(
            &unit.disk,
            packet,
            unit.start + offset,
            parameters.Length as usize,
        )
    }
}
