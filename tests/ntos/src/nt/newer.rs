//! What mingw-w64's headers lack, or have in an older and shorter form.
//!
//! Names are those of Microsoft's headers with an underscore-free spelling. Layouts are asserted against the sizes that
//! the public Windows 10 symbols and documentation give for x64.

use super::defs::*;
use core::mem::{offset_of, size_of};

/// `FSRTL_ADVANCED_FCB_HEADER` as Windows 10 has it. mingw's ends before `Oplock`. Which fields a driver filled in is
/// said by the version in the common header: 1 up to `FileContextSupportPointer`, 2 up to `Oplock`, 3 all.
#[repr(C)]
#[derive(Copy, Clone)]
#[allow(non_snake_case, missing_docs)]
pub struct AdvancedFcbHeader {
    pub Common: FSRTL_COMMON_FCB_HEADER,
    pub FastMutex: PFAST_MUTEX,
    pub FilterContexts: LIST_ENTRY,
    pub PushLock: usize,
    pub FileContextSupportPointer: *mut PVOID,
    /// Also `ReservedForRemote`.
    pub Oplock: PVOID,
    pub BypassIoOpenCount: u32,
    pub ReservedContext: PVOID,
}
const _: () = assert!(size_of::<AdvancedFcbHeader>() == 0x70);
const _: () = assert!(offset_of!(AdvancedFcbHeader, FastMutex) == 0x30);
const _: () = assert!(offset_of!(AdvancedFcbHeader, Oplock) == 0x58);

/// `POOL_FLAGS` of `ExAllocatePool2`.
pub type PoolFlags = u64;
/// Fail by an exception instead of NULL.
pub const POOL_FLAG_RAISE_ON_FAILURE: PoolFlags = 0x20;
/// Charge the process's quota.
pub const POOL_FLAG_USE_QUOTA: PoolFlags = 0x01;
/// Do not zero the block.
pub const POOL_FLAG_UNINITIALIZED: PoolFlags = 0x02;
/// Cache-line aligned.
pub const POOL_FLAG_CACHE_ALIGNED: PoolFlags = 0x08;
/// Not pageable, not executable.
pub const POOL_FLAG_NON_PAGED: PoolFlags = 0x40;
/// Not pageable, executable.
pub const POOL_FLAG_NON_PAGED_EXECUTE: PoolFlags = 0x80;
/// Pageable.
pub const POOL_FLAG_PAGED: PoolFlags = 0x100;

/// `GENERAL_LOOKASIDE` with the alignment that it gets in practice: the header's cache-line alignment is more than pool
/// gives.
#[repr(C, align(16))]
#[allow(non_snake_case, missing_docs)]
pub struct Lookaside {
    pub ListHead: [usize; 2],
    pub Depth: u16,
    pub MaximumDepth: u16,
    pub TotalAllocates: u32,
    pub AllocateMisses: u32,
    pub TotalFrees: u32,
    pub FreeMisses: u32,
    pub Type: u32,
    pub Tag: u32,
    pub Size: u32,
    pub Allocate: *const (),
    pub Free: *const (),
    pub ListEntry: LIST_ENTRY,
    pub Last: [u32; 4],
}
const _: () = assert!(size_of::<Lookaside>() == size_of::<GENERAL_LOOKASIDE>() - 0x20);
const _: () = assert!(offset_of!(Lookaside, Tag) == offset_of!(GENERAL_LOOKASIDE, Tag));
const _: () = assert!(offset_of!(Lookaside, ListEntry) == offset_of!(GENERAL_LOOKASIDE, ListEntry));
