//! What the tests of a program share: one Linux, since a process boots one, and networks in it that are each test's own.

#![allow(dead_code)] // each program uses some of it

use linux_full as _;
use lkl::{BootConfig, Kernel};
use lkl_net::Namespace;
use std::sync::OnceLock;

/// The Linux of this program.
pub fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        lkl_host_posix::boot(&BootConfig {
            pool_size: 256 << 20,
            command_line: "loglevel=4",
        })
        .expect("Linux boots")
    })
}

/// A network of the test's own, with its loopback up.
pub fn network() -> Namespace {
    let network = Namespace::new(kernel()).expect("a name space");
    network.start_loopback().expect("lo goes up");
    network
}

/// Bytes that look random and are the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
