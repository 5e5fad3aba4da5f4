//! The error log: what a driver tells the system's event log.
//!
//! `IoAllocateErrorLogEntry` gives a packet, which `IoWriteErrorLogEntry` takes and NT's own thread passes on. NT cuts what is
//! wrong in a packet without a word, or logs another driver's bytes; here it is a failure: strings that do not end in the packet, a size that
//! NT refuses whatever memory there is, and an event whose text the image's message table does not have, for which Event Viewer says that the
//! description cannot be found. What was logged is recorded ([`events`]) as Event Viewer shows it.

use super::{kernel, names};
use crate::loader;
use crate::nt::*;
use crate::ob;
use crate::verifier::{fail, fault, ledger as holdings};
use std::mem::offset_of;
use std::sync::{Mutex, PoisonError};

/// The largest packet, `ERROR_LOG_MAXIMUM_SIZE`.
const LARGEST: usize = 240;
/// The smallest: what stands before the data of a packet's own.
const HEAD: usize = offset_of!(IO_ERROR_LOG_PACKET, DumpData);
/// Where there are strings or data: the structure as it is declared.
const SMALLEST: usize = size_of::<IO_ERROR_LOG_PACKET>();
const TAG: u32 = u32::from_le_bytes(*b"IoEr");

/// A packet as it was given out, in front of its bytes.
#[repr(C)]
struct Entry {
    /// The device or driver object.
    object: usize,
    bytes: usize,
}

/// What was logged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Event {
    /// The message's number.
    pub id: u32,
    /// Its text, with the inserts in their places.
    pub text: String,
    /// What tells the places in the driver that log the same apart.
    pub unique: u32,
    /// The final status.
    pub status: NTSTATUS,
}

static EVENTS: Mutex<Vec<Event>> = Mutex::new(Vec::new());

/// What was logged so far.
pub fn events() -> Vec<Event> {
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Takes what was logged so far.
pub fn take_events() -> Vec<Event> {
    std::mem::take(&mut *EVENTS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The object's name, and its driver's image.
///
/// # Safety
/// `object` is a device or a driver object.
unsafe fn source(object: usize) -> (String, PVOID) {
    // SAFETY: both begin with a type, which tells them apart.
    unsafe {
        let device = object as PDEVICE_OBJECT;
        let driver: PDRIVER_OBJECT = if (*device).Type == IO_TYPE_DEVICE as CSHORT {
            (*device).DriverObject
        } else {
            object as PDRIVER_OBJECT
        };
        let own = names::name_of(&names::Node::Device(object));
        let name = own
            .unwrap_or_else(|| String::from_utf16_lossy(&names::characters(&raw const (*driver).DriverName)));
        (name, (*driver).DriverStart)
    }
}

/// `IoAllocateErrorLogEntry`.
pub unsafe extern "win64" fn IoAllocateErrorLogEntry(object: PVOID, bytes: UCHAR) -> PVOID {
    let bytes = usize::from(bytes);
    if !(SMALLEST..=LARGEST).contains(&bytes) {
        fail!(
            BadArgument,
            "IoAllocateErrorLogEntry of {bytes} bytes: a packet has {SMALLEST} to {LARGEST}"
        );
    }
    if fault::should_fail(fault::Site::Pool) {
        return std::ptr::null_mut();
    }
    let entry: *mut Entry = kernel::take(size_of::<Entry>() + bytes, TAG).cast();
    if entry.is_null() {
        return std::ptr::null_mut();
    }
    ob::reference(object);
    // SAFETY: the block is new and has room for both.
    let packet = unsafe {
        entry.write(Entry {
            object: object as usize,
            bytes,
        });
        let packet = entry.add(1).cast::<u8>();
        packet.write_bytes(0, bytes);
        packet
    };
    holdings::add(
        holdings::Kind::ErrorLogEntry,
        packet as usize,
        "IoAllocateErrorLogEntry",
    );
    packet.cast()
}

/// What stands in front of a packet, which the driver has no more.
fn given_back(packet: PVOID, by: &str) -> *mut Entry {
    if !holdings::remove(holdings::Kind::ErrorLogEntry, packet as usize) {
        fail!(
            BadFree,
            "{by} of {packet:p}, which IoAllocateErrorLogEntry did not make"
        );
    }
    // SAFETY: the ledger knew it, so that an entry stands in front.
    unsafe { packet.cast::<Entry>().sub(1) }
}

/// # Safety
/// The entry is one of ours that is not used any more.
unsafe fn free(entry: *mut Entry) {
    // SAFETY: by contract.
    unsafe {
        ob::dereference((*entry).object as PVOID);
        crate::mm::pool::free(entry.cast(), TAG);
    }
}

/// `IoFreeErrorLogEntry`.
pub unsafe extern "win64" fn IoFreeErrorLogEntry(packet: PVOID) {
    // SAFETY: it is the driver's no more.
    unsafe { free(given_back(packet, "IoFreeErrorLogEntry")) }
}

/// `IoWriteErrorLogEntry`.
pub unsafe extern "win64" fn IoWriteErrorLogEntry(packet: PVOID) {
    let entry = given_back(packet, "IoWriteErrorLogEntry");
    // SAFETY: the entry says how long its packet is; the object is referenced.
    let event = unsafe {
        let bytes = std::slice::from_raw_parts(packet.cast::<u8>(), (*entry).bytes);
        let (name, image) = source((*entry).object);
        let head = packet.cast::<IO_ERROR_LOG_PACKET>().read_unaligned();
        event(&head, bytes, name, image as usize)
    };
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    // SAFETY: nothing uses it any more.
    unsafe { free(entry) }
}

/// What Event Viewer shows of a packet.
fn event(head: &IO_ERROR_LOG_PACKET, bytes: &[u8], name: String, image: usize) -> Event {
    let data = HEAD + usize::from(head.DumpDataSize);
    if usize::from(head.DumpDataSize) % 4 != 0 || data > bytes.len() {
        fail!(
            BadArgument,
            "an error log entry of {} bytes with {} bytes of data",
            bytes.len(),
            head.DumpDataSize
        );
    }
    let mut inserts = vec![name];
    let mut at = usize::from(head.StringOffset);
    for number in 0..head.NumberOfStrings {
        if at < data || !at.is_multiple_of(2) {
            fail!(
                BadArgument,
                "an error log entry with strings at {at}: its data ends at {data}"
            );
        }
        let units: Vec<u16> = bytes
            .get(at..)
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        let Some(end) = units.iter().position(|unit| *unit == 0) else {
            fail!(
                BadArgument,
                "string {number} of an error log entry has no end in its {} bytes",
                bytes.len()
            );
        };
        inserts.push(String::from_utf16_lossy(&units[..end]));
        at += 2 * (end + 1);
    }
    let id = head.ErrorCode as u32;
    let Some(text) = loader::image_of(image).and_then(|image| image.message(id)) else {
        fail!(
            BadArgument,
            "event {id:#x} is logged, for which {}'s image has no message",
            inserts[0]
        );
    };
    let shown = inserts.iter().enumerate().fold(text, |text, (index, insert)| {
        text.replace(&format!("%{}", index + 1), insert)
    });
    Event {
        id,
        text: shown.trim_end().to_owned(),
        unique: head.UniqueErrorValue,
        status: head.FinalStatus,
    }
}

crate::table! {
    /// The error log.
    pub static IMPORTS = {
        IoAllocateErrorLogEntry <= DISPATCH;
        IoFreeErrorLogEntry <= DISPATCH;
        IoWriteErrorLogEntry <= DISPATCH;
    }
}
