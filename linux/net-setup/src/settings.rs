//! What is wanted: one shape, whoever wrote it and where.

use lkl_links::{NAT, Spec};
use lkl_net::config::InterfaceAddress;
use lkl_netdev::{MacAddress, Offloads};
use lkl_session::program::Program;
use std::net::IpAddr;
use std::time::Duration;

/// MiB that Linux gets unless told otherwise.
pub(crate) const MEMORY: u32 = 128;

/// A Linux with networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The program that the user runs, for messages.
    pub program: Program,
    /// Where the user wrote this, for messages.
    pub source: Source,
    /// MiB for Linux.
    pub memory: u32,
    /// What Linux is told at its boot, as in `"loglevel=4"`.
    pub command_line: String,
    /// What Linux says is written to standard error when the network is closed.
    pub debug: bool,
    /// Settings of Linux's and their values, as in `("net.ipv4.tcp_congestion_control", "bbr")`; set before there are interfaces.
    pub sysctls: Vec<(String, String)>,
    /// File systems of the kernel's own, as in `"proc"`; each is mounted at `/NAME` in Linux's tree.
    pub mounts: Vec<String>,
    /// Files of Linux's that are written to standard error once all is set up.
    pub dump: Vec<String>,
    /// The interfaces; the first is `eth0`.
    pub interfaces: Vec<Interface>,
    /// Ways out of all networks, over whichever interface leads there; one of each version of IP.
    pub gateways: Vec<IpAddr>,
    /// Name servers; none: those that DHCP tells.
    pub name_servers: Vec<IpAddr>,
    /// How long a router's advertisement is waited for.
    pub patience: Duration,
}

impl Settings {
    /// Linux with the loopback interface alone.
    pub fn new(program: Program) -> Settings {
        Settings {
            program,
            source: Source::Options,
            memory: MEMORY,
            command_line: "quiet loglevel=5".to_owned(),
            debug: false,
            sysctls: Vec::new(),
            mounts: Vec::new(),
            dump: Vec::new(),
            interfaces: Vec::new(),
            gateways: Vec::new(),
            name_servers: Vec::new(),
            patience: Duration::from_secs(60),
        }
    }
}

/// An interface of Linux's, and what is at its other end.
#[derive(Debug, Clone, PartialEq)]
pub struct Interface {
    /// The other end.
    pub net: Spec,
    /// Its hardware address; `None`: Linux makes one up.
    pub mac: Option<MacAddress>,
    /// Bytes of the longest packet; `None`: what the other end takes well.
    pub mtu: Option<u32>,
    /// What is left to the other end, and what it may leave to Linux: checksums, segments. It has those of them that it can.
    pub offloads: Offloads,
    /// Where its addresses come from.
    pub addressing: Addressing,
    /// Ways out of all networks over this interface; one of each version of IP.
    pub gateways: Vec<IpAddr>,
    /// Ways out for packets that have an address of this interface as their source, and for no others.
    pub own_gateways: Vec<IpAddr>,
    /// Hosts on its link whose hardware addresses are known beforehand.
    pub neighbours: Vec<(IpAddr, MacAddress)>,
    /// Linux's name of the queue at its root, as `fq`; `None`: Linux's default.
    pub queue: Option<String>,
}

impl Interface {
    /// One that asks for its address, or that has those which all know behind user-mode NAT.
    pub fn new(net: Spec) -> Interface {
        let nat = net == Spec::Slirp;
        Interface {
            net,
            mac: None,
            mtu: None,
            offloads: Offloads::ALL,
            addressing: match nat {
                true => Addressing::Fixed(vec![InterfaceAddress::new(NAT.address, NAT.prefix)]),
                false => Addressing::Dhcp,
            },
            gateways: if nat { vec![NAT.gateway.into()] } else { Vec::new() },
            own_gateways: Vec::new(),
            neighbours: Vec::new(),
            queue: None,
        }
    }

    /// Bytes of the longest packet.
    pub(crate) fn longest(&self) -> u32 {
        let usual = if self.net == Spec::Slirp { NAT.mtu } else { 1500 };
        self.mtu.unwrap_or(usual)
    }
}

/// Where the addresses of an interface come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Addressing {
    /// They are these, and none is asked for. Linux still takes those that a router of IPv6 advertises.
    Fixed(Vec<InterfaceAddress>),
    /// A DHCP server gives one; gateways and name servers, too, where none are set.
    Dhcp,
    /// A router of IPv6 advertises its network, which is waited for.
    Advertised,
}

/// Where a user wrote what is wrong: what the advice in a message speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// On the command line, as [`crate::NetworkArgs`] has it.
    Options,
    /// In JSON.
    Json,
    /// In variables.
    Environment,
}

impl Source {
    pub(crate) fn net(self) -> &'static str {
        match self {
            Source::Options => "--net",
            Source::Json => "\"type\" and \"param\"",
            Source::Environment => "LKL_HIJACK_NET_IFTYPE and _IFPARAMS",
        }
    }

    pub(crate) fn address(self) -> &'static str {
        match self {
            Source::Options => "--ip",
            Source::Json => "\"ip\"",
            Source::Environment => "LKL_HIJACK_NET_IP",
        }
    }

    pub(crate) fn gateway(self) -> &'static str {
        match self {
            Source::Options => "--gateway",
            Source::Json => "\"gateway\"",
            Source::Environment => "LKL_HIJACK_NET_GATEWAY",
        }
    }

    pub(crate) fn mtu(self) -> &'static str {
        match self {
            Source::Options => "--mtu",
            Source::Json => "\"mtu\"",
            Source::Environment => "LKL_HIJACK_NET_MTU",
        }
    }

    pub(crate) fn memory(self) -> &'static str {
        match self {
            Source::Options => "--memory",
            Source::Json => "mem= in \"boot_cmdline\"",
            Source::Environment => "mem= in LKL_HIJACK_BOOT_CMDLINE",
        }
    }
}
