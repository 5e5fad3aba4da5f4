//! The network in Linux: a name space a node, a veth pair a link with netem at each end, and what events do to them. Where each node has a Linux
//! of its own there is one node here, and the other end of its interfaces is the host's.
//!
//! A packet is a packet: offloads are off, so that queues count, lose and delay what a wire would carry. Hardware addresses follow
//! from the nodes' numbers.

mod events;
mod node;
mod workers;

use super::isolate::common;
use crate::plan::{Interface, Link, Plan, TABLE};
use crate::quantity::{Rate, Time};
use crate::results::RuleResult;
use crate::topology::Line;
use linux_full::Networks as _;
use lkl_host_virtual::Kernel;
use lkl_net::Namespace;
use lkl_net::config::{Configuration, Handle, InterfaceAddress, LinkKind, Netem, Queue};
use lkl_net::netlink::Request;
use lkl_netdev::{Backend, Config, MacAddress, NetworkDevice};
use node::{BRIDGE, Place, hardware, place, route_of};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use workers::Workers;

/// Packets that wait for a rate, where the topology does not say.
const QUEUE: u32 = 1000;

/// The longest frame of Ethernet, without its checksum.
const FRAME: u64 = 1514;

/// Packets that the host has at once in each direction, of an interface whose other end it is.
const DEPTH: u32 = 32;

/// The other end of an interface, where that is the host's.
pub struct Plug {
    pub backend: Arc<dyn Backend>,
    /// How long a frame takes there, in nanoseconds: the part of the link's delay that all frames have, which netem does not add then.
    pub delay: Arc<AtomicU64>,
}

/// The network, while the simulation runs.
pub struct Network {
    /// By number; all of them, or one.
    nodes: Vec<Option<Place>>,
    links: Vec<Link>,
    /// The node's interfaces whose other end is the host's, and these ends.
    devices: Vec<NetworkDevice>,
    plugs: Vec<Plug>,
    seed: u64,
    changing: Mutex<Changing>,
}

/// What events change.
struct Changing {
    lines: Vec<[Line; 2]>,
    /// Of each node what is not as planned: where routes lead instead, or that they are gone.
    routes: Vec<BTreeMap<(IpAddr, u8), Option<IpAddr>>>,
    down: Vec<bool>,
    crashed: Vec<bool>,
}

/// Names what an error is about.
fn about(thing: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{thing}: {error}"))
}

impl Network {
    /// Makes it, all nodes in one Linux.
    ///
    /// # Errors
    /// Linux's, named after the node.
    pub fn build(kernel: &Kernel, plan: &Plan) -> io::Result<Network> {
        // None has the tunnels by which Linux receives what no other tunnel expects: the first network has them.
        Namespace::initial(kernel).set_sysctl("net.core.fb_tunnels_only_for_init_net", "1")?;
        let workers = Workers::rest(kernel)?;
        let nodes = plan.nodes.iter();
        let nodes = nodes.map(|node| place(kernel, node, plan).map(Some));
        let network = Network::with(plan, nodes.collect::<io::Result<_>>()?, Vec::new())?;
        workers.work_again()?;
        Ok(network)
    }

    /// Makes one node of it. Each of its interfaces has a port of the host's at its other end.
    ///
    /// # Errors
    /// Linux's, named after the node.
    pub fn build_node(kernel: &Kernel, plan: &Plan, number: usize, plugs: Vec<Plug>) -> io::Result<Network> {
        let mut nodes: Vec<Option<Place>> = plan.nodes.iter().map(|_| None).collect();
        nodes[number] = Some(place(kernel, &plan.nodes[number], plan)?);
        Network::with(plan, nodes, plugs)
    }

