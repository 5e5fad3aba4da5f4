//! The `Zw` file calls that a driver makes: opening by name, reading, asking, controlling. All from kernel mode, with
//! kernel handles, and synchronous or waited for: a driver's file handle here has FILE_SYNCHRONOUS_IO_NONALERT.

use super::file::{self, Waiter};
use super::open::{self, Open};
use super::request::{self, Control, Method};
use super::{call, irp, names};
use crate::nt::*;
use crate::ob;
use crate::verifier::fail;
use std::ptr;

/// The file object behind a handle, with a reference; None when the handle is none or of something else.
fn file_of(handle: HANDLE) -> Option<PFILE_OBJECT> {
    let body = ob::from_handle(handle)?;
    let is_file = ob::type_of(body).is_some_and(|kind| ptr::eq(kind, &raw const file::FILE_TYPE));
    if !is_file {
        ob::dereference(body);
        return None;
    }
    Some(body.cast())
}

/// # Safety
/// `attributes` and what it points to are the driver's and valid, as are the places for results.
unsafe fn open_by_attributes(
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    attributes: *const OBJECT_ATTRIBUTES,
    block: PIO_STATUS_BLOCK,
    (share, disposition, options): (u32, u32, u32),
) -> NTSTATUS {
    // SAFETY: by contract.
    unsafe {
        let attributes = &*attributes;
        if attributes.Attributes & OBJ_KERNEL_HANDLE == 0 {
            fail!(
                Reference,
                "a driver opens a file without OBJ_KERNEL_HANDLE: any process it happens to run in could use the handle"
            );
        }
        let root = match attributes.RootDirectory {
            root if root.is_null() => None,
            root => match file_of(root) {
                Some(root) => Some(root),
                None => return STATUS_INVALID_HANDLE,
            },
        };
        let opened = open::open(&Open {
            path: names::characters(attributes.ObjectName),
            root: root.map(|root| (root, names::characters(&raw const (*root).FileName))),
            access: super::misc::map_generic(access),
            share,
            disposition,
            options,
            attributes: 0,
            ignore_case: attributes.Attributes & OBJ_CASE_INSENSITIVE != 0,
            mode: 0,
            ea: Vec::new(),
            flags: 0,
        });
        if let Some(root) = root {
            ob::dereference(root.cast());
        }
        match opened {
            Ok(opened) => {
                *handle = ob::open_handle_for_driver(opened.file_object.cast(), opened.granted);
                ob::dereference(opened.file_object.cast());
                *block = irp::status_block(STATUS_SUCCESS, opened.information);
                STATUS_SUCCESS
            }
            Err(status) => {
                *block = irp::status_block(status, 0);
                status
            }
        }
    }
}

/// `ZwCreateFile`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn ZwCreateFile(
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    attributes: *const OBJECT_ATTRIBUTES,
    block: PIO_STATUS_BLOCK,
    _allocation: PLARGE_INTEGER,
    _file_attributes: ULONG,
    share: ULONG,
    disposition: ULONG,
    options: ULONG,
    _ea: PVOID,
    _ea_length: ULONG,
) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe { open_by_attributes(handle, access, attributes, block, (share, disposition, options)) }
}

/// `ZwOpenFile`.
pub unsafe extern "win64" fn ZwOpenFile(
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    attributes: *const OBJECT_ATTRIBUTES,
    block: PIO_STATUS_BLOCK,
    share: ULONG,
    options: ULONG,
) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe { open_by_attributes(handle, access, attributes, block, (share, FILE_OPEN, options)) }
}

/// Sends a request for the file of `handle` and waits for its end.
///
/// # Safety
/// `block` is a place for the outcome; `fill` sets up the next location.
unsafe fn send(
    handle: HANDLE,
    function: (u32, u32),
    block: PIO_STATUS_BLOCK,
    fill: impl FnOnce(PDEVICE_OBJECT, PFILE_OBJECT, PIRP, PIO_STACK_LOCATION) -> bool,
) -> NTSTATUS {
    let Some(file_object) = file_of(handle) else {
        return STATUS_INVALID_HANDLE;
    };
    // SAFETY: by contract; the reference lasts until the request has ended.
    unsafe {
        if (*file_object).Flags & FO_SYNCHRONOUS_IO == 0 {
            fail!(
                Irp,
                "a Zw call on a file that was opened for asynchronous I/O, with nobody to wait for it"
            );
        }
        let waiter = Waiter::new();
        let (packet, device) = file::build(file_object, function.0, function.1, 0, &waiter);
        let (status, information) = if packet.is_null() {
            (STATUS_INSUFFICIENT_RESOURCES, 0)
        } else if !fill(device, file_object, packet, irp::next(packet)) {
            request::discard(packet);
            (STATUS_INSUFFICIENT_RESOURCES, 0)
        } else {
            (*packet).Flags |= IRP_SYNCHRONOUS_API;
            let status = call::call_driver(device, packet);
            waiter.outcome(status)
        };
        ob::dereference(file_object.cast());
        if !block.is_null() {
            *block = irp::status_block(status, information);
        }
        status
    }
}

