//! NT's names: `wdk-sys`, plus what it or the headers below it lack or have too short.
//!
//! The one door to them for every crate of the driver. Only functions that every x64 NT exports may be named here; newer ones
//! go through [`crate::routines`].
//
// UNSAFETY: declarations of foreign functions, and two raw field accesses that NT's headers have as macros.

#![allow(missing_docs)] // the names are NT's; the DDI reference documents them

use lklfs_nt::NtStatus;
pub use wdk_sys::ntddk::*;
pub use wdk_sys::*;

/// Pool tag of every allocation: `LkFs` as a debugger shows it.
pub const POOL_TAG: ULONG = u32::from_le_bytes(*b"LkFs");

/// `KernelMode` as the functions take it.
pub const KERNEL_MODE: KPROCESSOR_MODE = _MODE::KernelMode as KPROCESSOR_MODE;
/// `UserMode` as the functions take it.
pub const USER_MODE: KPROCESSOR_MODE = _MODE::UserMode as KPROCESSOR_MODE;
/// `FALSE` as a BOOLEAN.
pub const NO: BOOLEAN = 0;
/// `TRUE` as a BOOLEAN.
pub const YES: BOOLEAN = 1;
/// `PASSIVE_LEVEL` and its neighbours, as a KIRQL.
pub const PASSIVE: KIRQL = 0;
pub const APC: KIRQL = 1;
pub const DISPATCH: KIRQL = 2;

/// For the priority of `MmMapLockedPagesSpecifyCache`, from NT 6.2 on: the mapping is not executable.
pub const MDL_MAPPING_NO_EXECUTE: u32 = 0x4000_0000;

pub const PAGE_SHIFT: u32 = 12;
pub const PAGE_BYTES: usize = 4096;

/// A page frame number, as the array behind an MDL holds them.
pub type Pfn = u64;

// wdk-sys leaves out the pool functions that Microsoft has replaced; their replacements are too new to import.
// PsGetCurrentThread is a macro in the headers and a function in the kernel. ZwQuerySystemInformation is in no header for drivers.
unsafe extern "C" {
    pub fn ExAllocatePoolWithTag(pool_type: u32, bytes: usize, tag: u32) -> PVOID;
    pub fn PsGetCurrentThread() -> PVOID;
    pub fn ZwQuerySystemInformation(
        class: u32,
        information: PVOID,
        length: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS;
}

/// `FSRTL_ADVANCED_FCB_HEADER` as today's kernels have it (0x70 bytes; version 1 is announced, which ends at 0x58, so
/// that older and newer kernels read what is there and nothing else).
#[repr(C)]
pub struct AdvancedFcbHeader {
    pub node_type_code: i16,
    pub node_byte_size: i16,
    pub flags: u8,
    pub is_fast_io_possible: u8,
    pub flags2: u8,
    /// Low half reserved, high half the version.
    pub version: u8,
    pub resource: *mut ERESOURCE,
    pub paging_io_resource: *mut ERESOURCE,
    pub allocation_size: i64,
    pub file_size: i64,
    pub valid_data_length: i64,
    pub fast_mutex: *mut FAST_MUTEX,
    pub filter_contexts: LIST_ENTRY,
    pub push_lock: usize,
    pub file_context_support: *mut PVOID,
    pub newer: [usize; 3],
}

/// A LARGE_INTEGER of a value.
pub fn large(value: i64) -> LARGE_INTEGER {
    LARGE_INTEGER { QuadPart: value }
}

/// The value of a LARGE_INTEGER.
pub fn quad(value: &LARGE_INTEGER) -> i64 {
    // SAFETY: all members of the union are plain integers of the same eight bytes.
    unsafe { value.QuadPart }
}

/// A status as NT's functions have it.
pub fn raw_status(status: NtStatus) -> NTSTATUS {
    i32::from_ne_bytes(status.0.to_ne_bytes())
}

/// A status as the core has it.
pub fn status(raw: NTSTATUS) -> NtStatus {
    NtStatus(u32::from_ne_bytes(raw.to_ne_bytes()))
}

/// Whether a status is a success or informational.
pub fn succeeded(status: NtStatus) -> bool {
    status.0 < 0x8000_0000
}

/// The array of page frame numbers that follows an MDL's header.
///
/// # Safety
/// `mdl` points to an MDL.
pub unsafe fn mdl_pfns(mdl: PMDL) -> *mut Pfn {
    // SAFETY: the array starts where the header ends, inside the same allocation.
    unsafe { mdl.add(1) }.cast()
}

// What this crate's code relies on in NT's x64 layouts. A header that says otherwise must not build.
const _: () = {
    assert!(size_of::<MDL>() == 0x30);
    assert!(core::mem::offset_of!(MDL, MappedSystemVa) == 0x18);
    assert!(core::mem::offset_of!(MDL, ByteOffset) == 0x2c);
    assert!(size_of::<KSEMAPHORE>() == 0x20);
    assert!(size_of::<KTIMER>() == 0x40);
    assert!(size_of::<KDPC>() == 0x40);
    assert!(size_of::<KEVENT>() == 0x18);
    assert!(size_of::<IRP>() == 0xd0);
    assert!(core::mem::offset_of!(IRP, UserBuffer) == 0x70);
    assert!(core::mem::offset_of!(IRP, Tail) == 0x78);
    assert!(size_of::<IO_STACK_LOCATION>() == 0x48);
    assert!(core::mem::offset_of!(IO_STACK_LOCATION, DeviceObject) == 0x28);
    assert!(core::mem::offset_of!(IO_STACK_LOCATION, Parameters) == 0x08);
    assert!(size_of::<AdvancedFcbHeader>() == 0x70);
    assert!(core::mem::offset_of!(AdvancedFcbHeader, resource) == 0x08);
    assert!(core::mem::offset_of!(AdvancedFcbHeader, allocation_size) == 0x18);
    assert!(core::mem::offset_of!(AdvancedFcbHeader, fast_mutex) == 0x30);
    assert!(core::mem::offset_of!(AdvancedFcbHeader, filter_contexts) == 0x38);
    assert!(core::mem::offset_of!(AdvancedFcbHeader, push_lock) == 0x48);
    assert!(core::mem::offset_of!(AdvancedFcbHeader, newer) == 0x58);
    assert!(size_of::<ERESOURCE>() == 0x68);
    assert!(size_of::<FAST_MUTEX>() == 0x38);
    assert!(size_of::<FILE_OBJECT>() == 0xd8);
    assert!(core::mem::offset_of!(FILE_OBJECT, FsContext) == 0x18);
    assert!(core::mem::offset_of!(FILE_OBJECT, Flags) == 0x50);
    assert!(core::mem::offset_of!(FILE_OBJECT, FileName) == 0x58);
    assert!(core::mem::offset_of!(FILE_OBJECT, CurrentByteOffset) == 0x68);
    assert!(core::mem::offset_of!(DEVICE_OBJECT, Flags) == 0x30);
    assert!(core::mem::offset_of!(DEVICE_OBJECT, Vpb) == 0x38);
    assert!(core::mem::offset_of!(DEVICE_OBJECT, DeviceExtension) == 0x40);
    assert!(core::mem::offset_of!(DEVICE_OBJECT, SectorSize) == 0x130);
    assert!(size_of::<SECTION_OBJECT_POINTERS>() == 0x18);
    assert!(size_of::<SHARE_ACCESS>() == 0x1c);
};
