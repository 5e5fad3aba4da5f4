//! Handles: opening as NtCreateFile does, and the requests that the other Nt...File functions make.
//!
//! Requests come from user mode (`RequestorMode` UserMode) with buffers in user memory unless the handle was opened for the kernel.
//! What the I/O manager itself checks or answers is checked and answered here: granted access, sector rules of
//! uncached handles, the access, mode, alignment and position classes.

use super::request::{Outcome, Pending};
use crate::cc::section::Section;
use crate::cc::segment::{Role, choose};
use crate::fsrtl::fast;
use crate::io::file::{self, Waiter};
use crate::io::names::wide;
use crate::io::open::{self, Open};
use crate::io::request::{self, Control, Method};
use crate::io::{call, cancel, irp, kernel};
use crate::mm::user::UserRegion;
use crate::nt::*;
use crate::ob;
use std::sync::{Mutex, PoisonError};

/// How something is opened.
#[derive(Clone, Debug)]
pub struct OpenAs {
    /// Desired access.
    pub access: u32,
    /// FILE_SHARE_*.
    pub share: u32,
    /// FILE_OPEN and so on.
    pub disposition: u32,
    /// FILE_DIRECTORY_FILE and so on.
    pub options: u32,
    /// OBJ_CASE_INSENSITIVE.
    pub ignore_case: bool,
    /// From kernel mode.
    pub kernel: bool,
    /// Extended attributes.
    pub ea: Vec<u8>,
}

impl OpenAs {
    /// To read a file or list a directory: everything shared, synchronous, links followed, case ignored.
    pub fn read() -> OpenAs {
        OpenAs {
            access: FILE_GENERIC_READ,
            share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            disposition: FILE_OPEN,
            options: FILE_SYNCHRONOUS_IO_NONALERT,
            ignore_case: true,
            kernel: false,
            ea: Vec::new(),
        }
    }

    /// To look at attributes, of a link itself.
    pub fn look() -> OpenAs {
        let access = FILE_READ_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE;
        OpenAs { access, ..OpenAs::read() }.with(FILE_OPEN_REPARSE_POINT)
    }

    /// The volume itself.
    pub fn volume() -> OpenAs {
        OpenAs { access: FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE, ..OpenAs::read() }
    }

    /// With more options.
    pub fn with(mut self, options: u32) -> OpenAs {
        self.options |= options;
        self
    }

    /// With this access and no other.
    pub fn access(mut self, access: u32) -> OpenAs {
        self.access = access;
        self
    }

    /// With this disposition.
    pub fn disposition(mut self, disposition: u32) -> OpenAs {
        self.disposition = disposition;
        self
    }

    /// Sharing only this.
    pub fn share(mut self, share: u32) -> OpenAs {
        self.share = share;
        self
    }

    /// With names compared exactly.
    pub fn exact_case(mut self) -> OpenAs {
        self.ignore_case = false;
        self
    }

    /// For overlapped I/O.
    pub fn asynchronous(mut self) -> OpenAs {
        self.options &= !(FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT);
        self
    }

    /// Past the cache.
    pub fn uncached(self) -> OpenAs {
        self.with(FILE_NO_INTERMEDIATE_BUFFERING)
    }
}

/// An open handle; dropped, it is closed.
pub struct Handle {
    handle: usize,
    file_object: usize,
    path: Vec<u16>,
    granted: u32,
    information: usize,
    mode: u8,
    /// Requests on a synchronous handle go one at a time.
    turn: Mutex<()>,
}

impl Handle {
    /// Opens `path`, relative to `root` if there is one.
    pub fn open(path: Vec<u16>, root: Option<&Handle>, how: OpenAs) -> Result<Handle, NTSTATUS> {
        let mode = u8::from(!how.kernel);
        let opened = open::open(&Open {
            path,
            root: root.map(|root| (root.file_object(), root.path.clone())),
            access: crate::io::misc::map_generic(how.access),
            share: how.share,
            disposition: how.disposition,
            options: how.options,
            attributes: 0,
            ignore_case: how.ignore_case,
            mode,
            ea: how.ea,
            flags: 0,
        })?;
        let handle = ob::open_handle(opened.file_object.cast(), opened.granted) as usize;
        // The handle has a reference of its own now.
        ob::dereference(opened.file_object.cast());
        Ok(Handle {
            handle,
            file_object: opened.file_object as usize,
            path: opened.path,
            granted: opened.granted,
            information: opened.information,
            mode,
            turn: Mutex::new(()),
        })
    }

