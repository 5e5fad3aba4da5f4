//! A control device of Windows, opened and asked by the functions of ntdll: their NTSTATUS comes as the driver gave it,
//! while Win32 would translate it into an error code with less in it.
//!
//! The three structs are declared here, with their sizes checked: they are part of Windows' stable interface to programs
//! (`winternl.h` documents them).
//
// UNSAFETY: calls of ntdll, with pointers to structs and buffers of ours that outlive them.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use lklfs_control::Interface;
use lklfs_nt::NtStatus;

use crate::error::OpenError;
use crate::{Transport, access};

/// Where a driver is entered when it is installed.
const SERVICE: &str = "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\lklfs";

pub(crate) const OBJ_CASE_INSENSITIVE: u32 = 0x40;
const KEY_QUERY_VALUE: u32 = 1;
const FILE_SHARE_READ_WRITE: u32 = 3;
const FILE_SYNCHRONOUS_IO_NONALERT: u32 = 0x20;

/// UNICODE_STRING: lengths in bytes.
#[repr(C)]
pub(crate) struct UnicodeString {
    length: u16,
    maximum_length: u16,
    buffer: *const u16,
}
const _: () = assert!(size_of::<UnicodeString>() == 16);

/// OBJECT_ATTRIBUTES.
#[repr(C)]
pub(crate) struct ObjectAttributes {
    length: u32,
    root_directory: *mut c_void,
    object_name: *const UnicodeString,
    attributes: u32,
    security_descriptor: *const c_void,
    security_quality_of_service: *const c_void,
}
const _: () = assert!(size_of::<ObjectAttributes>() == 48);

/// IO_STATUS_BLOCK: the status is in the lower half of a union with a pointer.
#[repr(C)]
#[derive(Default)]
pub(crate) struct IoStatusBlock {
    status: u32,
    upper: u32,
    information: usize,
}
const _: () = assert!(size_of::<IoStatusBlock>() == 16);

/// Where the system tells how a request ended.
#[derive(Default)]
pub(crate) struct Ending(UnsafeCell<IoStatusBlock>);

impl Ending {
    /// For the call.
    pub(crate) fn as_ptr(&self) -> *mut IoStatusBlock {
        self.0.get()
    }

    /// Waits for the request that `handle` was called with and that returned `status`: the bytes that it gave.
    pub(crate) fn wait(&self, handle: &OwnedHandle, status: u32) -> Result<usize, NtStatus> {
        let mut status = NtStatus(status);
        // On a handle for synchronous requests the system has waited already; this is for what stands in for it.
        if status == NtStatus::PENDING {
            // SAFETY: a live handle; no timeout is given, so the request has ended afterwards.
            unsafe { NtWaitForSingleObject(handle.as_raw_handle(), 0, null()) };
            status = NtStatus(self.told().status);
        }
        match status.is_success() {
            true => Ok(self.told().information),
            false => Err(status),
        }
    }

    /// What the system has written when the request ended, behind the compiler's back.
    fn told(&self) -> IoStatusBlock {
        // SAFETY: it is ours, and its members take any bits.
        unsafe { self.0.get().read_volatile() }
    }
}

#[link(name = "ntdll", kind = "raw-dylib")]
unsafe extern "system" {
    fn NtOpenFile(
        handle: *mut *mut c_void,
        access: u32,
        attributes: *const ObjectAttributes,
        status: *mut IoStatusBlock,
        share: u32,
        options: u32,
    ) -> u32;
    fn NtOpenKey(handle: *mut *mut c_void, access: u32, attributes: *const ObjectAttributes) -> u32;
    fn NtDeviceIoControlFile(
        handle: *mut c_void,
        event: *mut c_void,
        routine: *const c_void,
        context: *const c_void,
        status: *mut IoStatusBlock,
        code: u32,
        input: *const c_void,
        input_length: u32,
        output: *mut c_void,
        output_length: u32,
    ) -> u32;
    fn NtWaitForSingleObject(handle: *mut c_void, alertable: u8, timeout: *const i64) -> u32;
}

/// A handle on a control device.
pub struct Device(OwnedHandle);

