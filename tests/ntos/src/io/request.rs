//! IRPs that the I/O manager builds: for drivers (`IoBuild...Request`) and for the user-mode API, and how
//! they end.
//!
//! The buffers follow the device's flags (DO_BUFFERED_IO, DO_DIRECT_IO, neither) or the control code's
//! method. The end is NT's: an error that the driver returned without pending leaves status block and event
//! alone, since the caller has the status already; a driver that waits for the event after such an error
//! waits for ever, here as there.

use super::complete::free_mdls;
use super::ledger::Owner;
use super::{cancel, irp, kernel};
use crate::mm::{mdl, pool};
use crate::nt::*;
use crate::verifier::{fail, fault};
use std::ptr;

/// Pool tag of system buffers.
const TAG_BUFFER: u32 = u32::from_le_bytes(*b"IoSb");

/// How a transfer hands over its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Through a system buffer.
    Buffered,
    /// Through an MDL.
    Direct,
    /// The raw pointer.
    Neither,
}

impl Method {
    /// What the device's flags ask for.
    ///
    /// # Safety
    /// `device` is live.
    pub unsafe fn of_device(device: PDEVICE_OBJECT) -> Method {
        // SAFETY: by contract.
        let flags = unsafe { (*device).Flags };
        match (flags & DO_BUFFERED_IO != 0, flags & DO_DIRECT_IO != 0) {
            (true, _) => Method::Buffered,
            (_, true) => Method::Direct,
            _ => Method::Neither,
        }
    }
}

/// A new IRP for `device`, issued by the current thread.
///
/// # Safety
/// `device` is live.
pub unsafe fn start(device: PDEVICE_OBJECT, owner: Owner, mode: u8) -> PIRP {
    // SAFETY: the device is live; a new IRP is ours.
    unsafe {
        let packet = irp::allocate((*device).StackSize, owner);
        if !packet.is_null() {
            (*packet).RequestorMode = mode as KPROCESSOR_MODE;
            (*packet).Tail.Overlay.Thread = kernel::current_thread();
        }
        packet
    }
}

/// Gives `packet` a system buffer of `len` bytes; with `input` it is filled from there. False when there is
/// no memory.
///
/// # Safety
/// `packet` is ours; `input` is null or has `input_len` <= `len` readable kernel bytes.
pub unsafe fn system_buffer(packet: PIRP, len: usize, input: *const u8, input_len: usize) -> bool {
    let buffer = kernel::take(len.max(1), TAG_BUFFER).cast::<u8>();
    if buffer.is_null() {
        return false;
    }
    // SAFETY: the block has `len` bytes; a user-mode source may fault, which `copy_from` reports.
    unsafe {
        if !input.is_null() && input_len != 0 && !kernel::copy(buffer, input, input_len) {
            pool::free(buffer.cast(), TAG_BUFFER);
            return false;
        }
        (*packet).AssociatedIrp.SystemBuffer = buffer.cast();
        (*packet).Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    }
    true
}

/// Describes `buffer` by a locked MDL. False when it cannot be locked.
///
/// # Safety
/// `packet` is ours.
pub unsafe fn locked_mdl(packet: PIRP, buffer: *mut u8, len: usize, write: bool) -> bool {
    // SAFETY: the MDL is the IRP's own; locking an invalid range is reported, not performed.
    unsafe {
        let Ok(len) = u32::try_from(len) else { return false };
        let list = mdl::IoAllocateMdl(buffer.cast(), len, 0, 0, packet);
        if list.is_null() {
            return false;
        }
        if mdl::lock_pages(list, (*packet).RequestorMode != 0, write).is_ok() {
            return true;
        }
        (*packet).MdlAddress = ptr::null_mut();
        mdl::IoFreeMdl(list);
        false
    }
}

/// Hands over a transfer buffer for a request that fills it (`write_to_buffer`) or reads it. False: no memory
/// or bad range.
///
/// # Safety
/// `packet` is ours.
pub unsafe fn transfer(packet: PIRP, method: Method, buffer: *mut u8, len: usize, fills: bool) -> bool {
    // SAFETY: by contract.
    unsafe {
        (*packet).UserBuffer = buffer.cast();
        if len == 0 {
            return true;
        }
        match method {
            Method::Buffered => {
                if fills {
                    (*packet).Flags |= IRP_INPUT_OPERATION;
                }
                system_buffer(packet, len, if fills { ptr::null() } else { buffer }, len)
            }
            Method::Direct => locked_mdl(packet, buffer, len, fills),
            Method::Neither => true,
        }
    }
}

