//! NT's names: `wdk-sys`, plus what it or the headers below it lack.
//!
//! One door for both crates that talk to the kernel (this one and `lklfs-ntk`). Only functions that every x64 NT
//! exports may be named here; newer ones go through [`crate::routines`].
//
// UNSAFETY: declarations of foreign functions, and two raw field accesses that NT's headers have as macros.

#![allow(missing_docs)] // the names are NT's; the DDI reference documents them

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

/// A LARGE_INTEGER of a value.
pub fn large(value: i64) -> LARGE_INTEGER {
    LARGE_INTEGER { QuadPart: value }
}

/// The value of a LARGE_INTEGER.
pub fn quad(value: &LARGE_INTEGER) -> i64 {
    // SAFETY: all members of the union are plain integers of the same eight bytes.
    unsafe { value.QuadPart }
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
};
