//! DriverEntry and its counterpart: the control device, the file systems that are registered, and the end.
//!
//! Two devices live as long as the driver: `\Device\Lklfs` and `\Device\LklfsStatus` (with links of the same names in
//! `\DosDevices`; the first for administrators only). One device for each kind of medium is registered as a file system, for
//! as long as the driver serves ([`crate::control::standby`]): with low priority, so that Windows' own file systems see a volume
//! first, and what they do not know comes here.
//
// UNSAFETY: creates and deletes devices, fills the driver object, and keeps the driver's state behind a static.

use crate::control::mounts::Mounts;
use crate::control::security::{self, Audience};
use crate::control::standby::Standby;
use crate::dispatch::dispatch;
use crate::image::orphans;
use crate::letter::arrivals::Arrivals;
use crate::letter::assignment::remember_letter;
use crate::letter::inventory::{self, Places, Seen};
use crate::letter::policy::Policies;
use crate::linux::Linux;
use crate::log;
use crate::major::fastio;
use crate::object::power::Power;
use crate::object::volume::{Extension, Kind, MountedVolume, kind_of, set_kind, volume_of};
use crate::object::volumes::Volumes;
use crate::workque::cancel::Posts;
use crate::workque::deferred;
use crate::workque::deferred::Threads;
use crate::workque::threads::Workers;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use lklfs_control::Interface;
use lklfs_kernel::name::Name;
use lklfs_kernel::nt::{
    self, DO_DEVICE_INITIALIZING, FILE_DEVICE_SECURE_OPEN, FILE_DEVICE_UNKNOWN, IoCreateDevice,
    IoCreateSymbolicLink, IoDeleteDevice, IoDeleteSymbolicLink, KeFlushQueuedDpcs, NTSTATUS, PDEVICE_OBJECT,
    PDRIVER_OBJECT, PUNICODE_STRING, raw_status,
};
use lklfs_kernel::routines::Lacking;
use lklfs_kernel::text;
use lklfs_kernel::{pool, routines, stack};
use lklfs_nt::NtStatus;

/// What lives as long as the driver.
pub struct Driver {
    object: PDRIVER_OBJECT,
    /// In the order of [`Interface::ALL`].
    control: [PDEVICE_OBJECT; 2],
    /// Whether it serves, and what it serves by.
    pub standby: Standby,
    /// The one Linux.
    pub linux: Linux,
    /// What was mounted on request.
    pub mounts: Mounts,
    /// Where volumes may be.
    pub places: Places,
    /// What is kept for volumes.
    pub policies: Policies,
    /// The volumes that are mounted.
    pub volumes: Volumes,
    /// Hears of volumes that arrive.
    pub arrivals: Arrivals,
    /// Hears of the machine's sleep.
    pub power: Power,
    /// Threads for requests that wait.
    pub workers: Workers,
    /// Threads for what is done later.
    pub later: Threads,
    /// The control devices' requests that do.
    pub posts: Arc<Posts>,
}

static DRIVER: AtomicPtr<Driver> = AtomicPtr::new(null_mut());

/// The driver's state; `None` before the end of DriverEntry and after the beginning of the unload.
pub fn driver<'a>() -> Option<&'a Driver> {
    // SAFETY: the pointer is null or leads to a box that only the unload frees, when no request is left.
    unsafe { DRIVER.load(Ordering::Acquire).as_ref() }
}

/// A thread runs inside this image for ever: it must not be unloaded any more. The I/O manager refuses to unload a driver
/// that has no routine for it.
///
/// Any IRQL.
pub fn stay() {
    if let Some(driver) = driver() {
        log::line(format_args!(
            "a loop in Linux cannot be stopped: the driver stays until the machine restarts"
        ));
        // SAFETY: the object lives as long as the driver.
        unsafe { (*driver.object).DriverUnload = None };
    }
}

impl Driver {
    /// Whether it cannot be unloaded, after [`stay`]. Any IRQL.
    pub fn stays(&self) -> bool {
        // SAFETY: the object lives as long as the driver.
        unsafe { (*self.object).DriverUnload }.is_none()
    }

    /// The driver object.
    pub fn object(&self) -> PDRIVER_OBJECT {
        self.object
    }

    /// A device that lives as long as the driver.
    pub fn any_device(&self) -> PDEVICE_OBJECT {
        let [device, _] = self.control;
        device
    }
}

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
    DRIVER.store(Box::into_raw(driver), Ordering::Release);
    if let Some(driver) = self::driver() {
        driver.standby.register();
    }
    for device in control {
        // SAFETY: the device is ours, and ready now.
        unsafe { (*device).Flags &= !DO_DEVICE_INITIALIZING };
    }
    if let Some(driver) = self::driver() {
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
        *slot = make_device(driver.object, interface.device_name(), FILE_DEVICE_UNKNOWN, kind)?;
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

/// One of the driver's own devices, by name.
///
/// IRQL: PASSIVE_LEVEL.
pub(crate) fn make_device(
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
    let driver = DRIVER.load(Ordering::Acquire);
    // SAFETY: DriverEntry put a box there; it is taken back below.
    let Some(state) = (unsafe { driver.as_ref() }) else {
        return;
    };
    state.arrivals.stop();
    state.power.stop();
    state.standby.withdraw();
    while let Some(volume) = first_volume(object) {
        volume.purge();
        stack::insist(move || {
            volume.tear_down();
            drop(volume);
        });
    }
    deferred::wait_for_all();
    state.mounts.clear();
    stack::insist(orphans::join_all);
    state.workers.stop();
    // What the workers have left to do.
    deferred::wait_for_all();
    hide_places(state);
    // Without a larger stack Linux cannot be halted; then its threads would run on in an image that is gone. If there never
    // was a mount there is nothing to halt.
    if state.linux.booted().is_some() {
        stack::insist(|| state.linux.halt());
    }
    deferred::wait_for_all();
    state.later.stop();
    delete_devices(state);
    // A disk's completion that has woken whoever waited for it may have its last instructions before it still.
    // SAFETY: PASSIVE_LEVEL, and no lock is held.
    unsafe { KeFlushQueuedDpcs() };
    DRIVER.store(null_mut(), Ordering::Release);
    // SAFETY: DriverEntry made it of a box; nobody can reach it any more.
    drop(unsafe { Box::from_raw(driver) });
    // SAFETY: this is the last that runs of the driver.
    unsafe { log::stop() };
}

/// Takes the letters of Linux' volumes away: without this driver Windows would offer to format what is there. They are
/// remembered, and given again when the driver is.
pub fn hide_places(driver: &Driver) {
    let mut after = 0;
    let linux_only = |number, seen: &Seen| {
        let known = seen.superblock.as_ref();
        let ours = known.is_some_and(|superblock| !superblock.kind.is_windows_own());
        let key = seen.key.as_deref().map(|key| text::copy(key).ok());
        (number, ours.then(|| (text::copy(&seen.device), key.flatten())))
    };
    while let Some((number, volume)) = driver.places.next(after, linux_only) {
        after = number;
        if let Some((Ok(device), key)) = volume {
            remember_letter(driver, &device, key.as_deref());
            inventory::hide(driver, &device, None);
        }
    }
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
