//! Handles: opening as NtCreateFile does, sending requests, closing.
//!
//! Requests come from user mode (`RequestorMode` UserMode) with buffers in user memory, unless the handle was
//! opened for the kernel. The requests themselves are in [`super::queries`] and [`super::transfer`].

use super::request::{Outcome, Pending};
use crate::io::file::{self, Waiter};
use crate::io::open::{self, Open};
use crate::io::request;
use crate::io::{call, cancel, irp};
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
        OpenAs {
            access,
            ..OpenAs::read()
        }
        .with(FILE_OPEN_REPARSE_POINT)
    }

    /// The volume itself.
    pub fn volume() -> OpenAs {
        OpenAs {
            access: FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
            ..OpenAs::read()
        }
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
    pub(super) granted: u32,
    information: usize,
    mode: u8,
    /// Requests on a synchronous handle go one at a time.
    pub(super) turn: Mutex<()>,
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

    /// Opened for the kernel, whose handles are not checked.
    pub(super) fn is_kernel(&self) -> bool {
        self.mode == 0
    }

    /// Whether the handle has all of these rights.
    pub(super) fn may(&self, rights: u32) -> bool {
        self.is_kernel() || self.granted & rights == rights
    }

    pub(super) fn flags(&self) -> u32 {
        // SAFETY: the handle references the file object.
        unsafe { (*self.file_object()).Flags }
    }

    /// Sends a request and does not wait. `fill` completes IRP and stack location and says whether that
    /// worked.
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

    /// NtCancelIoFile: cancels what this file object has under way; returns how many requests.
    pub fn cancel(&self) -> usize {
        cancel::cancel(self.file_object(), None)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        ob::close_handle(self.handle as HANDLE);
    }
}
