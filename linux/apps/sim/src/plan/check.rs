//! What the parts of a topology must be: names that are there once, links between nodes that exist, no loops, and what a
//! flow or an event of its kind needs.

use super::{Event, EventKind, Flow, Interface, Link, Node, Plan, setting};
use crate::quantity::{Rate, Time, Version};
use crate::topology::{self, FlowKind, Line, NodeKind, Problem, Spanned, Topology};
use std::collections::BTreeMap;

/// The algorithms that the carried Linux has.
const CONGESTION: [&str; 4] = ["cubic", "reno", "bbr", "dctcp"];

/// What to do about a thing of IPv6 in a topology without.
pub(super) const NO_IPV6: &str = "write ipv6 = true into [simulation]";

/// The most flows: each has two threads that may be inside Linux, where there is room for 1,024.
const MOST_FLOWS: usize = 480;

/// The most nodes, of which hardware addresses have the number.
const MOST: usize = 65_536;

/// A name that is new, and that a file can have.
pub(super) fn new_name(
    what: &str,
    name: &Spanned<String>,
    known: &mut BTreeMap<String, usize>,
    number: usize,
) -> Result<String, Problem> {
    let text = name.get_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.len() > 60 || text.starts_with('.') || !text.chars().all(plain) {
        return Err(Problem::at(
            name,
            format_args!(
                "{what} {text:?}: a name has 1 to 60 letters, digits, hyphens, dots and underscores, with no dot in front"
            ),
        ));
    }
    match known.insert(text.clone(), number) {
        Some(_) => Err(Problem::at(
            name,
            format_args!("there are two {what}s {text}; give one another name"),
        )),
        None => Ok(text.clone()),
    }
}

pub(super) fn numbers<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    names
        .enumerate()
        .map(|(number, name)| (name.to_owned(), number))
        .collect()
}

/// The number of what a name means.
pub(super) fn find(
    what: &str,
    name: &Spanned<String>,
    known: &BTreeMap<String, usize>,
) -> Result<usize, Problem> {
    let text = name.get_ref();
    known.get(text).copied().ok_or_else(|| {
        let like = known.keys().find(|other| other.eq_ignore_ascii_case(text));
        let advice = match like {
            Some(like) => format!("; {like} is meant?"),
            None => format!("; add [[{what}]] of that name, or correct this one"),
        };
        Problem::at(name, format_args!("there is no {what} {text}{advice}"))
    })
}

/// Nodes and links, without addresses.
pub(super) fn network(topology: &Topology) -> Result<Plan, Problem> {
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

/// Sets that are joined, one by one.
pub(super) struct Groups(Vec<usize>);

impl Groups {
    pub(super) fn new(count: usize) -> Groups {
        Groups((0..count).collect())
    }

    /// The member that stands for the set.
    pub(super) fn of(&mut self, mut member: usize) -> usize {
        while self.0[member] != member {
            self.0[member] = self.0[self.0[member]];
            member = self.0[member];
        }
        member
    }

    /// Whether they were two sets until now.
    pub(super) fn join(&mut self, one: usize, two: usize) -> bool {
        let (one, two) = (self.of(one), self.of(two));
        self.0[one.max(two)] = one.min(two);
        one != two
    }
}

/// Adds the flows.
pub(super) fn flows(plan: &mut Plan, topology: &Topology) -> Result<(), Problem> {
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

/// Adds the events.
pub(super) fn events(plan: &mut Plan, topology: &Topology) -> Result<(), Problem> {
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
            super::routes::check_gateway(&plan.nodes[*node], *to, via)?;
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

/// What a rate is in bytes a second, as queues have it.
pub(crate) fn bytes_a_second(rate: Rate) -> u64 {
    (rate.0 / 8).max(1)
}
