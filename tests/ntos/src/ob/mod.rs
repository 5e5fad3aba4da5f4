//! Objects and handles: reference counts, types, one handle table.
//!
//! An object is a body in guarded memory of the double with a header in front, so a body that is used after its last
//! dereference faults. `close` runs when the last handle goes, `delete` with the last reference, both in the thread that
//! let go. References and handles that the driver took are in the ledger.

use crate::{
    imports::Import,
    mm::pool::{self, Kind, Owner},
    nt::*,
    verifier::ledger::{self, Kind as Held},
};
use std::{
    collections::BTreeMap,
    ffi::c_void,
    sync::{
        Mutex,
        atomic::{AtomicIsize, AtomicU64, Ordering},
    },
};

pub mod imports;

/// A type of objects.
pub struct ObjectType {
    /// Its name, as `\ObjectTypes` has it.
    pub name: &'static str,
    /// Runs when the last handle is closed.
    pub close: Option<fn(*mut c_void)>,
    /// Runs when the last reference goes. The memory is freed after it.
    pub delete: fn(*mut c_void),
}

#[repr(C, align(16))]
struct Header {
    magic: u64,
    object_type: &'static ObjectType,
    references: AtomicIsize,
    handles: AtomicIsize,
}

const MAGIC: u64 = 0x4A4F_5F53_4F54_4E5F;
const TAG: u32 = u32::from_le_bytes(*b"ObOb");
const HEADER: usize = size_of::<Header>();

/// Creates an object with a zeroed body of `size` bytes and one reference.
pub fn create(object_type: &'static ObjectType, size: usize) -> *mut c_void {
    let length = HEADER + size.next_multiple_of(pool::ALIGN);
    let block = pool::allocate(Kind::NonPaged, length, TAG, Owner::Double);
    let header = Header {
        magic: MAGIC,
        object_type,
        references: AtomicIsize::new(1),
        handles: AtomicIsize::new(0),
    };
    // SAFETY: the block is new, 16-byte aligned and long enough for header and body.
    unsafe {
        block.write_bytes(0, length);
        block.cast::<Header>().write(header);
        block.add(HEADER).cast()
    }
}

/// The header of a body; stops when there is none.
fn header(body: *mut c_void) -> &'static Header {
    let at = (body as usize).wrapping_sub(HEADER);
    let is_object =
        (body as usize).is_multiple_of(16) && pool::block_at(at).is_some_and(|(_, tag, _)| tag == TAG);
    if !is_object {
        crate::fail!(
            Reference,
            "{body:p} is no object: {}",
            pool::explain(body as usize)
        );
    }
    // SAFETY: a live block with this tag starts with a header.
    let header = unsafe { &*(at as *const Header) };
    assert!(header.magic == MAGIC, "object headers stay intact");
    header
}

/// The type of an object; `None` when `body` is no object.
pub fn type_of(body: *mut c_void) -> Option<&'static ObjectType> {
    let at = (body as usize).wrapping_sub(HEADER);
    let is_object =
        (body as usize).is_multiple_of(16) && pool::block_at(at).is_some_and(|(_, tag, _)| tag == TAG);
    is_object.then(|| header(body).object_type)
}

/// How many references an object has.
pub fn references(body: *mut c_void) -> isize {
    header(body).references.load(Ordering::Relaxed)
}

/// How many handles an object has.
pub fn handles(body: *mut c_void) -> isize {
    header(body).handles.load(Ordering::Relaxed)
}

/// One reference more.
pub fn reference(body: *mut c_void) {
    let before = header(body).references.fetch_add(1, Ordering::Relaxed);
    if before <= 0 {
        crate::fail!(
            Reference,
            "object {body:p} is referenced while it is being deleted"
        );
    }
}

/// One reference less; the last one deletes the object.
pub fn dereference(body: *mut c_void) {
    let header = header(body);
    let before = header.references.fetch_sub(1, Ordering::AcqRel);
    if before <= 0 {
        crate::fail!(
            Reference,
            "object {body:p} ({}) is dereferenced too often",
            header.object_type.name
        );
    }
    if before == 1 {
        if header.handles.load(Ordering::Relaxed) != 0 {
            crate::fail!(
                Reference,
                "object {body:p} ({}) loses its last reference with handles open",
                header.object_type.name
            );
        }
        (header.object_type.delete)(body);
        SECURITY
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .remove(&(body as usize));
        pool::free((body as *mut u8).wrapping_sub(HEADER), TAG);
    }
}

#[derive(Clone, Copy)]
struct Handle {
    body: usize,
    access: u32,
}

static HANDLES: Mutex<BTreeMap<usize, Handle>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

fn table() -> std::sync::MutexGuard<'static, BTreeMap<usize, Handle>> {
    HANDLES.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Opens a handle, which holds a reference of its own. Values are used once only, so that a stale one is noticed.
pub fn open_handle(body: *mut c_void, access: u32) -> HANDLE {
    reference(body);
    header(body).handles.fetch_add(1, Ordering::Relaxed);
    let value = NEXT.fetch_add(1, Ordering::Relaxed) as usize * 4;
    table().insert(
        value,
        Handle {
            body: body as usize,
            access,
        },
    );
    value as HANDLE
}

/// [`open_handle`] for the driver: the handle is in the ledger until it is closed.
pub fn open_handle_for_driver(body: *mut c_void, access: u32) -> HANDLE {
    let handle = open_handle(body, access);
    ledger::add(Held::Handle, handle as usize, header(body).object_type.name);
    handle
}

/// Closes a handle.
pub fn close_handle(handle: HANDLE) -> NTSTATUS {
    let Some(entry) = table().remove(&(handle as usize)) else {
        return STATUS_INVALID_HANDLE;
    };
    ledger::remove(Held::Handle, handle as usize);
    let body = entry.body as *mut c_void;
    let header = header(body);
    if header.handles.fetch_sub(1, Ordering::AcqRel) == 1
        && let Some(close) = header.object_type.close
    {
        close(body);
    }
    dereference(body);
    STATUS_SUCCESS
}

/// The object of a handle, with a reference for the caller.
pub fn from_handle(handle: HANDLE) -> Option<*mut c_void> {
    let entry = *table().get(&(handle as usize))?;
    let body = entry.body as *mut c_void;
    reference(body);
    Some(body)
}

/// The access that a handle was opened with.
pub fn handle_access(handle: HANDLE) -> Option<u32> {
    table().get(&(handle as usize)).map(|entry| entry.access)
}

/// Handles that are open.
pub fn open_handles() -> usize {
    table().len()
}

static SECURITY: Mutex<BTreeMap<usize, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Sets the security descriptor of an object, in its self-relative form.
pub fn set_security(body: *mut c_void, descriptor: Vec<u8>) {
    SECURITY
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .insert(body as usize, descriptor);
}

/// The security descriptor that was set for an object.
pub fn security_of(body: *mut c_void) -> Option<Vec<u8>> {
    SECURITY
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .get(&(body as usize))
        .cloned()
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[imports::IMPORTS];
