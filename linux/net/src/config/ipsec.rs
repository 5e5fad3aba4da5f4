//! IPsec: associations, which say how packets are sealed, and policies, which say which packets are to be.
//!
//! ESP with AES-GCM (RFC 4106), in transport or tunnel mode. Keys are agreed upon elsewhere: both ends are given the same.

use super::{Configuration, check_prefix, family, octets};
use crate::error::about;
use crate::netlink::{CREATE, EXCLUSIVE, Netlink, Request};
use crate::socket::Protocol;
use lkl::Errno;
use std::io;
use std::net::IpAddr;

const NETLINK_XFRM: Protocol = Protocol(6);
const XFRM_MSG_NEWSA: u16 = 0x10;
const XFRM_MSG_NEWPOLICY: u16 = 0x13;
const XFRM_MSG_FLUSHSA: u16 = 0x1c;
const XFRM_MSG_FLUSHPOLICY: u16 = 0x1d;
const XFRMA_TMPL: u16 = 5;
const XFRMA_ALG_AEAD: u16 = 18;
const ESP: u8 = 50;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpsecMode {
    /// What is behind the header.
    Transport = 0,
    /// The packet as a whole, which gets a header of the two ends' own.
    Tunnel = 1,
}

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpsecDirection {
    /// To this host.
    In = 0,
    /// From this host.
    Out = 1,
    /// Through this host, after they were opened.
    Forward = 2,
}

/// How packets of one direction between two ends are sealed. Both ends have the same.
#[derive(Debug, Clone)]
pub struct IpsecState {
    /// The end that sends.
    pub source: IpAddr,
    /// The end that receives.
    pub destination: IpAddr,
    /// Its number, which packets carry; above 255.
    pub spi: u32,
    /// What is sealed.
    pub mode: IpsecMode,
    /// What ties it to policies.
    pub request: u32,
    /// AES' key of 16, 24 or 32 bytes and the salt of 4.
    pub key: Vec<u8>,
}

/// Which packets are to be sealed, or have to have been.
#[derive(Debug, Clone, Copy)]
pub struct IpsecPolicy {
    /// The senders.
    pub from: (IpAddr, u8),
    /// The receivers.
    pub to: (IpAddr, u8),
    /// Which way they go.
    pub direction: IpsecDirection,
    /// The end that seals, and the one that opens.
    pub ends: (IpAddr, IpAddr),
    /// What is sealed.
    pub mode: IpsecMode,
    /// What ties it to the associations.
    pub request: u32,
}

/// An address in 16 bytes.
fn wide(ip: IpAddr) -> Vec<u8> {
    let mut bytes = octets(ip);
    bytes.resize(16, 0);
    bytes
}

/// `struct xfrm_selector`
fn selector(from: (IpAddr, u8), to: (IpAddr, u8)) -> Vec<u8> {
    let family = u16::from(family(from.0)).to_ne_bytes();
    let mut bytes = [wide(to.0), wide(from.0), vec![0; 8], family.to_vec()].concat();
    bytes.extend([to.1, from.1]);
    bytes.resize(56, 0);
    bytes
}

/// `struct xfrm_id`
fn id(destination: IpAddr, spi: u32) -> Vec<u8> {
    [wide(destination), spi.to_be_bytes().to_vec(), vec![ESP, 0, 0, 0]].concat()
}

/// `struct xfrm_lifetime_cfg` and `_cur`: without end, and nothing yet.
fn lifetime() -> Vec<u8> {
    [vec![0xff; 32], vec![0; 32], vec![0; 32]].concat()
}

impl IpsecState {
    fn head(&self) -> Vec<u8> {
        let everything = |ip| (ip, 0);
        let mut bytes = [
            selector(everything(self.source), everything(self.destination)),
            id(self.destination, self.spi),
            wide(self.source),
            lifetime(),
            vec![0; 12],
            vec![0; 4],
            self.request.to_ne_bytes().to_vec(),
            u16::from(family(self.source)).to_ne_bytes().to_vec(),
        ]
        .concat();
        const WINDOW: u8 = 32;
        bytes.extend([self.mode as u8, WINDOW]);
        bytes.resize(224, 0);
        bytes
    }

    fn algorithm(&self) -> Vec<u8> {
        const TAG_BITS: u32 = 128;
        let mut bytes = b"rfc4106(gcm(aes))".to_vec();
        bytes.resize(64, 0);
        let bits = u32::try_from(self.key.len() * 8).unwrap_or(0);
        bytes.extend(bits.to_ne_bytes());
        bytes.extend(TAG_BITS.to_ne_bytes());
        bytes.extend(&self.key);
        bytes
    }
}

impl IpsecPolicy {
    fn head(&self) -> Vec<u8> {
        let mut bytes = [selector(self.from, self.to), lifetime(), vec![0; 8]].concat();
        bytes.extend([self.direction as u8, 0, 0, 0]);
        bytes.resize(168, 0);
        bytes
    }

    /// `struct xfrm_user_tmpl`
    fn template(&self) -> Vec<u8> {
        let (source, destination) = self.ends;
        let family = u16::from(family(source)).to_ne_bytes();
        let mut bytes = [id(destination, 0), family.to_vec(), vec![0; 2], wide(source)].concat();
        bytes.extend(self.request.to_ne_bytes());
        bytes.extend([self.mode as u8, 0, 0, 0]);
        bytes.extend([0xff; 12]);
        bytes
    }
}

impl Configuration {
    fn ipsec(&self, thing: &str, request: &Request) -> io::Result<()> {
        let netlink = Netlink::new(self.namespace(), NETLINK_XFRM)?;
        netlink.exchange(thing, request).map(drop)
    }

    /// Adds an association.
    ///
    /// # Errors
    /// EEXIST when there is one of that number for that end; EINVAL for a key that is too short or too long.
    pub fn add_ipsec_state(&self, state: &IpsecState) -> io::Result<()> {
        let thing = format!("IPsec from {} to {}", state.source, state.destination);
        if state.source.is_ipv4() != state.destination.is_ipv4() {
            return Err(about(thing, Errno::EINVAL));
        }
        let request = Request::new(XFRM_MSG_NEWSA, CREATE | EXCLUSIVE, &state.head())
            .with(XFRMA_ALG_AEAD, &state.algorithm());
        self.ipsec(&thing, &request)
    }

    /// Adds a policy.
    pub fn add_ipsec_policy(&self, policy: &IpsecPolicy) -> io::Result<()> {
        let (from, to) = (policy.from, policy.to);
        let thing = format!("IPsec policy from {}/{} to {}/{}", from.0, from.1, to.0, to.1);
        check_prefix(&thing, from.0, from.1)?;
        check_prefix(&thing, to.0, to.1)?;
        if from.0.is_ipv4() != to.0.is_ipv4() || policy.ends.0.is_ipv4() != policy.ends.1.is_ipv4() {
            return Err(about(thing, Errno::EINVAL));
        }
        let request = Request::new(XFRM_MSG_NEWPOLICY, CREATE | EXCLUSIVE, &policy.head())
            .with(XFRMA_TMPL, &policy.template());
        self.ipsec(&thing, &request)
    }

    /// Forgets all policies and associations.
    pub fn clear_ipsec(&self) -> io::Result<()> {
        // No policies, which is no error.
        self.ipsec("IPsec", &Request::new(XFRM_MSG_FLUSHPOLICY, 0, &[]))?;
        self.ipsec("IPsec", &Request::new(XFRM_MSG_FLUSHSA, 0, &[ESP]))
    }
}
