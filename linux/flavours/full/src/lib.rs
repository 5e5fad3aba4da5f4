//! The full flavour of Linux, for programs: besides what the driver's has it writes to disks, and has a network stack.
//!
//! A program that depends on this crate and uses it has that Linux linked in, and with it the call that the driver's has not:
//! [`WritableDisks::add_writable_disk`] and [`Networks::add_network_device`]. A program has one flavour: two do not link.

// UNSAFETY (whole crate): declares functions of Linux's.

#![deny(unsafe_code)]

use lkl::{EntryTask, Errno, Kernel};
use lkl_netdev::{Backend, Calls, Config, NetworkDevice};
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

/// Network interfaces whose other end is the host's.
pub trait Networks {
    /// Adds an interface to the network name space of the caller: of a kernel, its first one; of an entry task, the task's.
    ///
    /// # Errors
    /// Those of [`NetworkDevice::add`].
    fn add_network_device(self, backend: Arc<dyn Backend>, config: &Config) -> Result<NetworkDevice, Errno>;
}

const NET: Calls = Calls {
    add: contract::linux_net_add,
    remove: contract::linux_net_remove,
    carrier: contract::linux_net_carrier,
    transmitted: contract::linux_net_transmitted,
    received: contract::linux_net_received,
};

impl Networks for &Kernel {
    #[allow(unsafe_code)]
    fn add_network_device(self, backend: Arc<dyn Backend>, config: &Config) -> Result<NetworkDevice, Errno> {
        // SAFETY: the functions are those of the Linux that this crate links, and there is one in a program.
        unsafe { NetworkDevice::add(self, backend, config, NET) }
    }
}

impl Networks for &mut EntryTask {
    #[allow(unsafe_code)]
    fn add_network_device(self, backend: Arc<dyn Backend>, config: &Config) -> Result<NetworkDevice, Errno> {
        // SAFETY: the functions are those of the Linux that this crate links, and there is one in a program.
        unsafe { NetworkDevice::add_beside(self, backend, config, NET) }
    }
}

/// The functions that `host_write.h` and `host_net.h` declare.
#[allow(unsafe_code)]
mod contract {
    use lkl::sys::{Long, lkl_disk_info, lkl_disk_params, lkl_task};
    use lkl_netdev::sys::{
        lkl_net, lkl_net_info, lkl_net_ops, lkl_net_params, lkl_net_receive, lkl_net_transmit,
    };
    use lkl_write::sys::lkl_disk_write_ops;

    unsafe extern "sysv64" {
        pub(super) fn linux_disk_add_writable(
            task: *mut lkl_task,
            params: *const lkl_disk_params,
            ops: *const lkl_disk_write_ops,
            info: *mut lkl_disk_info,
        ) -> Long;
        pub(super) fn linux_net_add(
            task: *mut lkl_task,
            params: *const lkl_net_params,
            ops: *const lkl_net_ops,
            info: *mut lkl_net_info,
        ) -> Long;
        pub(super) fn linux_net_remove(task: *mut lkl_task, interface: *mut lkl_net) -> Long;
        pub(super) fn linux_net_carrier(interface: *mut lkl_net, present: i32);
        pub(super) fn linux_net_transmitted(packets: *mut lkl_net_transmit);
        pub(super) fn linux_net_received(buffers: *mut lkl_net_receive);
    }
}
