//! How long a frame takes from one node to another at least.
//!
//! The part of a link's delay that is the same for each frame is the time between two processes; netem, in the process that sends, does the rest.

use crate::plan::{EventKind, Plan};
use crate::topology::Line;

/// How much of a line's delay all frames have, in nanoseconds.
pub(in crate::simulation) fn common(line: Line) -> u64 {
    let [delay, jitter] = [line.delay, line.jitter].map(|time| time.unwrap_or_default().0);
    delay.saturating_sub(jitter)
}

/// Of each node those that send to it, and how long that takes at least, whatever happens to the links.
pub(super) fn neighbours(plan: &Plan) -> Vec<Vec<(usize, u64)>> {
    let mut least: Vec<[u64; 2]> = plan.links.iter().map(|link| link.lines.map(common)).collect();
    let mut lines: Vec<[Line; 2]> = plan.links.iter().map(|link| link.lines).collect();
    for event in &plan.events {
        if let EventKind::Change(link, change) = &event.kind {
            lines[*link] = lines[*link].map(|line| line.with(*change));
            for (least, line) in least[*link].iter_mut().zip(lines[*link]) {
                *least = (*least).min(common(line));
            }
        }
    }
    let mut neighbours: Vec<Vec<(usize, u64)>> = vec![Vec::new(); plan.nodes.len()];
    for (link, [forth, back]) in plan.links.iter().zip(least) {
        let [(one, _), (two, _)] = link.ends;
        neighbours[two].push((one, forth));
        neighbours[one].push((two, back));
    }
    neighbours
}

/// The earliest time at which something can come to a node that is not sent yet, if each node has something to do at its time. `ways` are those
/// to the node.
pub(super) fn reached(times: &[u64], ways: impl Iterator<Item = u64>) -> u64 {
    let reached = times.iter().zip(ways).map(|(time, way)| time.saturating_add(way));
    reached.min().unwrap_or(u64::MAX)
}

/// The shortest ways to a node, from all nodes; `u64::MAX` where there is no way. From a node to itself there and back.
pub(super) fn ways_to(to: usize, neighbours: &[Vec<(usize, u64)>]) -> Vec<u64> {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    let mut ways = vec![u64::MAX; neighbours.len()];
    let mut found = BinaryHeap::new();
    let spread = |way: u64, node: usize, found: &mut BinaryHeap<_>| {
        for (other, more) in &neighbours[node] {
            found.push(Reverse((way.saturating_add(*more), *other)));
        }
    };
    spread(0, to, &mut found);
    while let Some(Reverse((way, node))) = found.pop() {
        if way < ways[node] {
            ways[node] = way;
            spread(way, node, &mut found);
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reached_over_the_shortest_way_and_by_answers_to_what_it_sends_itself() {
        // 0 and 1 are 5 and 7 apart, 1 and 2 are 1 and 0, and 3 is alone.
        let neighbours = [vec![(1, 7)], vec![(0, 5), (2, 0)], vec![(1, 1)], vec![]];
        let reached = |node, times: [u64; 4]| reached(&times, ways_to(node, &neighbours).into_iter());
        let never = u64::MAX;
        assert_eq!(reached(0, [100, never, never, 0]), 112);
        assert_eq!(reached(0, [100, never, 104, 0]), 111);
        assert_eq!(reached(1, [100, 50, 90, 0]), 51);
        assert_eq!(reached(2, [100, never, never, 0]), 106);
        assert_eq!(reached(3, [100, 50, 90, 0]), never);
    }
}
