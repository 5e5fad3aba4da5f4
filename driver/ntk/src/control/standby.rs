//! Standby: the driver is loaded and serves nothing, so that the I/O manager can unload it.
//!
//! NT does not unload a driver while one of its device objects is referenced or has another device attached. The
//! registration of a file system counts as a reference, and the filter manager attaches to each device that is registered
//! and to each volume. Stopping the service of a file system that serves therefore changes one thing only: no device of the
//! driver can be opened any more, not even to ask it to let go. So it has to let go before: [`enter`] unregisters the file
//! systems (filters hear of that, and detach), dismounts all volumes, removes images, takes letters away, and waits until
//! the control devices are the only ones left. If it cannot, everything is taken up again, as [`leave`] does also for a
//! driver that was not unloaded after all.
//
// UNSAFETY: makes, registers and deletes the devices of the file systems.

use crate::image::orphans;
use crate::letter::arrivals::Arrivals;
use crate::log;
use crate::object::extension::{self, Kind};
use crate::object::power::Power;
use crate::state::Driver;
use crate::workque::deferred;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use lklfs_control::Interface;
use lklfs_kernel::nt::{
    DO_DEVICE_INITIALIZING, DO_LOW_PRIORITY_FILESYSTEM, FILE_DEVICE_CD_ROM_FILE_SYSTEM,
    FILE_DEVICE_DISK_FILE_SYSTEM, IoDeleteDevice, IoRegisterFileSystem, IoUnregisterFileSystem,
    ObfDereferenceObject, ObfReferenceObject, PDEVICE_OBJECT, PDRIVER_OBJECT,
};
use lklfs_nt::NtStatus;

/// The devices that are registered as file systems.
const FILE_SYSTEMS: [(&str, u32); 2] = [
    ("\\LklfsDisk", FILE_DEVICE_DISK_FILE_SYSTEM),
    ("\\LklfsCd", FILE_DEVICE_CD_ROM_FILE_SYSTEM),
];
/// How often file objects of programs that have ended are waited for, with 10 ms in between.
const CLOSING: u32 = 200;
/// How often the driver's devices are counted while the last of them go, with 10 ms in between.
const ATTEMPTS: u32 = 500;

/// Whether the driver serves, and what it serves by.
pub struct Standby {
    /// It does not serve, or is about to end serving.
    on: AtomicBool,
    /// In the order of [`FILE_SYSTEMS`]; null while they are not registered.
    file_systems: [AtomicPtr<lklfs_kernel::nt::DEVICE_OBJECT>; 2],
    /// File objects of the control devices, each from its CREATE to its CLOSE: so long the I/O manager counts it, too. One whose
    /// handle has gone lives on while a request of it is under way.
    controls: AtomicU32,
}

impl Standby {
    /// Serving, by nothing yet.
    pub const fn new() -> Self {
        Standby {
            on: AtomicBool::new(false),
            file_systems: [const { AtomicPtr::new(null_mut()) }; 2],
            controls: AtomicU32::new(0),
        }
    }

    /// Whether nothing is served. Any IRQL.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// A control device is opened. In standby administrators only may, since each file object keeps the driver.
    /// Any IRQL.
    pub fn control_opened(&self, interface: Interface) -> Result<(), NtStatus> {
        self.controls.fetch_add(1, Ordering::AcqRel);
        if self.is_on() && interface == Interface::Status {
            self.control_closed();
            return Err(NtStatus::DEVICE_NOT_READY);
        }
        Ok(())
    }

    /// A file object of a control device is gone. Any IRQL.
    pub fn control_closed(&self) {
        self.controls.fetch_sub(1, Ordering::AcqRel);
    }