/// Puts `name` as a UNICODE_STRING into a block that the IRP's end frees, as NtQueryDirectoryFile does with
/// its pattern.
///
/// # Safety
/// `packet` is ours and has no auxiliary buffer.
pub unsafe fn name_block(packet: PIRP, name: &[u16]) -> PUNICODE_STRING {
    // SAFETY: the block has room for both.
    unsafe {
        let header = size_of::<UNICODE_STRING>();
        let block = kernel::take(header + name.len() * 2, TAG_BUFFER);
        let characters = block.add(header).cast::<u16>();
        ptr::copy_nonoverlapping(name.as_ptr(), characters, name.len());
        let string: PUNICODE_STRING = block.cast();
        let len = (name.len() * 2) as u16;
        string.write(UNICODE_STRING {
            Length: len,
            MaximumLength: len,
            Buffer: characters,
        });
        (*packet).Tail.Overlay.AuxiliaryBuffer = block.cast();
        string
    }
}

/// Puts a length into a block that the IRP's end frees, as NtLockFile does.
///
/// # Safety
/// `packet` is ours and has no auxiliary buffer.
pub unsafe fn length_block(packet: PIRP, len: u64) -> PLARGE_INTEGER {
    // SAFETY: the block has room for it.
    unsafe {
        let block: PLARGE_INTEGER = kernel::take(size_of::<LARGE_INTEGER>(), TAG_BUFFER).cast();
        (*block).QuadPart = len as i64;
        (*packet).Tail.Overlay.AuxiliaryBuffer = block.cast();
        block
    }
}

/// The buffers of a device or file-system control.
pub struct Control {
    /// The control code; its low two bits are the method.
    pub code: u32,
    /// Input buffer and length in bytes.
    pub input: (*mut u8, usize),
    /// Output buffer and length in bytes.
    pub output: (*mut u8, usize),
}

/// Hands over the buffers of a control by its method. False: no memory or a range that cannot be locked.
///
/// # Safety
/// `packet` is ours and its next location is that of the control.
pub unsafe fn control(packet: PIRP, control: &Control) -> bool {
    let ((input, input_len), (output, output_len)) = (control.input, control.output);
    // SAFETY: by contract.
    unsafe {
        let location = irp::next(packet);
        let parameters = &raw mut (*location).Parameters.DeviceIoControl;
        (*parameters).OutputBufferLength = output_len as u32;
        (*parameters).InputBufferLength = input_len as u32;
        (*parameters).IoControlCode = control.code;
        match control.code & 3 {
            METHOD_BUFFERED => {
                (*packet).UserBuffer = output.cast();
                let len = input_len.max(output_len);
                if !output.is_null() && output_len != 0 {
                    (*packet).Flags |= IRP_INPUT_OPERATION;
                }
                len == 0 || system_buffer(packet, len, input, input_len)
            }
            METHOD_NEITHER => {
                (*packet).UserBuffer = output.cast();
                (*parameters).Type3InputBuffer = input.cast();
                true
            }
            method => {
                if input_len != 0 && !system_buffer(packet, input_len, input, input_len) {
                    return false;
                }
                output_len == 0 || locked_mdl(packet, output, output_len, method == METHOD_OUT_DIRECT)
            }
        }
    }
}

/// Frees a request that was never sent.
///
/// # Safety
/// `packet` is ours and was not sent.
pub unsafe fn discard(packet: PIRP) {
    // SAFETY: by contract.
    unsafe {
        release_buffers(packet);
        irp::free(packet);
    }
}

/// # Safety
/// `packet` is the I/O manager's.
unsafe fn release_buffers(packet: PIRP) {
    // SAFETY: buffers and MDLs are the IRP's own.
    unsafe {
        super::reparse::take_auxiliary(packet);
        if (*packet).Flags & IRP_DEALLOCATE_BUFFER != 0 {
            pool::free((*packet).AssociatedIrp.SystemBuffer.cast(), TAG_BUFFER);
            (*packet).Flags &= !(IRP_DEALLOCATE_BUFFER | IRP_BUFFERED_IO);
        }
        free_mdls(packet);
    }
}

/// The end of a request that the I/O manager built.
///
/// # Safety
/// `packet` has passed its stack and is the I/O manager's.
pub unsafe fn finish(packet: PIRP) {
    // SAFETY: by contract; the pointers in the IRP were set up by this module.
    unsafe {
        let status = irp::status_of(&(*packet).IoStatus);
        let information = (*packet).IoStatus.Information as usize;
        let error = (status as u32) >> 30 == 3;
        let flags = (*packet).Flags;
        if flags & IRP_BUFFERED_IO != 0 && flags & IRP_INPUT_OPERATION != 0 && !error && information != 0 {
            let buffer = (*packet).AssociatedIrp.SystemBuffer.cast::<u8>();
            let room = kernel::size_of_block(buffer.cast());
            if information > room {
                fail!(
                    Irp,
                    "IRP {packet:p} is completed with Information {information}, but its system buffer has {room} bytes"
                );
            }
            if !kernel::copy((*packet).UserBuffer.cast(), buffer, information) {
                irp::set_status(packet, STATUS_ACCESS_VIOLATION, 0);
            }
        }
        release_buffers(packet);
        let file_object = (*packet).Tail.Overlay.OriginalFileObject;
        let (block, event) = ((*packet).UserIosb, (*packet).UserEvent);
        let tell = !error || (*packet).PendingReturned != 0;
        let outcome = (*packet).IoStatus;
        if cancel::retire(packet) {
            irp::free(packet);
        }
        // Whoever waits holds the file object and may give it up as soon as its event is set, so that comes
        // last.
        if tell && !file_object.is_null() {
            kernel::event_set(&raw mut (*file_object).Event);
        }
        if tell && !block.is_null() {
            *block = outcome;
        }
        if tell && !event.is_null() {
            kernel::event_set(event);
        }
    }
}

