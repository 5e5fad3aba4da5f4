//! Queries, controls and locks: everything on a handle that moves no file data.
//!
//! What NT's I/O manager answers without the file system is answered here, too: the access, mode, alignment
//! and position classes. So is a handle that lacks the right that a request needs: the file system never hears of it.

use super::handle::Handle;
use super::request::{Outcome, Pending};
use crate::io::file;
use crate::io::names::wide;
use crate::io::request::{self, Control, Method};
use crate::mm::user::UserRegion;
use crate::nt::*;

impl Handle {
    /// A query whose answer comes through the system buffer; the class goes to the location by `class`.
    fn query(&self, major: u32, len: usize, class: impl FnOnce(PIO_STACK_LOCATION)) -> Outcome {
        self.request(
            (major, 0),
            Some(UserRegion::new(len)),
            |packet, location, buffer| {
                class(location);
                // SAFETY: the IRP is being built; the buffer lives until its end.
                unsafe {
                    (*packet).Flags |= IRP_INPUT_OPERATION;
                    (*packet).UserBuffer = buffer.map_or(std::ptr::null_mut(), |buffer| buffer.ptr().cast());
                    request::system_buffer(packet, len, std::ptr::null(), 0)
                }
            },
        )
    }

    /// NtQueryInformationFile with a buffer of `len` bytes.
    pub fn query_information(&self, class: i32, len: usize) -> Outcome {
        // Basic, All, NetworkOpen, AttributeTag, Stat; StatLx tells of extended attributes, too.
        let rights = match class {
            4 | 18 | 34 | 35 | 68 => FILE_READ_ATTRIBUTES,
            70 => FILE_READ_ATTRIBUTES | FILE_READ_EA,
            _ => 0,
        };
        if !self.may(rights) {
            return Outcome::failed(STATUS_ACCESS_DENIED);
        }
        if let Some(answer) = self.own_answer(class, len) {
            return answer;
        }
        self.query(IRP_MJ_QUERY_INFORMATION, len, |location| {
            // SAFETY: the location is that of the IRP being built.
            unsafe {
                (*location).Parameters.QueryFile.Length = len as u32;
                (*location).Parameters.QueryFile.FileInformationClass = class as FILE_INFORMATION_CLASS;
            }
        })
    }

    /// What the I/O manager answers without the file system.
    fn own_answer(&self, class: i32, len: usize) -> Option<Outcome> {
        const CREATE_MODES: u32 = FILE_WRITE_THROUGH
            | FILE_SEQUENTIAL_ONLY
            | FILE_NO_INTERMEDIATE_BUFFERING
            | FILE_SYNCHRONOUS_IO_ALERT
            | FILE_SYNCHRONOUS_IO_NONALERT
            | FILE_DELETE_ON_CLOSE;
        let flags = self.flags();
        let bytes = match u32::try_from(class).ok()? {
            8 => self.granted.to_le_bytes().to_vec(),
            // SAFETY: the handle references the file object.
            14 if flags & FO_SYNCHRONOUS_IO != 0 => unsafe {
                (*self.file_object())
                    .CurrentByteOffset
                    .QuadPart
                    .to_le_bytes()
                    .to_vec()
            },
            16 => {
                let pairs = [
                    (FO_WRITE_THROUGH, FILE_WRITE_THROUGH),
                    (FO_SEQUENTIAL_ONLY, FILE_SEQUENTIAL_ONLY),
                    (FO_NO_INTERMEDIATE_BUFFERING, FILE_NO_INTERMEDIATE_BUFFERING),
                    (FO_SYNCHRONOUS_IO, FILE_SYNCHRONOUS_IO_NONALERT),
                    (FO_DELETE_ON_CLOSE, FILE_DELETE_ON_CLOSE),
                ];
                let mode: u32 = pairs
                    .iter()
                    .filter(|(flag, _)| flags & flag != 0)
                    .map(|(_, mode)| mode)
                    .sum();
                (mode & CREATE_MODES).to_le_bytes().to_vec()
            }
            // SAFETY: as above.
            17 => unsafe {
                (*file::related_device(self.file_object()))
                    .AlignmentRequirement
                    .to_le_bytes()
                    .to_vec()
            },
            _ => return None,
        };
        Some(if len < bytes.len() {
            Outcome::failed(STATUS_INFO_LENGTH_MISMATCH)
        } else {
            Outcome {
                status: STATUS_SUCCESS,
                information: bytes.len(),
                bytes,
            }
        })
    }

