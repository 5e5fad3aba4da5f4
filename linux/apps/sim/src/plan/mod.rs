//! What a topology comes to: nodes with interfaces, addresses and routes, links with a line in each direction, flows and
//! events by number. Making it is the check: what has a plan can be run.

mod addresses;
mod cover;
mod events;
mod filter;
mod flows;
mod groups;
mod names;
mod network;
mod programs;
mod routes;

pub use filter::TABLE;
pub use programs::Program;

use crate::quantity::{Network, Time, Version};
use crate::topology::{FlowKind, Line, NodeKind, Problem, Setting, Topology};
use lkl_net::config::Table;
use std::net::IpAddr;

/// The whole network.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long the simulation is.
    pub duration: Time,
    /// What chance follows from.
    pub seed: u64,
    /// The versions of IP that nodes have.
    pub versions: Vec<Version>,
    /// How many bytes of each packet are kept; `None` for no capture.
    pub capture: Option<u16>,
    /// The nodes, in the file's order.
    pub nodes: Vec<Node>,
    /// The links, in the file's order.
    pub links: Vec<Link>,
    /// The flows, in the file's order.
    pub flows: Vec<Flow>,
    /// The events, in the order in which they happen.
    pub events: Vec<Event>,
    /// The programs in nodes, in the file's order.
    pub programs: Vec<Program>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// Whether it is a switch that looks for loops.
    pub stp: bool,
    /// Settings of its Linux.
    pub sysctls: Vec<(String, String)>,
    /// Its interfaces: `eth0` and so on, in the order of the links.
    pub interfaces: Vec<Interface>,
    /// Its routes besides those to its own networks.
    pub routes: Vec<Route>,
    /// What it does with packets besides.
    pub filter: Option<Table>,
}

impl Node {
    /// The address that flows of a version use.
    pub fn address(&self, version: Version) -> Option<IpAddr> {
        self.interfaces
            .iter()
            .find_map(|interface| Some(interface.address(version)?.ip()))
    }
}

/// An end of a link.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name in the node.
    pub name: String,
    /// The link's number.
    pub link: usize,
    /// Its addresses, at most one of each version; a switch's has none.
    pub addresses: Vec<Network>,
}

impl Interface {
    /// Its address of a version.
    pub fn address(&self, version: Version) -> Option<Network> {
        let mut addresses = self.addresses.iter().copied();
        addresses.find(|address| address.version() == version)
    }
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub to: Network,
    /// Through which neighbour.
    pub via: IpAddr,
}

/// A link.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The numbers of the nodes, and of their interfaces.
    pub ends: [(usize, usize); 2],
    /// From the first end to the second, and back.
    pub lines: [Line; 2],
}

/// A flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FlowKind,
    /// The node that begins.
    pub from: usize,
    /// The other one.
    pub to: usize,
    /// The version of IP that it uses.
    pub version: Version,
    /// When it begins.
    pub start: Time,
    /// When it ends at the latest.
    pub end: Time,
    /// Of TCP: how much is sent.
    pub bytes: Option<u64>,
    /// Of TCP and HTTP: the congestion control.
    pub congestion: String,
    /// Of UDP: bits a second.
    pub rate: u64,
    /// Bytes of a datagram, an echo request's data, or an answer.
    pub size: usize,
    /// From request to request.
    pub interval: Time,
    /// How many requests.
    pub count: Option<u32>,
}

/// Something that happens to the network.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    pub kind: EventKind,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// A link carries nothing any more.
    Down(usize),
    /// It does again.
    Up(usize),
    /// All interfaces of a node go down.
    Crash(usize),
    /// Both directions of a link get what is given here.
    Change(usize, Line),
    /// A route of a node is set, or goes.
    Route(usize, Network, Option<IpAddr>),
}

impl Plan {
    /// Checks a topology, gives it addresses, and computes its routes.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn new(topology: &Topology) -> Result<Plan, Problem> {
        Plan::with(topology, true)
    }

    /// The same of a file's text, but that no node has routes yet.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn without_routes(text: &str) -> Result<Plan, Problem> {
        Plan::with(&Topology::parse(text)?, false)
    }

    fn with(topology: &Topology, routes: bool) -> Result<Plan, Problem> {
        let mut plan = network::all(topology)?;
        for version in plan.versions.clone() {
            let segments = addresses::assign(&mut plan, topology, version)?;
            if routes {
                routes::compute(&mut plan, topology, &segments, version);
            }
        }
        if routes {
            routes::add_given(&mut plan, topology)?;
        }
        filter::add(&mut plan, topology)?;
        flows::add(&mut plan, topology)?;
        events::add(&mut plan, topology)?;
        programs::add(&mut plan, topology)?;
        Ok(plan)
    }

    /// As [`Plan::new`], of a file's text.
    pub fn parse(text: &str) -> Result<Plan, Problem> {
        Plan::new(&Topology::parse(text)?)
    }
}

fn setting(value: &Setting) -> String {
    match value {
        Setting::Number(number) => number.to_string(),
        Setting::Text(text) => text.clone(),
    }
}
