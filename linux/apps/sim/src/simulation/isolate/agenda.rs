//! Which nodes go on, and how far.
//!
//! A frame that a node sends now comes to another node after the links between them, so that each node can go as far as nothing can reach it that has
//! not been sent yet ([`reached`]). All nodes that have something to do before that go on at the same time, whatever the machine makes of that: what
//! they send meanwhile comes later than they go. Where links take no time the first node goes alone until it sends something. Of events at
//! the same time the one of the node with the lowest number goes first.

use super::lookahead::reached;

/// How far a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leave {
    /// Until when, this time included.
    pub(super) limit: u64,
    /// It goes no further when it has sent something.
    pub(super) stop: bool,
}

/// The nodes that go on, if each node has something to do at its time. `ways` are those to a node.
pub(super) fn going<Ways: Iterator<Item = u64>>(
    times: &[u64],
    ways: impl Fn(usize) -> Ways,
) -> Vec<(usize, Leave)> {
    let Some((now, first)) = times.iter().copied().zip(0..).min() else {
        return Vec::new();
    };
    let mut going = Vec::new();
    for (node, time) in times.iter().enumerate() {
        let reached = reached(times, ways(node));
        let leave = if *time < reached {
            Leave {
                limit: reached - 1,
                stop: false,
            }
        } else if node == first {
            let others = times.iter().zip(0..).filter(|(_, other)| *other != node);
            let limit = match others.min() {
                Some((time, other)) if node < other => *time,
                Some((time, _)) => time.saturating_sub(1),
                None => u64::MAX,
            };
            Leave {
                limit: limit.max(now),
                stop: true,
            }
        } else {
            continue;
        };
        going.push((node, leave));
    }
    going
}

#[cfg(test)]
mod tests {
    use super::super::lookahead::ways_to;
    use super::*;

    /// Of two nodes whose link takes so long, with something to do at these times.
    fn shown(delay: u64, times: [u64; 2]) -> Vec<(usize, u64, bool)> {
        let neighbours = [vec![(1, delay)], vec![(0, delay)]];
        let going = going(&times, |node| ways_to(node, &neighbours).into_iter());
        let shown = going.into_iter();
        shown
            .map(|(node, leave)| (node, leave.limit, leave.stop))
            .collect()
    }

    #[test]
    fn nodes_go_at_the_same_time_as_far_as_nothing_can_reach_them() {
        assert_eq!(shown(10, [100, 105]), [(0, 114, false), (1, 109, false)]);
        assert_eq!(shown(10, [100, 200]), [(0, 119, false)]);
        assert_eq!(shown(10, [150, 125]), [(1, 144, false)]);
        assert_eq!(shown(10, [100, u64::MAX]), [(0, 119, false)]);
    }

    #[test]
    fn over_links_without_a_delay_the_first_node_goes_alone_until_it_sends_or_another_is_first() {
        for (times, expected) in [
            ([100, 105], (0, 105, true)),
            ([100, 100], (0, 100, true)),
            ([105, 100], (1, 104, true)),
        ] {
            assert_eq!(shown(0, times), [expected]);
        }
    }
}
