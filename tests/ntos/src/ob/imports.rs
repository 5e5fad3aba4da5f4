//! The imports that reference, dereference and close.
//!
//! References that the driver takes are counted in the ledger by object; one that it gives back without having taken it
//! (IoGetDeviceObjectPointer's, say, whose reference an I/O import notes itself) is only checked against the object's own
//! count.

#![allow(non_snake_case)]

use crate::{
    io::names,
    nt::*,
    ob::{self, ObjectType},
    ps,
    verifier::ledger::{self, Kind as Held},
};
use std::ffi::c_void;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ObReferenceObjectByHandle <= PASSIVE;
        ObReferenceObjectByPointer <= DISPATCH;
        ObfReferenceObject <= DISPATCH;
        ObfDereferenceObject <= DISPATCH;
        ObDereferenceObject = ObfDereferenceObject, <= DISPATCH;
        ObReferenceObject = ObfReferenceObject, <= DISPATCH;
        ObDereferenceObjectDeferDelete = ObfDereferenceObject, <= DISPATCH since Nt60;
        ObOpenObjectByPointer <= PASSIVE;
        ObQueryNameString <= PASSIVE;
        ObCloseHandle <= PASSIVE since Nt60;
        ZwClose <= PASSIVE;
        ZwSetSecurityObject <= PASSIVE;
        NtClose = ZwClose, <= PASSIVE;
    }
}

/// The object that an OBJECT_TYPE pointer of the driver names.
fn wanted(object_type: *const c_void) -> Option<*const ObjectType> {
    (!object_type.is_null()).then_some(object_type.cast())
}

unsafe extern "win64" fn ObReferenceObjectByHandle(
    handle: HANDLE,
    access: ACCESS_MASK,
    object_type: *const c_void,
    mode: i8,
    object: *mut PVOID,
    _information: *mut c_void,
) -> NTSTATUS {
    // NtCurrentThread() and NtCurrentProcess().
    let body = match handle as isize {
        -2 => {
            let body = ps::current().object();
            ob::reference(body);
            Some(body)
        }
        -1 => {
            let body = ps::current_process().cast();
            ob::reference(body);
            Some(body)
        }
        _ => ob::from_handle(handle),
    };
    let Some(body) = body else {
        return STATUS_INVALID_HANDLE;
    };
    let actual = ob::type_of(body).map_or(std::ptr::null(), |t| t as *const ObjectType);
    if wanted(object_type).is_some_and(|wanted| wanted != actual) {
        ob::dereference(body);
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    let granted = ob::handle_access(handle).unwrap_or(u32::MAX);
    if mode != 0 && access & !granted != 0 {
        ob::dereference(body);
        return STATUS_ACCESS_DENIED;
    }
    note(body);
    // SAFETY: the driver passes a pointer for the object.
    unsafe { *object = body };
    STATUS_SUCCESS
}

/// Notes a reference that the driver took.
fn note(body: *mut c_void) {
    ledger::add(
        Held::Reference,
        body as usize,
        ob::type_of(body).map_or("?", |t| t.name),
    );
}

unsafe extern "win64" fn ObReferenceObjectByPointer(
    body: PVOID,
    _access: ACCESS_MASK,
    object_type: *const c_void,
    _mode: i8,
) -> NTSTATUS {
    let actual = ob::type_of(body).map_or(std::ptr::null(), |t| t as *const ObjectType);
    if wanted(object_type).is_some_and(|wanted| wanted != actual) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    ob::reference(body);
    note(body);
    STATUS_SUCCESS
}

/// `ObfReferenceObject`.
pub unsafe extern "win64" fn ObfReferenceObject(body: PVOID) -> isize {
    ob::reference(body);
    note(body);
    ob::references(body)
}

/// `ObfDereferenceObject`.
pub unsafe extern "win64" fn ObfDereferenceObject(body: PVOID) -> isize {
    ledger::remove(Held::Reference, body as usize);
    let left = ob::references(body) - 1;
    ob::dereference(body);
    left
}

unsafe extern "win64" fn ObOpenObjectByPointer(
    body: PVOID,
    _attributes: ULONG,
    _access_state: PVOID,
    access: ACCESS_MASK,
    object_type: *const c_void,
    _mode: i8,
    handle: *mut HANDLE,
) -> NTSTATUS {
    let actual = ob::type_of(body).map_or(std::ptr::null(), |t| t as *const ObjectType);
    if wanted(object_type).is_some_and(|wanted| wanted != actual) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    let opened = ob::open_handle_for_driver(body, access);
    // SAFETY: the driver passes a pointer for the handle.
    unsafe { *handle = opened };
    STATUS_SUCCESS
}

/// `ObQueryNameString`, for devices.
unsafe extern "win64" fn ObQueryNameString(body: PVOID, out: PVOID, room: ULONG, needed: PULONG) -> NTSTATUS {
    let is_device = ob::type_of(body).is_some_and(|kind| kind.name == "Device");
    if !is_device {
        crate::fail!(
            Reference,
            "ObQueryNameString of something else than a device is not modelled"
        );
    }
    let name = names::spelled(&names::Node::Device(body as usize)).unwrap_or_default();
    let bytes = name.len() * 2;
    let head = size_of::<UNICODE_STRING>();
    let whole = head + if name.is_empty() { 0 } else { bytes + 2 };
    // SAFETY: the driver passes room for the string and a place for its length.
    unsafe {
        *needed = whole as u32;
        if (room as usize) < whole {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        let buffer = out.cast::<u8>().add(head).cast::<u16>();
        let mut string = UNICODE_STRING {
            Length: 0,
            MaximumLength: 0,
            Buffer: std::ptr::null_mut(),
        };
        if !name.is_empty() {
            buffer.copy_from_nonoverlapping(name.as_ptr(), name.len());
            *buffer.add(name.len()) = 0;
            string.Length = bytes as u16;
            string.MaximumLength = bytes as u16 + 2;
            string.Buffer = buffer;
        }
        out.cast::<UNICODE_STRING>().write(string);
    }
    STATUS_SUCCESS
}

/// `ZwClose`.
pub unsafe extern "win64" fn ZwClose(handle: HANDLE) -> NTSTATUS {
    let status = ob::close_handle(handle);
    if status == STATUS_INVALID_HANDLE {
        crate::fail!(Reference, "ZwClose of {handle:p}, which is no open handle");
    }
    status
}

unsafe extern "win64" fn ObCloseHandle(handle: HANDLE, _mode: i8) -> NTSTATUS {
    ob::close_handle(handle)
}

/// Sets an object's descriptor; [`ob::security_of`] gives it back.
unsafe extern "win64" fn ZwSetSecurityObject(
    handle: HANDLE,
    information: ULONG,
    descriptor: PVOID,
) -> NTSTATUS {
    let Some(body) = ob::from_handle(handle) else {
        return STATUS_INVALID_HANDLE;
    };
    // SAFETY: the driver passes a descriptor.
    let bytes = unsafe { crate::se::descriptor::to_relative(descriptor, information) };
    ob::set_security(body, bytes);
    ob::dereference(body);
    STATUS_SUCCESS
}
