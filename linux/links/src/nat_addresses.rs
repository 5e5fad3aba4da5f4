//! What addresses there are behind the user-mode NAT: those that QEMU's users know.

use std::net::Ipv4Addr;

/// Addresses of a network behind NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatAddresses {
    /// The interface's own.
    pub address: Ipv4Addr,
    /// Bits of it that are the network's.
    pub prefix: u8,
    /// The way out; by this address the machine's own servers on its loopback are reached, too.
    pub gateway: Ipv4Addr,
    /// Asks the machine's name server.
    pub name_server: Ipv4Addr,
    /// The longest packet. Long ones mean that there are few.
    pub mtu: u32,
}

/// Those of [`crate::Spec::Slirp`].
pub const NAT: NatAddresses = NatAddresses {
    address: Ipv4Addr::new(10, 0, 2, 15),
    prefix: 24,
    gateway: Ipv4Addr::new(10, 0, 2, 2),
    name_server: Ipv4Addr::new(10, 0, 2, 3),
    mtu: 65_520,
};
