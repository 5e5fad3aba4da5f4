//! The contract of `linux/arch/lkl/include/asm/host_ops.h`, in Rust, by hand.
//!
//! Names, order and widths are the header's; the test at the end asks the C compiler for every size and offset.
//! Linux is LP64 and System V on every host, so `unsigned long` is `u64`/`usize` here and each function pointer says
//! `extern "sysv64"`, which on Windows is not the default.
//!
//! Everything else in this crate is a safe layer over this file; hosts should not need it.

// UNSAFETY: declares Linux's functions.

#![allow(unsafe_code, non_camel_case_types)]

use core::ffi::{c_char, c_int, c_long, c_void};

/// `LKL_HOST_OPS_VERSION`
pub const LKL_HOST_OPS_VERSION: u32 = 4;
/// `LKL_PAGE_SIZE`, bytes.
pub const LKL_PAGE_SIZE: usize = 4096;

/// `long` as Linux has it: 64 bits, on Windows too (where Rust's `c_long` has 32).
pub type Long = i64;

const _: () = assert!(size_of::<Long>() == 8 && size_of::<usize>() == 8);
const _: () = assert!(cfg!(windows) || size_of::<c_long>() == size_of::<Long>());

/// A piece of memory that a disk read fills.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lkl_segment {
    /// Start of the piece.
    pub addr: *mut c_void,
    /// Bytes, a multiple of 512.
    pub len: usize,
}

/// One read request to a disk.
#[repr(C)]
#[derive(Debug)]
pub struct lkl_disk_read {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// Bytes, the sum of the segments' lengths.
    pub len: usize,
    /// How many segments there are.
    pub segment_count: usize,
    /// The segments.
    pub segments: *const lkl_segment,
    /// For the host.
    pub host_private: [*mut c_void; 4],
    /// For Linux.
    pub linux_private: [*mut c_void; 2],
}

/// Of what Linux has died, and at whose work.
#[repr(C)]
#[derive(Debug)]
pub struct lkl_death {
    /// Text.
    pub why: *const u8,
    /// Bytes of it.
    pub why_len: usize,
    /// The entry task in whose call it was, or null. Only to be compared.
    pub task: *const lkl_task,
    /// The disk that the thread asked last, or that was answered last, or null. Only to be compared.
    pub disk: *const c_void,
}

/// `entry` of `thread_create` and `fire` of `timer_alloc`.
pub type Entry = unsafe extern "sysv64" fn(arg: *mut c_void);

/// What the host does for Linux.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // each member is documented in host_ops.h; host.rs has the safe form of each
pub struct lkl_host_ops {
    pub size: u32,
    pub version: u32,
    pub host: *mut c_void,
    pub print: unsafe extern "sysv64" fn(*mut c_void, *const u8, usize),
    pub panicked: unsafe extern "sysv64" fn(*mut c_void, *const lkl_death),
    pub stuck: unsafe extern "sysv64" fn(*mut c_void),
    pub sem_alloc: unsafe extern "sysv64" fn(*mut c_void, u32) -> *mut c_void,
    pub sem_free: unsafe extern "sysv64" fn(*mut c_void, *mut c_void),
    pub sem_up: unsafe extern "sysv64" fn(*mut c_void, *mut c_void),
    pub sem_down: unsafe extern "sysv64" fn(*mut c_void, *mut c_void),
    pub thread_create: unsafe extern "sysv64" fn(*mut c_void, Entry, *mut c_void) -> *mut c_void,
    pub thread_exit: unsafe extern "sysv64" fn(*mut c_void) -> !,
    pub thread_join: unsafe extern "sysv64" fn(*mut c_void, *mut c_void),
    pub thread_self: unsafe extern "sysv64" fn(*mut c_void) -> u64,
    pub thread_ran_ns: unsafe extern "sysv64" fn(*mut c_void, u64) -> u64,
    pub thread_urgent: unsafe extern "sysv64" fn(*mut c_void),
    pub pool_alloc: unsafe extern "sysv64" fn(*mut c_void, usize) -> *mut c_void,
    pub pool_free: unsafe extern "sysv64" fn(*mut c_void, *mut c_void, usize),
    pub pages_map: unsafe extern "sysv64" fn(*mut c_void, *const usize, usize) -> *mut c_void,
    pub pages_unmap: unsafe extern "sysv64" fn(*mut c_void, *mut c_void, usize),
    pub monotonic_ns: unsafe extern "sysv64" fn(*mut c_void) -> u64,
    pub realtime_ns: unsafe extern "sysv64" fn(*mut c_void) -> u64,
    pub timer_alloc: unsafe extern "sysv64" fn(*mut c_void, Entry, *mut c_void) -> *mut c_void,
    pub timer_arm: unsafe extern "sysv64" fn(*mut c_void, *mut c_void, u64),
    pub timer_free: unsafe extern "sysv64" fn(*mut c_void, *mut c_void),
    pub disk_read: unsafe extern "sysv64" fn(*mut c_void, *mut c_void, *mut lkl_disk_read),
    pub overlay_alloc: unsafe extern "sysv64" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    pub yield_: unsafe extern "sysv64" fn(*mut c_void),
}

