//! MPTCP's path manager: which addresses make further paths, and how many.

use super::{Configuration, family, octets};
use crate::netlink::{Generic, Request};
use std::io;
use std::net::IpAddr;

const CMD_ADD_ADDR: u8 = 1;
const CMD_FLUSH_ADDRS: u8 = 4;
const CMD_SET_LIMITS: u8 = 5;

/// An address of this network that connections may use besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MptcpEndpoint {
    /// The address.
    pub ip: IpAddr,
    /// Connections that this side has begun make a path from it.
    pub subflow: bool,
    /// Peers are told of it, so that they may make a path to it.
    pub signal: bool,
}

/// How many there may be of each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MptcpLimits {
    /// Paths besides the first.
    pub subflows: u32,
    /// Addresses that are taken from a peer.
    pub accepted_addresses: u32,
}

impl Configuration {
    fn path_manager(
        &self,
        thing: &str,
        command: u8,
        fill: impl FnOnce(Request) -> Request,
    ) -> io::Result<()> {
        let generic = Generic::new(self.namespace(), "mptcp_pm")?;
        let request = fill(generic.request(command, 0));
        generic.exchange(thing, &request).map(drop)
    }

    /// Adds an address.
    pub fn add_mptcp_endpoint(&self, endpoint: MptcpEndpoint) -> io::Result<()> {
        const SIGNAL: u32 = 1;
        const SUBFLOW: u32 = 2;
        let flags = (u32::from(endpoint.signal) * SIGNAL) | (u32::from(endpoint.subflow) * SUBFLOW);
        let address = if endpoint.ip.is_ipv4() { 3 } else { 4 };
        self.path_manager(&endpoint.ip.to_string(), CMD_ADD_ADDR, |request| {
            request.nested(1, |list| {
                list.with(1, &u16::from(family(endpoint.ip)).to_ne_bytes())
                    .with(address, &octets(endpoint.ip))
                    .with_u32(6, flags)
            })
        })
    }

    /// Forgets all of them.
    pub fn clear_mptcp_endpoints(&self) -> io::Result<()> {
        self.path_manager("endpoints", CMD_FLUSH_ADDRS, |request| request)
    }

    /// Sets how many there may be.
    pub fn set_mptcp_limits(&self, limits: MptcpLimits) -> io::Result<()> {
        self.path_manager("limits", CMD_SET_LIMITS, |request| {
            request
                .with_u32(2, limits.accepted_addresses)
                .with_u32(3, limits.subflows)
        })
    }
}
