//! The IRP as a linear value: it ends by [`Irp::complete`], or goes on to somebody else by [`Irp::hand_over`], and
//! nothing else. One that is dropped by mistake is completed with an error rather than lost.
//!
//! The accessors decode the current stack location into plain values; which of them apply is a matter of the major
//! function, and each says so.
//
// UNSAFETY: reads and writes the fields of IRPs that belong to this driver.

use crate::object::extension;
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use lklfs_fsd::{IrpContext, Outcome, Requestor};
use lklfs_kernel::nt::{
    self, ACCESS_MASK, FILE_OBJECT, IO_STACK_LOCATION, IRP, IRP_NOCACHE, IRP_PAGING_IO, IofCompleteRequest,
    NTSTATUS, PACCESS_STATE, PDEVICE_OBJECT, PDRIVER_CANCEL, PFILE_OBJECT, PIRP, PMDL, PVOID, PVPB, quad,
};
use lklfs_nt::NtStatus;

/// `IO_DISK_INCREMENT`: the boost of a thread that waited for a disk.
const IO_DISK_INCREMENT: i8 = 1;

/// An I/O request packet that this driver has to finish.
#[must_use]
pub struct Irp {
    raw: NonNull<IRP>,
}

// SAFETY: an IRP belongs to one driver at a time and may be worked on by any thread.
unsafe impl Send for Irp {}

/// `Parameters.Create`.
pub struct CreateParameters {
    /// The rights asked for.
    pub desired_access: ACCESS_MASK,
    /// Options in the low 24 bits, disposition above.
    pub options: u32,
    /// What others may do.
    pub share_access: u16,
    /// Bytes of extended attributes.
    pub ea_length: u32,
    /// Who asks, for the access check.
    pub access_state: PACCESS_STATE,
}

/// `Parameters.QueryDirectory`.
pub struct QueryDirectoryParameters<'a> {
    /// Bytes of the buffer.
    pub length: u32,
    /// `FileInformationClass`.
    pub class: u32,
    /// `FileIndex`.
    pub index: u32,
    /// `FileName`; `None` when null or empty.
    pub pattern: Option<&'a [u16]>,
}

/// The parameters of a device or file-system control.
pub struct ControlParameters {
    /// The control code.
    pub code: u32,
    /// Bytes of input.
    pub input_length: u32,
    /// Bytes of room for output.
    pub output_length: u32,
    /// The raw input pointer of METHOD_NEITHER.
    pub type3_input: PVOID,
}

impl Irp {
    /// Takes an IRP that the kernel passed to this driver.
    ///
    /// # Safety
    /// `raw` was passed to a dispatch routine (or came back from a queue of ours) and is not finished.
    pub unsafe fn adopt(raw: NonNull<IRP>) -> Self {
        Irp { raw }
    }

    /// The kernel's pointer, for calls that look at the IRP but do not take it.
    pub fn as_ptr(&self) -> PIRP {
        self.raw.as_ptr()
    }

    /// Gives the IRP to somebody who finishes it (a queue, FsRtl, the driver below).
    pub fn hand_over(self) -> NonNull<IRP> {
        let raw = self.raw;
        core::mem::forget(self);
        raw
    }

