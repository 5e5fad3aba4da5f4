//! File objects: their making, the device that their requests go to, cleanup with the last handle and close
//! with the last reference.
//!
//! A file object references its device (`ReferenceCount`) and, on a mounted volume, the volume's VPB. Handles
//! are counted here; cached data and sections hold plain references, so IRP_MJ_CLOSE may come long after
//! IRP_MJ_CLEANUP.

use super::ledger::Owner;
use super::{call, device, irp, kernel, request};
use crate::ke;
use crate::mm::pool;
use crate::nt::*;
use crate::ob::{self, ObjectType};
use crate::ps;
use crate::verifier::{fail, locks};
use std::ffi::c_void;
use std::mem::size_of;
use std::ptr;

/// Pool tag of file names; the file system may replace and free the buffer.
pub const TAG_NAME: u32 = u32::from_le_bytes(*b"IoNm");

/// The type of file objects.
pub static FILE_TYPE: ObjectType = ObjectType {
    name: "File",
    close: Some(last_handle_closed),
    delete: deleted,
};

fn last_handle_closed(body: *mut c_void) {
    // SAFETY: a file object that had a handle was opened.
    unsafe { cleanup(body.cast()) };
}

/// Tag of what lies on the I/O manager's stack in NT.
const TAG_ON_STACK: u32 = u32::from_le_bytes(*b"IoSt");
const TAG_WAITER: u32 = u32::from_le_bytes(*b"IoWt");

/// A status block and event in nonpaged pool for one synchronous request.
pub struct Waiter {
    memory: *mut Waiting,
}

#[repr(C)]
struct Waiting {
    event: KEVENT,
    block: IO_STATUS_BLOCK,
}

impl Default for Waiter {
    fn default() -> Waiter {
        Waiter::new()
    }
}

impl Waiter {
    /// A new one, not signalled.
    pub fn new() -> Waiter {
        let memory: *mut Waiting = kernel::take(size_of::<Waiting>(), TAG_WAITER).cast();
        // SAFETY: the block is new and of this size.
        unsafe {
            ptr::write_bytes(memory, 0, 1);
            kernel::event_init(&raw mut (*memory).event, _EVENT_TYPE_NotificationEvent, false);
        }
        Waiter { memory }
    }

    /// Where the status goes.
    pub fn block(&self) -> PIO_STATUS_BLOCK {
        // SAFETY: the memory is ours while self lives.
        unsafe { &raw mut (*self.memory).block }
    }

    /// What the end signals.
    pub fn event(&self) -> PKEVENT {
        // SAFETY: as above.
        unsafe { &raw mut (*self.memory).event }
    }

    /// Sends `packet` and waits for its end when it pends. Returns status and information.
    ///
    /// # Safety
    /// `packet` is ready to be sent to `device`, with this waiter's block and event.
    pub unsafe fn send(&self, device: PDEVICE_OBJECT, packet: PIRP) -> (NTSTATUS, usize) {
        // SAFETY: by contract.
        let status = unsafe { call::call_driver(device, packet) };
        self.outcome(status)
    }

    /// The outcome of a request whose dispatch routine returned `status`.
    pub fn outcome(&self, status: NTSTATUS) -> (NTSTATUS, usize) {
        // SAFETY: the memory is ours; after the event nobody writes it.
        unsafe {
            if status == STATUS_PENDING {
                kernel::event_wait(self.event());
                let block = &(*self.memory).block;
                return (irp::status_of(block), block.Information as usize);
            }
            (status, (*self.memory).block.Information as usize)
        }
    }

    /// The request has ended.
    pub fn is_done(&self) -> bool {
        // SAFETY: as above.
        unsafe { kernel::event_is_set(self.event()) }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        pool::free(self.memory.cast(), TAG_WAITER);
    }
}