    /// NtQueryVolumeInformationFile.
    pub fn query_volume(&self, class: u32, len: usize) -> Outcome {
        self.query(IRP_MJ_QUERY_VOLUME_INFORMATION, len, |location| {
            // SAFETY: the location is that of the IRP being built.
            unsafe {
                (*location).Parameters.QueryVolume.Length = len as u32;
                (*location).Parameters.QueryVolume.FsInformationClass = class as FS_INFORMATION_CLASS;
            }
        })
    }

    /// A set request: the data goes through the system buffer.
    fn set(&self, major: u32, data: &[u8], class: impl FnOnce(PIO_STACK_LOCATION)) -> Outcome {
        self.request((major, 0), None, |packet, location, _| {
            class(location);
            // SAFETY: the IRP is being built; the data is copied.
            unsafe { request::system_buffer(packet, data.len(), data.as_ptr(), data.len()) }
        })
    }

    /// NtSetInformationFile.
    pub fn set_information(&self, class: u32, data: &[u8]) -> Outcome {
        self.set(IRP_MJ_SET_INFORMATION, data, |location| {
            // SAFETY: the location is that of the IRP being built.
            unsafe {
                (*location).Parameters.SetFile.Length = data.len() as u32;
                (*location).Parameters.SetFile.FileInformationClass = class as FILE_INFORMATION_CLASS;
            }
        })
    }

    /// NtSetVolumeInformationFile.
    pub fn set_volume(&self, class: u32, data: &[u8]) -> Outcome {
        self.set(IRP_MJ_SET_VOLUME_INFORMATION, data, |location| {
            // SAFETY: the location is that of the IRP being built.
            unsafe {
                (*location).Parameters.SetVolume.Length = data.len() as u32;
                (*location).Parameters.SetVolume.FsInformationClass = class as FS_INFORMATION_CLASS;
            }
        })
    }

    /// NtQueryDirectoryFile. The pattern counts on the first call of a handle, and with `restart`.
    pub fn query_directory(&self, class: u32, len: usize, pattern: Option<&str>, flags: u32) -> Outcome {
        if !self.may(FILE_LIST_DIRECTORY) {
            return Outcome::failed(STATUS_ACCESS_DENIED);
        }
        let pattern: Option<Vec<u16>> = pattern.map(wide);
        self.request(
            (IRP_MJ_DIRECTORY_CONTROL, IRP_MN_QUERY_DIRECTORY),
            Some(UserRegion::new(len)),
            |packet, location, buffer| {
                // SAFETY: the IRP is being built; the name is in a block that goes with the IRP.
                unsafe {
                    (*location).Flags = flags as u8;
                    let parameters = &raw mut (*location).Parameters.QueryDirectory;
                    (*parameters).Length = len as u32;
                    (*parameters).FileInformationClass = class as FILE_INFORMATION_CLASS;
                    if let Some(pattern) = &pattern {
                        let name = request::name_block(packet, pattern);
                        (*parameters).FileName = name;
                    }
                    self.out(packet, buffer, len)
                }
            },
        )
    }

    /// Hands over an output buffer as the device's flags ask for it.
    ///
    /// # Safety
    /// The IRP is being built.
    unsafe fn out(&self, packet: PIRP, buffer: Option<&UserRegion>, len: usize) -> bool {
        // SAFETY: by contract.
        unsafe {
            let method = Method::of_device(file::related_device(self.file_object()));
            request::transfer(
                packet,
                method,
                buffer.map_or(std::ptr::null_mut(), UserRegion::ptr),
                len,
                true,
            )
        }
    }

