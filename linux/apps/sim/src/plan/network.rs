//! Nodes, and links between nodes that exist, without loops of switches.

use super::groups::Groups;
use super::names::{find, new_name};
use super::{Interface, Link, Node, Plan, setting};
use crate::quantity::Version;
use crate::topology::{self, Line, NodeKind, Problem, Topology};
use std::collections::BTreeMap;

/// The most nodes, of which hardware addresses have the number.
const MOST: usize = 65_536;

/// Nodes and links, without addresses.
pub(super) fn all(topology: &Topology) -> Result<Plan, Problem> {
    let duration = *topology.simulation.duration.get_ref();
    if duration.0 == 0 {
        return Err(Problem::at(
            &topology.simulation.duration,
            "a simulation has some duration",
        ));
    }
    let mut known = BTreeMap::new();
    let mut nodes = Vec::new();
    for (number, node) in topology.node.iter().enumerate() {
        let name = new_name("node", &node.name, &mut known, number)?;
        if number >= MOST {
            return Err(Problem::at(
                &node.name,
                format_args!("there are at most {MOST} nodes"),
            ));
        }
        if let Some(stp) = &node.stp
            && node.kind != NodeKind::Switch
        {
            return Err(Problem::at(stp, format_args!("{name}: stp is for switches")));
        }
        let sysctls = node.sysctls.iter();
        nodes.push(Node {
            name,
            kind: node.kind,
            stp: node.stp.as_ref().is_some_and(|stp| *stp.get_ref()),
            sysctls: sysctls
                .map(|(name, value)| (name.get_ref().clone(), setting(value)))
                .collect(),
            interfaces: Vec::new(),
            routes: Vec::new(),
            filter: None,
        });
    }
    let mut names = BTreeMap::new();
    let mut links = Vec::new();
    for (number, link) in topology.link.iter().enumerate() {
        links.push(one_link(number, link, &mut nodes, &known, &mut names)?);
    }
    for (node, source) in nodes.iter().zip(&topology.node) {
        if node.interfaces.is_empty() {
            return Err(Problem::at(
                &source.name,
                format_args!("{} has no link; add a [[link]] to it, or take it out", node.name),
            ));
        }
    }
    loops(topology, &nodes, &links)?;
    Ok(Plan {
        duration,
        seed: topology.simulation.seed,
        versions: match topology.simulation.ipv6 {
            true => Version::ALL.to_vec(),
            false => vec![Version::V4],
        },
        capture: topology
            .simulation
            .capture
            .then_some(topology.simulation.snaplen.max(14)),
        nodes,
        links,
        flows: Vec::new(),
        events: Vec::new(),
        programs: Vec::new(),
    })
}

fn one_link(
    number: usize,
    link: &topology::Link,
    nodes: &mut [Node],
    known: &BTreeMap<String, usize>,
    names: &mut BTreeMap<String, usize>,
) -> Result<Link, Problem> {
    let [one, two] = link.ends.get_ref();
    let places = [find("node", one, known)?, find("node", two, known)?];
    let [first, second] = places;
    if first == second {
        return Err(Problem::at(
            two,
            format_args!("{} is at both ends of the link", two.get_ref()),
        ));
    }
    let name = match &link.name {
        Some(name) => new_name("link", name, names, number)?,
        None => {
            let name = format!("{}-{}", one.get_ref(), two.get_ref());
            match names.insert(name.clone(), number) {
                Some(_) => {
                    let advice = "two links have the same ends; give one a name";
                    return Err(Problem::at(&link.ends, format_args!("{name}: {advice}")));
                }
                None => name,
            }
        }
    };
    let mut ends = [(0, 0); 2];
    for (end, place) in ends.iter_mut().zip(places) {
        let node = &mut nodes[place];
        let count = node.interfaces.len();
        node.interfaces.push(Interface {
            name: format!("eth{count}"),
            link: number,
            addresses: Vec::new(),
        });
        *end = (place, count);
    }
    let both = Line {
        rate: link.rate,
        delay: link.delay,
        jitter: link.jitter,
        loss: link.loss,
        queue: link.queue,
    };
    let lines = [both.with(link.forward), both.with(link.back)];
    if lines.iter().any(|line| line.queue == Some(0)) {
        return Err(Problem::at(
            &link.ends,
            format_args!("{name}: a queue of 0 packets carries nothing; 1 is the shortest"),
        ));
    }
    Ok(Link { name, ends, lines })
}

/// Refuses a loop of switches of which none looks for loops: a broadcast would go round for ever.
fn loops(topology: &Topology, nodes: &[Node], links: &[Link]) -> Result<(), Problem> {
    let mut groups = Groups::new(nodes.len());
    let plain = |node: usize| nodes[node].kind == NodeKind::Switch && !nodes[node].stp;
    for (link, source) in links.iter().zip(&topology.link) {
        let [(one, _), (two, _)] = link.ends;
        if plain(one) && plain(two) && !groups.join(one, two) {
            return Err(Problem::at(
                &source.ends,
                format_args!(
                    "{} closes a loop of switches; set stp = true at one of them, or take the link out",
                    link.name
                ),
            ));
        }
    }
    Ok(())
}
