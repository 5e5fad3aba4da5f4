//! The flavour of Linux that is fuzzed: compiled by clang, with a counter for each edge of its control flow ([`coverage`]), and with
//! KASAN, whose shadow [`map_shadow`] makes. It is in no program that is installed.
//!
//! A program that depends on this crate and uses it has that Linux linked in. A program has one flavour: two do not link.

// UNSAFETY (whole crate): declares functions of Linux's, and maps memory at an address of its own choice.

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

pub mod schedule;

use lkl::{Errno, Kernel};
use lkl_write::{WritableDevice, WritableDisk};
use rustix::io;
use rustix::mm::{MapFlags, ProtFlags};
use std::sync::Arc;

/// `CONFIG_KASAN_SHADOW_OFFSET` of arch/lkl.
const SHADOW: usize = 0x7fff_8000;
/// An eighth of what a program may map.
const SHADOW_SIZE: usize = 1 << 44;

/// Maps KASAN's shadow of all addresses, zeros: accessible. Memory is only taken where Linux says otherwise. To be called once,
/// before Linux is booted.
///
/// # Errors
/// The system's: EEXIST when something is mapped there, as in a program that is not position-independent.
#[allow(unsafe_code)]
pub fn map_shadow() -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    let place = std::ptr::with_exposed_provenance_mut(SHADOW);
    // SAFETY: replaces nothing that is mapped.
    let mapped =
        unsafe { rustix::mm::mmap_anonymous(place, SHADOW_SIZE, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    if mapped != place {
        return Err(io::Errno::EXIST);
    }
    // 16 TiB in a core file would be some.
    // SAFETY: the mapping that was just made.
    let _ = unsafe { rustix::mm::madvise(place, SHADOW_SIZE, rustix::mm::Advice::LinuxDontDump) };
    Ok(())
}

/// An edge of Linux's control flow.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// The address of the code that it leads to.
    pub pc: usize,
    /// 1: that is the entry of a function.
    pub flags: usize,
}

/// All edges, and a counter for each, which Linux counts up without regard to what else happens to it.
#[derive(Clone, Copy, Debug)]
pub struct Coverage {
    /// The first counter.
    pub counters: *mut u8,
    /// The edges, in the counters' order.
    pub edges: &'static [Edge],
}

/// Where they are.
#[allow(unsafe_code)]
pub fn coverage() -> Coverage {
    let mut raw = contract::lkl_coverage {
        counters: std::ptr::null_mut(),
        edges: std::ptr::null(),
        count: 0,
    };
    // SAFETY: it fills the structure, and is called in any context.
    unsafe { contract::linux_coverage(&mut raw) };
    Coverage {
        counters: raw.counters,
        // SAFETY: the table is a constant of the program's.
        edges: unsafe { std::slice::from_raw_parts(raw.edges, raw.count) },
    }
}

/// Disks that this Linux writes to.
pub trait WritableDisks {
    /// Announces one. At most `queue_depth` requests are under way at once; 0 lets Linux choose.
    ///
    /// # Errors
    /// Linux's.
    fn add_writable_disk(
        &self,
        disk: Arc<dyn WritableDisk>,
        queue_depth: u32,
    ) -> Result<WritableDevice, Errno>;
}

impl WritableDisks for Kernel {
    #[allow(unsafe_code)]
    fn add_writable_disk(
        &self,
        disk: Arc<dyn WritableDisk>,
        queue_depth: u32,
    ) -> Result<WritableDevice, Errno> {
        // SAFETY: the function is that of the Linux that this crate links, and there is one in a program.
        unsafe {
            lkl_write::door::add_writable_disk(self, disk, queue_depth, contract::linux_disk_add_writable)
        }
    }
}

/// The functions that `host_fuzz.h` and `host_write.h` declare.
#[allow(unsafe_code, non_camel_case_types)]
mod contract {
    use super::Edge;
    use lkl::sys::{Long, lkl_disk_info, lkl_disk_params, lkl_task};
    use lkl_write::sys::lkl_disk_write_ops;

    #[repr(C)]
    pub(super) struct lkl_coverage {
        pub(super) counters: *mut u8,
        pub(super) edges: *const Edge,
        pub(super) count: usize,
    }

    unsafe extern "sysv64" {
        pub(super) fn linux_coverage(coverage: *mut lkl_coverage);
        pub(super) fn linux_disk_add_writable(
            task: *mut lkl_task,
            params: *const lkl_disk_params,
            ops: *const lkl_disk_write_ops,
            info: *mut lkl_disk_info,
        ) -> Long;
    }
}
