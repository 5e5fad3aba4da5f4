//! What a network interface of Linux's can be connected to.
//!
//! Each function here opens one kind of other end and returns a [`lkl_netdev::Backend`] for `add_network_device` of crate
//! `linux-full`; [`Spec`] is what users write for it. All but the record in a file and the NAT stand on one pump: what Linux sends is
//! written by the thread that sends it, what comes is read into Linux's own buffers by the pump's.

// UNSAFETY (tap, packet_socket, slirp, dpdk): ioctls and socket options that have no safe function; C libraries.

#![deny(unsafe_code)]

mod datagram;
#[cfg(unix)]
mod descriptor;
#[cfg(all(target_os = "linux", feature = "dpdk"))]
mod dpdk;
#[cfg(all(target_os = "linux", any(feature = "dpdk", test)))]
#[path = "dpdk/words.rs"]
mod dpdk_words;
mod error;
#[cfg(unix)]
mod framing;
#[cfg(all(target_os = "linux", feature = "slirp"))]
mod nat;
mod nat_addresses;
#[cfg(target_os = "linux")]
mod packet_socket;
mod pcap;
mod pump;
#[cfg(all(target_os = "linux", feature = "slirp"))]
mod slirp;
mod spec;
#[cfg(unix)]
mod stream;
#[cfg(target_os = "linux")]
mod tap;
#[cfg(unix)]
mod vde;

pub use datagram::udp;
#[cfg(unix)]
pub use datagram::{unix_datagram, unix_packets};
#[cfg(all(target_os = "linux", feature = "dpdk"))]
pub use dpdk::dpdk;
pub use error::LinkError;
#[cfg(all(target_os = "linux", feature = "slirp"))]
pub use nat::nat;
pub use nat_addresses::{NAT, NatAddresses};
#[cfg(target_os = "linux")]
pub use packet_socket::raw;
pub use pcap::pcap;
pub use spec::{NotSpec, Spec};
#[cfg(unix)]
pub use stream::{pipe, tcp_stream, unix_stream};
#[cfg(target_os = "linux")]
pub use tap::{macvtap, macvtap_with, tap, tap_with};
#[cfg(unix)]
pub use vde::vde;
