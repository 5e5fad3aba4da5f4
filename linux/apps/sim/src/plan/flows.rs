//! Flows: between which nodes, and what one of its kind needs.

use super::names::{find, new_name, numbers};
use super::{Flow, Plan};
use crate::quantity::{Time, Version};
use crate::topology::{self, FlowKind, NodeKind, Problem, Spanned, Topology};
use std::collections::BTreeMap;

/// The algorithms that the carried Linux has.
const CONGESTION: [&str; 4] = ["cubic", "reno", "bbr", "dctcp"];

/// What to do about a thing of IPv6 in a topology without.
pub(super) const NO_IPV6: &str = "write ipv6 = true into [simulation]";

/// The most flows: each has two threads that may be inside Linux, where there is room for 1,024.
const MOST_FLOWS: usize = 480;

/// Adds the flows.
pub(super) fn add(plan: &mut Plan, topology: &Topology) -> Result<(), Problem> {
    let known = numbers(plan.nodes.iter().map(|node| &*node.name));
    let mut names = BTreeMap::new();
    for (number, flow) in topology.flow.iter().enumerate() {
        let name = new_name("flow", &flow.name, &mut names, number)?;
        if number >= MOST_FLOWS {
            let text = format!("there are at most {MOST_FLOWS} flows");
            return Err(Problem::at(&flow.name, text));
        }
        let [from, to] = [find("node", &flow.from, &known)?, find("node", &flow.to, &known)?];
        for (place, end) in [(&flow.from, from), (&flow.to, to)] {
            if plan.nodes[end].kind == NodeKind::Switch {
                let text = format!("{} is a switch, and has no address", place.get_ref());
                return Err(Problem::at(place, text));
            }
        }
        if from == to {
            let text = format!("{name}: it begins and ends at {}", flow.to.get_ref());
            return Err(Problem::at(&flow.to, text));
        }
        if !connected(plan, from, to) {
            let (from, to) = (flow.from.get_ref(), flow.to.get_ref());
            let text = format!("{name}: no path of links, switches and routers leads from {from} to {to}");
            return Err(Problem::at(&flow.to, text));
        }
        only_its_own(flow)?;
        let start = flow.start.as_ref().map_or(Time(0), |start| *start.get_ref());
        if start >= plan.duration {
            // A start that is not given is before the end.
            let place = flow.start.as_ref().map_or(0..0, Spanned::span);
            return Err(Problem {
                span: place,
                message: format!("{name}: the simulation is over at {}", plan.duration),
            });
        }
        let length = flow.duration.unwrap_or(plan.duration);
        let default_size = match flow.kind {
            FlowKind::Ping => 56,
            FlowKind::Udp => 1000,
            FlowKind::Http => 10_000,
            FlowKind::Tcp => 0,
        };
        plan.flows.push(Flow {
            name,
            kind: flow.kind,
            from,
            to,
            version: version(flow, plan)?,
            start,
            end: Time(start.0.saturating_add(length.0).min(plan.duration.0)),
            bytes: flow.bytes.as_ref().map(|bytes| bytes.get_ref().0),
            congestion: congestion(flow)?,
            rate: flow.rate.as_ref().map_or(1_000_000, |rate| rate.get_ref().0),
            size: size(flow, default_size)?,
            interval: match (&flow.interval, flow.kind) {
                (Some(interval), _) => *interval.get_ref(),
                (None, FlowKind::Ping) => Time(1_000_000_000),
                (None, _) => Time(0),
            },
            count: flow.count.as_ref().map(|count| *count.get_ref()),
        });
    }
    Ok(())
}

/// Whether there is a path, whatever the routes are.
fn connected(plan: &Plan, from: usize, to: usize) -> bool {
    let mut reached = vec![false; plan.nodes.len()];
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        let passes = node == from || plan.nodes[node].kind != NodeKind::Host;
        if std::mem::replace(&mut reached[node], true) || !passes {
            continue;
        }
        for interface in &plan.nodes[node].interfaces {
            open.extend(plan.links[interface.link].ends.map(|(node, _)| node));
        }
    }
    false
}

fn version(flow: &topology::Flow, plan: &Plan) -> Result<Version, Problem> {
    let Some(ip) = &flow.ip else {
        return Ok(Version::V4);
    };
    let version = match ip.get_ref() {
        4 => Version::V4,
        6 => Version::V6,
        other => {
            return Err(Problem::at(
                ip,
                format_args!("there is no IP version {other}; 4 and 6 are"),
            ));
        }
    };
    match plan.versions.contains(&version) {
        true => Ok(version),
        false => Err(Problem::at(
            ip,
            format_args!("nodes have no {version}; {NO_IPV6}"),
        )),
    }
}

fn congestion(flow: &topology::Flow) -> Result<String, Problem> {
    let Some(name) = &flow.congestion else {
        return Ok("cubic".to_owned());
    };
    if !CONGESTION.contains(&name.get_ref().as_str()) {
        let all = CONGESTION.join(", ");
        let text = format!(
            "there is no congestion control {}; there are {all}",
            name.get_ref()
        );
        return Err(Problem::at(name, text));
    }
    Ok(name.get_ref().clone())
}

fn size(flow: &topology::Flow, default: u64) -> Result<usize, Problem> {
    let Some(size) = &flow.size else {
        return Ok(usize::try_from(default).unwrap_or(0));
    };
    let (least, most) = match flow.kind {
        FlowKind::Ping => (16, 65_000),
        FlowKind::Udp => (16, 65_000),
        FlowKind::Tcp | FlowKind::Http => (0, 1 << 30),
    };
    let bytes = size.get_ref().0;
    match usize::try_from(bytes) {
        Ok(size) if (least..=most).contains(&size) => Ok(size),
        _ => Err(Problem::at(
            size,
            format_args!("a size of {bytes} bytes; it is {least} to {most} for a flow of this kind"),
        )),
    }
}

/// Refuses what a flow of another kind would have.
fn only_its_own(flow: &topology::Flow) -> Result<(), Problem> {
    use FlowKind::{Http, Ping, Tcp, Udp};
    let given = [
        ("bytes", flow.bytes.as_ref().map(Spanned::span), &[Tcp][..]),
        (
            "congestion",
            flow.congestion.as_ref().map(Spanned::span),
            &[Tcp, Http],
        ),
        ("rate", flow.rate.as_ref().map(Spanned::span), &[Udp]),
        ("size", flow.size.as_ref().map(Spanned::span), &[Ping, Udp, Http]),
        (
            "interval",
            flow.interval.as_ref().map(Spanned::span),
            &[Ping, Http],
        ),
        ("count", flow.count.as_ref().map(Spanned::span), &[Ping, Http]),
    ];
    for (key, span, kinds) in given {
        if let Some(span) = span
            && !kinds.contains(&flow.kind)
        {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let (kinds, kind) = (kinds.join(" and "), flow.kind.name());
            return Err(Problem {
                span,
                message: format!("{key} is for flows of kind {kinds}, and this is {kind}"),
            });
        }
    }
    match &flow.interval {
        Some(interval) if flow.kind == Ping && interval.get_ref().0 == 0 => Err(Problem::at(
            interval,
            "an interval of nothing sends requests without end",
        )),
        _ => Ok(()),
    }
}