    fn with(plan: &Plan, nodes: Vec<Option<Place>>, plugs: Vec<Plug>) -> io::Result<Network> {
        let mut network = Network {
            nodes,
            links: plan.links.clone(),
            devices: Vec::new(),
            plugs,
            seed: plan.seed,
            changing: Mutex::new(Changing {
                lines: plan.links.iter().map(|link| link.lines).collect(),
                routes: vec![BTreeMap::new(); plan.nodes.len()],
                down: vec![false; plan.links.len()],
                crashed: vec![false; plan.nodes.len()],
            }),
        };
        for (number, place) in network.nodes.iter().enumerate() {
            for at in (0..network.plugs.len()).filter(|_| place.is_some()) {
                let device = network.plug((number, at), &network.plugs[at].backend);
                network.devices.push(device?);
            }
        }
        for link in &network.links {
            network
                .join(link, network.plugs.is_empty())
                .map_err(|error| about(&link.name, error))?;
        }
        for (number, node) in plan.nodes.iter().enumerate() {
            network.settle(number).map_err(|error| about(&node.name, error))?;
        }
        Ok(network)
    }

    /// How many nodes the whole network has.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A node's network, if it is in this Linux.
    pub fn namespace(&self, node: usize) -> Option<&Namespace> {
        Some(&self.place(node)?.namespace)
    }

    /// Whether each node is in a process of its own.
    pub fn is_apart(&self) -> bool {
        !self.plugs.is_empty()
    }

    /// The first end of a link, if it is in this Linux: its node's network, the number of its interface there, and what both are called.
    pub fn first_end(&self, link: usize) -> io::Result<Option<(&Namespace, u32, String)>> {
        let (node, interface) = self.links[link].ends[0];
        let Some(place) = self.place(node) else {
            return Ok(None);
        };
        let name = &place.node.interfaces[interface].name;
        let index = place.config.interface(name)?.index;
        let end = format!("{}:{name}", place.node.name);
        Ok(Some((&place.namespace, index, end)))
    }

    fn place(&self, node: usize) -> Option<&Place> {
        self.nodes[node].as_ref()
    }

    /// How often each rule of each node fitted.
    ///
    /// # Errors
    /// Linux's, named after the node.
    pub fn rules(&self) -> io::Result<Vec<RuleResult>> {
        let mut results = Vec::new();
        let places = self.nodes.iter().flatten();
        for Place { node, config, .. } in places.filter(|place| place.node.filter.is_some()) {
            let counters = config
                .rule_counters(TABLE)
                .map_err(|error| about(&node.name, error))?;
            let rules = node.filter.iter().flat_map(|table| &table.chains);
            let rules = rules.flat_map(|chain| chain.rules.iter().enumerate());
            for ((number, rule), counter) in rules.zip(counters) {
                results.push(RuleResult {
                    node: node.name.clone(),
                    chain: counter.chain,
                    number: number + 1,
                    action: rule.action,
                    packets: counter.packets,
                    bytes: counter.bytes,
                });
            }
        }
        Ok(results)
    }

    fn interface(&self, (node, interface): (usize, usize)) -> Option<(&Configuration, &Interface)> {
        let place = self.place(node)?;
        Some((&place.config, &place.node.interfaces[interface]))
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a node an interface whose other end is the host's.
    fn plug(&self, end: (usize, usize), port: &Arc<dyn Backend>) -> io::Result<NetworkDevice> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let (_, interface) = self.interface(end).ok_or_else(missing)?;
        let config = Config {
            mac: Some(MacAddress(hardware(end))),
            depth: DEPTH,
            name: Some(interface.name.clone()),
            ..Config::default()
        };
        let namespace = self.namespace(end.0).ok_or_else(missing)?;
        namespace
            .with_task(|task| {
                let task = task.ok_or(lkl::Errno::ESRCH)?;
                task.add_network_device(Arc::clone(port), &config)
            })
            .map_err(lkl_net::io_error)
    }

