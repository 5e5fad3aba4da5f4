//! Frames: what one is made from, and its lengths and checksums.

use super::igmp;
use crate::rng::Rng;
use crc::{CRC_32_ISCSI, Crc};

/// SCTP's sum.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Linux's hardware address.
pub const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Linux's address.
pub(super) const US: [u8; 4] = [10, 0, 0, 1];
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

const ICMP: u8 = 1;
pub(super) const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Where the network header of a frame is, and of which kind it is.
fn network(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    loop {
        let kind = u16::from_be_bytes(*frame.get(at..)?.first_chunk()?);
        match kind {
            0x8100 | 0x88a8 if at < 20 => at += 4,
            kind => return Some((kind, at + 2)),
        }
    }
}

/// The transport's number, where its header is, and whether this is not the first fragment.
fn transport(frame: &[u8]) -> Option<(u8, usize, bool)> {
    let (kind, at) = network(frame)?;
    match kind {
        IPV4 => {
            let head = frame.get(at..at + 20)?;
            let later = u16::from_be_bytes([head[6], head[7]]) & 0x1fff != 0;
            Some((head[9], at + usize::from(head[0] & 15) * 4, later))
        }
        IPV6 => {
            let mut next = *frame.get(at + 6)?;
            let mut place = at + 40;
            while let HOP_BY_HOP | ROUTING | DESTINATION | FRAGMENT = next {
                let [following, length, high, low] = *frame.get(place..)?.first_chunk()?;
                if next == FRAGMENT {
                    let later = u16::from_be_bytes([high, low]) & 0xfff8 != 0;
                    return Some((following, place + 8, later));
                }
                next = following;
                place += 8 + usize::from(length) * 8;
            }
            Some((next, place, false))
        }
        _ => None,
    }
}

/// The Internet's sum of bytes, carried on from `sum`.
fn add(sum: u32, bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        let word = u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    })
}

