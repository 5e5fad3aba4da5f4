//! A topology, as its file has it: what is read, and where in the file each thing is that may be wrong.

mod place;
mod program;
mod rule;

pub use place::Problem;
pub use program::Program;
pub use rule::{Rule, RuleAction, RuleChain, RuleState};

use crate::quantity::{Bytes, Network, Part, Rate, Time, Version};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
pub use toml::Spanned;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// What is of the run as a whole.
    pub simulation: Simulation,
    /// Hosts, routers and switches.
    #[serde(default)]
    pub node: Vec<Node>,
    /// What is between them.
    #[serde(default)]
    pub link: Vec<Link>,
    /// The traffic.
    #[serde(default)]
    pub flow: Vec<Flow>,
    /// What happens to the network.
    #[serde(default)]
    pub event: Vec<Event>,
    /// Programs of the machine's that run in nodes.
    #[serde(default)]
    pub program: Vec<Program>,
}

/// What is of the run as a whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// How long it is, in its own time.
    pub duration: Spanned<Time>,
    /// What chance follows from, if the command line says nothing.
    #[serde(default = "one")]
    pub seed: u64,
    /// Whether packets are written to files.
    #[serde(default = "yes")]
    pub capture: bool,
    /// How many bytes of each packet are.
    #[serde(default = "headers")]
    pub snaplen: u16,
    /// Whether nodes have IPv6 beside IPv4.
    #[serde(default)]
    pub ipv6: bool,
}

fn one() -> u64 {
    1
}

fn yes() -> bool {
    true
}

/// Enough for the headers of TCP with all options.
fn headers() -> u16 {
    128
}

/// What a node does with packets that are not for it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// It drops them.
    Host,
    /// It forwards them by IP addresses.
    Router,
    /// It does so with those that its rules accept, and with no others.
    Firewall,
    /// It forwards them by hardware addresses, and has no address itself.
    Switch,
}

/// Where a node's routes come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// Shortest paths by the number of hops, computed once; and those that the file has.
    #[default]
    Auto,
    /// Only those that the file has.
    Static,
}

/// A setting's value.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A number.
    Number(i64),
    /// Anything else.
    Text(String),
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// What links and flows call it.
    pub name: Spanned<String>,
    /// What it does.
    pub kind: NodeKind,
    /// Whether a switch avoids loops by the spanning-tree protocol.
    #[serde(default)]
    pub stp: Option<Spanned<bool>>,
    /// Where its routes come from.
    #[serde(default)]
    pub routes: Routing,
    /// Further routes.
    #[serde(default)]
    pub route: Vec<StaticRoute>,
    /// What it does with packets.
    #[serde(default)]
    pub rule: Vec<Rule>,
    /// Settings of its Linux.
    #[serde(default)]
    pub sysctls: BTreeMap<Spanned<String>, Setting>,
}

/// A route that the file has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticRoute {
    /// Where to.
    pub to: Network,
    /// Through which neighbour.
    pub via: Spanned<IpAddr>,
}

impl NodeKind {
    /// Whether it forwards by IP addresses.
    pub fn routes(self) -> bool {
        matches!(self, NodeKind::Router | NodeKind::Firewall)
    }
}

/// What one direction of a link does to packets.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Bits a second of frames, without preamble and checksum.
    pub rate: Option<Rate>,
    /// How long a packet is on its way.
    pub delay: Option<Time>,
    /// By how much that varies, to both sides.
    pub jitter: Option<Time>,
    /// Which part is lost.
    pub loss: Option<Part>,
    /// How many packets wait for the rate.
    pub queue: Option<u32>,
}

impl Line {
    /// This, with what `other` says in place.
    #[must_use]
    pub fn with(self, other: Line) -> Line {
        Line {
            rate: other.rate.or(self.rate),
            delay: other.delay.or(self.delay),
            jitter: other.jitter.or(self.jitter),
            loss: other.loss.or(self.loss),
            queue: other.queue.or(self.queue),
        }
    }
}