/// The IRP of the two `IoBuild...FsdRequest` functions.
///
/// # Safety
/// `device` is live; `buffer` has `len` bytes; `offset` is null or readable.
unsafe fn build_fsd(
    major: u32,
    device: PDEVICE_OBJECT,
    buffer: *mut u8,
    len: u32,
    offset: PLARGE_INTEGER,
    owner: Owner,
) -> PIRP {
    if fault::should_fail(fault::Site::Irp) {
        return std::ptr::null_mut();
    }
    // SAFETY: by contract.
    unsafe {
        let packet = start(device, owner, 0);
        if packet.is_null() {
            return packet;
        }
        let location = irp::next(packet);
        (*location).MajorFunction = major as u8;
        if major == IRP_MJ_READ || major == IRP_MJ_WRITE {
            let parameters = &raw mut (*location).Parameters.Read;
            (*parameters).Length = len;
            if !offset.is_null() {
                (*parameters).ByteOffset = *offset;
            }
            if !transfer(
                packet,
                Method::of_device(device),
                buffer,
                len as usize,
                major == IRP_MJ_READ,
            ) {
                discard(packet);
                return ptr::null_mut();
            }
        }
        packet
    }
}

/// `IoBuildAsynchronousFsdRequest`: the caller frees the IRP and its MDL in a completion routine.
pub unsafe extern "win64" fn IoBuildAsynchronousFsdRequest(
    major: ULONG,
    device: PDEVICE_OBJECT,
    buffer: PVOID,
    len: ULONG,
    offset: PLARGE_INTEGER,
    block: PIO_STATUS_BLOCK,
) -> PIRP {
    // SAFETY: the driver's contract is ours.
    unsafe {
        let packet = build_fsd(major, device, buffer.cast(), len, offset, Owner::Driver);
        if !packet.is_null() {
            (*packet).UserIosb = block;
        }
        packet
    }
}

/// `IoBuildSynchronousFsdRequest`: the I/O manager frees the IRP and signals the event.
pub unsafe extern "win64" fn IoBuildSynchronousFsdRequest(
    major: ULONG,
    device: PDEVICE_OBJECT,
    buffer: PVOID,
    len: ULONG,
    offset: PLARGE_INTEGER,
    event: PKEVENT,
    block: PIO_STATUS_BLOCK,
) -> PIRP {
    // SAFETY: the driver's contract is ours.
    unsafe {
        let packet = build_fsd(major, device, buffer.cast(), len, offset, Owner::Manager);
        if !packet.is_null() {
            (*packet).UserIosb = block;
            (*packet).UserEvent = event;
        }
        packet
    }
}

/// `IoBuildDeviceIoControlRequest`.
#[allow(clippy::too_many_arguments, reason = "NT's own signature")]
pub unsafe extern "win64" fn IoBuildDeviceIoControlRequest(
    code: ULONG,
    device: PDEVICE_OBJECT,
    input: PVOID,
    input_len: ULONG,
    output: PVOID,
    output_len: ULONG,
    internal: BOOLEAN,
    event: PKEVENT,
    block: PIO_STATUS_BLOCK,
) -> PIRP {
    if fault::should_fail(fault::Site::Irp) {
        return std::ptr::null_mut();
    }
    // SAFETY: the driver's contract is ours.
    unsafe {
        let packet = start(device, Owner::Manager, 0);
        if packet.is_null() {
            return packet;
        }
        (*packet).UserIosb = block;
        (*packet).UserEvent = event;
        let major = if internal != 0 {
            IRP_MJ_INTERNAL_DEVICE_CONTROL
        } else {
            IRP_MJ_DEVICE_CONTROL
        };
        (*irp::next(packet)).MajorFunction = major as u8;
        let buffers = Control {
            code,
            input: (input.cast(), input_len as usize),
            output: (output.cast(), output_len as usize),
        };
        if control(packet, &buffers) {
            return packet;
        }
        discard(packet);
        ptr::null_mut()
    }
}

crate::table! {
    /// Requests built for drivers.
    pub static IMPORTS = {
        IoBuildAsynchronousFsdRequest <= APC;
        IoBuildSynchronousFsdRequest <= PASSIVE;
        IoBuildDeviceIoControlRequest <= PASSIVE;
    }
}
