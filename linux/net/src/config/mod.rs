//! What a network consists of: interfaces, addresses, routes, rules, neighbours, queues, by rtnetlink.
//!
//! [`Configuration`] is one network's. Interfaces are named; each error says which one, and what Linux has against it.

mod address;
mod ipsec;
mod link;
mod mptcp;
mod nftables;
mod queue;
mod route;
mod wireguard;

pub use address::{InterfaceAddress, Neighbour};
pub use ipsec::{IpsecDirection, IpsecMode, IpsecPolicy, IpsecState};
pub use link::{Interface, LinkKind};
pub use mptcp::{MptcpEndpoint, MptcpLimits};
pub use nftables::{Action, Chain, ChainKind, ConnectionState, Hook, Match, PacketRule, RuleCounter, Table};
pub use queue::{Handle, HtbClass, Netem, Queue, Tbf};
pub use route::{Route, RouteType, Rule, own_table};
pub use wireguard::{WireguardDevice, WireguardPeer, WireguardPeerState};

use crate::error::about;
use crate::namespace::Namespace;
use crate::netlink::{Answer, DUMP, Netlink, Request};
use crate::socket::{Protocol, Socket};
use lkl::Errno;
use std::io;
use std::net::IpAddr;

/// One network's configuration. Any thread may use it.
#[derive(Debug)]
pub struct Configuration {
    namespace: Namespace,
    route: Netlink,
}

impl Namespace {
    /// Its configuration.
    pub fn configuration(&self) -> io::Result<Configuration> {
        Ok(Configuration {
            namespace: self.clone(),
            route: Netlink::new(self, Protocol::ROUTE)?,
        })
    }
}

impl Configuration {
    /// That of the network which `socket` belongs to, a netlink socket of rtnetlink's, whichever task has made it. What is done by other
    /// means than netlink is done in `namespace`.
    pub fn over(namespace: &Namespace, socket: Socket) -> io::Result<Configuration> {
        Ok(Configuration {
            namespace: namespace.clone(),
            route: Netlink::over(socket)?,
        })
    }

    /// The network that it is of.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The connection to rtnetlink, for requests that this type has no word for.
    pub fn netlink(&self) -> &Netlink {
        &self.route
    }

    fn request(&self, thing: &str, request: &Request) -> io::Result<Vec<Answer>> {
        self.route.exchange(thing, request)
    }

    fn dump(&self, thing: &str, kind: u16, head: &[u8]) -> io::Result<Vec<Answer>> {
        self.request(thing, &Request::new(kind, DUMP, head))
    }
}

/// Linux's number of an address' family.
fn family(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

/// An address in the order of the network.
fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// An address of four or sixteen bytes.
fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

/// A prefix that an address can have.
fn check_prefix(thing: &str, ip: IpAddr, len: u8) -> io::Result<()> {
    let most = if ip.is_ipv4() { 32 } else { 128 };
    if len > most {
        let text = format!("{thing}: {ip}/{len}");
        return Err(about(text, Errno::EINVAL));
    }
    Ok(())
}
