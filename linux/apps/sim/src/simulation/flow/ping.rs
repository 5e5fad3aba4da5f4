//! Echo requests: one each interval, and when their answers come.

use super::{GRACE, LOOK, Told, Traffic, is_timeout};
use crate::quantity::{Time, Version};
use crate::simulation::world::{Task, World};
use lkl_net::{Address, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The header of IPv4, which raw sockets see; they see none of IPv6.
const IP: usize = 20;

/// The types of a request and of an answer.
fn types(version: Version) -> [u8; 2] {
    match version {
        Version::V4 => [8, 0],
        Version::V6 => [128, 129],
    }
}

/// The checksum of the Internet's.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An echo request: whose it is, its number, and when it was sent.
fn request(version: Version, id: u16, sequence: u16, now: Time, size: usize) -> Vec<u8> {
    let [echo, _] = types(version);
    let mut bytes = vec![echo, 0, 0, 0];
    bytes.extend(id.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(now.0.to_be_bytes());
    bytes.resize(8 + size, 0);
    // Linux itself computes that of ICMPv6, in which the addresses take part.
    if version == Version::V4 {
        let sum = checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    }
    bytes
}

/// When the request was sent that this is the answer to.
fn answered(version: Version, packet: &[u8], id: u16) -> Option<u64> {
    let message = match version {
        Version::V4 => packet.get(IP..)?,
        Version::V6 => packet,
    };
    let [_, reply] = types(version);
    let (head, rest) = message.split_first_chunk::<8>()?;
    let mine = head[0] == reply && head[4..6] == id.to_be_bytes();
    mine.then(|| rest.first_chunk().map(|sent| u64::from_be_bytes(*sent)))?
}

/// Sends requests.
pub(super) fn send(traffic: &Traffic, id: u16) -> io::Result<Told> {
    let flow = &traffic.flow;
    let Some(socket) = traffic.shown() else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let to = Address::from(SocketAddr::new(traffic.address.ip(), 0));
    let mut told = Told::default();
    let mut at = flow.start;
    while at < flow.end && flow.count.is_none_or(|count| told.sent < count.into()) {
        traffic.clock.sleep_until(at);
        let sequence = u16::try_from(told.sent & 0xffff).unwrap_or(0);
        // One that cannot be sent, for want of a route or of a link, is lost.
        let _ = socket.send_to(
            &request(flow.version, id, sequence, traffic.clock.now(), flow.size),
            &to,
        );
        told.sent += 1;
        at = Time(at.0.saturating_add(flow.interval.0));
    }
    if flow.count.is_some() {
        told.end = Some(traffic.clock.now());
    }
    Ok(told)
}

/// Receives answers, at the node that asks.
pub(super) fn receive(world: &World, traffic: &Arc<Traffic>, id: u16) -> io::Result<Task<u64>> {
    let version = traffic.flow.version;
    let protocol = match version {
        Version::V4 => Protocol::ICMP,
        Version::V6 => Protocol::ICMPV6,
    };
    let socket = Socket::new_in(traffic.from()?, traffic.family(), Type::RAW, protocol)?;
    socket.set_read_timeout(Some(LOOK))?;
    traffic.show(&socket);
    let traffic = Arc::clone(traffic);
    world.spawn(move || {
        let mut buffer = vec![0; 65_536];
        let (mut count, mut last) = (0, None);
        loop {
            match socket.recv(&mut buffer) {
                Ok(len) => {
                    if let Some(sent) = answered(version, buffer.get(..len).unwrap_or(&[]), id) {
                        traffic.measured(traffic.clock.now().0.saturating_sub(sent));
                        count += 1;
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(_) => return count,
            }
            if traffic.is_done() {
                let now = traffic.clock.now();
                let since = *last.get_or_insert(now);
                if now.0.saturating_sub(since.0) > GRACE.0 {
                    return count;
                }
            }
        }
    })
}