    /// Makes a link, if it is to be one in this Linux, and those of its two interfaces that are here what they are to be.
    fn join(&self, link: &Link, within: bool) -> io::Result<()> {
        if within && let [Some((config, one)), Some((peer, two))] = link.ends.map(|end| self.interface(end)) {
            let kind = LinkKind::Veth {
                peer: &two.name,
                peer_namespace: Some(peer.namespace()),
            };
            config.add_link(&one.name, &kind)?;
        }
        for (direction, end) in link.ends.into_iter().enumerate() {
            let Some((config, interface)) = self.interface(end) else {
                continue;
            };
            let name = &interface.name;
            config.set_hardware(name, hardware(end))?;
            config.set_segments(name, 1)?;
            if !within {
                never_merge(config, name)?;
            }
            config.set_checksum_offload(name, false)?;
            if interface.addresses.is_empty() {
                config.set_master(name, Some(BRIDGE))?;
            }
            for address in &interface.addresses {
                let address = InterfaceAddress::new(address.ip(), address.prefix());
                config.add_address(name, address.at_once())?;
            }
            self.set_line(link, direction, link.lines[direction])?;
            config.set_up(name)?;
        }
        Ok(())
    }

    /// What is there when all interfaces are: routes, and settings of the file, which may be about interfaces.
    fn settle(&self, number: usize) -> io::Result<()> {
        let Some(Place {
            node,
            namespace,
            config,
        }) = self.place(number)
        else {
            return Ok(());
        };
        for route in &node.routes {
            config.add_route(&route_of(number, route.to.ip(), route.to.prefix()).via(route.via))?;
        }
        if let Some(table) = &node.filter {
            config.set_table(table)?;
        }
        for (name, value) in &node.sysctls {
            namespace.set_sysctl(name, value)?;
        }
        Ok(())
    }

    /// Gives one direction of a link its line. None, if it does nothing to packets.
    fn set_line(&self, link: &Link, direction: usize, line: Line) -> io::Result<()> {
        let Some((config, interface)) = self.interface(link.ends[direction]) else {
            return Ok(());
        };
        if line == Line::default() {
            return Ok(());
        }
        let mut line = line;
        if let Some(plug) = self.plugs.get(link.ends[direction].1) {
            let common = common(line);
            plug.delay.store(common, Ordering::Relaxed);
            line.delay = line.delay.map(|delay| Time(delay.0 - common));
        }
        let netem = Netem {
            delay: line.delay.unwrap_or_default().duration(),
            jitter: line.jitter.unwrap_or_default().duration(),
            loss: line.loss.unwrap_or_default().0,
            rate: line.rate.map_or(0, Rate::bytes_a_second),
            limit: limit(line),
            seed: Some(seed_of(self.seed, &link.name, direction)),
            ..Netem::default()
        };
        config.set_queue(
            &interface.name,
            Handle::ROOT,
            Handle::new(1, 0),
            &Queue::Netem(netem),
        )
    }
}

/// Has an interface not merge packets that it receives (GRO): none is short enough for what the longest may be.
fn never_merge(config: &Configuration, name: &str) -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const IFLA_GRO_MAX_SIZE: u16 = 58;
    let index = config.interface(name)?.index;
    // struct ifinfomsg
    let head = [[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat();
    let request = Request::new(RTM_NEWLINK, 0, &head).with_u32(IFLA_GRO_MAX_SIZE, 1);
    config.netlink().exchange(name, &request).map(drop)
}

/// How many packets netem holds. Its queue has those that wait for the rate and those on their way; a topology's has the former.
fn limit(line: Line) -> u32 {
    let Some(rate) = line.rate else {
        return 1_000_000;
    };
    let way = line
        .delay
        .unwrap_or_default()
        .0
        .saturating_add(line.jitter.unwrap_or_default().0);
    let bytes = u128::from(way) * u128::from(rate.bytes_a_second()) / 1_000_000_000;
    let flying = u32::try_from(bytes.div_ceil(FRAME.into())).unwrap_or(1_000_000);
    line.queue
        .unwrap_or(QUEUE)
        .saturating_add(flying)
        .saturating_add(1)
}

/// The seed of one direction of a link: another one for each.
fn seed_of(seed: u64, name: &str, direction: usize) -> u64 {
    let number = u64::try_from(direction).unwrap_or(0);
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
    name.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
