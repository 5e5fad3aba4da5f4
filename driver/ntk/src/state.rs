//! The driver's state: what lives from DriverEntry to the unload, and how requests find it.
//
// UNSAFETY: the state is found by a pointer that the unload takes away.

use crate::control::mounts::Mounts;
use crate::control::standby::Standby;
use crate::letter::arrivals::Arrivals;
use crate::letter::inventory::Places;
use crate::letter::policy::Policies;
use crate::linux::Linux;
use crate::log;
use crate::object::power::Power;
use crate::object::volumes::Volumes;
use crate::workque::cancel::Posts;
use crate::workque::deferred::Threads;
use crate::workque::threads::Workers;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use lklfs_kernel::nt::{PDEVICE_OBJECT, PDRIVER_OBJECT};

/// What lives as long as the driver.
pub struct Driver {
    pub(crate) object: PDRIVER_OBJECT,
    /// In the order of [`Interface::ALL`].
    pub(crate) control: [PDEVICE_OBJECT; 2],
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

/// Makes the state known: requests find it from here on. Any IRQL.
pub fn publish(driver: Box<Driver>) {
    DRIVER.store(Box::into_raw(driver), Ordering::Release);
}

/// Takes the state back; `None` when there is none. Any IRQL.
///
/// # Safety
/// Nothing that [`driver`] gave is used any more.
pub unsafe fn withdraw() -> Option<Box<Driver>> {
    let driver = DRIVER.swap(null_mut(), Ordering::AcqRel);
    if driver.is_null() {
        return None;
    }
    // SAFETY: publish() made it of a box, and the swap has given it out once.
    Some(unsafe { Box::from_raw(driver) })
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
