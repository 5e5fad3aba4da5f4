//! `IofCallDriver`: the one way into a driver's dispatch routine.
//!
//! Every call is recorded as a frame of the ledger, so that what the routine returns is compared with how the
//! IRP is completed. The routine runs on the thread's kernel stack through [`ke::call`]; what must be as it
//! was when it returns (IRQL, critical regions, spin locks held, top-level IRP) is compared there.

use super::{irp, kernel, ledger, thread};
use crate::nt::*;
use crate::ps;
use crate::verifier::fail;

/// Names of the major functions, for messages.
const MAJOR_NAMES: [&str; 28] = [
    "CREATE",
    "CREATE_NAMED_PIPE",
    "CLOSE",
    "READ",
    "WRITE",
    "QUERY_INFORMATION",
    "SET_INFORMATION",
    "QUERY_EA",
    "SET_EA",
    "FLUSH_BUFFERS",
    "QUERY_VOLUME_INFORMATION",
    "SET_VOLUME_INFORMATION",
    "DIRECTORY_CONTROL",
    "FILE_SYSTEM_CONTROL",
    "DEVICE_CONTROL",
    "INTERNAL_DEVICE_CONTROL",
    "SHUTDOWN",
    "LOCK_CONTROL",
    "CLEANUP",
    "CREATE_MAILSLOT",
    "QUERY_SECURITY",
    "SET_SECURITY",
    "POWER",
    "SYSTEM_CONTROL",
    "DEVICE_CHANGE",
    "QUERY_QUOTA",
    "SET_QUOTA",
    "PNP",
];

/// `READ`, `CREATE`, ... for a major function code.
pub fn major_name(major: u8) -> &'static str {
    MAJOR_NAMES.get(usize::from(major)).copied().unwrap_or("?")
}

/// Sends `irp` to `device`: moves to the next stack location and calls the driver.
///
/// # Safety
/// `device` and `irp` are live, and the next stack location is filled in.
pub unsafe fn call_driver(device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: `device` is live, as is the driver that owns it; the ledger vouches for the IRP before it is
    // touched.
    unsafe {
        if let Err(fault) = ledger::owner(packet) {
            fail!(Irp, "IofCallDriver: {fault}");
        }
        (*packet).CurrentLocation -= 1;
        if (*packet).CurrentLocation <= 0 {
            fail!(
                Irp,
                "IofCallDriver: no stack location left in IRP {packet:p} (0x35 NO_MORE_IRP_STACK_LOCATIONS)"
            );
        }
        let location = irp::current(packet).sub(1);
        irp::set_current(packet, location);
        let driver = (*device).DriverObject;
        let major = (*location).MajorFunction;
        if u32::from((*location).Control) & SL_PENDING_RETURNED != 0
            && ledger::has_frame(packet, (*packet).CurrentLocation)
        {
            fail!(
                Irp,
                "IRP {packet:p} was marked pending, and then its stack location was skipped: {} inherits the mark",
                super::name_of_driver(driver)
            );
        }
        forbid_foreign_pointers(packet, location);
        (*location).DeviceObject = device;
        let what = format!(
            "{} MJ_{}/{:#x}",
            super::name_of_driver(driver),
            major_name(major),
            (*location).MinorFunction
        );
        let routines = (*driver).MajorFunction;
        let routine = routines.get(usize::from(major)).copied().flatten();
        let routine = routine.map_or(std::ptr::null(), |routine| routine as *const ());
        let native = super::native::dispatch_of(driver);
        let frame = match ledger::called(packet, (*packet).CurrentLocation, what) {
            Ok(frame) => frame,
            Err(fault) => fail!(Irp, "IofCallDriver: {fault}"),
        };
        let before = thread::State::now();
        let status = match native {
            Some(dispatch) => dispatch(device, packet),
            // What NT puts into a new driver object's table.
            None if routine.is_null() => {
                irp::set_status(packet, STATUS_INVALID_DEVICE_REQUEST, 0);
                super::complete::complete(packet);
                STATUS_INVALID_DEVICE_REQUEST
            }
            None => kernel::call(routine, [device as usize, packet as usize]) as NTSTATUS,
        };
        if let Some(change) = before.change() {
            fail!(Irp, "{} returned with {change}", frame.what());
        }
        if let Err(fault) = frame.returned(status) {
            fail!(Irp, "{fault}");
        }
        status
    }
}

/// The raw pointers of a control with METHOD_NEITHER mean something in the process that sent it only.
///
/// # Safety
/// `packet` is live, and `location` its current one.
unsafe fn forbid_foreign_pointers(packet: PIRP, location: PIO_STACK_LOCATION) {
    // SAFETY: by contract.
    unsafe {
        let major = u32::from((*location).MajorFunction);
        let minor = u32::from((*location).MinorFunction);
        let control = major == IRP_MJ_DEVICE_CONTROL
            || (major == IRP_MJ_FILE_SYSTEM_CONTROL && minor == IRP_MN_USER_FS_REQUEST);
        if !control || (*packet).RequestorMode == 0 {
            return;
        }
        let parameters = &(*location).Parameters.DeviceIoControl;
        let code = parameters.IoControlCode;
        let pointers = [parameters.Type3InputBuffer, (*packet).UserBuffer];
        if code & 3 == METHOD_NEITHER
            && pointers.iter().any(|pointer| !pointer.is_null())
            && ps::current_process() == ps::system_process()
        {
            fail!(
                Irp,
                "a control {code:#x} with METHOD_NEITHER is passed on by a thread of the system's, where the user's pointers \
                 {pointers:?} mean nothing"
            );
        }
    }
}

/// `IofCallDriver`.
pub unsafe extern "win64" fn IofCallDriver(device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe { call_driver(device, packet) }
}

/// `IoForwardIrpSynchronously`.
pub unsafe extern "win64" fn IoForwardIrpSynchronously(device: PDEVICE_OBJECT, packet: PIRP) -> BOOLEAN {
    unsafe extern "win64" fn stop(_device: PDEVICE_OBJECT, packet: PIRP, event: PVOID) -> NTSTATUS {
        // SAFETY: the event is on the stack of the forwarding thread, which waits for it.
        unsafe {
            if (*packet).PendingReturned != 0 {
                kernel::event_set(event.cast());
            }
        }
        STATUS_MORE_PROCESSING_REQUIRED
    }
    // SAFETY: the driver owns the IRP, and a location is left or we say so.
    unsafe {
        if (*packet).CurrentLocation <= 1 {
            return 0;
        }
        let mut event: KEVENT = std::mem::zeroed();
        kernel::event_init(&raw mut event, _EVENT_TYPE_NotificationEvent, false);
        let (from, to) = (irp::current(packet), irp::next(packet));
        std::ptr::copy_nonoverlapping(from, to, 1);
        (*to).CompletionRoutine = Some(stop);
        (*to).Context = (&raw mut event).cast();
        (*to).Control = (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
        if call_driver(device, packet) == STATUS_PENDING {
            kernel::event_wait(&raw mut event);
        }
    }
    1
}

crate::table! {
    /// Calls down the stack.
    pub static IMPORTS = {
        IofCallDriver <= DISPATCH;
        IoForwardIrpSynchronously <= PASSIVE;
    }
}
