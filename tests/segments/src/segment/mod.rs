//! Segments as they are on the wire: [`Segment::to_packet`] makes an IP packet, [`Segment::parse`] reads one.
//!
//! Headers and checksums are crate etherparse's. The bytes of a stream follow from their place in it ([`byte_at`]), so that both
//! ends can tell a wrong one.

mod errors;
mod options;

pub use errors::error_about;

use crate::script::packets::{Ecn, Flags, IpMarks, TcpOption};
use etherparse::{IpEcn, IpNumber, IpSlice, Ipv4Header, Ipv6Header, TcpHeader, TcpSlice};
use std::net::IpAddr;

/// A segment, with the numbers of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// From which port.
    pub source: u16,
    /// To which one.
    pub destination: u16,
    /// Its flags.
    pub flags: Flags,
    /// Its sequence number.
    pub seq: u32,
    /// What it acknowledges, or 0.
    pub ack: u32,
    /// Its window.
    pub window: u16,
    /// Its urgent pointer.
    pub urgent: u16,
    /// Its options.
    pub options: Vec<TcpOption>,
    /// Its data.
    pub payload: Vec<u8>,
    /// The ECN field of its IP header.
    pub ecn: Ecn,
}

/// A byte of a stream, by its place from 0 on.
pub fn byte_at(place: u32) -> u8 {
    let [low, high, higher, _] = place.to_le_bytes();
    low.wrapping_mul(31)
        .wrapping_add(high)
        .wrapping_add(higher.rotate_left(3))
}

/// So many of them.
pub fn bytes_from(place: u32, len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|offset| byte_at(place.wrapping_add(offset)))
        .collect()
}

fn wire_ecn(ecn: Option<Ecn>) -> IpEcn {
    match ecn {
        None | Some(Ecn::None) => IpEcn::ZERO,
        Some(Ecn::Ect0 | Ecn::Ect01) => IpEcn::TWO,
        Some(Ecn::Ect1) => IpEcn::ONE,
        Some(Ecn::Ce) => IpEcn::THREE,
    }
}

/// An IP packet with this in it.
fn ip_packet(from: IpAddr, to: IpAddr, protocol: IpNumber, ecn: Option<Ecn>, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let ecn = wire_ecn(ecn);
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = Ipv4Header::new(len, 64, protocol, from.octets(), to.octets());
            let mut header = header.unwrap_or_default();
            header.ecn = ecn;
            header.header_checksum = header.calc_header_checksum();
            header.to_bytes().to_vec()
        }
        (from, to) => {
            let octets = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            let header = Ipv6Header {
                traffic_class: ecn.value(),
                payload_length: len,
                next_header: protocol,
                hop_limit: 64,
                source: octets(from),
                destination: octets(to),
                ..Ipv6Header::default()
            };
            header.to_bytes().to_vec()
        }
    };
    packet.extend_from_slice(body);
    packet
}

fn checksum(header: &TcpHeader, from: IpAddr, to: IpAddr, payload: &[u8]) -> u16 {
    let sum = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
        }
        _ => Ok(0),
    };
    sum.unwrap_or(0)
}

impl Segment {
    fn header(&self) -> TcpHeader {
        let mut header = TcpHeader::new(self.source, self.destination, self.seq, self.window);
        header.acknowledgment_number = self.ack;
        header.fin = self.flags.has(Flags::FIN);
        header.syn = self.flags.has(Flags::SYN);
        header.rst = self.flags.has(Flags::RST);
        header.psh = self.flags.has(Flags::PSH);
        header.ack = self.flags.has(Flags::ACK);
        header.urg = self.flags.has(Flags::URG);
        header.ece = self.flags.has(Flags::ECE);
        header.cwr = self.flags.has(Flags::CWR);
        header.urgent_pointer = self.urgent;
        header
    }

    /// The packet that carries it, with the defects that are asked for. `Err` says what does not fit into one.
    pub fn to_packet(&self, from: IpAddr, to: IpAddr, marks: &IpMarks) -> Result<Vec<u8>, String> {
        let mut header = self.header();
        let options = options::encode(&self.options);
        header
            .set_options_raw(&options)
            .map_err(|_| format!("{} bytes of options are more than 40", options.len()))?;
        header.checksum = checksum(&header, from, to, &self.payload);
        if marks.bad_checksum {
            header.checksum = header.checksum.wrapping_add(1);
        }
        let mut body = header.to_bytes().to_vec();
        if let (Some(words), Some(byte)) = (marks.data_offset, body.get_mut(12)) {
            *byte = *byte & 0x0f | words << 4;
        }
        body.extend_from_slice(&self.payload);
        let mut packet = ip_packet(from, to, IpNumber::TCP, marks.ecn, &body);
        if let Some(len) = marks.length {
            put_length(&mut packet, len);
        }
        packet.truncate(marks.truncate.unwrap_or(usize::MAX));
        Ok(packet)
    }

