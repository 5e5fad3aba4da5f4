//! Routes: the shortest paths by the number of hops, and those that the file has.
//!
//! For each network the paths spread from its members on, through routers only; of equally short ones the first found is taken,
//! which follows from the order of the file. A node whose routes all have one gateway has one route, to everywhere. Of other nodes routes
//! are merged as far as they lead to exactly the same networks through the same gateways, since a large network has many.

use super::addresses::Segment;
use super::{Node, Plan, Route};
use crate::quantity::{Network, Version, number};
use crate::topology::{NodeKind, Problem, Routing, Spanned, Topology};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Refuses a gateway that is on none of a node's networks.
pub(super) fn check_gateway(node: &Node, to: Network, via: &Spanned<IpAddr>) -> Result<(), Problem> {
    let ip = *via.get_ref();
    if to.version() != Version::of(ip) {
        let text = format!("{to} is of {} and {ip} is not", to.version());
        return Err(Problem::at(via, text));
    }
    let mut networks = node.interfaces.iter().flat_map(|interface| &interface.addresses);
    if networks.any(|network| network.has(ip) && network.ip() != ip) {
        return Ok(());
    }
    let text = format!("{} is no neighbour of {}", via.get_ref(), node.name);
    Err(Problem::at(via, text))
}

/// Adds the routes of a version that follow from the topology.
pub(super) fn compute(plan: &mut Plan, topology: &Topology, segments: &[Segment], version: Version) {
    // Events name routes by their networks.
    let named = topology.event.iter().filter_map(|event| event.to);
    let named: Vec<Network> = named.map(Network::whole).collect();
    let mut of_node: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
    for (number, segment) in segments.iter().enumerate() {
        for (node, _) in &segment.members {
            of_node[*node].push(number);
        }
    }
    let mut found: Vec<Vec<Route>> = vec![Vec::new(); plan.nodes.len()];
    for target in segments {
        for (node, via) in gateways(plan, segments, &of_node, target).into_iter().enumerate() {
            if let Some(via) = via {
                let to = target.network;
                found[node].push(Route { to, via });
            }
        }
    }
    for ((node, source), routes) in plan.nodes.iter_mut().zip(&topology.node).zip(found) {
        if source.routes == Routing::Static || node.kind == NodeKind::Switch {
            continue;
        }
        match routes.first() {
            Some(first) if routes.iter().all(|route| route.via == first.via) => node.routes.push(Route {
                to: Network::everything(version),
                via: first.via,
            }),
            _ => node.routes.extend(merged(routes, &named, version)),
        }
    }
}

/// The same routes with fewer entries: two halves of a network that have the same gateway become one. Those to networks in `kept`
/// stay as they are.
fn merged(routes: Vec<Route>, kept: &[Network], version: Version) -> Vec<Route> {
    let (kept, others): (Vec<Route>, Vec<Route>) =
        routes.into_iter().partition(|route| kept.contains(&route.to));
    let mut by_prefix: BTreeMap<u8, BTreeMap<u128, IpAddr>> = BTreeMap::new();
    for route in others {
        let level = by_prefix.entry(route.to.prefix()).or_default();
        level.insert(number(route.to.first()), route.via);
    }
    let mut all = kept;
    // From the smallest networks on, each of which may be a half of the next larger one.
    while let Some((prefix, level)) = by_prefix.pop_last() {
        let half = 1u128
            .checked_shl(version.bits().saturating_sub(prefix).into())
            .unwrap_or(0);
        for (start, via) in &level {
            let first = start & half == 0;
            let sibling = if first { start | half } else { start & !half };
            match level.get(&sibling) {
                Some(other) if other == via && prefix > 0 => {
                    if first {
                        let level = by_prefix.entry(prefix - 1).or_default();
                        level.insert(*start, *via);
                    }
                }
                _ => all.push(Route {
                    to: Network::new(version.address(*start), prefix),
                    via: *via,
                }),
            }
        }
    }
    all
}

/// Adds the routes that the file has; they come before computed ones to the same network.
pub(super) fn add_given(plan: &mut Plan, topology: &Topology) -> Result<(), Problem> {
    for (node, source) in plan.nodes.iter_mut().zip(&topology.node) {
        for route in &source.route {
            if node.kind == NodeKind::Switch {
                let text = format!("{} is a switch, and has no routes", node.name);
                return Err(Problem::at(&route.via, text));
            }
            check_gateway(node, route.to, &route.via)?;
            let to = route.to.whole();
            node.routes.retain(|other| other.to != to);
            node.routes.push(Route {
                to,
                via: *route.via.get_ref(),
            });
        }
    }
    Ok(())
}

/// Of each node the gateway towards a segment; none for its members, and for what has no path.
fn gateways(
    plan: &Plan,
    segments: &[Segment],
    of_node: &[Vec<usize>],
    target: &Segment,
) -> Vec<Option<IpAddr>> {
    let version = target.network.version();
    let mut reached = vec![false; plan.nodes.len()];
    let mut seen = vec![false; segments.len()];
    let mut gateways = vec![None; plan.nodes.len()];
    let mut queue = VecDeque::new();
    for (node, _) in &target.members {
        reached[*node] = true;
        queue.push_back(*node);
    }
    while let Some(router) = queue.pop_front() {
        if !plan.nodes[router].kind.routes() {
            continue;
        }
        for number in &of_node[router] {
            if std::mem::replace(&mut seen[*number], true) {
                continue;
            }
            let segment = &segments[*number];
            let interface = segment.members.iter().find(|(node, _)| *node == router);
            let address = interface.and_then(|(node, at)| plan.nodes[*node].interfaces[*at].address(version));
            for (node, _) in &segment.members {
                if !std::mem::replace(&mut reached[*node], true) {
                    gateways[*node] = address.map(Network::ip);
                    queue.push_back(*node);
                }
            }
        }
    }
    gateways
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gateway of the longest network that has the address.
    fn lookup(routes: &[Route], ip: IpAddr) -> Option<IpAddr> {
        let there = routes.iter().filter(|route| route.to.has(ip));
        there.max_by_key(|route| route.to.prefix()).map(|route| route.via)
    }

    #[test]
    fn merged_routes_lead_where_the_single_ones_led_and_nowhere_else() {
        for version in Version::ALL {
            let bits = version.bits() - 8;
            let network = |at: u128| Network::new(version.address(0x0a00_0000 + (at << 8)), bits);
            let mut state = 7u64;
            for round in 0..50 {
                let mut routes = Vec::new();
                for at in 0..200 {
                    state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    // Long runs of one gateway, with gaps between them.
                    let gateway = (state >> 60) / 4;
                    let via = version.address(0xc0a8_0000 + u128::from(gateway / (1 + round % 3)));
                    if state >> 40 & 15 != 0 {
                        routes.push(Route { to: network(at), via });
                    }
                }
                let kept = [network(17), network(18)];
                let fewer = merged(routes.clone(), &kept, version);
                assert!(fewer.len() < routes.len());
                for at in 0..256 {
                    let ip = version.address(0x0a00_0000 + (at << 8) + 7);
                    assert_eq!(lookup(&fewer, ip), lookup(&routes, ip), "{ip}");
                }
                for route in routes.iter().filter(|route| kept.contains(&route.to)) {
                    assert!(fewer.contains(route));
                }
            }
        }
    }
}