    /// Opens `name` relative to this directory.
    pub fn open_at(&self, name: &[u16], how: OpenAs) -> Result<Handle, NTSTATUS> {
        Handle::open(name.to_vec(), Some(self), how)
    }

    /// Closes it and waits for nothing else.
    pub fn close(self) {}

    /// Its file object.
    pub fn file_object(&self) -> PFILE_OBJECT {
        self.file_object as PFILE_OBJECT
    }

    /// Its full path, links resolved.
    pub fn path(&self) -> &[u16] {
        &self.path
    }

    /// The access that was granted.
    pub fn granted(&self) -> u32 {
        self.granted
    }

    /// FILE_OPENED and so on.
    pub fn information(&self) -> usize {
        self.information
    }

    fn flags(&self) -> u32 {
        // SAFETY: the handle references the file object.
        unsafe { (*self.file_object()).Flags }
    }

    /// Sends a request and does not wait. `fill` completes IRP and stack location and says whether that worked.
    pub fn submit(
        &self,
        (major, minor): (u32, u32),
        buffer: Option<UserRegion>,
        fill: impl FnOnce(PIRP, PIO_STACK_LOCATION, Option<&UserRegion>) -> bool,
    ) -> Result<Pending, NTSTATUS> {
        // SAFETY: the handle references the file object; the IRP is built here and sent once.
        unsafe {
            let waiter = Waiter::new();
            let (packet, device) = file::build(self.file_object(), major, minor, self.mode, &waiter);
            if packet.is_null() {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            if !fill(packet, irp::next(packet), buffer.as_ref()) {
                request::discard(packet);
                return Err(STATUS_ACCESS_VIOLATION);
            }
            if self.flags() & FO_SYNCHRONOUS_IO != 0 {
                (*packet).Flags |= IRP_SYNCHRONOUS_API;
            }
            cancel::list(packet, self.file_object());
            let status = call::call_driver(device, packet);
            Ok(Pending::new(waiter, packet, self.file_object(), buffer, status))
        }
    }

    /// Sends a request and waits for its end.
    pub fn request(
        &self,
        function: (u32, u32),
        buffer: Option<UserRegion>,
        fill: impl FnOnce(PIRP, PIO_STACK_LOCATION, Option<&UserRegion>) -> bool,
    ) -> Outcome {
        let _turn = (self.flags() & FO_SYNCHRONOUS_IO != 0)
            .then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        match self.submit(function, buffer, fill) {
            Ok(pending) => pending.wait(),
            Err(status) => Outcome::failed(status),
        }
    }

    /// A query whose answer comes through the system buffer; the class goes to the location by `class`.
    fn query(&self, major: u32, len: usize, class: impl FnOnce(PIO_STACK_LOCATION)) -> Outcome {
        self.request((major, 0), Some(UserRegion::new(len)), |packet, location, buffer| {
            class(location);
            // SAFETY: the IRP is being built; the buffer lives until its end.
            unsafe {
                (*packet).Flags |= IRP_INPUT_OPERATION;
                (*packet).UserBuffer = buffer.map_or(std::ptr::null_mut(), |buffer| buffer.ptr().cast());
                request::system_buffer(packet, len, std::ptr::null(), 0)
            }
        })
    }

    /// NtQueryInformationFile with a buffer of `len` bytes.
    pub fn query_information(&self, class: i32, len: usize) -> Outcome {
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
                (*self.file_object()).CurrentByteOffset.QuadPart.to_le_bytes().to_vec()
            },
            16 => {
                let pairs = [
                    (FO_WRITE_THROUGH, FILE_WRITE_THROUGH),
                    (FO_SEQUENTIAL_ONLY, FILE_SEQUENTIAL_ONLY),
                    (FO_NO_INTERMEDIATE_BUFFERING, FILE_NO_INTERMEDIATE_BUFFERING),
                    (FO_SYNCHRONOUS_IO, FILE_SYNCHRONOUS_IO_NONALERT),
                    (FO_DELETE_ON_CLOSE, FILE_DELETE_ON_CLOSE),
                ];
                let mode: u32 = pairs.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, mode)| mode).sum();
                (mode & CREATE_MODES).to_le_bytes().to_vec()
            }
            // SAFETY: as above.
            17 => unsafe { (*file::related_device(self.file_object())).AlignmentRequirement.to_le_bytes().to_vec() },
            _ => return None,
        };
        Some(if len < bytes.len() {
            Outcome::failed(STATUS_INFO_LENGTH_MISMATCH)
        } else {
            Outcome { status: STATUS_SUCCESS, information: bytes.len(), bytes }
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
            request::transfer(packet, method, buffer.map_or(std::ptr::null_mut(), UserRegion::ptr), len, true)
        }
    }

    /// NtNotifyChangeDirectoryFile, not waited for.
    pub fn notify(&self, filter: u32, tree: bool, len: usize) -> Result<Pending, NTSTATUS> {
        let function = (IRP_MJ_DIRECTORY_CONTROL, IRP_MN_NOTIFY_CHANGE_DIRECTORY);
        self.submit(function, Some(UserRegion::new(len)), |packet, location, buffer| {
            // SAFETY: the IRP is being built.
            unsafe {
                (*location).Flags = if tree { SL_WATCH_TREE as u8 } else { 0 };
                (*location).Parameters.NotifyDirectory.Length = len as u32;
                (*location).Parameters.NotifyDirectory.CompletionFilter = filter;
                self.out(packet, buffer, len)
            }
        })
    }

    /// NtFsControlFile.
    pub fn fsctl(&self, code: u32, input: &[u8], output_len: usize) -> Outcome {
        self.control((IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MN_USER_FS_REQUEST), code, input, output_len)
    }

    /// NtDeviceIoControlFile.
    pub fn ioctl(&self, code: u32, input: &[u8], output_len: usize) -> Outcome {
        self.control((IRP_MJ_DEVICE_CONTROL, 0), code, input, output_len)
    }

    fn control(&self, function: (u32, u32), code: u32, input: &[u8], output_len: usize) -> Outcome {
        let given = UserRegion::new(input.len());
        given.write(input);
        let output = Some(UserRegion::new(output_len));
        let source = if input.is_empty() { std::ptr::null_mut() } else { given.ptr() };
        self.request(function, output, |packet, _, buffer| {
            let target = buffer.filter(|_| output_len != 0).map_or(std::ptr::null_mut(), UserRegion::ptr);
            let buffers = Control { code, input: (source, input.len()), output: (target, output_len) };
            // SAFETY: the IRP is being built; the regions live until its end.
            unsafe { request::control(packet, &buffers) }
        })
    }

    /// NtLockFile: not waited for, so that a lock can be seen to wait.
    pub fn lock(&self, offset: u64, len: u64, exclusive: bool, fail: bool) -> Result<Pending, NTSTATUS> {
        let flags = if exclusive { SL_EXCLUSIVE_LOCK } else { 0 } | if fail { SL_FAIL_IMMEDIATELY } else { 0 };
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
        self.request((IRP_MJ_QUERY_SECURITY, 0), Some(UserRegion::new(len)), |packet, location, buffer| {
            // SAFETY: the IRP is being built.
            unsafe {
                (*location).Parameters.QuerySecurity.SecurityInformation = information;
                (*location).Parameters.QuerySecurity.Length = len as u32;
                (*packet).UserBuffer = buffer.map_or(std::ptr::null_mut(), |buffer| buffer.ptr().cast());
            }
            true
        })
    }

    /// NtQueryEaFile, all attributes from the first.
    pub fn query_ea(&self, len: usize) -> Outcome {
        self.request((IRP_MJ_QUERY_EA, 0), Some(UserRegion::new(len)), |packet, location, buffer| {
            // SAFETY: the IRP is being built.
            unsafe {
                (*location).Flags = SL_RESTART_SCAN as u8;
                (*location).Parameters.QueryEa.Length = len as u32;
                self.out(packet, buffer, len)
            }
        })
    }

    /// NtFlushBuffersFile.
    pub fn flush(&self) -> NTSTATUS {
        self.request((IRP_MJ_FLUSH_BUFFERS, 0), None, |_, _, _| true).status
    }

    /// Any other request with nothing but its function codes, to see that it is refused.
    pub fn bare(&self, major: u32, minor: u32) -> NTSTATUS {
        self.request((major, minor), None, |_, _, _| true).status
    }

    /// NtReadFile of `len` bytes at `offset`, or at the handle's position.
    pub fn read(&self, offset: Option<u64>, len: usize) -> Outcome {
        let buffer = UserRegion::new(len);
        let (status, information) = self.read_into(&buffer, offset, len);
        let mut bytes = buffer.read();
        bytes.truncate(if nt_success(status) { information } else { 0 });
        Outcome { status, information, bytes }
    }

    /// NtReadFile into a buffer of the caller's.
    pub fn read_into(&self, buffer: &UserRegion, offset: Option<u64>, len: usize) -> (NTSTATUS, usize) {
        let turn = (self.flags() & FO_SYNCHRONOUS_IO != 0)
            .then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(outcome) = turn.is_some().then(|| self.fast_read(buffer, offset, len)).flatten() {
            return outcome;
        }
        match self.start_read(buffer, offset, len) {
            Ok(pending) => {
                let outcome = pending.wait();
                (outcome.status, outcome.information)
            }
            Err(status) => (status, 0),
        }
    }

    /// NtReadFile on an asynchronous handle: not waited for.
    pub fn start_read(&self, buffer: &UserRegion, offset: Option<u64>, len: usize) -> Result<Pending, NTSTATUS> {
        if self.granted & (FILE_READ_DATA | FILE_EXECUTE) == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        // SAFETY: the handle references the file object; the IRP is being built; the caller keeps the buffer.
        unsafe {
            let position = (*self.file_object()).CurrentByteOffset.QuadPart;
            let offset = match offset {
                Some(offset) => i64::try_from(offset).map_err(|_| STATUS_INVALID_PARAMETER)?,
                None if self.flags() & FO_SYNCHRONOUS_IO != 0 => position,
                None => return Err(STATUS_INVALID_PARAMETER),
            };
            let device = file::related_device(self.file_object());
            let uncached = self.flags() & FO_NO_INTERMEDIATE_BUFFERING != 0;
            let sector = i64::from((*device).SectorSize);
            if uncached && sector != 0 && (offset % sector != 0 || len as i64 % sector != 0) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            self.submit((IRP_MJ_READ, 0), None, |packet, location, _| {
                (*packet).Flags |= IRP_READ_OPERATION | if uncached { IRP_NOCACHE } else { 0 };
                (*location).Parameters.Read.Length = len as u32;
                (*location).Parameters.Read.ByteOffset.QuadPart = offset;
                request::transfer(packet, Method::of_device(device), buffer.ptr(), len, true)
            })
        }
    }

    /// The file system's FastIoRead, when the file is cached; three times out of four, since filters often forbid it.
    fn fast_read(&self, buffer: &UserRegion, offset: Option<u64>, len: usize) -> Option<(NTSTATUS, usize)> {
        // SAFETY: the handle references the file object; the locals live until the call returns.
        unsafe {
            let file_object = self.file_object();
            let cached = !(*file_object).PrivateCacheMap.is_null() && self.flags() & FO_NO_INTERMEDIATE_BUFFERING == 0;
            if !cached || self.granted & (FILE_READ_DATA | FILE_EXECUTE) == 0 || choose(4) == 0 {
                return None;
            }
            let (device, table) = fast::table_of(file_object)?;
            let read = (*table).FastIoRead?;
            let position = (*file_object).CurrentByteOffset.QuadPart;
            let mut offset = LARGE_INTEGER { QuadPart: offset.map_or(position, |offset| offset as i64) };
            let mut block = irp::status_block(0, 0);
            let arguments = [
                file_object as usize,
                (&raw mut offset) as usize,
                len,
                1,
                0,
                buffer.ptr() as usize,
                (&raw mut block) as usize,
                device as usize,
            ];
            let done = kernel::call(read as *const (), arguments) as u8 != 0;
            let status = irp::status_of(&block);
            let answers = done && (nt_success(status) || status == STATUS_END_OF_FILE);
            answers.then_some((status, block.Information as usize))
        }
    }

    /// NtWriteFile, to see that it is refused.
    pub fn write(&self, offset: u64, data: &[u8]) -> NTSTATUS {
        if self.granted & (FILE_WRITE_DATA | FILE_APPEND_DATA) == 0 {
            return STATUS_ACCESS_DENIED;
        }
        let region = UserRegion::new(data.len());
        region.write(data);
        let outcome = self.request((IRP_MJ_WRITE, 0), None, |packet, location, _| {
            // SAFETY: the IRP is being built; the region lives until its end.
            unsafe {
                (*packet).Flags |= IRP_WRITE_OPERATION;
                (*location).Parameters.Write.Length = data.len() as u32;
                (*location).Parameters.Write.ByteOffset.QuadPart = offset as i64;
                let method = Method::of_device(file::related_device(self.file_object()));
                request::transfer(packet, method, region.ptr(), data.len(), false)
            }
        });
        outcome.status
    }

    /// NtCancelIoFile: cancels what this file object has under way; returns how many requests.
    pub fn cancel(&self) -> usize {
        cancel::cancel(self.file_object(), None)
    }

    /// NtCreateSection and a view of the whole file.
    pub fn map(&self, role: Role) -> Result<Section, NTSTATUS> {
        // SAFETY: the handle references the file object.
        unsafe { Section::create(self.file_object(), role) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        ob::close_handle(self.handle as HANDLE);
    }
}
