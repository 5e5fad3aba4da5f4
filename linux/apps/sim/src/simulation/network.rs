//! The network in Linux: a name space a node, a veth pair a link with netem at each end, and what events do to them.
//!
//! A packet is a packet: offloads are off, so that queues count, lose and delay what a wire would carry. Hardware addresses follow
//! from the nodes' numbers.

use crate::plan::{EventKind, Interface, Link, Node, Plan, TABLE, bytes_a_second};
use crate::quantity::Version;
use crate::results::RuleResult;
use crate::topology::{Line, NodeKind};
use lkl_host_virtual::Kernel;
use lkl_net::Namespace;
use lkl_net::config::{Configuration, Handle, InterfaceAddress, LinkKind, Netem, Queue, Route};
use lkl_net::netlink::Attributes;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The switch inside of a node that is one.
const BRIDGE: &str = "br0";

/// Packets that wait for a rate, where the topology does not say.
const QUEUE: u32 = 1000;

/// The longest frame of Ethernet, without its checksum.
const FRAME: u64 = 1514;

/// The network, while the simulation runs.
pub struct Network {
    nodes: Vec<(Node, Namespace, Configuration)>,
    links: Vec<Link>,
    seed: u64,
    changing: Mutex<Changing>,
}

/// What events change.
struct Changing {
    lines: Vec<[Line; 2]>,
    routes: Vec<BTreeMap<(IpAddr, u8), IpAddr>>,
    down: Vec<bool>,
    crashed: Vec<bool>,
}

/// Names what an error is about.
fn about(thing: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{thing}: {error}"))
}

impl Network {
    /// Makes it.
    ///
    /// # Errors
    /// Linux's, named after the node.
    pub fn build(kernel: &Kernel, plan: &Plan) -> io::Result<Network> {
        let mut nodes = Vec::with_capacity(plan.nodes.len());
        for node in &plan.nodes {
            let (namespace, config) =
                one_node(kernel, node, &plan.versions).map_err(|error| about(&node.name, error))?;
            nodes.push((node.clone(), namespace, config));
        }
        let routes = plan.nodes.iter().map(|node| {
            let routes = node.routes.iter();
            routes
                .map(|route| ((route.to.ip(), route.to.prefix()), route.via))
                .collect()
        });
        let network = Network {
            nodes,
            links: plan.links.clone(),
            seed: plan.seed,
            changing: Mutex::new(Changing {
                lines: plan.links.iter().map(|link| link.lines).collect(),
                routes: routes.collect(),
                down: vec![false; plan.links.len()],
                crashed: vec![false; plan.nodes.len()],
            }),
        };
        for link in &network.links {
            network.join(link).map_err(|error| about(&link.name, error))?;
        }
        for node in 0..network.nodes.len() {
            network.settle(node)?;
        }
        Ok(network)
    }

    /// A node's network.
    pub fn namespace(&self, node: usize) -> &Namespace {
        &self.nodes[node].1
    }

    /// The first end of a link: its node's network, the number of its interface there, and what both are called.
    pub fn first_end(&self, link: usize) -> io::Result<(&Namespace, u32, String)> {
        let (place, interface) = self.links[link].ends[0];
        let (node, namespace, config) = &self.nodes[place];
        let name = &node.interfaces[interface].name;
        let index = config.interface(name)?.index;
        Ok((namespace, index, format!("{}:{name}", node.name)))
    }

