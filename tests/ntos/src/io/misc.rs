//! I/O manager functions that stand alone: who asks, how much stack is left, remove locks' kin.

use crate::nt::*;
use crate::ob::ObjectType;
use crate::{ke, ps};
use std::sync::{Mutex, PoisonError};

/// `IoIsOperationSynchronous`.
pub unsafe extern "win64" fn IoIsOperationSynchronous(packet: PIRP) -> BOOLEAN {
    // SAFETY: the driver owns the IRP.
    unsafe {
        let flags = (*packet).Flags;
        if flags & IRP_PAGING_IO != 0 {
            return u8::from(flags & IRP_SYNCHRONOUS_PAGING_IO != 0);
        }
        let file_object = (*super::irp::current(packet)).FileObject;
        let synchronous = !file_object.is_null() && (*file_object).Flags & FO_SYNCHRONOUS_IO != 0;
        u8::from(synchronous || flags & IRP_SYNCHRONOUS_API != 0)
    }
}

/// `IoGetRequestorProcess`.
pub unsafe extern "win64" fn IoGetRequestorProcess(packet: PIRP) -> PEPROCESS {
    // SAFETY: the driver owns the IRP; its thread, if any, is referenced by the request.
    unsafe {
        let thread = (*packet).Tail.Overlay.Thread;
        if thread.is_null() {
            std::ptr::null_mut()
        } else {
            process_of(thread)
        }
    }
}

/// The process of `thread`.
///
/// # Safety
/// `thread` is a live thread of the double.
unsafe fn process_of(thread: PETHREAD) -> PEPROCESS {
    // SAFETY: by contract; every PETHREAD of the double is the address of a Thread.
    let thread = unsafe { &*thread.cast::<ps::Thread>() };
    if thread.is_system {
        ps::system_process()
    } else {
        ps::user_process()
    }
}

/// `IoGetRequestorProcessId`.
pub unsafe extern "win64" fn IoGetRequestorProcessId(packet: PIRP) -> ULONG {
    // SAFETY: the driver owns the IRP.
    unsafe {
        let process = IoGetRequestorProcess(packet);
        if process.is_null() {
            0
        } else {
            ps::process_id(process) as ULONG
        }
    }
}

/// `IoIsSystemThread`.
pub unsafe extern "win64" fn IoIsSystemThread(thread: PETHREAD) -> BOOLEAN {
    // SAFETY: every PETHREAD of the double is the address of a Thread.
    u8::from(unsafe { (*thread.cast::<ps::Thread>()).is_system })
}

/// `IoGetInitialStack`.
pub unsafe extern "win64" fn IoGetInitialStack() -> PVOID {
    ke::gate::stack_limits().1 as PVOID
}

/// `IoGetFileObjectGenericMapping`.
pub unsafe extern "win64" fn IoGetFileObjectGenericMapping() -> *const GENERIC_MAPPING {
    &raw const FILE_MAPPING
}

/// What GENERIC_READ and so on mean for files.
pub static FILE_MAPPING: GENERIC_MAPPING = GENERIC_MAPPING {
    GenericRead: FILE_GENERIC_READ,
    GenericWrite: FILE_GENERIC_WRITE,
    GenericExecute: FILE_GENERIC_EXECUTE,
    GenericAll: FILE_ALL_ACCESS,
};

/// `access` with generic rights replaced by files' own.
pub fn map_generic(access: u32) -> u32 {
    let mut mapped = access & !(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL);
    for (generic, specific) in [
        (GENERIC_READ, FILE_MAPPING.GenericRead),
        (GENERIC_WRITE, FILE_MAPPING.GenericWrite),
        (GENERIC_EXECUTE, FILE_MAPPING.GenericExecute),
        (GENERIC_ALL, FILE_MAPPING.GenericAll),
    ] {
        if access & generic != 0 {
            mapped |= specific;
        }
    }
    mapped
}

/// Drivers that want to hear of a shutdown, by device.
static SHUTDOWN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// `IoRegisterShutdownNotification`.
pub unsafe extern "win64" fn IoRegisterShutdownNotification(device: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: the device is live.
    unsafe { (*device).Flags |= DO_SHUTDOWN_REGISTERED };
    SHUTDOWN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(device as usize);
    use crate::verifier::ledger;
    ledger::add(
        ledger::Kind::Registration,
        device as usize,
        "shutdown notification",
    );
    STATUS_SUCCESS
}

/// `IoUnregisterShutdownNotification`.
pub unsafe extern "win64" fn IoUnregisterShutdownNotification(device: PDEVICE_OBJECT) {
    // SAFETY: the device is live.
    unsafe { (*device).Flags &= !DO_SHUTDOWN_REGISTERED };
    SHUTDOWN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|known| *known != device as usize);
    use crate::verifier::ledger;
    ledger::remove(ledger::Kind::Registration, device as usize);
}

/// Devices that are to get IRP_MJ_SHUTDOWN, the last registered first.
pub fn shutdown_devices() -> Vec<PDEVICE_OBJECT> {
    let devices = SHUTDOWN.lock().unwrap_or_else(PoisonError::into_inner);
    devices
        .iter()
        .rev()
        .map(|device| *device as PDEVICE_OBJECT)
        .collect()
}

/// A datum that an import names: the address of a type.
pub struct TypePointer(pub *const ObjectType);

// SAFETY: the pointer is to a static and is only copied.
unsafe impl Sync for TypePointer {}

static FILE_POINTER: TypePointer = TypePointer(&raw const super::file::FILE_TYPE);
static DEVICE_POINTER: TypePointer = TypePointer(&raw const super::device::DEVICE_OBJECT_TYPE);
static DRIVER_POINTER: TypePointer = TypePointer(&raw const super::device::DRIVER_TYPE);

crate::table! {
    /// What stands alone.
    pub static IMPORTS = {
        data IoFileObjectType = (&raw const FILE_POINTER).cast();
        data IoDeviceObjectType = (&raw const DEVICE_POINTER).cast();
        data IoDriverObjectType = (&raw const DRIVER_POINTER).cast();
        IoIsOperationSynchronous <= DISPATCH;
        IoGetRequestorProcess <= DISPATCH;
        IoGetRequestorProcessId <= DISPATCH;
        IoIsSystemThread <= DISPATCH;
        IoGetInitialStack <= HIGH;
        IoGetFileObjectGenericMapping <= PASSIVE;
        IoRegisterShutdownNotification <= PASSIVE;
        IoUnregisterShutdownNotification <= PASSIVE;
    }
}
