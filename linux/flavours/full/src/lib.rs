//! The full flavour of Linux, for programs: besides what the driver's has it writes to disks, and has a network stack.
//!
//! A program that depends on this crate and uses it has that Linux linked in, and with it the call that the driver's has not:
//! [`WritableDisks::add_writable_disk`]. A program has one flavour: two do not link.

// UNSAFETY (whole crate): declares a function of Linux's.

#![deny(unsafe_code)]

use lkl::{Errno, Kernel};
use lkl_write::{WritableDevice, WritableDisk};
use std::sync::Arc;

/// What a kernel of this flavour can do besides.
pub trait WritableDisks {
    /// Announces to Linux a disk that it may write to. At most `queue_depth` requests are under way at once; 0 lets Linux
    /// choose.
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

/// The function that `host_write.h` declares.
#[allow(unsafe_code)]
mod contract {
    use lkl::sys::{Long, lkl_disk_info, lkl_disk_params, lkl_task};
    use lkl_write::sys::lkl_disk_write_ops;

    unsafe extern "sysv64" {
        pub(super) fn linux_disk_add_writable(
            task: *mut lkl_task,
            params: *const lkl_disk_params,
            ops: *const lkl_disk_write_ops,
            info: *mut lkl_disk_info,
        ) -> Long;
    }
}
