//! Unloading: what the I/O manager does when the service manager stops a driver.
//!
//! `NtUnloadDriver` marks every device of the driver; from then on none can be opened or attached to. DriverUnload is called
//! at once if none of them is referenced (`ReferenceCount`: opens, and the registration of a file system) and nothing is
//! attached to one; else when the last of these goes. To the service manager the driver runs until then, and starting it is an
//! error.

use super::device;
use crate::nt::*;
use crate::{ke, ob, ps};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

/// Drivers whose unload is pending or done: driver object, whether DriverUnload was called.
static UNLOADS: Mutex<Vec<(usize, bool)>> = Mutex::new(Vec::new());

fn unloads() -> MutexGuard<'static, Vec<(usize, bool)>> {
    UNLOADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The service manager stops the driver. Whether DriverUnload has been called.
///
/// # Safety
/// `driver` is live.
pub unsafe fn stop(driver: PDRIVER_OBJECT) -> bool {
    // SAFETY: by contract.
    unsafe { device::mark_unload(driver) };
    if !unloads().iter().any(|(known, _)| *known == driver as usize) {
        unloads().push((driver as usize, false));
    }
    // SAFETY: by contract.
    unsafe { device_freed(driver) };
    is_unloaded(driver)
}

/// Whether DriverUnload has been called because of [`stop`].
pub fn is_unloaded(driver: PDRIVER_OBJECT) -> bool {
    unloads().contains(&(driver as usize, true))
}

/// A driver object goes.
pub fn forget(driver: PDRIVER_OBJECT) {
    unloads().retain(|(known, _)| *known != driver as usize);
}

/// Something of a driver whose unload may be pending is not used any more.
///
/// # Safety
/// `driver` is live.
pub unsafe fn device_freed(driver: PDRIVER_OBJECT) {
    {
        let mut unloads = unloads();
        let Some(entry) = unloads.iter_mut().find(|(known, _)| *known == driver as usize) else {
            return;
        };
        // SAFETY: by contract.
        if entry.1 || unsafe { device::in_use(driver) } {
            return;
        }
        entry.1 = true;
    }
    // SAFETY: by contract.
    unsafe { call_unload(driver) };
}

/// Calls DriverUnload in a system thread, and waits for it.
///
/// # Safety
/// `driver` is live.
pub unsafe fn call_unload(driver: PDRIVER_OBJECT) {
    // SAFETY: by contract.
    let Some(unload) = (unsafe { (*driver).DriverUnload }) else {
        return;
    };
    let (unload, object) = (unload as usize, driver as u64);
    let (sender, receiver) = mpsc::channel();
    let thread = ps::spawn_system("system", move || {
        // SAFETY: the driver gave this routine, which takes its driver object.
        unsafe { ke::call_driver(unload as *const (), [object]) };
        // The receiver waits for ever, so it is there.
        let _ = sender.send(());
    });
    receiver
        .recv()
        .expect("the system thread sends its end or stops the process");
    ob::dereference(thread);
}
