//! Addresses. Ends of links that switches join are one segment, which has one network: that of the addresses that the file
//! gives, or the next free one of 10.0.0.0/8.

use super::Plan;
use super::check::Groups;
use crate::quantity::Network;
use crate::topology::{NodeKind, Problem, Spanned, Topology};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A network, and who is on it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) network: Network,
    /// The nodes and their interfaces.
    pub(super) members: Vec<(usize, usize)>,
}

/// A segment whose network may not be known yet.
type Joined = (Option<Network>, Vec<(usize, usize)>);

/// The addresses that may be given out.
const ALL: Network = Network {
    ip: Ipv4Addr::new(10, 0, 0, 0),
    prefix: 8,
};

/// An end's address in the file, if it has one.
fn given(text: &Spanned<String>, switch: bool) -> Result<Option<Network>, Problem> {
    if text.get_ref().is_empty() {
        return Ok(None);
    }
    let network: Network = text.get_ref().parse().map_err(|why| Problem::at(text, why))?;
    if switch {
        return Err(Problem::at(
            text,
            "this end is a switch, which has no address; write \"\"",
        ));
    }
    let edge = network.prefix < 31 && [network.first(), network.last()].contains(&network.ip);
    if edge || network.ip.is_unspecified() || network.ip.is_loopback() || network.ip.is_multicast() {
        let text_of = text.get_ref();
        return Err(Problem::at(
            text,
            format_args!("{text_of} is not an address that a host can have"),
        ));
    }
    Ok(Some(network))
}

/// Gives each end an address.
pub(super) fn assign(plan: &mut Plan, topology: &Topology) -> Result<Vec<Segment>, Problem> {
    // Links that have a switch in common are one segment.
    let mut groups = Groups::new(plan.links.len());
    for node in plan.nodes.iter().filter(|node| node.kind == NodeKind::Switch) {
        for pair in node.interfaces.windows(2) {
            groups.join(pair[0].link, pair[1].link);
        }
    }
    let mut segments: BTreeMap<usize, Joined> = BTreeMap::new();
    let mut taken: BTreeMap<Ipv4Addr, String> = BTreeMap::new();
    for (number, source) in topology.link.iter().enumerate() {
        let ends = plan.links[number].ends;
        let (known, members) = segments.entry(groups.of(number)).or_default();
        for (end, (node, interface)) in ends.into_iter().enumerate() {
            let switch = plan.nodes[node].kind == NodeKind::Switch;
            let text = source.addresses.as_ref().map(|addresses| &addresses[end]);
            if let Some(text) = text
                && let Some(address) = given(text, switch)?
            {
                let name = &plan.nodes[node].name;
                if let Some(owner) = taken.insert(address.ip, name.clone()) {
                    let text_of = format!("{} is taken: {owner} has it", address.ip);
                    return Err(Problem::at(text, text_of));
                }
                match *known {
                    Some(network) if network != address.whole() => {
                        let text_of = format!(
                            "{address} is not in {network}, which the others have that {name} is joined with"
                        );
                        return Err(Problem::at(text, text_of));
                    }
                    _ => *known = Some(address.whole()),
                }
                plan.nodes[node].interfaces[interface].address = Some(address);
            }
            if !switch {
                members.push((node, interface));
            }
        }
    }
    let fixed: Vec<Network> = segments.values().filter_map(|(network, _)| *network).collect();
    let mut next = u32::from(ALL.ip);
    let mut done = Vec::new();
    for (link, (known, members)) in segments {
        let network = match known {
            Some(network) => network,
            None => match free(&mut next, members.len(), &fixed) {
                Some(network) => network,
                None => return Err(no_room(topology, link, &format!("{ALL} has no network left"))),
            },
        };
        let mut hosts = u32::from(network.first()).saturating_add(u32::from(network.prefix < 31));
        let last = u32::from(network.last()).saturating_sub(u32::from(network.prefix < 31));
        for (node, interface) in &members {
            let place = &mut plan.nodes[*node].interfaces[*interface];
            if place.address.is_some() {
                continue;
            }
            while taken.contains_key(&Ipv4Addr::from(hosts)) {
                hosts = hosts.saturating_add(1);
            }
            if hosts > last {
                return Err(no_room(topology, link, &format!("{network} has no address left")));
            }
            let ip = Ipv4Addr::from(hosts);
            place.address = Some(Network {
                ip,
                prefix: network.prefix,
            });
            taken.insert(ip, String::new());
        }
        done.push(Segment { network, members });
    }
    overlaps(&done, topology)?;
    Ok(done)
}

fn no_room(topology: &Topology, link: usize, why: &str) -> Problem {
    let text = format!("{why} for this link and those that switches join with it; give addresses");
    Problem::at(&topology.link[link].ends, text)
}

/// The next network that has room for so many and is not used.
fn free(next: &mut u32, members: usize, fixed: &[Network]) -> Option<Network> {
    let size = u32::try_from(members.checked_add(2)?)
        .ok()?
        .max(256)
        .next_power_of_two();
    let prefix = u8::try_from(size.leading_zeros().checked_add(1)?).ok()?;
    loop {
        let start = next.checked_next_multiple_of(size)?;
        let network = Network {
            ip: Ipv4Addr::from(start),
            prefix,
        };
        *next = start.checked_add(size)?;
        if !ALL.has(network.last()) {
            return None;
        }
        let mut others = fixed.iter();
        if !others.any(|other| other.has(network.ip) || network.has(other.ip)) {
            return Some(network);
        }
    }
}

/// Refuses two segments of one network: packets would go to one of them only.
fn overlaps(segments: &[Segment], topology: &Topology) -> Result<(), Problem> {
    let mut sorted: Vec<Network> = segments.iter().map(|segment| segment.network).collect();
    sorted.sort_by_key(|network| network.ip);
    for pair in sorted.windows(2) {
        let (one, two) = (pair[0], pair[1]);
        if !one.has(two.ip) {
            continue;
        }
        // The later in the file of those that have an address in the second network.
        let texts = topology
            .link
            .iter()
            .rev()
            .filter_map(|link| link.addresses.as_ref())
            .flatten();
        let mut there = texts.filter(|text| {
            let parsed: Result<Network, _> = text.get_ref().parse();
            parsed.is_ok_and(|address| address.whole() == two)
        });
        let message =
            format!("{two} overlaps {one} of a link that it is not joined with; give one another network");
        return Err(match there.next() {
            Some(text) => Problem::at(text, message),
            None => Problem { span: 0..0, message },
        });
    }
    Ok(())
}
