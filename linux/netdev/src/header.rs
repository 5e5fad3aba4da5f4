//! What is said about a packet besides its bytes, in virtio-net's terms.

use crate::sys::lkl_net_header;

/// What is left to do with a packet that crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header(pub(crate) lkl_net_header);

/// What a packet stands for many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segmentation {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP that is to become fragments.
    UdpFragments,
    /// UDP that is to become datagrams.
    UdpDatagrams,
    /// A number that virtio-net does not have.
    Unknown(u8),
}

/// The bit that says that only the first piece has CWR.
const ECN: u8 = 0x80;

impl Header {
    /// Bytes of [`Header::to_bytes`] that mean something to a TAP device whose header is virtio-net's first one.
    pub const SHORT: usize = 10;
    /// Bytes of it that a device has before its packets whose header has a count of buffers.
    pub const LONG: usize = 12;

    /// As the bytes that TAP devices and others have before a packet: little-endian.
    pub fn to_bytes(self) -> [u8; Header::LONG] {
        let h = self.0;
        let mut bytes = [0; Header::LONG];
        let words = [h.hdr_len, h.gso_size, h.csum_start, h.csum_offset, h.num_buffers];
        let halves = words.into_iter().flat_map(u16::to_le_bytes);
        let all = [h.flags, h.gso_type].into_iter().chain(halves);
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// From such bytes, ten or twelve. `None` for fewer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Header> {
        let [flags, gso_type, a, b, c, d, e, f, g, h, ..] = *bytes else {
            return None;
        };
        Some(Header(lkl_net_header {
            flags,
            gso_type,
            hdr_len: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            csum_start: u16::from_le_bytes([e, f]),
            csum_offset: u16::from_le_bytes([g, h]),
            num_buffers: 0,
        }))
    }

    /// Where the checksum begins and where, from there, it belongs, when it is not there yet; bytes from the start of the
    /// Ethernet header.
    pub fn checksum(&self) -> Option<(usize, usize)> {
        (self.0.flags & 1 != 0).then(|| (usize::from(self.0.csum_start), usize::from(self.0.csum_offset)))
    }

    /// What it stands for many of, and how many bytes of payload each of those has.
    pub fn segmentation(&self) -> Option<(Segmentation, usize)> {
        let kind = match self.0.gso_type & !ECN {
            0 => return None,
            1 => Segmentation::TcpV4,
            3 => Segmentation::UdpFragments,
            4 => Segmentation::TcpV6,
            5 => Segmentation::UdpDatagrams,
            other => Segmentation::Unknown(other),
        };
        Some((kind, usize::from(self.0.gso_size)))
    }

    /// A packet that is complete.
    pub fn is_plain(&self) -> bool {
        self.0.flags & 1 == 0 && self.0.gso_type & !ECN == 0
    }
}

/// What the other end of an interface does for Linux, by the numbers of virtio-net's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Offloads(u64);

impl Offloads {
    /// Nothing: all packets are complete.
    pub const NONE: Offloads = Offloads(0);
    /// It takes packets without a checksum.
    pub const HOST_CSUM: Offloads = Offloads(1);
    /// It gives packets without a checksum.
    pub const GUEST_CSUM: Offloads = Offloads(1 << 1);
    /// It gives packets that stand for many of TCP over IPv4.
    pub const GUEST_TSO4: Offloads = Offloads(1 << 7);
    /// It gives packets that stand for many of TCP over IPv6.
    pub const GUEST_TSO6: Offloads = Offloads(1 << 8);
    /// Some of those with CWR in the first piece alone.
    pub const GUEST_ECN: Offloads = Offloads(1 << 9);
    /// It gives UDP that is to become fragments.
    pub const GUEST_UFO: Offloads = Offloads(1 << 10);
    /// It takes packets that stand for many of TCP over IPv4.
    pub const HOST_TSO4: Offloads = Offloads(1 << 11);
    /// It takes packets that stand for many of TCP over IPv6.
    pub const HOST_TSO6: Offloads = Offloads(1 << 12);
    /// It takes such with CWR in the first piece alone.
    pub const HOST_ECN: Offloads = Offloads(1 << 13);
    /// It gives UDP over IPv4 that is to become datagrams.
    pub const GUEST_USO4: Offloads = Offloads(1 << 54);
    /// It gives UDP over IPv6 that is to become datagrams.
    pub const GUEST_USO6: Offloads = Offloads(1 << 55);
    /// It takes UDP that is to become datagrams.
    pub const HOST_USO: Offloads = Offloads(1 << 56);
    /// Checksums and TCP, both ways.
    pub const TCP: Offloads = Offloads(
        Self::HOST_CSUM.0
            | Self::GUEST_CSUM.0
            | Self::GUEST_TSO4.0
            | Self::GUEST_TSO6.0
            | Self::GUEST_ECN.0
            | Self::HOST_TSO4.0
            | Self::HOST_TSO6.0
            | Self::HOST_ECN.0,
    );