    /// NtNotifyChangeDirectoryFile, not waited for.
    pub fn notify(&self, filter: u32, tree: bool, len: usize) -> Result<Pending, NTSTATUS> {
        if !self.may(FILE_LIST_DIRECTORY) {
            return Err(STATUS_ACCESS_DENIED);
        }
        let function = (IRP_MJ_DIRECTORY_CONTROL, IRP_MN_NOTIFY_CHANGE_DIRECTORY);
        self.submit(
            function,
            Some(UserRegion::new(len)),
            |packet, location, buffer| {
                // SAFETY: the IRP is being built.
                unsafe {
                    (*location).Flags = if tree { SL_WATCH_TREE as u8 } else { 0 };
                    (*location).Parameters.NotifyDirectory.Length = len as u32;
                    (*location).Parameters.NotifyDirectory.CompletionFilter = filter;
                    self.out(packet, buffer, len)
                }
            },
        )
    }

    /// NtFsControlFile.
    pub fn fsctl(&self, code: u32, input: &[u8], output_len: usize) -> Outcome {
        self.control(
            (IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MN_USER_FS_REQUEST),
            code,
            input,
            output_len,
        )
    }

    /// NtDeviceIoControlFile.
    pub fn ioctl(&self, code: u32, input: &[u8], output_len: usize) -> Outcome {
        self.control((IRP_MJ_DEVICE_CONTROL, 0), code, input, output_len)
    }

    /// The same, without waiting for the end. The code is one whose buffers are the system's (METHOD_BUFFERED).
    pub fn start_ioctl(&self, code: u32, input: &[u8], output_len: usize) -> Result<Pending, NTSTATUS> {
        assert_eq!(code & 3, 0, "{code:#x} uses the caller's input until its end");
        if !self.may_control(code) {
            return Err(STATUS_ACCESS_DENIED);
        }
        let given = UserRegion::new(input.len());
        given.write(input);
        self.submit(
            (IRP_MJ_DEVICE_CONTROL, 0),
            Some(UserRegion::new(output_len)),
            fill_control(code, &given, input.len(), output_len),
        )
    }

    fn control(&self, function: (u32, u32), code: u32, input: &[u8], output_len: usize) -> Outcome {
        if !self.may_control(code) {
            return Outcome::failed(STATUS_ACCESS_DENIED);
        }
        let given = UserRegion::new(input.len());
        given.write(input);
        self.request(
            function,
            Some(UserRegion::new(output_len)),
            fill_control(code, &given, input.len(), output_len),
        )
    }

    /// The code says itself what its handle needs: FILE_READ_ACCESS and FILE_WRITE_ACCESS are the data rights.
    fn may_control(&self, code: u32) -> bool {
        self.may((code >> 14) & (FILE_READ_DATA | FILE_WRITE_DATA))
    }

    /// NtLockFile: not waited for, so that a lock can be seen to wait.
    pub fn lock(&self, offset: u64, len: u64, exclusive: bool, fail: bool) -> Result<Pending, NTSTATUS> {
        let flags =
            if exclusive { SL_EXCLUSIVE_LOCK } else { 0 } | if fail { SL_FAIL_IMMEDIATELY } else { 0 };
        self.range((IRP_MJ_LOCK_CONTROL, IRP_MN_LOCK), offset, len, flags)
    }

    /// NtUnlockFile.
    pub fn unlock(&self, offset: u64, len: u64) -> NTSTATUS {
        match self.range((IRP_MJ_LOCK_CONTROL, IRP_MN_UNLOCK_SINGLE), offset, len, 0) {
            Ok(pending) => pending.wait().status,
            Err(status) => status,
        }
    }

    fn range(&self, function: (u32, u32), offset: u64, len: u64, flags: u32) -> Result<Pending, NTSTATUS> {
        if !self.may(FILE_READ_DATA) && !self.may(FILE_WRITE_DATA) {
            return Err(STATUS_ACCESS_DENIED);
        }
        self.submit(function, None, |packet, location, _| {
            // SAFETY: the IRP is being built; the length is in a block that goes with it.
            unsafe {
                (*location).Flags = flags as u8;
                let parameters = &raw mut (*location).Parameters.LockControl;
                (*parameters).Length = request::length_block(packet, len);
                (*parameters).ByteOffset.QuadPart = offset as i64;
            }
            true
        })
    }