impl Device {
    pub fn open(interface: Interface) -> Result<Device, OpenError> {
        let mut handle = null_mut();
        let block = Ending::default();
        let name: Vec<u16> = interface.device_name().encode_utf16().collect();
        let status = named(&name, null_mut(), OBJ_CASE_INSENSITIVE, |attributes| {
            // SAFETY: all pointers are to values that live until the call has returned; it is a synchronous one.
            unsafe {
                NtOpenFile(
                    &raw mut handle,
                    access(interface),
                    attributes,
                    block.as_ptr(),
                    FILE_SHARE_READ_WRITE,
                    FILE_SYNCHRONOUS_IO_NONALERT,
                )
            }
        });
        match status {
            // SAFETY: the handle is new and nobody else's.
            status if status.is_success() => Ok(Device(unsafe { OwnedHandle::from_raw_handle(handle) })),
            NtStatus::ACCESS_DENIED => Err(OpenError::Denied),
            NtStatus::OBJECT_NAME_NOT_FOUND
            | NtStatus::OBJECT_PATH_NOT_FOUND
            | NtStatus::NO_SUCH_DEVICE
            | NtStatus::DEVICE_NOT_READY => Err(match installed() {
                true => OpenError::NotRunning,
                false => OpenError::NotInstalled,
            }),
            status => Err(OpenError::Other(status)),
        }
    }
}

impl Transport for Device {
    fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        // SAFETY: it is that function.
        unsafe { control(NtDeviceIoControlFile, &self.0, code, input, room) }
    }
}

/// NtDeviceIoControlFile and NtFsControlFile: handle, event, routine and its context, status, code, input and its length,
/// output and its length.
pub(crate) type ControlFile = unsafe extern "system" fn(
    *mut c_void,
    *mut c_void,
    *const c_void,
    *const c_void,
    *mut IoStatusBlock,
    u32,
    *const c_void,
    u32,
    *mut c_void,
    u32,
) -> u32;

/// Sends a control; the bytes of its answer.
///
/// # Safety
/// `call` is one of the two.
pub(crate) unsafe fn control(
    call: ControlFile,
    handle: &OwnedHandle,
    code: u32,
    input: &[u8],
    room: usize,
) -> Result<Vec<u8>, NtStatus> {
    let mut output = vec![0; room];
    let (input_length, output_length) = (sized(input.len())?, sized(room)?);
    let block = Ending::default();
    // SAFETY: the buffers have the lengths that are given and live until the end of the request, which is waited for here.
    let status = unsafe {
        call(
            handle.as_raw_handle(),
            null_mut(),
            null(),
            null(),
            block.as_ptr(),
            code,
            input.as_ptr().cast(),
            input_length,
            output.as_mut_ptr().cast(),
            output_length,
        )
    };
    output.truncate(block.wait(handle, status)?);
    Ok(output)
}

/// A length as ntdll has it.
pub(crate) fn sized(bytes: usize) -> Result<u32, NtStatus> {
    u32::try_from(bytes).map_err(|_| NtStatus::INVALID_PARAMETER)
}

/// Whether the driver's service is there. The services' keys can be read by everyone.
fn installed() -> bool {
    let mut key = null_mut();
    let name: Vec<u16> = SERVICE.encode_utf16().collect();
    // SAFETY: all pointers are to values that live until the call has returned.
    let status = named(&name, null_mut(), OBJ_CASE_INSENSITIVE, |attributes| unsafe {
        NtOpenKey(&raw mut key, KEY_QUERY_VALUE, attributes)
    });
    if status.is_success() {
        // SAFETY: the handle is new and nobody else's.
        drop(unsafe { OwnedHandle::from_raw_handle(key) });
    }
    // A key that may not be read is there, too.
    status.is_success() || status == NtStatus::ACCESS_DENIED
}

/// Calls with the attributes of the object `name`, relative to `root` unless that is null.
pub(crate) fn named(
    name: &[u16],
    root: *mut c_void,
    flags: u32,
    call: impl FnOnce(*const ObjectAttributes) -> u32,
) -> NtStatus {
    let Ok(length) = u16::try_from(name.len().saturating_mul(2)) else {
        return NtStatus::OBJECT_NAME_INVALID;
    };
    let string = UnicodeString {
        length,
        maximum_length: length,
        buffer: if name.is_empty() { null() } else { name.as_ptr() },
    };
    let attributes = ObjectAttributes {
        length: size_of::<ObjectAttributes>() as u32,
        root_directory: root,
        object_name: &raw const string,
        attributes: flags,
        security_descriptor: null(),
        security_quality_of_service: null(),
    };
    NtStatus(call(&raw const attributes))
}
