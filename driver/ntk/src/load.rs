//! DriverEntry and its counterpart: the control device, the file systems that are registered, and the end.
//!
//! Two devices live as long as the driver: `\Device\Lklfs` and `\Device\LklfsStatus` (with links of the same names in
//! `\DosDevices`; the first for administrators only). One device for each kind of medium is registered as a file system, for
//! as long as the driver serves ([`crate::control::standby`]): with low priority, so that Windows' own file systems see a volume
//! first, and what they do not know comes here.
//
// UNSAFETY: creates and deletes devices, and fills the driver object.

use crate::control::mounts::Mounts;
use crate::control::security::{self, Audience};
use crate::control::standby::Standby;
use crate::dispatch::dispatch;
use crate::image::orphans;
use crate::letter::arrivals::Arrivals;
use crate::letter::assignment;
use crate::letter::inventory::Places;
use crate::letter::policy::Policies;
use crate::linux::Linux;
use crate::log;
use crate::major::fastio;
use crate::object::extension::{Kind, kind_of, make_named_device, volume_of};
use crate::object::power::Power;
use crate::object::volume::MountedVolume;
use crate::object::volumes::Volumes;
use crate::state::{self, Driver};
use crate::workque::cancel::Posts;
use crate::workque::deferred;
use crate::workque::deferred::Threads;
use crate::workque::threads::Workers;
use alloc::sync::Arc;
use core::ptr::null_mut;
use lklfs_control::Interface;
use lklfs_kernel::name::Name;
use lklfs_kernel::nt::{
    self, DO_DEVICE_INITIALIZING, FILE_DEVICE_UNKNOWN, IoCreateSymbolicLink, IoDeleteDevice,
    IoDeleteSymbolicLink, KeFlushQueuedDpcs, NTSTATUS, PDRIVER_OBJECT, PUNICODE_STRING, raw_status,
};
use lklfs_kernel::routines::Lacking;
use lklfs_kernel::{pool, routines, stack};
use lklfs_nt::NtStatus;

/// What DriverEntry does.
///
/// IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// `object` is the driver object that the kernel passes to DriverEntry, `service` the name of the service's key.
pub unsafe fn driver_entry(object: PDRIVER_OBJECT, service: PUNICODE_STRING) -> NTSTATUS {
    if let Err(Lacking(routine)) = routines::init() {
        log::line(format_args!(
            "this kernel has no {routine}: the driver needs Windows 7 x64 or later"
        ));
        return raw_status(NtStatus::NOT_SUPPORTED);
    }
    log::start();
    // SAFETY: promised by the caller.
    match unsafe { start(object, service) } {
        Ok(()) => raw_status(NtStatus::SUCCESS),
        Err(status) => {
            // SAFETY: nothing of the driver runs any more.
            unsafe { log::stop() };
            raw_status(status)
        }
    }
}

unsafe fn start(object: PDRIVER_OBJECT, service: PUNICODE_STRING) -> Result<(), NtStatus> {
    // SAFETY: promised by the caller: a string, or none.
    let key = match unsafe { service.as_ref() } {
        // SAFETY: as above.
        Some(key) if !key.Buffer.is_null() => unsafe {
            core::slice::from_raw_parts(key.Buffer, usize::from(key.Length) / 2)
        },
        Some(_) | None => &[],
    };
    let policies = Policies::new(key).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let places = Places::new().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let linux = Linux::new().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let mounts = Mounts::new().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let workers = Workers::new().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let posts = pool::try_arc(Posts::new()).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let later = Threads::new().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let mut driver = fallible::try_box(Driver {
        object,
        control: [null_mut(); 2],
        standby: Standby::new(),
        linux,
        mounts,
        places,
        policies,
        volumes: Volumes::new(),
        arrivals: Arrivals::new(),
        power: Power::new(),
        workers,
        later,
        posts,
    })
    .ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let made = make_devices(&mut driver);
    // SAFETY: the driver stays in its box until the unload has stopped them.
    let made = made.and_then(|()| match unsafe { driver.later.start_one() } {
        true => Ok(()),
        false => Err(NtStatus::INSUFFICIENT_RESOURCES),
    });
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
    // SAFETY: promised by the caller.
    unsafe { fastio::register_callbacks(object) };
    let control = driver.control;
    state::publish(driver);
    if let Some(driver) = state::driver() {
        driver.standby.register();
    }
    for device in control {
        // SAFETY: the device is ours, and ready now.
        unsafe { (*device).Flags &= !DO_DEVICE_INITIALIZING };
    }
    if let Some(driver) = state::driver() {
        Power::listen(driver);
        Arrivals::listen(driver);
    }
    Ok(())
}

fn make_devices(driver: &mut Driver) -> Result<(), NtStatus> {
    for (slot, interface) in driver.control.iter_mut().zip(Interface::ALL) {
        let kind = match interface {
            Interface::Control => Kind::Control,
            Interface::Status => Kind::Status,
        };
        *slot = make_named_device(driver.object, interface.device_name(), FILE_DEVICE_UNKNOWN, kind)?;
    }
    driver.standby.make_devices(driver.object)?;
    for (device, interface) in driver.control.into_iter().zip(Interface::ALL) {
        security::device(device, Audience::Of(interface))?;
        let mut link = Name::new(interface.link_name());
        let mut target = Name::new(interface.device_name());
        // SAFETY: both strings outlive the call.
        let status = unsafe { IoCreateSymbolicLink(&mut link.string(), &mut target.string()) };
        if status < 0 {
            return Err(nt::status(status));
        }
    }
    Ok(())
}

fn delete_devices(driver: &Driver) {
    for interface in Interface::ALL {
        let mut link = Name::new(interface.link_name());
        // SAFETY: the string outlives the call. If the link was never made, nothing happens.
        let _ = unsafe { IoDeleteSymbolicLink(&mut link.string()) };
    }
    driver.standby.withdraw();
    for device in driver.control {
        if !device.is_null() {
            // SAFETY: made by make_device(), and deleted once.
            unsafe { IoDeleteDevice(device) };
        }
    }
}

/// The end: nothing is open on any device of the driver when the kernel calls this. NT calls it when the driver is in
/// standby, since a registration counts as an open; Wine calls it whenever the service is stopped.
unsafe extern "C" fn unload(object: PDRIVER_OBJECT) {
    let Some(driver) = state::driver() else {
        return;
    };
    driver.arrivals.stop();
    driver.power.stop();
    driver.standby.withdraw();
    while let Some(volume) = first_volume(object) {
        volume.purge();
        stack::insist(move || {
            volume.tear_down();
            drop(volume);
        });
    }
    deferred::wait_for_all();
    driver.mounts.clear();
    stack::insist(orphans::join_all);
    driver.workers.stop();
    // What the workers have left to do.
    deferred::wait_for_all();
    assignment::hide_all(driver);
    // Without a larger stack Linux cannot be halted; then its threads would run on in an image that is gone. If there never
    // was a mount there is nothing to halt.
    if driver.linux.booted().is_some() {
        stack::insist(|| driver.linux.halt());
    }
    deferred::wait_for_all();
    driver.later.stop();
    delete_devices(driver);
    // A disk's completion that has woken whoever waited for it may have its last instructions before it still.
    // SAFETY: PASSIVE_LEVEL, and no lock is held.
    unsafe { KeFlushQueuedDpcs() };
    // SAFETY: no request and no thread of the driver's is left that could have it.
    drop(unsafe { state::withdraw() });
    // SAFETY: this is the last that runs of the driver.
    unsafe { log::stop() };
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