    /// NtQuerySecurityObject.
    pub fn query_security(&self, information: u32, len: usize) -> Outcome {
        let sacl = if information & SACL_SECURITY_INFORMATION != 0 {
            ACCESS_SYSTEM_SECURITY
        } else {
            0
        };
        let rest = if information & !SACL_SECURITY_INFORMATION != 0 {
            READ_CONTROL
        } else {
            0
        };
        if !self.may(sacl | rest) {
            return Outcome::failed(STATUS_ACCESS_DENIED);
        }
        self.request(
            (IRP_MJ_QUERY_SECURITY, 0),
            Some(UserRegion::new(len)),
            |packet, location, buffer| {
                // SAFETY: the IRP is being built.
                unsafe {
                    (*location).Parameters.QuerySecurity.SecurityInformation = information;
                    (*location).Parameters.QuerySecurity.Length = len as u32;
                    (*packet).UserBuffer = buffer.map_or(std::ptr::null_mut(), |buffer| buffer.ptr().cast());
                }
                true
            },
        )
    }

    /// NtQueryEaFile, all attributes from the first.
    pub fn query_ea(&self, len: usize) -> Outcome {
        if !self.may(FILE_READ_EA) {
            return Outcome::failed(STATUS_ACCESS_DENIED);
        }
        self.request(
            (IRP_MJ_QUERY_EA, 0),
            Some(UserRegion::new(len)),
            |packet, location, buffer| {
                // SAFETY: the IRP is being built.
                unsafe {
                    (*location).Flags = SL_RESTART_SCAN as u8;
                    (*location).Parameters.QueryEa.Length = len as u32;
                    self.out(packet, buffer, len)
                }
            },
        )
    }

    /// NtSetEaFile.
    pub fn set_ea(&self, list: &[u8]) -> Outcome {
        self.set(IRP_MJ_SET_EA, list, |location| {
            // SAFETY: the location is that of the IRP being built.
            unsafe { (*location).Parameters.SetEa.Length = list.len() as u32 };
        })
    }

    /// NtSetSecurityObject.
    pub fn set_security(&self, information: u32, descriptor: &[u8]) -> Outcome {
        self.request((IRP_MJ_SET_SECURITY, 0), None, |_, location, _| {
            // SAFETY: the IRP is being built; the descriptor outlives the request, which is waited for.
            unsafe {
                (*location).Parameters.SetSecurity.SecurityInformation = information;
                (*location).Parameters.SetSecurity.SecurityDescriptor = descriptor.as_ptr().cast_mut().cast();
            }
            true
        })
    }

    /// NtFlushBuffersFile.
    pub fn flush(&self) -> NTSTATUS {
        self.request((IRP_MJ_FLUSH_BUFFERS, 0), None, |_, _, _| true)
            .status
    }

    /// Any other request with nothing but its function codes, to see that it is refused.
    pub fn bare(&self, major: u32, minor: u32) -> NTSTATUS {
        self.request((major, minor), None, |_, _, _| true).status
    }
}

/// Completes the IRP of a control whose input is `given`.
fn fill_control(
    code: u32,
    given: &UserRegion,
    input_len: usize,
    output_len: usize,
) -> impl FnOnce(PIRP, PIO_STACK_LOCATION, Option<&UserRegion>) -> bool {
    let source = if input_len == 0 {
        std::ptr::null_mut()
    } else {
        given.ptr()
    };
    move |packet, _, buffer| {
        let target = buffer
            .filter(|_| output_len != 0)
            .map_or(std::ptr::null_mut(), UserRegion::ptr);
        let buffers = Control {
            code,
            input: (source, input_len),
            output: (target, output_len),
        };
        // SAFETY: the IRP is being built; the region of the input lives until it is copied or the request ends, that of the
        // output until the end.
        unsafe { request::control(packet, &buffers) }
    }
}
