//! The contract of `linux/arch/lkl/include/asm/host_net.h`, in Rust, by hand; as `lkl::sys` is for `host_ops.h`.
//!
//! The functions that the header declares are not here but in crate `linux-full`, which links the Linux that has them.

#![allow(unsafe_code, non_camel_case_types)]

use core::ffi::{c_char, c_int, c_void};
use lkl::sys::{Long, lkl_segment, lkl_task};

/// `LKL_HOST_NET_VERSION`
pub const LKL_HOST_NET_VERSION: u32 = 1;

/// `struct lkl_net_header`: virtio-net's.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // each member is documented in host_net.h
pub struct lkl_net_header {
    pub flags: u8,
    pub gso_type: u8,
    pub hdr_len: u16,
    pub gso_size: u16,
    pub csum_start: u16,
    pub csum_offset: u16,
    pub num_buffers: u16,
}

/// A packet that Linux sends.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs)] // each member is documented in host_net.h
pub struct lkl_net_transmit {
    pub next: *mut lkl_net_transmit,
    pub segments: *const lkl_segment,
    pub segment_count: u32,
    pub len: u32,
    pub header: lkl_net_header,
    pub error: c_int,
    pub host_private: [*mut c_void; 2],
    pub linux_private: [*mut c_void; 2],
}

/// A buffer for one packet.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs)] // each member is documented in host_net.h
pub struct lkl_net_receive {
    pub next: *mut lkl_net_receive,
    pub segments: *const lkl_segment,
    pub segment_count: u32,
    pub room: u32,
    pub header: lkl_net_header,
    pub len: u32,
    pub host_private: [*mut c_void; 2],
    pub linux_private: [*mut c_void; 2],
}

/// What a host does for an interface.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // each member is documented in host_net.h
pub struct lkl_net_ops {
    pub size: u32,
    pub version: u32,
    pub net: *mut c_void,
    pub transmit: unsafe extern "sysv64" fn(net: *mut c_void, packets: *mut lkl_net_transmit),
    pub receive: unsafe extern "sysv64" fn(net: *mut c_void, buffers: *mut lkl_net_receive),
    pub stop: unsafe extern "sysv64" fn(net: *mut c_void),
}

/// How an interface is to be.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs)] // each member is documented in host_net.h
pub struct lkl_net_params {
    pub mac: [u8; 6],
    pub down: u16,
    pub mtu: u32,
    pub max_mtu: u32,
    pub offloads: u64,
    pub transmit_depth: u32,
    pub receive_depth: u32,
    pub name: *const c_char,
}

/// An interface of Linux's.
#[repr(C)]
#[derive(Debug)]
pub struct lkl_net {
    private: [u8; 0],
}

/// What Linux says of an interface.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs)] // each member is documented in host_net.h
pub struct lkl_net_info {
    pub interface: *mut lkl_net,
    pub index: c_int,
    pub name: [u8; 16],
}

/// `linux_net_add`
pub type Add = unsafe extern "sysv64" fn(
    task: *mut lkl_task,
    params: *const lkl_net_params,
    ops: *const lkl_net_ops,
    info: *mut lkl_net_info,
) -> Long;
/// `linux_net_remove`
pub type Remove = unsafe extern "sysv64" fn(task: *mut lkl_task, interface: *mut lkl_net) -> Long;
/// `linux_net_carrier`
pub type Carrier = unsafe extern "sysv64" fn(interface: *mut lkl_net, present: c_int);
/// `linux_net_transmitted`
pub type Transmitted = unsafe extern "sysv64" fn(packets: *mut lkl_net_transmit);
/// `linux_net_received`
pub type Receive = unsafe extern "sysv64" fn(buffers: *mut lkl_net_receive);

#[cfg(test)]
#[path = "sys_layout_test.rs"]
mod layout_test;
