//! Addresses: those of `std::net`, UNIX sockets', packet sockets', and the bytes that Linux has for each.

use crate::namespace::Namespace;
use crate::resolve;
use lkl::Errno;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::PathBuf;

/// `AF_UNIX`
pub(crate) const AF_UNIX: u16 = 1;
/// `AF_INET`
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`
pub(crate) const AF_INET6: u16 = 10;
/// `AF_NETLINK`
pub(crate) const AF_NETLINK: u16 = 16;
/// `AF_PACKET`
pub(crate) const AF_PACKET: u16 = 17;

/// An address of any family, in its bytes: `struct sockaddr_storage` and how much of it is used.
#[derive(Clone, Debug)]
pub struct RawAddress {
    bytes: [u8; 128],
    len: u32,
}

impl Default for RawAddress {
    /// None at all.
    fn default() -> RawAddress {
        RawAddress {
            bytes: [0; 128],
            len: 0,
        }
    }
}

impl RawAddress {
    /// That one. `None`: no address is so long.
    pub fn new(address: &[u8]) -> Option<RawAddress> {
        let mut raw = RawAddress::default();
        raw.bytes.get_mut(..address.len())?.copy_from_slice(address);
        raw.len = u32::try_from(address.len()).ok()?;
        Some(raw)
    }

    /// Room for an address that Linux will write.
    pub fn room() -> Self {
        RawAddress {
            bytes: [0; 128],
            len: 128,
        }
    }

    /// Where Linux writes an address, and its length.
    pub fn place(&mut self) -> (*mut u8, *mut u32) {
        (self.bytes.as_mut_ptr(), &raw mut self.len)
    }

    /// How long the address is that Linux has written, where it tells that elsewhere.
    pub fn set_len(&mut self, len: u32) {
        self.len = len;
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(0);
        self.bytes.get(..len).unwrap_or(&self.bytes)
    }

    fn from_parts(family: u16, parts: &[&[u8]]) -> Result<Self, Errno> {
        let mut raw = RawAddress::room();
        let mut len = 0;
        for part in [&family.to_ne_bytes()[..]].iter().chain(parts) {
            let end = len + part.len();
            raw.bytes
                .get_mut(len..end)
                .ok_or(Errno::ENAMETOOLONG)?
                .copy_from_slice(part);
            len = end;
        }
        raw.len = u32::try_from(len).map_err(|_| Errno::ENAMETOOLONG)?;
        Ok(raw)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.as_bytes().get(at..at + N);
        bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }
}

/// An address of any family that this crate knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6, and a port. Raw sockets have the port 0.
    Inet(SocketAddr),
    /// A UNIX socket's.
    Unix(UnixAddress),
    /// A packet socket's.
    Packet(PacketAddress),
    /// A netlink socket's.
    Netlink {
        /// The port's number: 0 is the kernel's end, or "choose one" to bind.
        port: u32,
        /// Multicast groups, a bit each.
        groups: u32,
    },
}

/// A UNIX socket's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UnixAddress {
    /// None, as that of a socket of a pair.
    Unnamed,
    /// A file in Linux's own tree of files (not the host's).
    Path(PathBuf),
    /// A name that is no file's.
    Abstract(Vec<u8>),
}

/// `struct sockaddr_ll`: an interface and a protocol of its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PacketAddress {
    /// The number of the interface; 0 for all.
    pub interface: u32,
    /// The Ethernet protocol, as 0x0800 for IPv4.
    pub protocol: u16,
    /// What kind of packet was received: 0 to this host, 1 broadcast, 2 multicast, 3 to another host, 4 outgoing.
    pub packet_type: u8,
    /// The hardware address, of which six bytes are Ethernet's.
    pub hardware: [u8; 6],
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Inet(address)
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Self {
        Address::Unix(address)
    }
}

impl From<PacketAddress> for Address {
    fn from(address: PacketAddress) -> Self {
        Address::Packet(address)
    }
}

/// A path of Linux's, in bytes. On hosts whose paths are not bytes it is UTF-8.
fn path_bytes(path: &std::path::Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

impl Address {
    pub(crate) fn to_raw(&self) -> Result<RawAddress, Errno> {
        match self {
            Address::Inet(SocketAddr::V4(v4)) => {
                RawAddress::from_parts(AF_INET, &[&v4.port().to_be_bytes(), &v4.ip().octets(), &[0; 8]])
            }
            Address::Inet(SocketAddr::V6(v6)) => RawAddress::from_parts(
                AF_INET6,
                &[
                    &v6.port().to_be_bytes(),
                    &v6.flowinfo().to_be_bytes(),
                    &v6.ip().octets(),
                    &v6.scope_id().to_ne_bytes(),
                ],
            ),
            Address::Unix(UnixAddress::Unnamed) => RawAddress::from_parts(AF_UNIX, &[]),
            Address::Unix(UnixAddress::Path(path)) => {
                let path = path_bytes(path);
                match path.len() {
                    0 => Err(Errno::ENOENT),
                    1..108 if !path.contains(&0) => RawAddress::from_parts(AF_UNIX, &[&path, &[0]]),
                    1..108 => Err(Errno::EINVAL),
                    _ => Err(Errno::ENAMETOOLONG),
                }
            }
            Address::Unix(UnixAddress::Abstract(name)) if name.len() < 108 => {
                RawAddress::from_parts(AF_UNIX, &[&[0], name])
            }
            Address::Unix(UnixAddress::Abstract(_)) => Err(Errno::ENAMETOOLONG),
            Address::Packet(packet) => RawAddress::from_parts(
                AF_PACKET,
                &[
                    &packet.protocol.to_be_bytes(),
                    &packet.interface.to_ne_bytes(),
                    &[0, 0, packet.packet_type, 6],
                    &packet.hardware,
                    &[0; 2],
                ],
            ),
            Address::Netlink { port, groups } => {
                RawAddress::from_parts(AF_NETLINK, &[&[0; 2], &port.to_ne_bytes(), &groups.to_ne_bytes()])
            }
        }
    }

    pub(crate) fn from_raw(raw: &RawAddress) -> Result<Address, Errno> {
        match u16::from_ne_bytes(raw.field(0)) {
            AF_INET => {
                let ip = Ipv4Addr::from(raw.field::<4>(4));
                Ok(SocketAddrV4::new(ip, u16::from_be_bytes(raw.field(2))).into())
            }
            AF_INET6 => {
                let port = u16::from_be_bytes(raw.field(2));
                let flow = u32::from_be_bytes(raw.field(4));
                let scope = u32::from_ne_bytes(raw.field(24));
                let ip = Ipv6Addr::from(raw.field::<16>(8));
                Ok(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            AF_UNIX => Ok(Address::Unix(unix_address(
                raw.as_bytes().get(2..).unwrap_or(&[]),
            ))),
            AF_PACKET => Ok(Address::Packet(PacketAddress {
                protocol: u16::from_be_bytes(raw.field(2)),
                interface: u32::from_ne_bytes(raw.field(4)),
                packet_type: raw.field::<1>(10)[0],
                hardware: raw.field(12),
            })),
            AF_NETLINK => Ok(Address::Netlink {
                port: u32::from_ne_bytes(raw.field(4)),
                groups: u32::from_ne_bytes(raw.field(8)),
            }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The address when it is IPv4's or IPv6's.
    pub(crate) fn inet(self) -> io::Result<SocketAddr> {
        match self {
            Address::Inet(address) => Ok(address),
            other => Err(io::Error::other(format!("{other:?} is no internet address"))),
        }
    }
}

fn unix_address(bytes: &[u8]) -> UnixAddress {
    match bytes {
        [] => UnixAddress::Unnamed,
        [0, name @ ..] => UnixAddress::Abstract(name.to_vec()),
        path => {
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            let text = String::from_utf8_lossy(path.get(..end).unwrap_or(path));
            UnixAddress::Path(OsString::from(text.into_owned()).into())
        }
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Address::Inet(address.into())
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Address::Inet(address.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(UnixAddress::Unnamed) => f.write_str("(unnamed)"),
            Address::Unix(UnixAddress::Path(path)) => path.display().fmt(f),
            Address::Unix(UnixAddress::Abstract(name)) => write!(f, "@{}", String::from_utf8_lossy(name)),
            Address::Packet(packet) => write!(f, "interface {}", packet.interface),
            Address::Netlink { port, .. } => write!(f, "netlink port {port}"),
        }
    }
}

/// What [`ToSocketAddrs`] stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Addresses, in the order in which they are to be tried.
    Addresses(Vec<SocketAddr>),
    /// A host's name, which has to be asked for, and a port.
    Host(String, u16),
}

/// What stands for addresses, as `std::net::ToSocketAddrs` has it, with one difference: a name is asked of the servers that
/// the current [`crate::Namespace`] has ([`crate::resolve`]), over its own network, never of the host.
pub trait ToSocketAddrs {
    /// What it is, as far as it can be told without asking.
    fn target(&self) -> io::Result<Target>;

    /// All of its addresses.
    fn to_socket_addrs(&self) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        let addresses = match self.target()? {
            Target::Addresses(addresses) => addresses,
            Target::Host(name, port) => {
                let found = resolve::host(&name)?;
                found.into_iter().map(|ip| (ip, port).into()).collect()
            }
        };
        Ok(addresses.into_iter())
    }
}

macro_rules! one_address {
    ($($kind:ty),*) => {$(
        impl ToSocketAddrs for $kind {
            fn target(&self) -> io::Result<Target> {
                Ok(Target::Addresses(vec![SocketAddr::from(*self)]))
            }
        }
    )*};
}

one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for [SocketAddr] {
    fn target(&self) -> io::Result<Target> {
        Ok(Target::Addresses(self.into()))
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn target(&self) -> io::Result<Target> {
        let (name, port) = *self;
        Ok(match name.parse::<IpAddr>() {
            Ok(ip) => Target::Addresses(vec![(ip, port).into()]),
            Err(_) => Target::Host(name.to_owned(), port),
        })
    }
}

impl ToSocketAddrs for (String, u16) {
    fn target(&self) -> io::Result<Target> {
        (&*self.0, self.1).target()
    }
}

impl ToSocketAddrs for str {
    fn target(&self) -> io::Result<Target> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return address.target();
        }
        let wrong = || {
            let text = format!("{self:?} is no address: it is NAME:PORT or IP:PORT");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let (name, port) = self.rsplit_once(':').ok_or_else(wrong)?;
        (name, port.parse().map_err(|_| wrong())?).target()
    }
}

impl ToSocketAddrs for String {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

/// Tries `act` with each address, until one does it; names are asked for in that network. The last one's error otherwise.
pub(crate) fn each<T>(
    by: &Namespace,
    addresses: impl ToSocketAddrs,
    mut act: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in by.enter(|| addresses.to_socket_addrs())? {
        match act(address) {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_address))
}

/// As std says it.
pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        let packet = PacketAddress {
            interface: 7,
            protocol: 0x0800,
            packet_type: 2,
            hardware: [1, 2, 3, 4, 5, 6],
        };
        let all: [Address; 7] = [
            "127.0.0.1:80".parse::<SocketAddr>().expect("v4").into(),
            SocketAddrV6::new("fe80::1".parse().expect("v6"), 443, 9, 3).into(),
            UnixAddress::Unnamed.into(),
            UnixAddress::Path("/tmp/x".into()).into(),
            UnixAddress::Abstract(b"name\0more".to_vec()).into(),
            packet.into(),
            Address::Netlink { port: 5, groups: 6 },
        ];
        for address in all {
            let raw = address.to_raw().expect("fits");
            assert_eq!(Address::from_raw(&raw), Ok(address));
        }
    }

    #[test]
    fn a_path_that_is_too_long_or_has_a_nul_is_refused() {
        let address = |text: &str| Address::from(UnixAddress::Path(text.into())).to_raw().err();
        assert_eq!(address(&"x".repeat(108)), Some(Errno::ENAMETOOLONG));
        assert_eq!(address("a\0b"), Some(Errno::EINVAL));
        assert_eq!(address(""), Some(Errno::ENOENT));
        assert_eq!(address(&"x".repeat(107)), None);
    }

    #[test]
    fn text_is_an_address_or_is_refused_by_name() {
        let one = "[::1]:7".target().expect("an address");
        assert_eq!(one, Target::Addresses(vec![(Ipv6Addr::LOCALHOST, 7).into()]));
        let name = "localhost:80".target().expect("a name");
        assert_eq!(name, Target::Host("localhost".to_owned(), 80));
        for wrong in ["", "localhost", "1.2.3.4", "1.2.3.4:99999"] {
            let error = wrong.target().expect_err("no address");
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
