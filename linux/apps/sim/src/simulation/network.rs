//! The network in Linux: a name space a node, a veth pair a link with netem at each end, and what events do to them. Where each node has a Linux
//! of its own there is one node here, and the other end of its interfaces is the host's.
//!
//! A packet is a packet: offloads are off, so that queues count, lose and delay what a wire would carry. Hardware addresses follow
//! from the nodes' numbers.

mod node;
mod workers;

use crate::plan::{EventKind, Interface, Link, Plan, TABLE, bytes_a_second};
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use workers::Workers;

/// Packets that wait for a rate, where the topology does not say.
const QUEUE: u32 = 1000;

/// The longest frame of Ethernet, without its checksum.
const FRAME: u64 = 1514;

/// Packets that the host has at once in each direction, of an interface whose other end it is.
const DEPTH: u32 = 32;

/// The network, while the simulation runs.
pub struct Network {
    /// By number; all of them, or one.
    nodes: Vec<Option<Place>>,
    links: Vec<Link>,
    /// The node's interfaces whose other end is the host's.
    devices: Vec<NetworkDevice>,
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
        let network = Network::with(plan, nodes.collect::<io::Result<_>>()?, &[])?;
        workers.work_again()?;
        Ok(network)
    }

    /// Makes one node of it. Each of its interfaces has a port of the host's at its other end.
    ///
    /// # Errors
    /// Linux's, named after the node.
    pub fn build_node(
        kernel: &Kernel,
        plan: &Plan,
        number: usize,
        ports: &[Arc<dyn Backend>],
    ) -> io::Result<Network> {
        let mut nodes: Vec<Option<Place>> = plan.nodes.iter().map(|_| None).collect();
        nodes[number] = Some(place(kernel, &plan.nodes[number], plan)?);
        Network::with(plan, nodes, ports)
    }

    fn with(plan: &Plan, nodes: Vec<Option<Place>>, ports: &[Arc<dyn Backend>]) -> io::Result<Network> {
        let mut network = Network {
            nodes,
            links: plan.links.clone(),
            devices: Vec::new(),
            seed: plan.seed,
            changing: Mutex::new(Changing {
                lines: plan.links.iter().map(|link| link.lines).collect(),
                routes: vec![BTreeMap::new(); plan.nodes.len()],
                down: vec![false; plan.links.len()],
                crashed: vec![false; plan.nodes.len()],
            }),
        };
        for (number, place) in network.nodes.iter().enumerate() {
            for (at, port) in ports.iter().enumerate().filter(|_| place.is_some()) {
                let device = network.plug((number, at), port);
                network.devices.push(device?);
            }
        }
        for link in &network.links {
            network
                .join(link, ports.is_empty())
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
        let netem = Netem {
            delay: line.delay.unwrap_or_default().duration(),
            jitter: line.jitter.unwrap_or_default().duration(),
            loss: line.loss.unwrap_or_default().0,
            rate: line.rate.map_or(0, bytes_a_second),
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

    /// Has an event happen.
    ///
    /// # Errors
    /// Linux's, which leave the network as far as it came.
    pub fn happen(&self, kind: &EventKind) -> io::Result<()> {
        let mut changing = self.changing();
        match kind {
            EventKind::Down(link) => {
                changing.down[*link] = true;
                for (config, interface) in self.links[*link]
                    .ends
                    .iter()
                    .filter_map(|end| self.interface(*end))
                {
                    config.set_down(&interface.name)?;
                }
                Ok(())
            }
            EventKind::Up(link) => {
                changing.down[*link] = false;
                for end in self.links[*link].ends {
                    if !changing.crashed[end.0] {
                        self.bring_up(end, &changing)?;
                    }
                }
                Ok(())
            }
            EventKind::Crash(node) => {
                changing.crashed[*node] = true;
                self.unplug_from(*node);
                let Some(Place { node, config, .. }) = self.place(*node) else {
                    return Ok(());
                };
                node.interfaces
                    .iter()
                    .try_for_each(|interface| config.set_down(&interface.name))
            }
            EventKind::Change(link, line) => {
                let place = &mut changing.lines[*link];
                *place = place.map(|old| old.with(*line));
                let link = &self.links[*link];
                (0..)
                    .zip(*place)
                    .try_for_each(|(direction, line)| self.set_line(link, direction, line))
            }
            EventKind::Route(node, to, via) => {
                changing.routes[*node].insert((to.ip(), to.prefix()), *via);
                let Some(Place { config, .. }) = self.place(*node) else {
                    return Ok(());
                };
                let route = route_of(*node, to.ip(), to.prefix());
                match via {
                    Some(via) => config.replace_route(&route.via(*via)),
                    None => config.delete_route(&route),
                }
            }
        }
    }

    /// Sets an interface up, with the routes through it: Linux has dropped them when it went down.
    fn bring_up(&self, end: (usize, usize), changing: &Changing) -> io::Result<()> {
        let Some(Place { node, config, .. }) = self.place(end.0) else {
            return Ok(());
        };
        let interface = &node.interfaces[end.1];
        config.set_up(&interface.name)?;
        let planned = node.routes.iter();
        let planned = planned.map(|route| ((route.to.ip(), route.to.prefix()), Some(route.via)));
        let mut routes: BTreeMap<_, _> = planned.collect();
        routes.extend(&changing.routes[end.0]);
        for ((to, prefix), via) in routes {
            if let Some(via) = via
                && interface.addresses.iter().any(|network| network.has(via))
            {
                config.replace_route(&route_of(end.0, to, prefix).via(via))?;
            }
        }
        Ok(())
    }

    /// Interfaces whose other end is one of a node's that has crashed have no carrier; those of one Linux see it by themselves.
    fn unplug_from(&self, crashed: usize) {
        for ends in self.links.iter().map(|link| link.ends) {
            for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                if other.0 == crashed
                    && self.place(end.0).is_some()
                    && let Some(device) = self.devices.get(end.1)
                {
                    device.carrier(false);
                }
            }
        }
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
    let bytes = u128::from(way) * u128::from(bytes_a_second(rate)) / 1_000_000_000;
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