fn put(frame: &mut [u8], at: usize, value: u16) {
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

fn complement(sum: u32) -> u16 {
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// Puts lengths and checksums of a frame right.
pub fn mend(frame: &mut [u8]) {
    let Some((kind, at)) = network(frame) else { return };
    let rest = u16::try_from(frame.len().saturating_sub(at)).unwrap_or(u16::MAX);
    let pseudo = match kind {
        IPV4 if rest >= 20 => {
            put(frame, at + 2, rest);
            put(frame, at + 10, 0);
            let end = (at + usize::from(frame[at] & 15) * 4).min(frame.len());
            let sum = complement(add(0, &frame[at..end]));
            put(frame, at + 10, sum);
            add(0, &frame[at + 12..at + 20])
        }
        IPV6 if rest >= 40 => {
            put(frame, at + 4, rest - 40);
            add(0, &frame[at + 8..at + 40])
        }
        _ => return,
    };
    let Some((protocol, start, later)) = transport(frame) else {
        return;
    };
    if later || start >= frame.len() {
        return;
    }
    let length = frame.len() - start;
    let with_pseudo = add(pseudo, &[0, protocol, (length >> 8) as u8, length as u8]);
    let (place, before) = match protocol {
        TCP => (16, with_pseudo),
        UDP => {
            put(frame, start + 4, length as u16);
            (6, with_pseudo)
        }
        ICMP | IGMP => (2, 0),
        ICMPV6 => (2, with_pseudo),
        SCTP if length >= 12 => {
            frame[start + 8..start + 12].fill(0);
            let sum = CRC32C.checksum(&frame[start..]);
            frame[start + 8..start + 12].copy_from_slice(&sum.to_le_bytes());
            return;
        }
        _ => return,
    };
    put(frame, start + place, 0);
    let sum = complement(add(before, &frame[start..]));
    put(frame, start + place, sum);
}

/// What a TCP segment of Linux's says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The port that it goes to.
    pub port: u16,
    /// The number of the byte behind it.
    pub next: u32,
    /// The number of the byte that Linux expects.
    pub expected: u32,
}

/// Reads a frame of Linux's; `None` when it is no TCP segment.
pub fn segment(frame: &[u8]) -> Option<Segment> {
    let (TCP, start, false) = transport(frame)? else {
        return None;
    };
    let head = frame.get(start..start + 20)?;
    let word = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
    let data = frame.len().saturating_sub(start + usize::from(head[12] >> 4) * 4);
    let flags = u32::from(head[13] & 1) + u32::from(head[13] >> 1 & 1);
    Some(Segment {
        port: u16::from_be_bytes([head[2], head[3]]),
        next: word(4)?.wrapping_add(data as u32).wrapping_add(flags),
        expected: word(8)?,
    })
}

/// Has a TCP segment go on where Linux's last one to its port was. A SYN begins anew.
pub fn follow(frame: &mut [u8], last: &[Segment]) {
    let Some((TCP, start, false)) = transport(frame) else {
        return;
    };
    let Some(head) = frame.get_mut(start..start + 20) else {
        return;
    };
    let port = u16::from_be_bytes([head[0], head[1]]);
    let mut sent = last.iter().rev();
    if let Some(last) = sent.find(|segment| segment.port == port)
        && head[13] & 2 == 0
    {
        head[4..8].copy_from_slice(&last.expected.to_be_bytes());
        head[8..12].copy_from_slice(&last.next.to_be_bytes());
    }
}

fn ethernet(to: [u8; 6], kind: u16) -> Vec<u8> {
    [&to[..], &PEER, &kind.to_be_bytes()].concat()
}

pub(super) fn ipv4(protocol: u8, to: [u8; 4], options: &[u8], payload: &[u8]) -> Vec<u8> {
    let to_mac = if to[0] >= 224 {
        [1, 0, 0x5e, to[1] & 0x7f, to[2], to[3]]
    } else {
        OURS
    };
    let mut frame = ethernet(to_mac, IPV4);
    frame.extend([
        0x45 + (options.len() / 4) as u8,
        0,
        0,
        0,
        0,
        1,
        0,
        0,
        64,
        protocol,
        0,
        0,
        10,
        0,
        0,
        2,
    ]);
    frame.extend(to);
    frame.extend(options);
    frame.extend(payload);
    frame
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(OURS, IPV6);
    frame.extend([0x60, 0, 0, 0, 0, 0, next, 64]);
    for last in [2, 1] {
        frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    frame.extend(payload);
    frame
}

fn tcp(port: u16, flags: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
    let mut head = [port.to_be_bytes(), 80u16.to_be_bytes()].concat();
    head.extend([
        0,
        0,
        16,
        0,
        0,
        0,
        0,
        0,
        (5 + options.len() as u8 / 4) << 4,
        flags,
        0x40,
        0,
        0,
        0,
        0,
        0,
    ]);
    head.extend(options);
    head.extend(data);
    head
}

fn udp(port: u16, data: &[u8]) -> Vec<u8> {
    [&4000u16.to_be_bytes()[..], &port.to_be_bytes(), &[0; 4], data].concat()
}

/// A frame.
pub fn template(rng: &mut Rng) -> Vec<u8> {
    const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let port = 5000 + rng.below(3) as u16;
    let data = b"GET / HTTP/1.0\r\n\r\n";
    let flags = rng.choice(&[0x10, 0x18, 0x18, 0x11, 0x14, 0x38]);
    let v6 = rng.once_in(3);
    let over = |transport: Vec<u8>, protocol: u8| match v6 {
        true => ipv6(protocol, &transport),
        false => ipv4(protocol, US, &[], &transport),
    };
    match rng.below(24) {
        0 => {
            let mut frame = ethernet([0xff; 6], ARP);
            frame.extend([0, 1, 8, 0, 6, 4, 0, rng.choice(&[1, 2])]);
            frame.extend(PEER);
            frame.extend([10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
            frame
        }
        1..=4 => over(tcp(port, 2, &SYN_OPTIONS, &[]), TCP),
        5..=8 => over(tcp(port, flags, &[], if flags == 0x10 { &[] } else { data }), TCP),
        9 => over(
            tcp(port, 0x18, &[1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 12], data),
            TCP,
        ),
        10 | 11 => over(udp(rng.choice(&[53, 4789, 7, 1]), data), UDP),
        12 => ipv4(ICMP, US, &[], &[&[8, 0, 0, 0, 0, 1, 0, 1][..], data].concat()),
        13 => ipv4(
            ICMP,
            US,
            &[],
            &[13, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        14 => {
            // Port unreachable, for a segment of Linux's.
            let inner = ipv4(TCP, [10, 0, 0, 2], &[], &tcp(80, 0x10, &[], &[]));
            ipv4(
                ICMP,
                US,
                &[],
                &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &inner[14..]].concat(),
            )
        }
        15 => igmp::message(rng),
        16 => {
            // A fragment; the next one may fit.
            let mut frame = ipv4(UDP, US, &[], &[udp(53, data), vec![7; 6]].concat());
            let offset = rng.choice(&[0x2000u16, 0x2000, 4, 0x2004, 2]);
            put(&mut frame, 20, offset);
            frame
        }
        17 => ipv4(
            UDP,
            US,
            &[rng.choice(&[7, 68, 131, 137]), 11, 4, 10, 0, 0, 1, 10, 0, 0, 2, 0],
            &udp(53, data),
        ),
        18 => {
            // A neighbour is asked for, or answers.
            let kind = rng.choice(&[135, 136, 134]);
            let mut message = vec![kind, 0, 0, 0, 0x60, 0, 0, 0];
            message.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            message.extend([rng.choice(&[1, 2]), 1]);
            message.extend(PEER);
            let mut frame = ipv6(ICMPV6, &message);
            frame[21] = 255;
            frame
        }
        19 => ipv6(ICMPV6, &[&[128, 0, 0, 0, 0, 1, 0, 1][..], data].concat()),
        20 => {
            let options = [UDP, 0, 5, 2, 0, 0, 1, 0];
            ipv6(
                rng.choice(&[HOP_BY_HOP, DESTINATION]),
                &[&options[..], &udp(53, data)].concat(),
            )
        }
        21 => {
            let offset = rng.choice(&[1u8, 0, 33, 32]);
            ipv6(
                FRAGMENT,
                &[&[UDP, 0, 0, offset, 0, 0, 0, 1][..], &udp(53, data), &[7; 6]].concat(),
            )
        }
        22 => {
            let mut routing = vec![UDP, 2, rng.choice(&[0, 2, 3, 4]), rng.choice(&[0, 1]), 0, 0, 0, 0];
            routing.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            ipv6(ROUTING, &[routing, udp(53, data)].concat())
        }
        _ => {
            let init = [
                0x13, 0x88, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 10, 0, 10,
                0, 0, 0, 1,
            ];
            over(init.to_vec(), SCTP)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of a header that is right is all ones.
    fn sums_up(bytes: &[u8], before: u32) -> bool {
        complement(add(before, bytes)) == 0
    }

    #[test]
    fn a_mended_frame_has_the_sums_that_rfcs_ask_for() {
        let mut frame = ipv4(ICMP, [10, 0, 0, 1], &[1, 1, 1, 1], &[8, 0, 0, 0, 0, 1, 0, 1, 42]);
        mend(&mut frame);
        assert_eq!(u16::from_be_bytes([frame[16], frame[17]]), 24 + 9);
        assert!(sums_up(&frame[14..38], 0) && sums_up(&frame[38..], 0));
        let mut frame = ipv6(
            HOP_BY_HOP,
            &[&[UDP, 0, 5, 2, 0, 0, 1, 0][..], &udp(53, b"odd")].concat(),
        );
        mend(&mut frame);
        let pseudo = add(add(0, &frame[22..54]), &[0, UDP, 0, 11]);
        assert!(sums_up(&frame[62..], pseudo));
        assert_eq!(frame[62 + 5], 11);
        frame[62] ^= 1;
        assert!(!sums_up(&frame[62..], pseudo));
        // Anything may be mended.
        let mut rng = Rng::new(5);
        for _ in 0..2000 {
            let mut frame = template(&mut rng);
            frame.truncate(rng.below(frame.len() + 1));
            if !frame.is_empty() {
                let at = rng.below(frame.len());
                frame[at] = rng.bits() as u8;
            }
            mend(&mut frame);
            follow(&mut frame, &[]);
        }
    }

    #[test]
    fn a_segment_goes_on_where_the_last_one_was() {
        let mut theirs = ipv4(TCP, [10, 0, 0, 2], &[], &tcp(80, 0x12, &[], &[]));
        theirs[36..38].copy_from_slice(&5000u16.to_be_bytes());
        let seen = segment(&theirs).unwrap();
        assert_eq!((seen.port, seen.next, seen.expected), (5000, 4097, 0));
        let mut ours = ipv4(TCP, [10, 0, 0, 1], &[], &tcp(5000, 0x10, &[], &[]));
        follow(&mut ours, &[seen]);
        assert_eq!(ours[14 + 20 + 4..14 + 20 + 12], [0, 0, 0, 0, 0, 0, 16, 1]);
        assert_eq!(segment(&ethernet(OURS, ARP)), None);
    }
}