/// A new file object on `device` (the device that was opened, below any volume). Not yet referenced by any
/// handle.
///
/// # Safety
/// `device` is live.
pub unsafe fn create(device: PDEVICE_OBJECT, name: &[u16], flags: u32) -> PFILE_OBJECT {
    let file_object: PFILE_OBJECT = ob::create(&FILE_TYPE, size_of::<FILE_OBJECT>()).cast();
    if file_object.is_null() {
        return file_object;
    }
    // SAFETY: the body is new and zeroed.
    unsafe {
        (*file_object).Type = IO_TYPE_FILE as CSHORT;
        (*file_object).Size = size_of::<FILE_OBJECT>() as CSHORT;
        (*file_object).DeviceObject = device;
        (*file_object).Flags = flags;
        kernel::event_init(
            &raw mut (*file_object).Lock,
            _EVENT_TYPE_SynchronizationEvent,
            false,
        );
        kernel::event_init(
            &raw mut (*file_object).Event,
            _EVENT_TYPE_NotificationEvent,
            false,
        );
        irp::init_list(&raw mut (*file_object).IrpList);
        if !set_name(file_object, name) {
            ob::dereference(file_object.cast());
            return ptr::null_mut();
        }
        device::opened(device);
    }
    file_object
}

/// A file object as the I/O manager has one on its own stack for a query of attributes by name: the object manager does not know
/// it, so nobody can reference it, and after [`close_on_stack`] its memory is somebody else's.
///
/// # Safety
/// `device` is live.
pub unsafe fn on_stack(device: PDEVICE_OBJECT, name: &[u16], flags: u32) -> PFILE_OBJECT {
    let file_object: PFILE_OBJECT = kernel::take(size_of::<FILE_OBJECT>(), TAG_ON_STACK).cast();
    if file_object.is_null() {
        return file_object;
    }
    // SAFETY: the block is new and of this size.
    unsafe {
        ptr::write_bytes(file_object, 0, 1);
        (*file_object).Type = IO_TYPE_FILE as CSHORT;
        (*file_object).Size = size_of::<FILE_OBJECT>() as CSHORT;
        (*file_object).DeviceObject = device;
        (*file_object).Flags = flags;
        kernel::event_init(
            &raw mut (*file_object).Lock,
            _EVENT_TYPE_SynchronizationEvent,
            false,
        );
        kernel::event_init(
            &raw mut (*file_object).Event,
            _EVENT_TYPE_NotificationEvent,
            false,
        );
        irp::init_list(&raw mut (*file_object).IrpList);
        if !set_name(file_object, name) {
            pool::free(file_object.cast(), TAG_ON_STACK);
            return ptr::null_mut();
        }
        device::opened(device);
    }
    file_object
}

/// The end of a file object of [`on_stack`]: cleanup and close, if it was opened.
///
/// # Safety
/// No request of it is under way.
pub unsafe fn close_on_stack(file_object: PFILE_OBJECT, opened: bool) {
    // SAFETY: by contract.
    unsafe {
        if opened {
            cleanup(file_object);
            deleted(file_object.cast());
        } else {
            device::closed((*file_object).DeviceObject);
            free_name(file_object);
        }
    }
    pool::free(file_object.cast(), TAG_ON_STACK);
}

/// Gives the file object a name buffer of its own. False: no memory.
///
/// # Safety
/// `file_object` is live and not in use by a file system.
pub unsafe fn set_name(file_object: PFILE_OBJECT, name: &[u16]) -> bool {
    // SAFETY: the old buffer is the file object's own, the new one is large enough.
    unsafe {
        free_name(file_object);
        let target = &raw mut (*file_object).FileName;
        if !name.is_empty() {
            let bytes = name.len() * 2;
            let buffer: *mut u16 = kernel::take(bytes + 2, TAG_NAME).cast();
            if buffer.is_null() {
                return false;
            }
            ptr::copy_nonoverlapping(name.as_ptr(), buffer, name.len());
            buffer.add(name.len()).write_unaligned(0);
            (*target).Buffer = buffer;
            (*target).Length = bytes as u16;
            (*target).MaximumLength = (bytes + 2) as u16;
        }
    }
    true
}

