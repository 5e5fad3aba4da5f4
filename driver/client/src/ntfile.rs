//! Files of Windows, by ntdll's functions.
//
// UNSAFETY: calls of ntdll, with pointers to structs and buffers of ours that outlive them.

use std::ffi::c_void;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use lklfs_nt::{AccessMask, CreateDisposition, CreateOptions, FileInformationClass, NtStatus, ShareAccess};

use crate::files::{FileTransport, OpenAs};
use crate::ntdll::{
    Ending, IoStatusBlock, OBJ_CASE_INSENSITIVE, ObjectAttributes, UnicodeString, control, named, sized,
};

#[link(name = "ntdll", kind = "raw-dylib")]
unsafe extern "system" {
    fn NtCreateFile(
        handle: *mut *mut c_void,
        access: u32,
        attributes: *const ObjectAttributes,
        status: *mut IoStatusBlock,
        allocation_size: *const i64,
        file_attributes: u32,
        share: u32,
        disposition: u32,
        options: u32,
        ea: *const c_void,
        ea_length: u32,
    ) -> u32;
    fn NtReadFile(
        handle: *mut c_void,
        event: *mut c_void,
        routine: *const c_void,
        context: *const c_void,
        status: *mut IoStatusBlock,
        buffer: *mut c_void,
        length: u32,
        offset: *const i64,
        key: *const u32,
    ) -> u32;
    fn NtQueryDirectoryFile(
        handle: *mut c_void,
        event: *mut c_void,
        routine: *const c_void,
        context: *const c_void,
        status: *mut IoStatusBlock,
        buffer: *mut c_void,
        length: u32,
        class: u32,
        single: u8,
        pattern: *const UnicodeString,
        restart: u8,
    ) -> u32;
    fn NtFsControlFile(
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
}

/// A handle on a file, for synchronous requests.
pub struct Handle(OwnedHandle);

impl Handle {
    /// Opens `name`, relative to `root` if there is one.
    pub fn open(name: &[u16], root: Option<&Handle>, how: OpenAs) -> Result<Handle, NtStatus> {
        let share =
            ShareAccess::FILE_SHARE_READ | ShareAccess::FILE_SHARE_WRITE | ShareAccess::FILE_SHARE_DELETE;
        let access = how.access | AccessMask::SYNCHRONIZE;
        let options = how.options | CreateOptions::FILE_SYNCHRONOUS_IO_NONALERT;
        // Windows does not let every program ask for case (the kernel's setting obcaseinsensitive); the driver finds an
        // exact name first in any case.
        let flags = if how.exact { 0 } else { OBJ_CASE_INSENSITIVE };
        let root = root.map_or(null_mut(), |root| root.0.as_raw_handle());
        let mut handle = null_mut();
        let block = Ending::default();
        let status = named(name, root, flags, |attributes| {
            // SAFETY: all pointers are to values that live until the call has returned, and opening is synchronous.
            unsafe {
                NtCreateFile(
                    &raw mut handle,
                    access.0,
                    attributes,
                    block.as_ptr(),
                    null(),
                    0,
                    share.0.into(),
                    CreateDisposition::FILE_OPEN.0,
                    options.0,
                    null(),
                    0,
                )
            }
        });
        if !status.is_success() {
            return Err(status);
        }
        // SAFETY: the handle is new and nobody else's.
        Ok(Handle(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }
}

impl FileTransport for Handle {
    fn open(&self, name: &[u16], how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
        Ok(Box::new(Handle::open(name, Some(self), how)?))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NtStatus> {
        let offset = i64::try_from(offset).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let block = Ending::default();
        let handle = self.0.as_raw_handle();
        // SAFETY: the buffer has at least this length and lives until the end of the request, which is waited for here.
        let status = unsafe {
            NtReadFile(
                handle,
                null_mut(),
                null(),
                null(),
                block.as_ptr(),
                buffer.as_mut_ptr().cast(),
                length,
                &raw const offset,
                null(),
            )
        };
        block.wait(&self.0, status)
    }

    fn directory(
        &self,
        class: FileInformationClass,
        restart: bool,
        room: usize,
    ) -> Result<Vec<u8>, NtStatus> {
        let length = sized(room)?;
        let mut output = vec![0u8; room];
        let block = Ending::default();
        let handle = self.0.as_raw_handle();
        // SAFETY: as in read().
        let status = unsafe {
            NtQueryDirectoryFile(
                handle,
                null_mut(),
                null(),
                null(),
                block.as_ptr(),
                output.as_mut_ptr().cast(),
                length,
                class.0,
                0,
                null(),
                restart.into(),
            )
        };
        output.truncate(block.wait(&self.0, status)?);
        Ok(output)
    }

    fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        // SAFETY: it is that function.
        unsafe { control(NtFsControlFile, &self.0, code, input, room) }
    }
}