/// A link between two nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What events and files call it; if there is none here, the ends' names with a hyphen between them.
    pub name: Option<Spanned<String>>,
    /// The two nodes.
    pub ends: Spanned<[Spanned<String>; 2]>,
    /// The addresses of the ends; an empty text has one assigned.
    pub addresses: Option<[Spanned<String>; 2]>,
    /// Their addresses of IPv6.
    pub addresses6: Option<[Spanned<String>; 2]>,
    /// As [`Line`]'s, of both directions.
    pub rate: Option<Rate>,
    /// As [`Line`]'s, of both directions.
    pub delay: Option<Time>,
    /// As [`Line`]'s, of both directions.
    pub jitter: Option<Time>,
    /// As [`Line`]'s, of both directions.
    pub loss: Option<Part>,
    /// As [`Line`]'s, of both directions.
    pub queue: Option<u32>,
    /// What differs from the first end to the second.
    #[serde(default)]
    pub forward: Line,
    /// What differs from the second end to the first.
    #[serde(default)]
    pub back: Line,
}

impl Link {
    /// The addresses of a version that the file has.
    pub fn given(&self, version: Version) -> Option<&[Spanned<String>; 2]> {
        match version {
            Version::V4 => self.addresses.as_ref(),
            Version::V6 => self.addresses6.as_ref(),
        }
    }
}

/// What a flow is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum FlowKind {
    /// Echo requests, one each interval.
    Ping,
    /// As many bytes as TCP brings over.
    Tcp,
    /// Datagrams of a size, at a rate.
    Udp,
    /// Requests, and answers of a size.
    Http,
}

impl FlowKind {
    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            FlowKind::Ping => "ping",
            FlowKind::Tcp => "tcp",
            FlowKind::Udp => "udp",
            FlowKind::Http => "http",
        }
    }
}

/// Traffic from one node to another.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// What results call it.
    pub name: Spanned<String>,
    /// What it is.
    pub kind: FlowKind,
    /// The node that begins.
    pub from: Spanned<String>,
    /// The other one.
    pub to: Spanned<String>,
    /// The version of IP that it uses, 4 if there is none here.
    pub ip: Option<Spanned<u8>>,
    /// When it begins.
    #[serde(default)]
    pub start: Option<Spanned<Time>>,
    /// How long it is; otherwise to the end of the simulation.
    pub duration: Option<Time>,
    /// Of TCP: how much is sent, in place of a duration.
    pub bytes: Option<Spanned<Bytes>>,
    /// Of TCP and HTTP: the congestion control of both ends.
    pub congestion: Option<Spanned<String>>,
    /// Of UDP: bits a second, of the datagrams' contents.
    pub rate: Option<Spanned<Rate>>,
    /// Of a datagram, an echo request's data, or an answer.
    pub size: Option<Spanned<Bytes>>,
    /// Of ping: from one request to the next. Of HTTP: from an answer to the next request.
    pub interval: Option<Spanned<Time>>,
    /// Of ping and HTTP: how many requests.
    pub count: Option<Spanned<u32>>,
}

/// What happens to the network. Each has one of `down`, `up`, `crash`, `change` and `route`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub at: Spanned<Time>,
    /// A link carries nothing any more.
    pub down: Option<Spanned<String>>,
    /// It does again.
    pub up: Option<Spanned<String>>,
    /// All interfaces of a node go down.
    pub crash: Option<Spanned<String>>,
    /// A link changes, in both directions; what is not named stays.
    pub change: Option<Spanned<String>>,
    /// As [`Line`]'s.
    pub rate: Option<Rate>,
    /// As [`Line`]'s.
    pub delay: Option<Time>,
    /// As [`Line`]'s.
    pub jitter: Option<Time>,
    /// As [`Line`]'s.
    pub loss: Option<Part>,
    /// As [`Line`]'s.
    pub queue: Option<u32>,
    /// The routes of a node change.
    pub route: Option<Spanned<String>>,
    /// The destination whose route it is.
    pub to: Option<Network>,
    /// Its new gateway; if there is none here, the route goes.
    pub via: Option<Spanned<IpAddr>>,
}

impl Topology {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn parse(text: &str) -> Result<Topology, Problem> {
        toml::from_str(text).map_err(|error| Problem {
            span: error.span().unwrap_or(0..0),
            message: error.message().to_owned(),
        })
    }
}
