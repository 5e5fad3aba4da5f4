//! Memory of a user process: buffers that may be unreadable, read-only, or change under the driver's feet.
//!
//! User addresses lie in a range of their own, below MmUserProbeAddress. A fault at one is an exception in the driver;
//! a fault in an import is turned into an error by [`crate::ke::guarded_copy`].

#![allow(non_snake_case)]

use crate::{
    ke,
    mm::{
        PAGE_SIZE, phys,
        space::{self, Protection, RegionKind},
    },
    nt::*,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ProbeForRead <= APC;
        ProbeForWrite <= APC;
        data MmUserProbeAddress = (&raw const PROBE).cast();
        data MmHighestUserAddress = (&raw const HIGHEST).cast();
        data MmSystemRangeStart = (&raw const SYSTEM_START).cast();
    }
}

static PROBE: usize = space::user_range().end - 0x1_0000;
static HIGHEST: usize = PROBE - 1;
static SYSTEM_START: usize = space::user_range().end;

/// Protections of pages that are not plainly readable and writable.
static RESTRICTED: Mutex<BTreeMap<usize, Protection>> = Mutex::new(BTreeMap::new());

fn restricted() -> MutexGuard<'static, BTreeMap<usize, Protection>> {
    RESTRICTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A user buffer. Its end is the end of its last page, so that running over it faults.
#[derive(Debug)]
pub struct UserRegion {
    base: usize,
    pages: usize,
    start: usize,
    length: usize,
}

impl UserRegion {
    /// A zeroed, writable buffer of `length` bytes.
    pub fn new(length: usize) -> Self {
        let pages = length.max(1).div_ceil(PAGE_SIZE);
        let extent = phys::allocate(pages as u64).expect("the double's memory is not full");
        phys::zero(extent);
        let region = space::map(
            RegionKind::User,
            pages,
            PAGE_SIZE,
            vec![extent],
            Protection::ReadWrite,
        );
        // Eight bytes of alignment are what structs of the NT API need.
        let start = (region.range().end - length) & !7;
        Self {
            base: region.base,
            pages,
            start,
            length,
        }
    }

    /// Its first byte.
    pub fn ptr(&self) -> *mut u8 {
        self.start as *mut u8
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// It has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Changes the protection of all of its pages, at any time.
    pub fn protect(&self, protection: Protection) {
        let range = self.base..self.base + self.pages * PAGE_SIZE;
        let mut restricted = restricted();
        for page in range.clone().step_by(PAGE_SIZE) {
            match protection {
                Protection::ReadWrite => restricted.remove(&page),
                other => restricted.insert(page, other),
            };
        }
        space::protect(range, protection);
    }

    /// A copy of its bytes.
    pub fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        // SAFETY: a plain copy between buffers of that length; an unreadable one leaves zeros.
        let _ = unsafe { ke::guarded_copy(bytes.as_mut_ptr(), self.ptr(), self.length) };
        bytes
    }

    /// Fills its beginning.
    pub fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length, "the buffer is long enough");
        // SAFETY: a plain copy into the buffer; an unwritable one stays as it is.
        let _ = unsafe { ke::guarded_copy(self.ptr(), bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for UserRegion {
    fn drop(&mut self) {
        self.protect(Protection::ReadWrite);
        if let Some(region) = space::release(self.base) {
            region.frames.into_iter().for_each(phys::free);
        }
    }
}

/// An address is a user's.
pub fn is_user(address: usize) -> bool {
    address < SYSTEM_START
}

/// A page of a user buffer may be read, or written.
pub fn accessible(address: usize, write: bool) -> bool {
    let page = address & !(PAGE_SIZE - 1);
    if space::kind_of(page) != Some(RegionKind::User) {
        return false;
    }
    match restricted().get(&page) {
        None => true,
        Some(Protection::Read) => !write,
        Some(_) => false,
    }
}

/// The common part of both probes: raises for misalignment and for kernel addresses.
fn check(address: usize, length: usize, alignment: usize) {
    if alignment != 0 && address & (alignment - 1) != 0 {
        ke::raise(STATUS_DATATYPE_MISALIGNMENT);
    }
    match address.checked_add(length) {
        Some(end) if end <= PROBE => {}
        _ => ke::raise(STATUS_ACCESS_VIOLATION),
    }
}

/// `ProbeForRead`: only the range is checked; reading may still fault.
pub unsafe extern "win64" fn ProbeForRead(address: *const u8, length: SIZE_T, alignment: ULONG) {
    if length != 0 {
        check(address as usize, length as usize, alignment as usize);
    }
}

/// `ProbeForWrite`: touches each page.
pub unsafe extern "win64" fn ProbeForWrite(address: *mut u8, length: SIZE_T, alignment: ULONG) {
    if length == 0 {
        return;
    }
    let (start, length) = (address as usize, length as usize);
    check(start, length, alignment as usize);
    let first = start & !(PAGE_SIZE - 1);
    if !(first..start + length)
        .step_by(PAGE_SIZE)
        .all(|page| accessible(page, true))
    {
        ke::raise(STATUS_ACCESS_VIOLATION);
    }
}
