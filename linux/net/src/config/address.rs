//! Addresses of interfaces, and neighbours.

use super::{Configuration, check_prefix, family, ip_of, octets};
use crate::netlink::{Answer, CREATE, EXCLUSIVE, REPLACE, Request, attribute, u32_of};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
/// Of IPv6: use it at once, without asking whether another host has it.
const IFA_F_NODAD: u32 = 2;

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// The bits that it has in common with its neighbours.
    pub prefix: u8,
    /// Of IPv6: used at once, without asking for a second or two whether another host has it.
    pub at_once: bool,
}

impl InterfaceAddress {
    /// An address and its prefix.
    pub fn new(ip: impl Into<IpAddr>, prefix: u8) -> Self {
        InterfaceAddress {
            ip: ip.into(),
            prefix,
            at_once: false,
        }
    }

    /// The address of the network that it is in.
    pub fn network(&self) -> IpAddr {
        let prefix = u32::from(self.prefix);
        match self.ip {
            IpAddr::V4(ip) => {
                let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & !hosts).into()
            }
            IpAddr::V6(ip) => {
                let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & !hosts).into()
            }
        }
    }

    /// The same, used at once.
    #[must_use]
    pub fn at_once(self) -> Self {
        InterfaceAddress {
            at_once: true,
            ..self
        }
    }
}

/// Who has an address on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The address.
    pub ip: IpAddr,
    /// The hardware address; none while Linux asks for it.
    pub hardware: Option<Vec<u8>>,
    /// Whether it was set by hand.
    pub permanent: bool,
}

/// `struct ifaddrmsg`
fn head(address: InterfaceAddress, index: u32) -> Vec<u8> {
    let start = [family(address.ip), address.prefix, 0, 0];
    [start, index.to_ne_bytes()].concat()
}

/// `struct ndmsg`
fn neighbour_head(family: u8, index: u32, state: u16) -> Vec<u8> {
    let state = state.to_ne_bytes();
    [&[family, 0, 0, 0][..], &index.to_ne_bytes(), &state, &[0, 0]].concat()
}

const NUD_PERMANENT: u16 = 0x80;

impl Configuration {
    /// Gives an interface an address.
    ///
    /// # Errors
    /// EEXIST when it has it.
    pub fn add_address(&self, interface: &str, address: InterfaceAddress) -> io::Result<()> {
        self.change_address(RTM_NEWADDR, CREATE | EXCLUSIVE, interface, address)
    }

    /// Takes it away.
    pub fn delete_address(&self, interface: &str, address: InterfaceAddress) -> io::Result<()> {
        self.change_address(RTM_DELADDR, 0, interface, address)
    }

    fn change_address(
        &self,
        kind: u16,
        flags: u16,
        interface: &str,
        address: InterfaceAddress,
    ) -> io::Result<()> {
        check_prefix(interface, address.ip, address.prefix)?;
        let thing = format!("{interface}: {}/{}", address.ip, address.prefix);
        let bytes = octets(address.ip);
        let mut request = Request::new(kind, flags, &head(address, self.index(interface)?))
            .with(IFA_LOCAL, &bytes)
            .with(IFA_ADDRESS, &bytes);
        if let (IpAddr::V4(ip), 0..31) = (address.ip, address.prefix) {
            let hosts = u32::MAX.checked_shr(address.prefix.into()).unwrap_or(0);
            request = request.with(IFA_BROADCAST, &(u32::from(ip) | hosts).to_be_bytes());
        }
        if address.at_once && address.ip.is_ipv6() {
            request = request.with_u32(IFA_FLAGS, IFA_F_NODAD);
        }
        self.request(&thing, &request).map(drop)
    }

    /// The addresses of an interface.
    pub fn addresses(&self, interface: &str) -> io::Result<Vec<InterfaceAddress>> {
        let index = self.index(interface)?;
        let answers = self.dump(interface, RTM_GETADDR, &[0; 8])?;
        let of_it = |answer: &Answer| {
            let (head, attributes) = answer.body.split_at_checked(8)?;
            if u32_of(head.get(4..)?)? != index {
                return None;
            }
            let ip = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
            let flags = attribute(attributes, IFA_FLAGS).and_then(u32_of).unwrap_or(0);
            Some(InterfaceAddress {
                ip: ip_of(ip)?,
                prefix: *head.get(1)?,
                at_once: flags & IFA_F_NODAD != 0,
            })
        };
        Ok(answers.iter().filter_map(of_it).collect())
    }

    /// Says who has an address on an interface's link.
    pub fn set_neighbour(&self, interface: &str, ip: IpAddr, hardware: [u8; 6]) -> io::Result<()> {
        let head = neighbour_head(family(ip), self.index(interface)?, NUD_PERMANENT);
        let request = Request::new(RTM_NEWNEIGH, CREATE | REPLACE, &head)
            .with(1, &octets(ip))
            .with(2, &hardware);
        self.request(&format!("{interface}: neighbour {ip}"), &request)
            .map(drop)
    }

    /// Forgets who has it.
    pub fn delete_neighbour(&self, interface: &str, ip: IpAddr) -> io::Result<()> {
        let head = neighbour_head(family(ip), self.index(interface)?, 0);
        let request = Request::new(RTM_DELNEIGH, 0, &head).with(1, &octets(ip));
        self.request(&format!("{interface}: neighbour {ip}"), &request)
            .map(drop)
    }

    /// The neighbours that Linux knows on an interface's link.
    pub fn neighbours(&self, interface: &str) -> io::Result<Vec<Neighbour>> {
        let index = self.index(interface)?;
        let answers = self.dump(interface, RTM_GETNEIGH, &neighbour_head(0, 0, 0))?;
        let of_it = |answer: &Answer| {
            let (head, attributes) = answer.body.split_at_checked(12)?;
            if u32_of(head.get(4..)?)? != index {
                return None;
            }
            let state = u16::from_ne_bytes(*head.get(8..)?.first_chunk()?);
            Some(Neighbour {
                ip: ip_of(attribute(attributes, 1)?)?,
                hardware: attribute(attributes, 2).map(<[u8]>::to_vec),
                permanent: state & NUD_PERMANENT != 0,
            })
        };
        Ok(answers.iter().filter_map(of_it).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_an_address_has_no_host_bits() {
        for (ip, prefix, network) in [
            ("10.9.1.2", 24, "10.9.1.0"),
            ("10.9.1.2", 32, "10.9.1.2"),
            ("10.9.1.2", 0, "0.0.0.0"),
            ("2001:db8::7", 64, "2001:db8::"),
            ("2001:db8::7", 128, "2001:db8::7"),
        ] {
            let address = InterfaceAddress::new(ip.parse::<IpAddr>().unwrap(), prefix);
            assert_eq!(address.network().to_string(), network);
        }
    }
}