// SAFETY: the table is plain words; what its `host` points to is a host, which is Send and Sync (host.rs).
unsafe impl Send for lkl_host_ops {}
// SAFETY: as above.
unsafe impl Sync for lkl_host_ops {}

/// What Linux writes of the image that it is a part of.
#[repr(C)]
#[derive(Debug)]
pub struct lkl_image {
    /// Page-aligned, as the next.
    pub data: *mut c_void,
    /// Bytes.
    pub data_size: usize,
    /// All zero before the boot.
    pub zeros: *mut c_void,
    /// Bytes.
    pub zeros_size: usize,
}

/// What `linux_boot` wants to know.
#[repr(C)]
#[derive(Debug)]
pub struct lkl_boot_params {
    /// Bytes; rounded down to whole pages.
    pub pool_size: usize,
    /// Linux's own command line, NUL-terminated; may be null.
    pub command_line: *const c_char,
}

/// What `linux_disk_add` wants to know.
#[repr(C)]
#[derive(Debug)]
pub struct lkl_disk_params {
    /// Given back to `disk_read`.
    pub disk: *mut c_void,
    /// Bytes.
    pub size: u64,
    /// Logical block size in bytes.
    pub block_size: u32,
    /// Reads under way at once; 0 for the default.
    pub queue_depth: u32,
    /// Bytes of RAM that recovery may write; 0: none, all ones: the default.
    pub overlay_limit: u64,
    /// Bytes of zeros behind the last whole block.
    pub padding: u64,
}

/// A disk as Linux knows it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct lkl_disk_info {
    /// Major number of the block device.
    pub major: u32,
    /// Minor number of the block device.
    pub minor: u32,
    /// Name in /dev, NUL-terminated.
    pub name: [u8; 32],
}

/// Counters of a disk.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct lkl_disk_stats {
    /// Requests sent to the host.
    pub reads: u64,
    /// Bytes of them.
    pub read_bytes: u64,
    /// RAM held by blocks that Linux wrote.
    pub overlay_bytes: u64,
    /// Writes that failed because the overlay was full or absent.
    pub writes_refused: u64,
}

/// An entry task; only its address means something here.
#[repr(C)]
pub struct lkl_task {
    _opaque: [u8; 0],
    _not_send_nor_sync: core::marker::PhantomData<*mut u8>,
}

// What Linux does for its host. The final program links these symbols; see the crate's head.
#[allow(missing_docs)] // documented in host_ops.h
unsafe extern "sysv64" {
    pub fn linux_image(image: *mut lkl_image);
    pub fn linux_boot(
        ops: *const lkl_host_ops,
        params: *const lkl_boot_params,
        first: *mut *mut lkl_task,
    ) -> Long;
    pub fn linux_halt() -> Long;
    pub fn linux_task_new(parent: *mut lkl_task, child: *mut *mut lkl_task) -> Long;
    pub fn linux_task_free(parent: *mut lkl_task, task: *mut lkl_task);
    pub fn linux_syscall(task: *mut lkl_task, number: Long, args: *const [Long; 6]) -> Long;
    pub fn linux_disk_add(
        task: *mut lkl_task,
        params: *const lkl_disk_params,
        info: *mut lkl_disk_info,
    ) -> Long;
    pub fn linux_disk_remove(task: *mut lkl_task, major: u32, minor: u32) -> Long;
    pub fn linux_disk_gone(major: u32, minor: u32);
    pub fn linux_disk_stats(task: *mut lkl_task, major: u32, minor: u32, stats: *mut lkl_disk_stats) -> Long;
    pub fn linux_disk_read_done(request: *mut lkl_disk_read, error: Long);
    pub fn linux_fault(why: *const c_char);
    pub fn linux_fault_caught(why: *const c_char, at: usize);
    pub fn linux_is_dead() -> c_int;
    pub fn linux_selftest(task: *mut lkl_task, what: u64) -> Long;
}

#[cfg(test)]
#[path = "sys_layout_test.rs"]
mod layout_test;
