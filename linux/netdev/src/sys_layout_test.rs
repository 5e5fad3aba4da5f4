//! Asks the C compiler for every size, offset and constant of host_net.h and compares sys.rs with the answers.

use super::*;
use crate::header::Offloads;
use layouts::{Layouts, constants, structures};

#[test]
fn layouts_and_constants_are_those_of_the_header() {
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/../arch/lkl/include/asm/host_net.h");
    let mut layouts = Layouts::of(header);
    structures! { layouts:
        lkl_net_header { flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers }
        lkl_net_transmit { next, segments, segment_count, len, header, error, host_private, linux_private }
        lkl_net_receive { next, segments, segment_count, room, header, len, host_private, linux_private }
        lkl_net_ops { size, version, net, transmit, receive, stop }
        lkl_net_params { mac, down, mtu, max_mtu, offloads, transmit_depth, receive_depth, name }
        lkl_net_info { interface, index, name }
    }
    constants!(layouts: LKL_HOST_NET_VERSION);
    for (name, offloads) in [
        ("LKL_NET_HOST_CSUM", Offloads::HOST_CSUM),
        ("LKL_NET_GUEST_CSUM", Offloads::GUEST_CSUM),
        ("LKL_NET_GUEST_TSO4", Offloads::GUEST_TSO4),
        ("LKL_NET_GUEST_TSO6", Offloads::GUEST_TSO6),
        ("LKL_NET_GUEST_ECN", Offloads::GUEST_ECN),
        ("LKL_NET_GUEST_UFO", Offloads::GUEST_UFO),
        ("LKL_NET_HOST_TSO4", Offloads::HOST_TSO4),
        ("LKL_NET_HOST_TSO6", Offloads::HOST_TSO6),
        ("LKL_NET_HOST_ECN", Offloads::HOST_ECN),
        ("LKL_NET_GUEST_USO4", Offloads::GUEST_USO4),
        ("LKL_NET_GUEST_USO6", Offloads::GUEST_USO6),
        ("LKL_NET_HOST_USO", Offloads::HOST_USO),
    ] {
        layouts.add(name, usize::try_from(offloads.bits()).unwrap(), name);
    }
    layouts.compare();
}
