//! ICMP errors about a segment that Linux has sent.

use super::{Segment, ip_packet};
use crate::script::packets::{IcmpKind, IpMarks};
use etherparse::{IpNumber, checksum::Sum16BitWords};
use std::net::IpAddr;

/// The packet by which `router` tells `to` about the segment that it has sent to `from`.
pub fn error_about(
    segment: &Segment,
    kind: IcmpKind,
    mtu: u32,
    from: IpAddr,
    to: IpAddr,
) -> Result<Vec<u8>, String> {
    let about = segment.to_packet(to, from, &IpMarks::default())?;
    let is_v4 = from.is_ipv4();
    let [kind, code] = match (kind, is_v4) {
        (IcmpKind::TooBig, true) => [3, 4],
        (IcmpKind::HostUnreachable, true) => [3, 1],
        (IcmpKind::PortUnreachable, true) => [3, 3],
        (IcmpKind::Prohibited, true) => [3, 13],
        (IcmpKind::TooBig, false) => [2, 0],
        (IcmpKind::HostUnreachable, false) => [1, 3],
        (IcmpKind::PortUnreachable, false) => [1, 4],
        (IcmpKind::Prohibited, false) => [1, 1],
    };
    // The header and eight bytes are what every router returns of IPv4's packets.
    let quoted = if is_v4 { 28 } else { about.len().min(1232) };
    let mut body = vec![kind, code, 0, 0];
    body.extend_from_slice(&mtu.to_be_bytes());
    body.extend(about.iter().take(quoted));
    let mut sum = Sum16BitWords::new().add_slice(&body);
    if let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) {
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        sum = sum
            .add_16bytes(from.octets())
            .add_16bytes(to.octets())
            .add_4bytes(len.to_be_bytes())
            .add_2bytes([0, IpNumber::IPV6_ICMP.0]);
    }
    if let Some(field) = body.get_mut(2..4) {
        // The sums of this crate are of words as the machine has them.
        field.copy_from_slice(&sum.ones_complement().to_ne_bytes());
    }
    let protocol = if is_v4 {
        IpNumber::ICMP
    } else {
        IpNumber::IPV6_ICMP
    };
    Ok(ip_packet(from, to, protocol, None, &body))
}
