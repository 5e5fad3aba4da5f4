//! The contract of `linux/arch/lkl/include/asm/host_write.h`, in Rust, by hand; as `lkl::sys` is for `host_ops.h`.
//!
//! The function that the header declares is not here but in crate `linux-full`, which links the Linux that has it.

#![allow(unsafe_code, non_camel_case_types)]

use core::ffi::c_void;
use lkl::sys::{Long, lkl_disk_info, lkl_disk_params, lkl_segment, lkl_task};

/// `LKL_HOST_WRITE_VERSION`
pub const LKL_HOST_WRITE_VERSION: u32 = 1;
/// `LKL_DISK_FUA`
pub const LKL_DISK_FUA: u32 = 1;
/// `LKL_DISK_NOUNMAP`
pub const LKL_DISK_NOUNMAP: u32 = 2;
/// `LKL_DISK_HAS_FUA`
pub const LKL_DISK_HAS_FUA: u32 = 1;

/// One request that changes a disk, or has changes made durable.
#[repr(C)]
#[derive(Debug)]
pub struct lkl_disk_write {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// Bytes.
    pub len: usize,
    /// How many segments there are.
    pub segment_count: usize,
    /// The segments.
    pub segments: *const lkl_segment,
    /// `LKL_DISK_*`.
    pub flags: u32,
    /// Ends the request.
    pub done: unsafe extern "sysv64" fn(*mut lkl_disk_write, Long),
    /// For the host.
    pub host_private: [*mut c_void; 4],
    /// For Linux.
    pub linux_private: [*mut c_void; 2],
}

/// An operation on a disk that Linux may write to.
pub type Start = unsafe extern "sysv64" fn(disk: *mut c_void, request: *mut lkl_disk_write);

/// What a host does for such a disk.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // each member is documented in host_write.h
pub struct lkl_disk_write_ops {
    pub size: u32,
    pub version: u32,
    pub disk: *mut c_void,
    pub features: u32,
    pub discard_granularity: u32,
    pub max_discard: u64,
    pub max_write_zeroes: u64,
    pub write: Start,
    pub flush: Option<Start>,
    pub discard: Option<Start>,
    pub write_zeroes: Option<Start>,
}

/// `linux_disk_add_writable`
pub type AddWritable = unsafe extern "sysv64" fn(
    task: *mut lkl_task,
    params: *const lkl_disk_params,
    ops: *const lkl_disk_write_ops,
    info: *mut lkl_disk_info,
) -> Long;

#[cfg(test)]
#[path = "sys_layout_test.rs"]
mod layout_test;
