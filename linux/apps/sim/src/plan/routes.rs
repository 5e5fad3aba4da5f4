//! Routes: the shortest paths by the number of hops, and those that the file has.
//!
//! For each network the paths spread from its members on, through routers only; of equally short ones the first found is taken,
//! which follows from the order of the file. A node whose routes all have one gateway has one route, to everywhere.

use super::addresses::Segment;
use super::{Node, Plan, Route};
use crate::quantity::Network;
use crate::topology::{NodeKind, Problem, Routing, Spanned, Topology};
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// Everywhere.
const DEFAULT: Network = Network {
    ip: Ipv4Addr::UNSPECIFIED,
    prefix: 0,
};

/// Refuses a gateway that is on none of a node's networks.
pub(super) fn check_gateway(node: &Node, via: &Spanned<Ipv4Addr>) -> Result<(), Problem> {
    let mut networks = node.interfaces.iter().filter_map(|interface| interface.address);
    if networks.any(|network| network.has(*via.get_ref()) && network.ip != *via.get_ref()) {
        return Ok(());
    }
    let text = format!("{} is no neighbour of {}", via.get_ref(), node.name);
    Err(Problem::at(via, text))
}

/// Adds all routes.
pub(super) fn compute(plan: &mut Plan, topology: &Topology, segments: &[Segment]) -> Result<(), Problem> {
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
    for ((node, source), mut routes) in plan.nodes.iter_mut().zip(&topology.node).zip(found) {
        if source.routes == Routing::Static || node.kind == NodeKind::Switch {
            routes.clear();
        }
        if let Some(first) = routes.first().copied()
            && routes.iter().all(|route| route.via == first.via)
        {
            routes = vec![Route { to: DEFAULT, ..first }];
        }
        for route in &source.route {
            if node.kind == NodeKind::Switch {
                let text = format!("{} is a switch, and has no routes", node.name);
                return Err(Problem::at(&route.via, text));
            }
            check_gateway(node, &route.via)?;
            let to = route.to.whole();
            routes.retain(|other| other.to != to);
            routes.push(Route {
                to,
                via: *route.via.get_ref(),
            });
        }
        node.routes = routes;
    }
    Ok(())
}

/// Of each node the gateway towards a segment; none for its members, and for what has no path.
fn gateways(
    plan: &Plan,
    segments: &[Segment],
    of_node: &[Vec<usize>],
    target: &Segment,
) -> Vec<Option<Ipv4Addr>> {
    let mut reached = vec![false; plan.nodes.len()];
    let mut seen = vec![false; segments.len()];
    let mut gateways = vec![None; plan.nodes.len()];
    let mut queue = VecDeque::new();
    for (node, _) in &target.members {
        reached[*node] = true;
        queue.push_back(*node);
    }
    while let Some(router) = queue.pop_front() {
        if plan.nodes[router].kind != NodeKind::Router {
            continue;
        }
        for number in &of_node[router] {
            if std::mem::replace(&mut seen[*number], true) {
                continue;
            }
            let segment = &segments[*number];
            let interface = segment.members.iter().find(|(node, _)| *node == router);
            let address = interface.and_then(|(node, at)| plan.nodes[*node].interfaces[*at].address);
            for (node, _) in &segment.members {
                if !std::mem::replace(&mut reached[*node], true) {
                    gateways[*node] = address.map(|address| address.ip);
                    queue.push_back(*node);
                }
            }
        }
    }
    gateways
}
