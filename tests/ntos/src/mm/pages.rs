//! Pages without addresses: MmAllocatePagesForMdl; and questions about addresses.

#![allow(non_snake_case)]

use crate::{
    mm::{
        PAGE_SIZE, mdl, pages_spanned,
        phys::{self, Extent},
        pool::{self, Kind, Owner},
        space::{self, Protection, Region, RegionKind},
    },
    nt::*,
    verifier::{
        fault::{self, Site},
        ledger::{self, Kind as Held},
    },
};
use std::{collections::HashMap, ptr::null_mut, sync::Mutex};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        MmAllocatePagesForMdl <= APC;
        MmAllocatePagesForMdlEx <= APC;
        MmFreePagesFromMdl <= APC;
        MmGetPhysicalAddress <= HIGH;
        MmIsAddressValid <= HIGH;
        MmIsNonPagedSystemAddressValid <= HIGH;
        MmQuerySystemSize <= PASSIVE;
        MmIsThisAnNtAsSystem <= PASSIVE;
        MmIsDriverVerifying <= HIGH;
        MmIsVerifierEnabled <= PASSIVE;
        MmLockPagableDataSection <= APC;
        MmUnlockPagableImageSection <= APC;
        MmPageEntireDriver <= APC;
        MmResetDriverPaging <= APC;
    }
}

const TAG: u32 = u32::from_le_bytes(*b"MmPg");

/// The frames that MDLs own, by MDL.
static OWNED: Mutex<Option<HashMap<usize, Extent>>> = Mutex::new(None);

/// Frames of the double's own, mapped where it wants them; for cached views and sections.
#[derive(Debug)]
pub struct Pages {
    extent: Extent,
}

impl Pages {
    /// `count` zeroed frames.
    pub fn allocate(count: usize) -> Self {
        let extent = phys::allocate(count as u64).expect("the double's memory is not full");
        phys::zero(extent);
        Self { extent }
    }

    /// The frames.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// A view of all of them; the caller gives it back with [`space::release`].
    pub fn map(&self, kind: RegionKind, protection: Protection) -> Region {
        space::map(
            kind,
            self.extent.count as usize,
            PAGE_SIZE,
            vec![self.extent],
            protection,
        )
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        phys::free(self.extent);
    }
}

/// MM_DONT_ZERO_ALLOCATION.
const DONT_ZERO: u32 = 1;

fn allocate(total: usize, flags: u32) -> PMDL {
    let count = total.div_ceil(PAGE_SIZE);
    if count == 0 || fault::should_fail(Site::Pages) {
        return null_mut();
    }
    let Some(extent) = phys::allocate(count as u64) else {
        return null_mut();
    };
    if flags & DONT_ZERO == 0 {
        phys::zero(extent);
    }
    let size = mdl::HEADER + pages_spanned(0, total) * 8;
    // The driver frees the MDL itself with ExFreePool.
    let list: PMDL = pool::allocate(Kind::NonPaged, size, TAG, Owner::Driver).cast();
    if list.is_null() {
        phys::free(extent);
        return null_mut();
    }
    // SAFETY: the block is new and has room for header and frames.
    unsafe {
        list.write_bytes(0, 1);
        (*list).Size = size as i16;
        (*list).MdlFlags = MDL_PAGES_LOCKED as i16;
        (*list).ByteCount = (count * PAGE_SIZE) as u32;
        for (index, frame) in mdl::frames(list).iter_mut().enumerate() {
            *frame = extent.first + index as u64;
        }
    }
    let mut owned = OWNED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    owned
        .get_or_insert_with(HashMap::new)
        .insert(list as usize, extent);
    ledger::add(
        Held::Mdl,
        list as usize,
        format!("{count} pages from MmAllocatePagesForMdl"),
    );
    list
}

unsafe extern "win64" fn MmAllocatePagesForMdl(_low: i64, _high: i64, _skip: i64, total: SIZE_T) -> PMDL {
    allocate(total as usize, 0)
}

unsafe extern "win64" fn MmAllocatePagesForMdlEx(
    _low: i64,
    _high: i64,
    _skip: i64,
    total: SIZE_T,
    _cache: i32,
    flags: ULONG,
) -> PMDL {
    allocate(total as usize, flags)
}

unsafe extern "win64" fn MmFreePagesFromMdl(list: PMDL) {
    let mut owned = OWNED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(extent) = owned.get_or_insert_with(HashMap::new).remove(&(list as usize)) else {
        drop(owned);
        crate::fail!(Mdl, "MmFreePagesFromMdl of {list:p}, which owns no pages");
    };
    drop(owned);
    // SAFETY: an MDL of ours, see above.
    unsafe {
        if (*list).MdlFlags & MDL_MAPPED_TO_SYSTEM_VA as i16 != 0 {
            crate::fail!(Mdl, "the pages of MDL {list:p} are freed while they are mapped");
        }
        (*list).MdlFlags &= !(MDL_PAGES_LOCKED as i16);
    }
    ledger::remove(Held::Mdl, list as usize);
    phys::free(extent);
}

unsafe extern "win64" fn MmGetPhysicalAddress(address: PVOID) -> u64 {
    let offset = (address as usize % PAGE_SIZE) as u64;
    space::pfn_of(address as usize).map_or(0, |pfn| pfn * PAGE_SIZE as u64 + offset)
}

unsafe extern "win64" fn MmIsAddressValid(address: PVOID) -> BOOLEAN {
    u8::from(space::kind_of(address as usize).is_some())
}

unsafe extern "win64" fn MmIsNonPagedSystemAddressValid(address: PVOID) -> BOOLEAN {
    let address = address as usize;
    let paged = pool::kind_of(address) == Some(Kind::Paged);
    u8::from(!paged && space::kind_of(address).is_some_and(|kind| kind != RegionKind::User))
}

/// MmLargeSystem.
unsafe extern "win64" fn MmQuerySystemSize() -> i32 {
    2
}

unsafe extern "win64" fn MmIsThisAnNtAsSystem() -> BOOLEAN {
    0
}

unsafe extern "win64" fn MmIsDriverVerifying(_driver: PVOID) -> ULONG {
    1
}

unsafe extern "win64" fn MmIsVerifierEnabled(flags: *mut ULONG) -> NTSTATUS {
    // Special pool, IRQL checking, pool tracking, I/O verification, deadlock detection.
    // SAFETY: the driver passes a pointer for the flags.
    unsafe { *flags = 0x3B };
    STATUS_SUCCESS
}

/// Images are never paged out here, so locking a section changes nothing but that the handle must be a valid address.
unsafe extern "win64" fn MmLockPagableDataSection(address: PVOID) -> PVOID {
    if crate::loader::image_of(address as usize).is_none() {
        crate::fail!(
            BadArgument,
            "MmLockPagableDataSection of {address:p}, which is in no image"
        );
    }
    address
}

unsafe extern "win64" fn MmUnlockPagableImageSection(_handle: PVOID) {}

unsafe extern "win64" fn MmPageEntireDriver(address: PVOID) -> PVOID {
    crate::loader::image_of(address as usize).map_or(null_mut(), |image| image.base() as PVOID)
}

unsafe extern "win64" fn MmResetDriverPaging(_address: PVOID) {}