    /// Makes the devices of the file systems.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub(crate) fn make_devices(&self, object: PDRIVER_OBJECT) -> Result<(), NtStatus> {
        for (slot, (name, kind)) in self.file_systems.iter().zip(FILE_SYSTEMS) {
            if slot.load(Ordering::Acquire).is_null() {
                let device =
                    crate::object::extension::make_named_device(object, name, kind, Kind::FileSystem)?;
                // SAFETY: the device is ours and not registered yet.
                unsafe { (*device).Flags |= DO_LOW_PRIORITY_FILESYSTEM };
                slot.store(device, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Registers them: from now on volumes are mounted.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn register(&self) {
        for slot in &self.file_systems {
            let device = slot.load(Ordering::Acquire);
            // SAFETY: the device is ours; this reference keeps its memory until withdraw() is done with it, as a
            // registration may be taken back by others.
            unsafe { ObfReferenceObject(device.cast()) };
            // SAFETY: as above; it is ready now.
            unsafe { (*device).Flags &= !DO_DEVICE_INITIALIZING };
            // SAFETY: as above.
            unsafe { IoRegisterFileSystem(device) };
        }
    }

    /// Takes the registrations back, at which filters detach, and deletes the devices. Those that are not registered yet are
    /// deleted, too.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn withdraw(&self) {
        for slot in &self.file_systems {
            let device: PDEVICE_OBJECT = slot.swap(null_mut(), Ordering::AcqRel);
            // SAFETY: null, or a device of ours that is deleted below.
            let Some(ours) = (unsafe { device.as_ref() }) else {
                continue;
            };
            let registered = ours.Flags & DO_DEVICE_INITIALIZING == 0;
            if registered {
                // SAFETY: registered by register().
                unsafe { IoUnregisterFileSystem(device) };
            }
            // SAFETY: made by make_devices(), and deleted once.
            unsafe { IoDeleteDevice(device) };
            if registered {
                // SAFETY: referenced by register().
                let _ = unsafe { ObfDereferenceObject(device.cast()) };
            }
        }
    }
}

impl Default for Standby {
    fn default() -> Self {
        Standby::new()
    }
}

/// Ends serving; the asking program has a control device open.
///
/// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
///
/// # Errors
/// The driver serves as before, but images may have been unmounted: ACCESS_DENIED when files are open, SHARING_VIOLATION when
/// another program has a control device open or a request to one is under way, DEVICE_BUSY when a thread of the driver's waits for a disk or server that hangs.
pub fn enter(driver: &Driver, force: bool) -> Result<(), NtStatus> {
    if driver.standby.on.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let ended = check(driver, force).and_then(|()| {
        let ended = let_go(driver, force);
        if ended.is_err() {
            take_up(driver)?;
        }
        ended
    });
    match ended {
        Ok(()) => log::line(format_args!(
            "nothing is served any more; the driver can be unloaded"
        )),
        Err(status) => {
            driver.standby.on.store(false, Ordering::Release);
            log::line(format_args!("the driver is not stopped: {status:?}"));
        }
    }
    ended
}

/// Serves again, after [`enter`].
///
/// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
pub fn leave(driver: &Driver) -> Result<(), NtStatus> {
    if !driver.standby.is_on() {
        return Ok(());
    }
    take_up(driver)?;
    driver.standby.on.store(false, Ordering::Release);
    log::line(format_args!("the driver serves again"));
    Ok(())
}

/// What stands in the way, before anything is touched.
fn check(driver: &Driver, force: bool) -> Result<(), NtStatus> {
    // One file object is the asking program's. Those of programs that have ended may be closed a moment later.
    let mut attempts = CLOSING;
    while driver.standby.controls.load(Ordering::Acquire) > 1 {
        if attempts == 0 {
            return Err(NtStatus::SHARING_VIOLATION);
        }
        attempts = attempts.saturating_sub(1);
        deferred::pause();
    }
    orphans::join_ended();
    if orphans::are_left() || driver.stays() {
        return Err(NtStatus::DEVICE_BUSY);
    }
    for volume in driver.volumes.all()? {
        let state = *volume.state.lock();
        let in_use = state.handles > 0 || state.opening > 0;
        // What was given up before keeps its device for as long as handles are open, which no force can close.
        if in_use && (!force || state.refusal().is_some()) {
            return Err(NtStatus::ACCESS_DENIED);
        }
    }
    Ok(())
}

fn let_go(driver: &Driver, force: bool) -> Result<(), NtStatus> {
    driver.arrivals.stop();
    driver.power.stop();
    driver.standby.withdraw();
    driver.mounts.unmount(driver, None, force)?;
    crate::letter::assignment::hide_all(driver);
    for _ in 0..ATTEMPTS {
        if extension::devices() == 0 && deferred::is_idle() {
            return Ok(());
        }
        // What is closed since may be kept by the cache still.
        for volume in driver.volumes.all()? {
            if volume.refusal().is_some() {
                volume.purge();
            }
        }
        deferred::pause();
    }
    orphans::join_ended();
    if orphans::are_left() {
        return Err(NtStatus::DEVICE_BUSY);
    }
    Err(NtStatus::ACCESS_DENIED)
}

fn take_up(driver: &Driver) -> Result<(), NtStatus> {
    driver.standby.make_devices(driver.object())?;
    driver.standby.register();
    Power::listen(driver);
    Arrivals::listen(driver);
    Ok(())
}