/// # Safety
/// `file_object` is live.
unsafe fn free_name(file_object: PFILE_OBJECT) {
    // SAFETY: whoever set the buffer allocated it from pool, as NT asks.
    unsafe {
        let name = &raw mut (*file_object).FileName;
        if !(*name).Buffer.is_null() {
            pool::free((*name).Buffer.cast(), 0);
            (*name).Buffer = ptr::null_mut();
            (*name).Length = 0;
            (*name).MaximumLength = 0;
        }
    }
}

/// The device below any filter that gets the file object's requests: the volume's, when it has one.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn base_device(file_object: PFILE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: by contract; a VPB that a file object names is referenced by it.
    unsafe {
        let vpb = (*file_object).Vpb;
        if !vpb.is_null() && !(*vpb).DeviceObject.is_null() {
            return (*vpb).DeviceObject;
        }
        let real = (*file_object).DeviceObject;
        let vpb = (*real).Vpb;
        if (*file_object).Flags & FO_DIRECT_DEVICE_OPEN == 0
            && !vpb.is_null()
            && !(*vpb).DeviceObject.is_null()
        {
            return (*vpb).DeviceObject;
        }
        real
    }
}

/// `IoGetRelatedDeviceObject`: the top of that device's stack.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn related_device(file_object: PFILE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: by contract.
    unsafe { device::top(base_device(file_object)) }
}

/// Another reference.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn reference(file_object: PFILE_OBJECT) {
    ob::reference(file_object.cast());
}

/// One reference less; with the last the file is closed.
///
/// # Safety
/// The reference is the caller's.
pub unsafe fn dereference(file_object: PFILE_OBJECT) {
    // The close that may follow is a matter for PASSIVE_LEVEL.
    if ke::irql() > 0 {
        let body = file_object as usize;
        super::work::post("deferred close".into(), move || {
            ob::dereference(body as *mut c_void)
        });
    } else {
        ob::dereference(file_object.cast());
    }
}

/// Builds an IRP about `file_object` for its device: major function and file object set, `Tail.Overlay`
/// filled in. The caller keeps its reference until the request's end. Null: no memory.
///
/// # Safety
/// `file_object` is live.
pub unsafe fn build(
    file_object: PFILE_OBJECT,
    major: u32,
    minor: u32,
    mode: u8,
    waiter: &Waiter,
) -> (PIRP, PDEVICE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        let device = related_device(file_object);
        let packet = request::start(device, Owner::Manager, mode);
        if !packet.is_null() {
            (*packet).Tail.Overlay.OriginalFileObject = file_object;
            (*packet).UserIosb = waiter.block();
            (*packet).UserEvent = waiter.event();
            let location = irp::next(packet);
            (*location).MajorFunction = major as u8;
            (*location).MinorFunction = minor as u8;
            (*location).FileObject = file_object;
        }
        (packet, device)
    }
}

/// The last handle went: IRP_MJ_CLEANUP.
///
/// # Safety
/// `file_object` is live and was opened.
pub unsafe fn cleanup(file_object: PFILE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        let waiter = Waiter::new();
        let device = related_device(file_object);
        let packet = request::start(device, Owner::Manager, 0);
        if packet.is_null() {
            fail!(
                Irp,
                "no memory for IRP_MJ_CLEANUP, which NT takes from its reserve"
            );
        }
        (*packet).Flags = IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API;
        (*packet).UserIosb = waiter.block();
        (*packet).UserEvent = waiter.event();
        (*packet).Tail.Overlay.OriginalFileObject = file_object;
        let location = irp::next(packet);
        (*location).MajorFunction = IRP_MJ_CLEANUP as u8;
        (*location).FileObject = file_object;
        waiter.send(device, packet);
        (*file_object).Flags |= FO_CLEANUP_COMPLETE;
    }
}

