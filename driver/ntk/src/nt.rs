//! NT's names for this crate: the host's ([`lkl_host_ntk::nt`]), and records that the headers at hand have too short.
//
// UNSAFETY: none itself; declares the layout of memory that the kernel reads.

#![allow(missing_docs)] // the names are NT's

pub use lkl_host_ntk::nt::*;
use lklfs_nt::NtStatus;

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

const _: () = {
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
