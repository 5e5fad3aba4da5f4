//! shim.c, as Rust has it.

// UNSAFETY: functions of a C library.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint, c_void};

/// A packet of DPDK's; only C looks into it.
#[repr(C)]
pub(super) struct Mbuf {
    _opaque: [u8; 0],
}

/// `struct lkl_dpdk_port`.
#[repr(C)]
pub(super) struct RawPort {
    pool: *mut c_void,
    pub(super) room: u32,
    port: u16,
    pub(super) checksums: u8,
    pub(super) address: [u8; 6],
}

/// `struct lkl_dpdk_piece`.
#[repr(C)]
pub(super) struct RawPiece {
    pub(super) data: *const c_void,
    pub(super) len: usize,
    pub(super) next: *const Mbuf,
}

unsafe extern "C" {
    pub(super) fn lkl_dpdk_start(argc: c_int, argv: *mut *mut c_char) -> c_int;
    pub(super) fn lkl_dpdk_said(text: *mut c_char, size: usize);
    pub(super) fn lkl_dpdk_open(name: *const c_char, out: *mut RawPort) -> c_int;
    pub(super) fn lkl_dpdk_close(port: *const RawPort);
    pub(super) fn lkl_dpdk_link(port: *const RawPort) -> c_int;
    pub(super) fn lkl_dpdk_receive(port: *const RawPort, packets: *mut *mut Mbuf, count: c_uint) -> c_uint;
    pub(super) fn lkl_dpdk_send(port: *const RawPort, packets: *mut *mut Mbuf, count: c_uint) -> c_uint;
    pub(super) fn lkl_dpdk_free(packets: *mut *mut Mbuf, count: c_uint);
    pub(super) fn lkl_dpdk_good(packet: *const Mbuf) -> c_int;
    pub(super) fn lkl_dpdk_piece(packet: *const Mbuf, out: *mut RawPiece);
    pub(super) fn lkl_dpdk_new(port: *const RawPort, len: usize, data: *mut *mut c_void) -> *mut Mbuf;
    pub(super) fn lkl_dpdk_checksum(packet: *mut Mbuf, ipv6: c_int, header: c_uint, tcp: c_int);
}
