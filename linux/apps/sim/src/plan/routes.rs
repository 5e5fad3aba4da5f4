//! Routes: the shortest paths by the number of hops, and those that the file has.
//!
//! For each network the paths spread from its members on, through routers only; of equally short ones the first found is taken,
//! which follows from the order of the file. A node whose routes all have one gateway has one route, to everywhere. Of other nodes routes
//! are merged as far as they lead to exactly the same networks through the same gateways ([`super::cover`]), since a large network has many.

use super::addresses::Segment;
use super::cover::covered;
use super::{Node, Plan, Route};
use crate::quantity::{Network, Version};
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
///
/// A large network has as many networks as links, and a route of each node to each of them would be more than memory has room for: the
/// networks are taken in the order of their addresses, so that a node's routes are merged as they come.
pub(super) fn compute(plan: &mut Plan, topology: &Topology, segments: &[Segment], version: Version) {
    // Events name routes by their networks.
    let named = topology.event.iter().filter_map(|event| event.to);
    let named: Vec<Network> = named.map(Network::whole).collect();
    let mut graph = Graph::new(plan, segments, version);
    let mut found: Vec<Found> = vec![Found::default(); plan.nodes.len()];
    let mut order: Vec<usize> = (0..segments.len()).collect();
    order.sort_by_key(|target| segments[*target].network.first());
    for target in order {
        let to = segments[target].network;
        let kept = named.contains(&to).then_some(target);
        graph.spread(target, |node, via| found[node].add(Route { to, via }, kept));
    }
    for (node, via) in graph.leaves.iter().copied() {
        let everything = Network::everything(version);
        found[node].add(Route { to: everything, via }, None);
    }
    for ((node, source), found) in plan.nodes.iter_mut().zip(&topology.node).zip(found) {
        if source.routes != Routing::Static && node.kind != NodeKind::Switch {
            // Given routes may be to parts of a network that is covered, or to more.
            let alone = source.route.is_empty() && named.is_empty();
            node.routes.extend(found.routes(version, alone));
        }
    }
}

/// The routes of a node, while they are found.
#[derive(Clone, Default)]
struct Found {
    /// Those that stay as they are, by the numbers of their segments.
    kept: BTreeMap<usize, Route>,
    /// Those that are merged already, by address.
    merged: Vec<Route>,
    /// The first one.
    first: Option<IpAddr>,
    /// Another one has another gateway.
    several: bool,
}

impl Found {
    /// Adds the one to the next network. Two halves of a network that have the same gateway become one.
    fn add(&mut self, mut route: Route, kept: Option<usize>) {
        self.several |= *self.first.get_or_insert(route.via) != route.via;
        if let Some(segment) = kept {
            self.kept.insert(segment, route);
            return;
        }
        while let Some(last) = self.merged.last()
            && last.via == route.via
            && let Some(whole) = joined(last.to, route.to)
        {
            self.merged.pop();
            route.to = whole;
        }
        self.merged.push(route);
    }

    /// All of them, the smallest networks first. If there are no others besides, one may cover networks of which others are parts.
    fn routes(self, version: Version, alone: bool) -> Vec<Route> {
        if let (Some(via), false) = (self.first, self.several) {
            let to = Network::everything(version);
            return vec![Route { to, via }];
        }
        let mut merged = match alone {
            true => covered(self.merged),
            false => self.merged,
        };
        merged.sort_by_key(|route| std::cmp::Reverse(route.to.prefix()));
        self.kept.into_values().chain(merged).collect()
    }
}