    /// All that a TAP device of today's has: those of TCP, and UDP that stands for many datagrams, both ways.
    pub const ALL: Offloads =
        Offloads(Self::TCP.0 | Self::GUEST_USO4.0 | Self::GUEST_USO6.0 | Self::HOST_USO.0);

    /// By virtio-net's numbers; what this port does not know is left out.
    pub const fn from_bits(bits: u64) -> Offloads {
        Offloads(bits & (Self::ALL.0 | Self::GUEST_UFO.0))
    }

    /// What is in `self` and in `other`.
    #[must_use]
    pub const fn and(self, other: Offloads) -> Offloads {
        Offloads(self.0 & other.0)
    }

    /// Without those that mean nothing: packets that stand for many need such without a checksum, and ECN needs TCP.
    #[must_use]
    pub const fn sound(self) -> Offloads {
        let guest_many = Self::GUEST_TSO4.0
            | Self::GUEST_TSO6.0
            | Self::GUEST_ECN.0
            | Self::GUEST_UFO.0
            | Self::GUEST_USO4.0
            | Self::GUEST_USO6.0;
        let host_many = Self::HOST_TSO4.0 | Self::HOST_TSO6.0 | Self::HOST_ECN.0 | Self::HOST_USO.0;
        let mut bits = self.0;
        if bits & Self::GUEST_CSUM.0 == 0 {
            bits &= !guest_many;
        }
        if bits & Self::HOST_CSUM.0 == 0 {
            bits &= !host_many;
        }
        if bits & (Self::GUEST_TSO4.0 | Self::GUEST_TSO6.0) == 0 {
            bits &= !Self::GUEST_ECN.0;
        }
        if bits & (Self::HOST_TSO4.0 | Self::HOST_TSO6.0) == 0 {
            bits &= !Self::HOST_ECN.0;
        }
        Offloads(bits)
    }

    /// By virtio-net's numbers.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// All of `self` and of `other`.
    #[must_use]
    pub const fn with(self, other: Offloads) -> Offloads {
        Offloads(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Offloads) -> bool {
        self.0 & other.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offloads_that_mean_nothing_without_others_are_left_out() {
        assert_eq!(Offloads::ALL.sound(), Offloads::ALL);
        assert_eq!(
            Offloads::GUEST_TSO4.with(Offloads::HOST_TSO6).sound(),
            Offloads::NONE
        );
        let ecn = Offloads::HOST_CSUM.with(Offloads::HOST_ECN);
        assert_eq!(ecn.sound(), Offloads::HOST_CSUM);
        let users = Offloads::from_bits(0xc803);
        let csum = Offloads::GUEST_CSUM.with(Offloads::HOST_CSUM);
        assert_eq!(users.sound(), csum.with(Offloads::HOST_TSO4));
    }

    #[test]
    fn the_bytes_of_a_header_are_those_of_virtio_net() {
        let header = Header(lkl_net_header {
            flags: 1,
            gso_type: 1 | ECN,
            hdr_len: 0x36,
            gso_size: 1448,
            csum_start: 34,
            csum_offset: 16,
            num_buffers: 0,
        });
        let bytes = header.to_bytes();
        assert_eq!(bytes, [1, 0x81, 0x36, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]);
        assert_eq!(Header::from_bytes(&bytes[..Header::SHORT]), Some(header));
        assert_eq!(Header::from_bytes(&bytes[..9]), None);
        assert_eq!(header.checksum(), Some((34, 16)));
        assert_eq!(header.segmentation(), Some((Segmentation::TcpV4, 1448)));
        assert!(!header.is_plain());
        assert!(Header::default().is_plain());
    }
}
