//! Addresses. Ends of links that switches join are one segment, which has one network: that of the addresses that the file
//! gives, or the next free one of 10.0.0.0/8, and of fd00::/48 for IPv6.

use super::Plan;
use super::flows::NO_IPV6;
use super::groups::Groups;
use crate::quantity::{Network, Version, number};
use crate::topology::{NodeKind, Problem, Spanned, Topology};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

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
fn all(version: Version) -> Network {
    match version {
        Version::V4 => Network::new(IpAddr::from([10, 0, 0, 0]), 8),
        Version::V6 => Network::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).into(), 48),
    }
}

/// An end's address in the file, if it has one.
fn given(text: &Spanned<String>, switch: bool, version: Version) -> Result<Option<Network>, Problem> {
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
    if network.version() != version {
        let advice = "IPv4 is for addresses, and IPv6 for addresses6";
        return Err(Problem::at(
            text,
            format_args!("{} is not of {version}; {advice}", text.get_ref()),
        ));
    }
    let ip = network.ip();
    let edge = has_edges(network) && [network.first(), network.last()].contains(&ip);
    if edge || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
        let text_of = text.get_ref();
        return Err(Problem::at(
            text,
            format_args!("{text_of} is not an address that a host can have"),
        ));
    }
    Ok(Some(network))
}

/// Whether a network's first and last addresses are no host's.
fn has_edges(network: Network) -> bool {
    network.version().bits().saturating_sub(network.prefix()) > 1
}

/// Gives each end an address of a version.
pub(super) fn assign(
    plan: &mut Plan,
    topology: &Topology,
    version: Version,
) -> Result<Vec<Segment>, Problem> {
    let mut in_vain = topology.link.iter().filter_map(|link| link.addresses6.as_ref());
    if !plan.versions.contains(&Version::V6)
        && let Some([first, _]) = in_vain.next()
    {
        return Err(Problem::at(first, format_args!("nodes have no IPv6; {NO_IPV6}")));
    }
    // Links that have a switch in common are one segment.
    let mut groups = Groups::new(plan.links.len());
    for node in plan.nodes.iter().filter(|node| node.kind == NodeKind::Switch) {
        for pair in node.interfaces.windows(2) {
            groups.join(pair[0].link, pair[1].link);
        }
    }
    let mut segments: BTreeMap<usize, Joined> = BTreeMap::new();
    let mut taken: BTreeMap<IpAddr, String> = BTreeMap::new();
    for (number, source) in topology.link.iter().enumerate() {
        let ends = plan.links[number].ends;
        let (known, members) = segments.entry(groups.of(number)).or_default();
        for (end, (node, interface)) in ends.into_iter().enumerate() {
            let switch = plan.nodes[node].kind == NodeKind::Switch;
            let text = source.given(version).map(|addresses| &addresses[end]);
            if let Some(text) = text
                && let Some(address) = given(text, switch, version)?
            {
                let name = &plan.nodes[node].name;
                if let Some(owner) = taken.insert(address.ip(), name.clone()) {
                    let text_of = format!("{} is taken: {owner} has it", address.ip());
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
                plan.nodes[node].interfaces[interface].addresses.push(address);
            }
            if !switch {
                members.push((node, interface));
            }
        }
    }
    let fixed: Vec<Network> = segments.values().filter_map(|(network, _)| *network).collect();
    let all = all(version);
    let mut next = number(all.first());
    let mut done = Vec::new();
    for (link, (known, members)) in segments {
        let network = match known {
            Some(network) => network,
            None => match free(all, &mut next, members.len(), &fixed) {
                Some(network) => network,
                None => return Err(no_room(topology, link, &format!("{all} has no network left"))),
            },
        };
        let edge = u128::from(has_edges(network));
        let mut host = number(network.first()).saturating_add(edge);
        let last = number(network.last()).saturating_sub(edge);
        for (node, interface) in &members {
            let place = &mut plan.nodes[*node].interfaces[*interface];
            if place.address(version).is_some() {
                continue;
            }
            while taken.contains_key(&version.address(host)) {
                host = host.saturating_add(1);
            }
            if host > last {
                return Err(no_room(topology, link, &format!("{network} has no address left")));
            }
            let ip = version.address(host);
            place.addresses.push(Network::new(ip, network.prefix()));
            taken.insert(ip, String::new());
        }
        done.push(Segment { network, members });
    }
    overlaps(&done, topology, version)?;
    Ok(done)
}

fn no_room(topology: &Topology, link: usize, why: &str) -> Problem {
    let text = format!("{why} for this link and those that switches join with it; give addresses");
    Problem::at(&topology.link[link].ends, text)
}

/// The next network of `all` that has room for so many and is not used.
fn free(all: Network, next: &mut u128, members: usize, fixed: &[Network]) -> Option<Network> {
    let version = all.version();
    let size = match version {
        Version::V4 => u128::try_from(members.checked_add(2)?)
            .ok()?
            .max(256)
            .next_power_of_two(),
        Version::V6 => 1 << 64,
    };
    let prefix = version.bits().checked_sub(u8::try_from(size.ilog2()).ok()?)?;
    loop {
        let start = next.checked_next_multiple_of(size)?;
        *next = start.checked_add(size)?;
        if *next > number(all.last()).checked_add(1)? {
            return None;
        }
        let network = Network::new(version.address(start), prefix);
        let mut others = fixed.iter();
        if !others.any(|other| other.has(network.ip()) || network.has(other.ip())) {
            return Some(network);
        }
    }
}

/// Refuses two segments of one network: packets would go to one of them only.
fn overlaps(segments: &[Segment], topology: &Topology, version: Version) -> Result<(), Problem> {
    let mut sorted: Vec<Network> = segments.iter().map(|segment| segment.network).collect();
    sorted.sort_by_key(|network| network.ip());
    for pair in sorted.windows(2) {
        let (one, two) = (pair[0], pair[1]);
        if !one.has(two.ip()) {
            continue;
        }
        // The later in the file of those that have an address in the second network.
        let texts = topology
            .link
            .iter()
            .rev()
            .filter_map(|link| link.given(version))
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