    /// How often each rule of each node fitted.
    ///
    /// # Errors
    /// Linux's, named after the node.
    pub fn rules(&self) -> io::Result<Vec<RuleResult>> {
        let mut results = Vec::new();
        for (node, _, config) in self.nodes.iter().filter(|(node, ..)| node.filter.is_some()) {
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

    fn interface(&self, (node, interface): (usize, usize)) -> (&Configuration, &Interface) {
        let (node, _, config) = &self.nodes[node];
        (config, &node.interfaces[interface])
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a link and its two interfaces.
    fn join(&self, link: &Link) -> io::Result<()> {
        let [(config, one), (_, two)] = link.ends.map(|end| self.interface(end));
        let kind = LinkKind::Veth {
            peer: &two.name,
            peer_namespace: Some(&self.nodes[link.ends[1].0].1),
        };
        config.add_link(&one.name, &kind)?;
        for (direction, end) in link.ends.into_iter().enumerate() {
            let (config, interface) = self.interface(end);
            let name = &interface.name;
            config.set_hardware(name, hardware(end))?;
            config.set_segments(name, 1)?;
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
    fn settle(&self, place: usize) -> io::Result<()> {
        let (node, namespace, config) = &self.nodes[place];
        for route in &node.routes {
            config
                .add_route(&Route::to(route.to.ip(), route.to.prefix()).via(route.via))
                .map_err(|error| about(&node.name, error))?;
        }
        if let Some(table) = &node.filter {
            config
                .set_table(table)
                .map_err(|error| about(&node.name, error))?;
        }
        for (name, value) in &node.sysctls {
            namespace
                .set_sysctl(name, value)
                .map_err(|error| about(&node.name, error))?;
        }
        Ok(())
    }

    /// Gives one direction of a link its line. None, if it does nothing to packets.
    fn set_line(&self, link: &Link, direction: usize, line: Line) -> io::Result<()> {
        if line == Line::default() {
            return Ok(());
        }
        let (config, interface) = self.interface(link.ends[direction]);
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
                for end in self.links[*link].ends {
                    let (config, interface) = self.interface(end);
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
                let (node, _, config) = &self.nodes[*node];
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
                let routes = &mut changing.routes[*node];
                let route = Route::to(to.ip(), to.prefix());
                let config = &self.nodes[*node].2;
                match via {
                    Some(via) => {
                        routes.insert((to.ip(), to.prefix()), *via);
                        config.replace_route(&route.via(*via))
                    }
                    None => {
                        routes.remove(&(to.ip(), to.prefix()));
                        config.delete_route(&route)
                    }
                }
            }
        }
    }

    /// Sets an interface up, with the routes through it: Linux has dropped them when it went down.
    fn bring_up(&self, end: (usize, usize), changing: &Changing) -> io::Result<()> {
        let (config, interface) = self.interface(end);
        config.set_up(&interface.name)?;
        for ((to, prefix), via) in &changing.routes[end.0] {
            if interface.addresses.iter().any(|network| network.has(*via)) {
                config.replace_route(&Route::to(*to, *prefix).via(*via))?;
            }
        }
        Ok(())
    }
}

/// Settings of IPv6 for nodes that have it: addresses are as the plan gives them, are there at once, and stay while a link is down.
const IPV6: [(&str, &str); 4] = [
    ("accept_ra", "0"),
    ("accept_dad", "0"),
    ("router_solicitations", "0"),
    ("keep_addr_on_down", "1"),
];

/// A node without its interfaces.
fn one_node(kernel: &Kernel, node: &Node, versions: &[Version]) -> io::Result<(Namespace, Configuration)> {
    let namespace = Namespace::new(kernel)?;
    let ipv6 = versions.contains(&Version::V6) && node.kind != NodeKind::Switch;
    let settings = match ipv6 {
        true => &IPV6[..],
        false => &[("disable_ipv6", "1")],
    };
    for of in ["default", "all"] {
        for (setting, value) in settings {
            namespace.set_sysctl(&format!("net.ipv6.conf.{of}.{setting}"), value)?;
        }
    }
    let config = namespace.configuration()?;
    config.set_up("lo")?;
    match node.kind {
        NodeKind::Host => {}
        NodeKind::Router | NodeKind::Firewall => {
            namespace.set_sysctl("net.ipv4.ip_forward", "1")?;
            if ipv6 {
                namespace.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
            }
        }
        NodeKind::Switch => {
            const IFLA_BR_FORWARD_DELAY: u16 = 1;
            const IFLA_BR_STP_STATE: u16 = 5;
            let mut data = Attributes::default();
            if node.stp {
                // Hundredths of a second: the shortest that the protocol has.
                data = data
                    .with_u32(IFLA_BR_FORWARD_DELAY, 200)
                    .with_u32(IFLA_BR_STP_STATE, 1);
            }
            config.add_link(BRIDGE, &LinkKind::Other { kind: "bridge", data })?;
            config.set_up(BRIDGE)?;
        }
    }
    Ok((namespace, config))
}

/// A hardware address that no other interface has.
fn hardware((node, interface): (usize, usize)) -> [u8; 6] {
    let [node, interface] = [node, interface].map(|number| u16::try_from(number).unwrap_or(u16::MAX));
    let ([a, b], [c, d]) = (node.to_be_bytes(), interface.to_be_bytes());
    [2, 0, a, b, c, d]
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