/// The network of which these are the first and the second half.
pub(super) fn joined(one: Network, two: Network) -> Option<Network> {
    let prefix = one.prefix().checked_sub(1)?;
    let whole = Network::new(one.first(), prefix).whole();
    let halves = one.prefix() == two.prefix() && whole.first() == one.first() && one.first() < two.first();
    (halves && whole.has(two.first())).then_some(whole)
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

/// Who is a neighbour of whom.
struct Graph {
    /// Of each router its segments, and its address there.
    of_router: Vec<Vec<(usize, IpAddr)>>,
    /// Of each segment the nodes that paths lead through or to, in the order of its members.
    members: Vec<Vec<usize>>,
    /// Nodes that have one network, and a way out of it by one router. There are many of them, and no path leads through one.
    leaves: Vec<(usize, IpAddr)>,
    /// In which round each node was reached, and each segment seen.
    reached: Vec<usize>,
    seen: Vec<usize>,
    round: usize,
    queue: VecDeque<usize>,
}

impl Graph {
    fn new(plan: &Plan, segments: &[Segment], version: Version) -> Graph {
        let routes = |node: usize| plan.nodes[node].kind.routes();
        let mut of_node: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
        let mut of_router: Vec<Vec<(usize, IpAddr)>> = vec![Vec::new(); plan.nodes.len()];
        for (number, segment) in segments.iter().enumerate() {
            for (node, at) in segment.members.iter().copied() {
                of_node[node].push(number);
                // By a second interface on the same network it has no neighbours that it has not by the first one.
                let last = of_router[node].last();
                if routes(node)
                    && last.is_none_or(|(last, _)| *last != number)
                    && let Some(address) = plan.nodes[node].interfaces[at].address(version)
                {
                    of_router[node].push((number, address.ip()));
                }
            }
        }
        let mut leaf = vec![false; plan.nodes.len()];
        let mut leaves = Vec::new();
        for (node, its) in of_node.iter().enumerate().filter(|(node, _)| !routes(*node)) {
            let [segment] = its[..] else {
                continue;
            };
            let members = segments[segment].members.iter().map(|(node, _)| *node);
            let routers: Vec<usize> = members.filter(|node| routes(*node)).collect();
            leaf[node] = routers.len() <= 1;
            if let [router] = routers[..]
                && of_router[router].len() > 1
            {
                let on = of_router[router].iter().find(|(number, _)| *number == segment);
                leaves.extend(on.map(|(_, via)| (node, *via)));
            }
        }
        let members = segments.iter().map(|segment| {
            let nodes = segment.members.iter().map(|(node, _)| *node);
            nodes.filter(|node| !leaf[*node]).collect()
        });
        Graph {
            of_router,
            members: members.collect(),
            leaves,
            reached: vec![0; plan.nodes.len()],
            seen: vec![0; segments.len()],
            round: 0,
            queue: VecDeque::new(),
        }
    }

    /// Tells the gateway towards a segment of each node that is no leaf; of none of its members, and of none that has no path.
    fn spread(&mut self, target: usize, mut tell: impl FnMut(usize, IpAddr)) {
        self.round += 1;
        for node in &self.members[target] {
            self.reached[*node] = self.round;
            self.queue.push_back(*node);
        }
        while let Some(router) = self.queue.pop_front() {
            for (segment, via) in &self.of_router[router] {
                if std::mem::replace(&mut self.seen[*segment], self.round) == self.round {
                    continue;
                }
                for node in &self.members[*segment] {
                    if std::mem::replace(&mut self.reached[*node], self.round) != self.round {
                        tell(*node, *via);
                        self.queue.push_back(*node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{addresses, network};
    use super::*;
    use rustix::time::{ClockId, clock_gettime};
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::time::Duration;

    /// The gateway of the longest network that has the address.
    fn lookup(routes: &[Route], ip: IpAddr) -> Option<IpAddr> {
        let there = routes.iter().filter(|route| route.to.has(ip));
        there.max_by_key(|route| route.to.prefix()).map(|route| route.via)
    }

    /// Numbers that look like chance.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            usize::try_from(self.0 >> 33).unwrap() % most
        }
    }

    #[test]
    fn merged_routes_lead_where_the_single_ones_led_and_nowhere_else() {
        for version in Version::ALL {
            let bits = version.bits() - 8;
            let network = |at: u128| Network::new(version.address(0x0a00_0000 + (at << 8)), bits);
            let mut chance = Chance(7);
            for round in 0..50 {
                let mut routes = Vec::new();
                for at in 0..200 {
                    // Long runs of one gateway, with gaps between them.
                    let gateway = chance.below(16) / 4;
                    let via = version.address(0xc0a8_0000 + gateway as u128 / (1 + round % 3));
                    if chance.below(16) != 0 {
                        routes.push(Route { to: network(at), via });
                    }
                }
                let kept = [network(17), network(18)];
                let mut found = Found::default();
                for (number, route) in routes.iter().enumerate() {
                    found.add(*route, kept.contains(&route.to).then_some(number));
                }
                let merged = found.clone().routes(version, false);
                let covered = found.routes(version, true);
                assert!(covered.len() <= merged.len() && merged.len() < routes.len());
                for fewer in [merged, covered] {
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
                let address =
                    interface.and_then(|(node, at)| plan.nodes[*node].interfaces[*at].address(version));
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

    /// A network of hosts, routers and switches that are joined by chance, some of them more than once.
    fn by_chance(chance: &mut Chance) -> String {
        let count = 3 + chance.below(14);
        let mut text = "[simulation]\nduration = \"1s\"\nipv6 = true\n".to_owned();
        for node in 0..count {
            let kind = ["host", "router", "router", "switch", "firewall"][chance.below(5)];
            let stp = if kind == "switch" { "stp = true\n" } else { "" };
            writeln!(text, "[[node]]\nname = \"n{node}\"\nkind = \"{kind}\"\n{stp}").unwrap();
        }
        for link in 0..count + chance.below(count) {
            // Each node has a link at least.
            let one = if link < count { link } else { chance.below(count) };
            let two = (one + 1 + chance.below(count - 1)) % count;
            writeln!(
                text,
                "[[link]]\nname = \"l{link}\"\nends = [\"n{one}\", \"n{two}\"]"
            )
            .unwrap();
        }
        text
    }

    #[test]
    fn computed_routes_lead_through_the_gateways_of_the_shortest_paths() {
        let mut chance = Chance(3);
        let mut seen = BTreeSet::new();
        for _ in 0..300 {
            let topology = Topology::parse(&by_chance(&mut chance)).unwrap();
            for version in Version::ALL {
                let mut plan = network::all(&topology).unwrap();
                let segments = addresses::assign(&mut plan, &topology, version).unwrap();
                let mut of_node: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
                for (number, segment) in segments.iter().enumerate() {
                    for (node, _) in &segment.members {
                        of_node[*node].push(number);
                    }
                }
                let singles = segments
                    .iter()
                    .map(|target| gateways(&plan, &segments, &of_node, target));
                let singles: Vec<_> = singles.collect();
                compute(&mut plan, &topology, &segments, version);
                for (number, node) in plan.nodes.iter().enumerate() {
                    for (target, gateways) in segments.iter().zip(&singles) {
                        let found = lookup(&node.routes, target.network.first());
                        // A default route leads to a node's own networks and to nowhere, too; what is nearer comes first.
                        if let Some(via) = gateways[number] {
                            assert_eq!(found, Some(via), "{} to {}", node.name, target.network);
                        } else if node.routes.iter().all(|route| route.to.prefix() > 0) {
                            assert_eq!(found, None, "{} to {}", node.name, target.network);
                        }
                    }
                    seen.insert((node.kind as u8, node.routes.len().min(3)));
                }
            }
        }
        assert!(seen.len() > 8, "the networks were all alike: {seen:?}");
    }

    /// A tree whose routers have so many ports: half of its nodes are in its middle, where paths lead both ways.
    fn fat_tree(ports: usize) -> String {
        let half = ports / 2;
        let mut text = "[simulation]\nduration = \"1s\"\n".to_owned();
        let mut node = |kind: &str, name: &str| {
            writeln!(text, "[[node]]\nname = \"{name}\"\nkind = \"{kind}\"").unwrap();
        };
        let mut links = String::new();
        let mut link =
            |one: &str, two: &str| writeln!(links, "[[link]]\nends = [\"{one}\", \"{two}\"]").unwrap();
        for core in 0..half * half {
            node("router", &format!("core{core}"));
        }
        for (pod, number) in (0..ports).flat_map(|pod| (0..half).map(move |number| (pod, number))) {
            let [upper, lower] = ["agg", "edge"].map(|kind| format!("{kind}{pod}-{number}"));
            node("router", &upper);
            node("router", &lower);
            for other in 0..half {
                let host = format!("host{pod}-{number}-{other}");
                node("host", &host);
                link(&upper, &format!("core{}", number * half + other));
                link(&upper, &format!("edge{pod}-{other}"));
                link(&lower, &host);
            }
        }
        text + &links
    }

    #[test]
    fn a_plan_of_thousands_of_nodes_takes_seconds_and_as_many_routes_as_gateways_differ() {
        // Of this thread alone: other work of the machine's does not count.
        let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let began = now();
        let plan = Plan::parse(&fat_tree(24)).unwrap();
        let took = now() - began;
        assert_eq!((plan.nodes.len(), plan.links.len()), (4176, 10_368));
        let routes: usize = plan.nodes.iter().map(|node| node.routes.len()).sum();
        let each = plan.nodes.len() * plan.links.len();
        println!("{routes} routes in {took:?}, of {each} from each node to each network");
        assert!(routes * 20 < each, "{routes}");
        assert!(took.as_secs() < 60, "{took:?}");
    }
}
