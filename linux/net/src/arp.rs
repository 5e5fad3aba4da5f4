//! Whether an address of IPv4 is another host's already: the probes of RFC 5227 (2.1.1), sent before the address is used.
//!
//! A probe is an ARP request from no address, so no host learns anything wrong from it. The RFC has a client wait for up to nine
//! seconds; here the caller says for how long, since hosts that are awake answer within milliseconds.

use crate::address::{Address, PacketAddress};
use crate::error::about;
use crate::namespace::Namespace;
use crate::socket::{Family, Protocol, Socket, Type};
use lkl::Errno;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// `ETH_P_ARP`
const ARP: u16 = 0x0806;
/// Bytes of a message for Ethernet and IPv4.
const LENGTH: usize = 28;
/// Of Ethernet, for IPv4, with addresses of six bytes and of four.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
/// How often each address is asked for: a frame may be lost.
const PROBES: u32 = 2;

/// An address that another host has, or asks for at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub ip: Ipv4Addr,
    /// The other host's hardware address.
    pub hardware: [u8; 6],
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.hardware;
        write!(
            f,
            "{} is taken by the host with {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}",
            self.ip
        )
    }
}

/// Asks the link of an interface, which is up and has none of these addresses yet, whether another host has one. Waits for as long as
/// `patience` says when none has.
///
/// # Errors
/// ENODEV when there is no such interface, `Unsupported` when it has no Ethernet address.
pub fn conflict(
    namespace: &Namespace,
    interface: &str,
    addresses: &[Ipv4Addr],
    patience: Duration,
) -> io::Result<Option<Conflict>> {
    let found = namespace.configuration()?.interface(interface)?;
    let own: [u8; 6] = found.hardware.as_slice().try_into().map_err(|_| {
        let text = format!("{interface}: addresses are asked for over Ethernet alone");
        io::Error::new(ErrorKind::Unsupported, text)
    })?;
    let socket = Socket::new_in(namespace, Family::PACKET, Type::DATAGRAM, Protocol::ethernet(ARP))?;
    let mut place = PacketAddress {
        interface: found.index,
        protocol: ARP,
        ..PacketAddress::default()
    };
    socket.bind(&Address::Packet(place))?;
    place.hardware = [0xff; 6];
    for _ in 0..PROBES {
        for ip in addresses {
            let sent = socket.send_to(&probe(own, *ip), &Address::Packet(place))?;
            if sent != LENGTH {
                return Err(about(format_args!("{interface}: ARP"), Errno::EIO));
            }
        }
        let end = Instant::now() + patience / PROBES;
        if let Some(conflict) = answer(&socket, own, addresses, end)? {
            return Ok(Some(conflict));
        }
    }
    Ok(None)
}

/// What comes until then and tells of a conflict.
fn answer(
    socket: &Socket,
    own: [u8; 6],
    addresses: &[Ipv4Addr],
    end: Instant,
) -> io::Result<Option<Conflict>> {
    let mut message = [0; LENGTH];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        let len = match socket.recv(&mut message) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            len => len?,
        };
        if len == LENGTH
            && let Some(conflict) = judge(&message, own, addresses)
        {
            return Ok(Some(conflict));
        }
    }
}

/// The question whether a host has `ip`.
fn probe(own: [u8; 6], ip: Ipv4Addr) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    let (none, ip) = ([0; 4], ip.octets());
    let parts: [&[u8]; 6] = [&KIND, &REQUEST, &own, &none, &[0; 6], &ip];
    message
        .iter_mut()
        .zip(parts.concat())
        .for_each(|(place, byte)| *place = byte);
    message
}

/// Whether a message is of a host that has one of the addresses, or that asks for it as we do.
fn judge(message: &[u8; LENGTH], own: [u8; 6], addresses: &[Ipv4Addr]) -> Option<Conflict> {
    let (kind, rest) = message.split_first_chunk::<6>()?;
    let (operation, rest) = rest.split_first_chunk::<2>()?;
    let (hardware, rest) = rest.split_first_chunk::<6>()?;
    let (sender, rest) = rest.split_first_chunk::<4>()?;
    let target = rest.last_chunk::<4>()?;
    // A switch may bring our own probe back.
    if *kind != KIND || *hardware == own {
        return None;
    }
    let asks = *operation == REQUEST && *sender == [0; 4];
    let ip = Ipv4Addr::from(if asks { *target } else { *sender });
    addresses.contains(&ip).then_some(Conflict {
        ip,
        hardware: *hardware,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const WANTED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    /// A message of `OTHER`'s.
    fn message(operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> [u8; LENGTH] {
        let (sender, target) = (sender.octets(), target.octets());
        let parts: [&[u8]; 6] = [&KIND, &[0, operation], &OTHER, &sender, &[0; 6], &target];
        parts.concat().try_into().unwrap()
    }

    #[test]
    fn a_host_that_has_the_address_or_probes_for_it_is_a_conflict() {
        let expected = Some(Conflict {
            ip: WANTED,
            hardware: OTHER,
        });
        let other = Ipv4Addr::new(192, 0, 2, 9);
        let none = Ipv4Addr::UNSPECIFIED;
        let of = |message| judge(&message, OWN, &[other, WANTED]);
        assert_eq!(of(message(2, WANTED, none)), expected);
        assert_eq!(of(message(1, WANTED, Ipv4Addr::new(192, 0, 2, 1))), expected);
        assert_eq!(of(probe(OTHER, WANTED)), expected);
    }

    #[test]
    fn what_others_say_of_other_addresses_and_our_own_probe_are_none() {
        let (one, two) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let of = |message| judge(&message, OWN, &[WANTED]);
        assert_eq!(of(probe(OWN, WANTED)), None);
        // Who asks for the address in the usual way wants to speak to its host.
        assert_eq!(of(message(1, one, WANTED)), None);
        assert_eq!(of(message(2, one, two)), None);
        let mut foreign = message(2, WANTED, one);
        foreign[1] = 6;
        assert_eq!(of(foreign), None);
    }

    #[test]
    fn a_conflict_names_the_host() {
        let conflict = Conflict {
            ip: WANTED,
            hardware: OTHER,
        };
        assert_eq!(
            conflict.to_string(),
            "192.0.2.7 is taken by the host with 02:00:00:00:00:02"
        );
    }
}
