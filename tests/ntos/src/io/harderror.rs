//! Errors that a user can do something about: the wrong medium, none, or one that may have been changed.
//!
//! A driver of a removable medium that cannot go on names its device in the thread of the IRP (`Tail.Overlay.Thread`)
//! before it completes the IRP, so that the file system above knows which device to verify
//! (`IoSetHardErrorOrVerifyDevice`). An IRP without a thread cannot be named in: NT writes through a null pointer. The
//! modelled disk driver does so for each such error, and shows an error to the user if the thread lets it: what is shown is
//! recorded ([`take_shown`]).

use super::{kernel, names};
use crate::nt::*;
use crate::ps;
use crate::verifier::fail;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// Errors that were shown to the user.
static SHOWN: Mutex<Vec<(NTSTATUS, String)>> = Mutex::new(Vec::new());

/// Takes the errors that were shown to the user so far.
pub fn take_shown() -> Vec<(NTSTATUS, String)> {
    std::mem::take(&mut *SHOWN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What `IoIsErrorUserInduced` says of `status`.
pub fn is_user_induced(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_VERIFY_REQUIRED
            | STATUS_NO_MEDIA_IN_DEVICE
            | STATUS_WRONG_VOLUME
            | STATUS_UNRECOGNIZED_MEDIA
            | STATUS_MEDIA_WRITE_PROTECTED
            | STATUS_IO_TIMEOUT
            | STATUS_DEVICE_NOT_READY
    )
}

/// What a driver of a removable medium does before it completes a request with `status` for its device `device`.
///
/// # Safety
/// The IRP is the driver's.
pub unsafe fn before_completion(packet: PIRP, device: PDEVICE_OBJECT, status: NTSTATUS) {
    if !is_user_induced(status) {
        return;
    }
    // SAFETY: by contract.
    unsafe {
        set_or_verify(packet, device);
        // A medium that is to be verified is no error yet.
        if status != STATUS_VERIFY_REQUIRED
            && (*super::irp::current(packet)).MajorFunction == IRP_MJ_READ as u8
        {
            show(status, String::new(), (*packet).Tail.Overlay.Thread);
        }
    }
}

/// Shows an error to the user, unless `thread`, null for none, has that turned off. Whether it is shown.
fn show(status: NTSTATUS, text: String, thread: PETHREAD) -> bool {
    let mut hides = false;
    ps::with_thread(thread as usize, |thread| {
        hides = thread.hides_hard_errors.load(Ordering::Relaxed);
    });
    if !hides {
        SHOWN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((status, text));
    }
    !hides
}

/// # Safety
/// The IRP is the caller's.
unsafe fn set_or_verify(packet: PIRP, device: PDEVICE_OBJECT) {
    // SAFETY: by contract.
    let thread = unsafe { (*packet).Tail.Overlay.Thread };
    if thread.is_null() {
        fail!(
            Irp,
            "IoSetHardErrorOrVerifyDevice for an IRP {packet:p} without a thread (Tail.Overlay.Thread)"
        );
    }
    set_device(thread, device);
}

fn set_device(thread: PETHREAD, device: PDEVICE_OBJECT) {
    let mut lives = false;
    ps::with_thread(thread as usize, |thread| {
        thread.device_to_verify.store(device as usize, Ordering::Relaxed);
        lives = true;
    });
    if !lives {
        fail!(
            UseAfterFree,
            "a device to verify is set in thread {thread:p}, which has ended"
        );
    }
}

/// `IoSetHardErrorOrVerifyDevice`.
pub unsafe extern "win64" fn IoSetHardErrorOrVerifyDevice(packet: PIRP, device: PDEVICE_OBJECT) {
    // SAFETY: the driver owns the IRP.
    unsafe { set_or_verify(packet, device) }
}

/// `IoGetDeviceToVerify`.
pub unsafe extern "win64" fn IoGetDeviceToVerify(thread: PETHREAD) -> PDEVICE_OBJECT {
    let mut device = 0;
    ps::with_thread(thread as usize, |thread| {
        device = thread.device_to_verify.load(Ordering::Relaxed);
    });
    device as PDEVICE_OBJECT
}

/// `IoSetDeviceToVerify`.
pub unsafe extern "win64" fn IoSetDeviceToVerify(thread: PETHREAD, device: PDEVICE_OBJECT) {
    set_device(thread, device);
}

/// `IoSetThreadHardErrorMode`, for the calling thread; whether errors were shown before.
pub unsafe extern "win64" fn IoSetThreadHardErrorMode(enable: BOOLEAN) -> BOOLEAN {
    let hid = ps::current()
        .hides_hard_errors
        .swap(enable == 0, Ordering::Relaxed);
    u8::from(!hid)
}

/// `IoRaiseInformationalHardError`: recorded, unless the thread hides errors.
pub unsafe extern "win64" fn IoRaiseInformationalHardError(
    status: NTSTATUS,
    text: PUNICODE_STRING,
    thread: PVOID,
) -> BOOLEAN {
    // SAFETY: the driver gives a string or null.
    let text = String::from_utf16_lossy(&unsafe { names::characters(text) });
    let asked = if thread.is_null() {
        kernel::current_thread()
    } else {
        thread.cast()
    };
    u8::from(show(status, text, asked))
}

crate::table! {
    /// Errors for the user.
    pub static IMPORTS = {
        IoSetHardErrorOrVerifyDevice <= DISPATCH;
        IoGetDeviceToVerify <= DISPATCH;
        IoSetDeviceToVerify <= DISPATCH;
        IoSetThreadHardErrorMode <= DISPATCH;
        IoRaiseInformationalHardError <= APC;
    }
}
