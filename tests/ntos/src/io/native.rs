//! Modelled drivers: driver objects whose dispatch routine is a Rust function of the double.
//!
//! They look like any driver from outside. `IofCallDriver` recognises them and calls their function on the
//! host stack instead of the thread's kernel stack, because a real disk driver's frames are small and a Rust
//! function's are not.

use super::device::DRIVER_TYPE;
use super::names::{self, Node, wide};
use crate::nt::*;
use crate::ob;
use std::sync::{Mutex, PoisonError};

/// A modelled driver's dispatch routine for every major function.
pub type Dispatch = unsafe fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS;

static NATIVE: Mutex<Vec<(usize, Dispatch)>> = Mutex::new(Vec::new());

/// The driver object called `name`, made on first use; it lives as long as the process.
pub fn driver(name: &str, dispatch: Dispatch) -> PDRIVER_OBJECT {
    if let Some(Node::Driver(driver)) = names::get(&wide(name)) {
        return driver as PDRIVER_OBJECT;
    }
    let driver = new_driver_object(name);
    NATIVE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((driver as usize, dispatch));
    driver
}

/// The Rust function of `driver`, when it is a modelled one.
pub fn dispatch_of(driver: PDRIVER_OBJECT) -> Option<Dispatch> {
    let native = NATIVE.lock().unwrap_or_else(PoisonError::into_inner);
    native
        .iter()
        .find(|(known, _)| *known == driver as usize)
        .map(|(_, dispatch)| *dispatch)
}

/// A driver object with that name, entered into the name space, and nothing else filled in but its extension.
pub fn new_driver_object(name: &str) -> PDRIVER_OBJECT {
    let characters: &'static mut [u16] = wide(name).leak();
    let driver: PDRIVER_OBJECT = ob::create(&DRIVER_TYPE, DRIVER_BODY).cast();
    // SAFETY: the body is new, zeroed, and holds a DRIVER_OBJECT and its extension.
    unsafe {
        (*driver).Type = IO_TYPE_DRIVER as CSHORT;
        (*driver).Size = size_of::<DRIVER_OBJECT>() as CSHORT;
        let extension: PDRIVER_EXTENSION = driver.add(1).cast();
        (*extension).DriverObject = driver;
        (*driver).DriverExtension = extension;
        (*driver).DriverName = unicode(characters);
        let service = characters
            .iter()
            .rposition(|unit| *unit == u16::from(b'\\'))
            .map_or(0, |at| at + 1);
        (*extension).ServiceKeyName = unicode(&mut characters[service..]);
    }
    names::insert(&wide(name), Node::Driver(driver as usize));
    driver
}

const DRIVER_BODY: usize = size_of::<DRIVER_OBJECT>() + size_of::<DRIVER_EXTENSION>();

/// A counted string over `characters`, which must outlive it.
pub fn unicode(characters: &mut [u16]) -> UNICODE_STRING {
    let len = (characters.len() * 2) as u16;
    UNICODE_STRING {
        Length: len,
        MaximumLength: len,
        Buffer: characters.as_mut_ptr(),
    }
}
