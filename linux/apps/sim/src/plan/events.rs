//! Events: when, and what happens to which node or link.

use super::names::{find, numbers};
use super::routes::check_gateway;
use super::{Event, EventKind, Plan};
use crate::topology::{self, Line, NodeKind, Problem, Topology};
use std::collections::BTreeMap;

/// Adds the events.
pub(super) fn add(plan: &mut Plan, topology: &Topology) -> Result<(), Problem> {
    let nodes = numbers(plan.nodes.iter().map(|node| &*node.name));
    let links = numbers(plan.links.iter().map(|link| &*link.name));
    for event in &topology.event {
        let at = *event.at.get_ref();
        if at >= plan.duration {
            let text = format!("the simulation is over at {}", plan.duration);
            return Err(Problem::at(&event.at, text));
        }
        let kind = event_kind(event, &nodes, &links)?;
        if let EventKind::Route(node, ..) = kind
            && let Some(name) = &event.route
            && plan.nodes[node].kind == NodeKind::Switch
        {
            let text = format!("{} is a switch, and has no routes", name.get_ref());
            return Err(Problem::at(name, text));
        }
        if let (EventKind::Route(node, to, _), Some(via)) = (&kind, &event.via) {
            check_gateway(&plan.nodes[*node], *to, via)?;
        }
        plan.events.push(Event { at, kind });
    }
    plan.events.sort_by_key(|event| event.at);
    Ok(())
}

fn event_kind(
    event: &topology::Event,
    nodes: &BTreeMap<String, usize>,
    links: &BTreeMap<String, usize>,
) -> Result<EventKind, Problem> {
    let line = Line {
        rate: event.rate,
        delay: event.delay,
        jitter: event.jitter,
        loss: event.loss,
        queue: event.queue.map(|queue| queue.max(1)),
    };
    let named = [&event.down, &event.up, &event.crash, &event.change, &event.route];
    if named.iter().filter(|name| name.is_some()).count() != 1 {
        return Err(Problem::at(
            &event.at,
            "an event has one of down, up, crash, change and route; write several events for several",
        ));
    }
    let changes = line != Line::default();
    if changes != event.change.is_some() {
        return Err(Problem::at(
            &event.at,
            "rate, delay, jitter, loss and queue belong to an event with change, which has at least one of them",
        ));
    }
    if event.route.is_some() != event.to.is_some() || (event.via.is_some() && event.route.is_none()) {
        return Err(Problem::at(
            &event.at,
            "to and via belong to an event with route, which has to = \"NETWORK\", and no via if the route goes",
        ));
    }
    Ok(if let Some(link) = &event.down {
        EventKind::Down(find("link", link, links)?)
    } else if let Some(link) = &event.up {
        EventKind::Up(find("link", link, links)?)
    } else if let Some(link) = &event.change {
        EventKind::Change(find("link", link, links)?, line)
    } else if let Some(node) = &event.crash {
        EventKind::Crash(find("node", node, nodes)?)
    } else if let (Some(node), Some(to)) = (&event.route, event.to) {
        let via = event.via.as_ref().map(|via| *via.get_ref());
        EventKind::Route(find("node", node, nodes)?, to.whole(), via)
    } else {
        return Err(Problem::at(
            &event.at,
            "an event without a thing that it happens to",
        ));
    })
}