/// `ZwReadFile`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn ZwReadFile(
    handle: HANDLE,
    _event: HANDLE,
    _apc: PVOID,
    _context: PVOID,
    block: PIO_STATUS_BLOCK,
    buffer: PVOID,
    length: ULONG,
    offset: PLARGE_INTEGER,
    _key: PULONG,
) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe {
        send(
            handle,
            (IRP_MJ_READ, 0),
            block,
            |device, file_object, packet, location| {
                (*packet).Flags |= IRP_READ_OPERATION;
                (*location).Parameters.Read.Length = length;
                (*location).Parameters.Read.ByteOffset.QuadPart = if offset.is_null() {
                    (*file_object).CurrentByteOffset.QuadPart
                } else {
                    (*offset).QuadPart
                };
                request::transfer(
                    packet,
                    Method::of_device(device),
                    buffer.cast(),
                    length as usize,
                    true,
                )
            },
        )
    }
}

/// `ZwQueryInformationFile`.
pub unsafe extern "win64" fn ZwQueryInformationFile(
    handle: HANDLE,
    block: PIO_STATUS_BLOCK,
    buffer: PVOID,
    length: ULONG,
    class: FILE_INFORMATION_CLASS,
) -> NTSTATUS {
    // SAFETY: the driver's contract is ours.
    unsafe {
        send(
            handle,
            (IRP_MJ_QUERY_INFORMATION, 0),
            block,
            |_, _, packet, location| {
                (*location).Parameters.QueryFile.Length = length;
                (*location).Parameters.QueryFile.FileInformationClass = class;
                (*packet).UserBuffer = buffer;
                (*packet).Flags |= IRP_INPUT_OPERATION;
                request::system_buffer(packet, length as usize, ptr::null(), 0)
            },
        )
    }
}

/// # Safety
/// As for the two callers.
unsafe fn control(
    handle: HANDLE,
    function: (u32, u32),
    block: PIO_STATUS_BLOCK,
    (code, input, input_length, output, output_length): (ULONG, PVOID, ULONG, PVOID, ULONG),
) -> NTSTATUS {
    // FILE_READ_ACCESS and FILE_WRITE_ACCESS of a code have the bits of FILE_READ_DATA and FILE_WRITE_DATA.
    let needed = code >> 14 & (FILE_READ_DATA | FILE_WRITE_DATA);
    let missing = needed & !ob::handle_access(handle).unwrap_or(u32::MAX);
    if missing != 0 {
        fail!(
            Irp,
            "control {code:#x} by a handle without right {missing:#x} that its code asks for: the I/O manager lets kernel \
             mode pass, a filter need not"
        );
    }
    // SAFETY: by contract.
    unsafe {
        send(handle, function, block, |_, _, packet, _| {
            let buffers = Control {
                code,
                input: (input.cast(), input_length as usize),
                output: (output.cast(), output_length as usize),
            };
            request::control(packet, &buffers)
        })
    }
}

/// `ZwDeviceIoControlFile`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn ZwDeviceIoControlFile(
    handle: HANDLE,
    _event: HANDLE,
    _apc: PVOID,
    _context: PVOID,
    block: PIO_STATUS_BLOCK,
    code: ULONG,
    input: PVOID,
    input_length: ULONG,
    output: PVOID,
    output_length: ULONG,
) -> NTSTATUS {
    let buffers = (code, input, input_length, output, output_length);
    // SAFETY: the driver's contract is ours.
    unsafe { control(handle, (IRP_MJ_DEVICE_CONTROL, 0), block, buffers) }
}

/// `ZwFsControlFile`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn ZwFsControlFile(
    handle: HANDLE,
    _event: HANDLE,
    _apc: PVOID,
    _context: PVOID,
    block: PIO_STATUS_BLOCK,
    code: ULONG,
    input: PVOID,
    input_length: ULONG,
    output: PVOID,
    output_length: ULONG,
) -> NTSTATUS {
    let buffers = (code, input, input_length, output, output_length);
    let function = (IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MN_USER_FS_REQUEST);
    // SAFETY: the driver's contract is ours.
    unsafe { control(handle, function, block, buffers) }
}

crate::table! {
    /// File calls of drivers.
    pub static IMPORTS = {
        ZwCreateFile <= PASSIVE;
        ZwOpenFile <= PASSIVE;
        ZwReadFile <= PASSIVE;
        ZwQueryInformationFile <= PASSIVE;
        ZwDeviceIoControlFile <= PASSIVE;
        ZwFsControlFile <= PASSIVE;
    }
}