    /// The segment in a packet, unless it is none. `sums`: whether its checksums are to be right already, or TCP's is left to the
    /// device; `Err` says what is wrong with it.
    pub fn parse(packet: &[u8], sums: bool) -> Result<Option<Segment>, String> {
        let ip = IpSlice::from_slice(packet).map_err(|error| error.to_string())?;
        if ip.payload_ip_number() != IpNumber::TCP {
            return Ok(None);
        }
        let tcp = TcpSlice::from_slice(ip.payload().payload).map_err(|error| error.to_string())?;
        let header = tcp.to_header();
        let (from, to) = (ip.source_addr(), ip.destination_addr());
        if sums && checksum(&header, from, to, tcp.payload()) != header.checksum {
            return Err("its checksum is wrong".into());
        }
        if let Some(ip) = ip.ipv4() {
            let header = ip.header().to_header();
            if header.calc_header_checksum() != header.header_checksum {
                return Err("the checksum of its IP header is wrong".into());
            }
        }
        let ecn = match &ip {
            IpSlice::Ipv4(ip) => ip.header().ecn().value(),
            IpSlice::Ipv6(ip) => ip.header().traffic_class() & 3,
        };
        let flags = [
            (header.fin, Flags::FIN),
            (header.syn, Flags::SYN),
            (header.rst, Flags::RST),
            (header.psh, Flags::PSH),
            (header.ack, Flags::ACK),
            (header.urg, Flags::URG),
            (header.ece, Flags::ECE),
            (header.cwr, Flags::CWR),
        ];
        Ok(Some(Segment {
            source: header.source_port,
            destination: header.destination_port,
            flags: Flags(flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()),
            seq: header.sequence_number,
            ack: header.acknowledgment_number,
            window: header.window_size,
            urgent: header.urgent_pointer,
            options: options::decode(tcp.options())?,
            payload: tcp.payload().to_vec(),
            ecn: match ecn {
                0 => Ecn::None,
                1 => Ecn::Ect1,
                2 => Ecn::Ect0,
                _ => Ecn::Ce,
            },
        }))
    }
}

/// Has an IP header lie about its length. IPv4's checksum stays right.
fn put_length(packet: &mut [u8], len: u16) {
    let is_v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
    let place = if is_v4 { 2..4 } else { 4..6 };
    if let Some(field) = packet.get_mut(place) {
        field.copy_from_slice(&len.to_be_bytes());
    }
    if is_v4 && let Ok((header, _)) = Ipv4Header::from_slice(packet) {
        let sum = header.calc_header_checksum();
        if let Some(field) = packet.get_mut(10..12) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Segment {
        Segment {
            source: 40000,
            destination: 8080,
            flags: Flags(Flags::SYN | Flags::ACK | Flags::ECE),
            seq: 0xffff_fff0,
            ack: 7,
            window: 1234,
            urgent: 0,
            options: vec![
                TcpOption::Mss(1460),
                TcpOption::SackPermitted,
                TcpOption::Timestamp { val: 1, ecr: 2 },
                TcpOption::Nop,
                TcpOption::WindowScale(8),
            ],
            payload: bytes_from(250, 300),
            ecn: Ecn::Ce,
        }
    }

    #[test]
    fn what_was_made_is_read_again() {
        for addresses in [["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]] {
            let [from, to] = addresses.map(|address| address.parse().unwrap());
            let marks = IpMarks {
                ecn: Some(Ecn::Ce),
                ..IpMarks::default()
            };
            let packet = segment().to_packet(from, to, &marks).unwrap();
            assert_eq!(Segment::parse(&packet, true), Ok(Some(segment())));
        }
    }

    #[test]
    fn defects_are_there() {
        let [from, to] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let with = |change: fn(&mut IpMarks)| {
            let mut marks = IpMarks::default();
            change(&mut marks);
            segment().to_packet(from, to, &marks).unwrap()
        };
        let bad = with(|marks| marks.bad_checksum = true);
        assert_eq!(
            Segment::parse(&bad, true),
            Err("its checksum is wrong".to_owned())
        );
        assert!(Segment::parse(&with(|marks| marks.data_offset = Some(4)), true).is_err());
        assert!(Segment::parse(&with(|marks| marks.truncate = Some(30)), true).is_err());
        assert!(Segment::parse(&with(|marks| marks.length = Some(30)), true).is_err());
    }
}