    /// Finishes the IRP. Returns the status, which the dispatch routine returns too.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn complete(self, outcome: Outcome) -> NTSTATUS {
        let outcome = if nt::succeeded(outcome.status) {
            outcome
        } else {
            // SAFETY: the IRP was sent to this device and keeps it alive.
            let status = unsafe { extension::reason(self.device(), outcome.status) };
            Outcome::new(status, outcome.information)
        };
        let raw = self.hand_over().as_ptr();
        let status = nt::raw_status(outcome.status);
        // SAFETY: the IRP is ours until the next call.
        let block = unsafe { &mut (*raw).IoStatus };
        block.__bindgen_anon_1.Status = status;
        block.Information = outcome.information as _;
        let boost = if nt::succeeded(outcome.status) {
            IO_DISK_INCREMENT
        } else {
            0
        };
        // SAFETY: as above; it is not touched afterwards.
        unsafe { IofCompleteRequest(raw, boost) };
        status
    }

    /// Sets or takes away the cancel routine (`IoSetCancelRoutine`); whether there was one, which is then not called.
    pub fn set_cancel_routine(&self, routine: PDRIVER_CANCEL) -> bool {
        // SAFETY: the IRP is ours.
        let place = unsafe { &raw mut (*self.raw.as_ptr()).CancelRoutine };
        // SAFETY: as above; an optional function pointer is a pointer, and everybody changes this one atomically.
        let place = unsafe { AtomicPtr::from_ptr(place.cast::<*mut c_void>()) };
        let new = routine.map_or(null_mut(), |routine| routine as *mut c_void);
        !place.swap(new, Ordering::SeqCst).is_null()
    }

    /// Whether somebody wants it cancelled.
    pub fn is_cancelled(&self) -> bool {
        // SAFETY: the IRP is ours.
        let place = unsafe { &raw mut (*self.raw.as_ptr()).Cancel };
        // SAFETY: as above; the flag is set by others at any time.
        unsafe { AtomicU8::from_ptr(place) }.load(Ordering::SeqCst) != 0
    }

    /// The status that it has so far.
    pub fn status(&self) -> NtStatus {
        // SAFETY: the IRP is ours.
        let block = unsafe { &(*self.raw.as_ptr()).IoStatus };
        // SAFETY: whoever wrote the block wrote a status.
        nt::status(unsafe { block.__bindgen_anon_1.Status })
    }

    /// Finishes it with a status and no information.
    pub fn fail(self, status: NtStatus) -> NTSTATUS {
        self.complete(Outcome::failed(status))
    }

    fn stack(&self) -> &IO_STACK_LOCATION {
        // SAFETY: the IRP is ours.
        let tail = unsafe { &(*self.raw.as_ptr()).Tail };
        // SAFETY: this is what the union holds while an IRP is on its way.
        let overlay = unsafe { &tail.Overlay };
        // SAFETY: as above.
        let current = unsafe { overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation };
        // SAFETY: the IRP is ours, so its current stack location is this driver's.
        unsafe { &*current }
    }

    /// Marks it pending (`IoMarkIrpPending`): the dispatch routine then returns STATUS_PENDING.
    pub fn mark_pending(&self) {
        let stack: *const IO_STACK_LOCATION = self.stack();
        // SAFETY: the stack location is this driver's and nobody else looks at it now.
        unsafe { (*stack.cast_mut()).Control |= nt::SL_PENDING_RETURNED as u8 };
    }

    /// The major function.
    pub fn major(&self) -> u8 {
        self.stack().MajorFunction
    }

    /// The minor function.
    pub fn minor(&self) -> u8 {
        self.stack().MinorFunction
    }

    /// The flags of the stack location (`SL_*`).
    pub fn stack_flags(&self) -> u32 {
        u32::from(self.stack().Flags)
    }

    /// The device that the IRP was sent to.
    pub fn device(&self) -> PDEVICE_OBJECT {
        self.stack().DeviceObject
    }

    /// The file object; null for requests that have none.
    pub fn file_object(&self) -> PFILE_OBJECT {
        self.stack().FileObject
    }

    /// The file object's fields.
    pub fn file(&self) -> Option<&FILE_OBJECT> {
        // SAFETY: the IRP holds a reference to its file object. Fields that change are read through raw pointers.
        unsafe { self.stack().FileObject.as_ref() }
    }

    /// Who sent it.
    pub fn context(&self) -> IrpContext {
        // SAFETY: the IRP is ours.
        let mode = unsafe { (*self.raw.as_ptr()).RequestorMode };
        let requestor = if mode == nt::KERNEL_MODE {
            Requestor::Kernel
        } else {
            Requestor::User
        };
        IrpContext {
            requestor,
            may_wait: true,
        }
    }

    fn flags(&self) -> u32 {
        // SAFETY: the IRP is ours.
        unsafe { (*self.raw.as_ptr()).Flags }
    }

    /// `IRP_PAGING_IO`.
    pub fn is_paging(&self) -> bool {
        self.flags() & IRP_PAGING_IO != 0
    }

    /// `IRP_NOCACHE`.
    pub fn is_non_cached(&self) -> bool {
        self.flags() & IRP_NOCACHE != 0
    }

    /// The caller's buffer as it came.
    pub fn user_buffer(&self) -> PVOID {
        // SAFETY: the IRP is ours.
        unsafe { (*self.raw.as_ptr()).UserBuffer }
    }

    /// The caller's buffer, locked, if the IRP has an MDL.
    pub fn mdl(&self) -> PMDL {
        // SAFETY: the IRP is ours.
        unsafe { (*self.raw.as_ptr()).MdlAddress }
    }

    /// Hangs an MDL (or a chain of them) at the IRP, or takes it off by null.
    pub fn set_mdl(&mut self, mdl: PMDL) {
        // SAFETY: the IRP is ours.
        unsafe { (*self.raw.as_ptr()).MdlAddress = mdl };
    }

    /// The buffer that the I/O manager made, as bytes: `length` is the one that the parameters say. Empty when there
    /// is none.
    pub fn system_buffer(&mut self, length: u32) -> &mut [u8] {
        // SAFETY: the IRP is ours.
        let associated = unsafe { &(*self.raw.as_ptr()).AssociatedIrp };
        // SAFETY: no IRP that is sent to this driver has been split; for the others the union holds a buffer or null.
        let buffer = unsafe { associated.SystemBuffer };
        if buffer.is_null() || length == 0 {
            return &mut [];
        }
        // SAFETY: a buffered request has a buffer of the length that its parameters say; it belongs to the IRP, and
        // `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(buffer.cast(), length as usize) }
    }

    /// `Tail.Overlay.AuxiliaryBuffer`: takes pool that the I/O manager will free.
    ///
    /// # Safety
    /// `buffer` is a block of pool that nobody else frees.
    pub unsafe fn set_auxiliary_buffer(&mut self, buffer: *mut u8) {
        // SAFETY: the IRP is ours.
        let tail = unsafe { &mut (*self.raw.as_ptr()).Tail };
        // SAFETY: this is what the union holds while an IRP is on its way.
        let overlay = unsafe { &mut tail.Overlay };
        overlay.AuxiliaryBuffer = buffer.cast();
    }

    /// `Tail.Overlay.DriverContext`, its first two words: while this driver has the IRP they are its own.
    pub fn driver_context(&self) -> [usize; 2] {
        // SAFETY: the IRP is ours.
        let tail = unsafe { &(*self.raw.as_ptr()).Tail };
        // SAFETY: this is what the union holds while an IRP is on its way.
        let overlay = unsafe { &tail.Overlay };
        // SAFETY: as above.
        let [first, second, ..] = unsafe { overlay.__bindgen_anon_1.__bindgen_anon_1.DriverContext };
        [first.addr(), second.addr()]
    }

    /// Sets what [`Irp::driver_context`] says.
    pub fn set_driver_context(&self, words: [usize; 2]) {
        // SAFETY: the IRP is ours.
        let tail = unsafe { &mut (*self.raw.as_ptr()).Tail };
        // SAFETY: this is what the union holds while an IRP is on its way.
        let overlay = unsafe { &mut tail.Overlay };
        // SAFETY: as above.
        let places = unsafe { &mut overlay.__bindgen_anon_1.__bindgen_anon_1.DriverContext };
        for (place, word) in places.iter_mut().zip(words) {
            *place = core::ptr::without_provenance_mut(word);
        }
    }

    /// IRP_MJ_CREATE.
    pub fn create(&self) -> CreateParameters {
        // SAFETY: for this major function the union holds these parameters.
        let create = unsafe { self.stack().Parameters.Create };
        let (desired_access, access_state) = if create.SecurityContext.is_null() {
            (0, core::ptr::null_mut())
        } else {
            // SAFETY: the security context lives as long as the IRP.
            let context = unsafe { &*create.SecurityContext };
            (context.DesiredAccess, context.AccessState)
        };
        CreateParameters {
            desired_access,
            options: create.Options,
            share_access: create.ShareAccess,
            ea_length: create.EaLength,
            access_state,
        }
    }

    /// IRP_MJ_READ: length in bytes and offset.
    pub fn read(&self) -> (u32, i64) {
        // SAFETY: for this major function the union holds these parameters.
        let read = unsafe { self.stack().Parameters.Read };
        (read.Length, quad(&read.ByteOffset))
    }

    /// IRP_MJ_QUERY_INFORMATION and IRP_MJ_SET_INFORMATION (the first members are the same): length and class.
    pub fn query_file(&self) -> (u32, u32) {
        // SAFETY: for these major functions the union holds these parameters.
        let query = unsafe { self.stack().Parameters.QueryFile };
        (query.Length, query.FileInformationClass)
    }

    /// IRP_MJ_QUERY_VOLUME_INFORMATION: length and class.
    pub fn query_volume(&self) -> (u32, u32) {
        // SAFETY: for this major function the union holds these parameters.
        let query = unsafe { self.stack().Parameters.QueryVolume };
        (query.Length, query.FsInformationClass)
    }

    /// IRP_MJ_DIRECTORY_CONTROL, IRP_MN_QUERY_DIRECTORY.
    pub fn query_directory(&self) -> QueryDirectoryParameters<'_> {
        // SAFETY: for this function the union holds these parameters.
        let query = unsafe { self.stack().Parameters.QueryDirectory };
        // SAFETY: the I/O manager captured the name, which lives as long as the IRP.
        let pattern = unsafe { query.FileName.as_ref() }
            .map(|name| (name.Buffer, usize::from(name.Length) / 2))
            .filter(|(buffer, units)| !buffer.is_null() && *units > 0)
            // SAFETY: as above; a captured name is aligned.
            .map(|(buffer, units)| unsafe { core::slice::from_raw_parts(buffer, units) });
        QueryDirectoryParameters {
            length: query.Length,
            class: query.FileInformationClass,
            index: query.FileIndex,
            pattern,
        }
    }

    /// IRP_MN_NOTIFY_CHANGE_DIRECTORY: the completion filter.
    pub fn notify_filter(&self) -> u32 {
        // SAFETY: for this function the union holds these parameters.
        unsafe { self.stack().Parameters.NotifyDirectory.CompletionFilter }
    }

    /// IRP_MJ_QUERY_SECURITY: the parts asked for, and bytes of the buffer.
    pub fn query_security(&self) -> (u32, u32) {
        // SAFETY: for this major function the union holds these parameters.
        let query = unsafe { self.stack().Parameters.QuerySecurity };
        (query.SecurityInformation, query.Length)
    }

    /// IRP_MJ_QUERY_EA: bytes of the buffer, the raw list of names and its length, and the index.
    pub fn query_ea(&self) -> (u32, PVOID, u32, u32) {
        // SAFETY: for this major function the union holds these parameters.
        let query = unsafe { self.stack().Parameters.QueryEa };
        (query.Length, query.EaList, query.EaListLength, query.EaIndex)
    }

    /// IRP_MJ_FILE_SYSTEM_CONTROL (user requests) and IRP_MJ_DEVICE_CONTROL, whose parameters are the same.
    pub fn control(&self) -> ControlParameters {
        // SAFETY: for these major functions the union holds these parameters.
        let control = unsafe { self.stack().Parameters.DeviceIoControl };
        ControlParameters {
            code: control.IoControlCode,
            input_length: control.InputBufferLength,
            output_length: control.OutputBufferLength,
            type3_input: control.Type3InputBuffer,
        }
    }

    /// IRP_MN_MOUNT_VOLUME and IRP_MN_VERIFY_VOLUME: the VPB and the device.
    pub fn mount_volume(&self) -> (PVPB, PDEVICE_OBJECT) {
        // SAFETY: for these functions the union holds these parameters.
        let mount = unsafe { self.stack().Parameters.MountVolume };
        (mount.Vpb, mount.DeviceObject)
    }

    /// Passes the IRP to the device below with this driver's parameters (`IoCopyCurrentIrpStackLocationToNext`), and returns what
    /// the dispatch routine returns. The location is not skipped: it may be marked pending, and the driver below would
    /// inherit the mark.
    ///
    /// # Safety
    /// `device` is live and below this driver's.
    pub unsafe fn pass_down(self, device: PDEVICE_OBJECT) -> NTSTATUS {
        // SAFETY: the IRP is ours.
        if unsafe { (*self.as_ptr()).CurrentLocation } <= 1 {
            return self.fail(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let ours: *const IO_STACK_LOCATION = self.stack();
        let is_marked = self.stack().Control & nt::SL_PENDING_RETURNED as u8 != 0;
        let mut next = *self.stack();
        next.Control = 0;
        next.CompletionRoutine = None;
        next.Context = null_mut();
        // SAFETY: there is a location below ours, and until the driver below has the IRP it is ours to fill.
        let place = unsafe { ours.cast_mut().sub(1) };
        // SAFETY: as above.
        unsafe { place.write(next) };
        let raw = self.hand_over().as_ptr();
        // SAFETY: promised by the caller; the IRP is not touched afterwards.
        let status = unsafe { nt::IofCallDriver(device, raw) };
        if is_marked {
            nt::raw_status(NtStatus::PENDING)
        } else {
            status
        }
    }
}

impl Drop for Irp {
    fn drop(&mut self) {
        // SAFETY: this value is going away, so the copy is the only one that finishes the IRP.
        let last = unsafe { Irp::adopt(self.raw) };
        let _ = last.fail(NtStatus::INTERNAL_ERROR);
    }
}