/// The object manager's delete callback: the last reference went, so IRP_MJ_CLOSE.
fn deleted(body: *mut c_void) {
    let file_object: PFILE_OBJECT = body.cast();
    // SAFETY: nobody references the file object any more; an unopened one (a failed create) has no device.
    unsafe {
        let real = (*file_object).DeviceObject;
        if !real.is_null() {
            let opened = (*file_object).Flags & FO_FILE_OPEN_CANCELLED == 0;
            if opened && (*file_object).Flags & (FO_CLEANUP_COMPLETE | FO_STREAM_FILE) == 0 {
                cleanup(file_object);
            }
            let vpb = (*file_object).Vpb;
            let waiter = Waiter::new();
            let device = related_device(file_object);
            let packet = request::start(device, Owner::Manager, 0);
            if packet.is_null() {
                fail!(Irp, "no memory for IRP_MJ_CLOSE, which NT takes from its reserve");
            }
            (*packet).Flags = IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API;
            (*packet).UserIosb = waiter.block();
            (*packet).UserEvent = waiter.event();
            (*packet).Tail.Overlay.OriginalFileObject = file_object;
            let location = irp::next(packet);
            (*location).MajorFunction = IRP_MJ_CLOSE as u8;
            (*location).FileObject = file_object;
            let held = ps::current().held().clone();
            locks::closing(&held, || waiter.send(device, packet));
            if !vpb.is_null() && (*file_object).Flags & FO_DIRECT_DEVICE_OPEN == 0 {
                device::dereference_vpb(vpb);
            }
            device::closed(real);
        }
        if !(*file_object).PrivateCacheMap.is_null() {
            fail!(
                Cache,
                "file object {file_object:p} is closed with its cache map still initialised"
            );
        }
        free_name(file_object);
    }
}

/// `IoGetRelatedDeviceObject`.
pub unsafe extern "win64" fn IoGetRelatedDeviceObject(file_object: PFILE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the driver's contract is ours.
    unsafe { related_device(file_object) }
}

/// `IoGetBaseFileSystemDeviceObject`.
pub unsafe extern "win64" fn IoGetBaseFileSystemDeviceObject(file_object: PFILE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: the driver's contract is ours.
    unsafe { base_device(file_object) }
}

/// `IoCreateStreamFileObjectLite`: a file object of the file system's own, which gets no IRP_MJ_CLEANUP.
pub unsafe extern "win64" fn IoCreateStreamFileObjectLite(
    like: PFILE_OBJECT,
    device: PDEVICE_OBJECT,
) -> PFILE_OBJECT {
    // SAFETY: one of the two is given and live.
    unsafe {
        let device = if like.is_null() {
            device
        } else {
            (*like).DeviceObject
        };
        let file_object = create(device, &[], FO_STREAM_FILE);
        if !file_object.is_null() {
            let vpb = (*device).Vpb;
            if !vpb.is_null() {
                device::reference_vpb(vpb);
                (*file_object).Vpb = vpb;
            }
        }
        file_object
    }
}

/// `IoCreateStreamFileObject`: the same, and IRP_MJ_CLEANUP is sent at once.
pub unsafe extern "win64" fn IoCreateStreamFileObject(
    like: PFILE_OBJECT,
    device: PDEVICE_OBJECT,
) -> PFILE_OBJECT {
    // SAFETY: as above.
    unsafe {
        let file_object = IoCreateStreamFileObjectLite(like, device);
        if !file_object.is_null() {
            (*file_object).Flags |= FO_HANDLE_CREATED;
            cleanup(file_object);
        }
        file_object
    }
}

crate::table! {
    /// File objects.
    pub static IMPORTS = {
        IoGetRelatedDeviceObject <= DISPATCH;
        IoGetBaseFileSystemDeviceObject <= DISPATCH;
        IoCreateStreamFileObject <= PASSIVE;
        IoCreateStreamFileObjectLite <= PASSIVE;
    }
}
