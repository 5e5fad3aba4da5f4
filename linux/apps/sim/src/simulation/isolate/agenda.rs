//! Which nodes go on, and how far.
//!
//! A frame that a node sends now comes to another node after the links between them, so that each node can go as far as nothing can reach it that has
//! not been sent yet ([`Lookahead`]). All nodes that have something to do before that go on at the same time, whatever the machine makes of that: what
//! they send meanwhile comes later than they go. Where links take no time the first node goes alone until it sends something. Of events at
//! the same time the one of the node with the lowest number goes first.

use super::lookahead::Lookahead;
use super::wire::{Frame, Go, Idle};
use crate::plan::Plan;
use std::collections::BTreeMap;

/// A frame's time, its sender, and how many were sent before.
type Place = (u64, usize, u64);

/// When each node has something to do.
pub(super) struct Agenda {
    /// What each node waits for.
    nodes: Vec<Waiting>,
    lookahead: Lookahead,
    /// How many nodes have flows that go on.
    open: usize,
    sent: u64,
}

#[derive(Default)]
struct Waiting {
    /// When the node itself has something to do.
    next: u64,
    frames: BTreeMap<Place, Frame>,
    done: bool,
}

impl Waiting {
    fn time(&self) -> u64 {
        let frame = self.frames.first_key_value();
        self.next.min(frame.map_or(u64::MAX, |((time, ..), _)| *time))
    }

    /// The node goes on, with what comes to it until then.
    fn go(&mut self, limit: u64, stop: bool) -> Go {
        let later = self.frames.split_off(&(limit.saturating_add(1), 0, 0));
        let frames = std::mem::replace(&mut self.frames, later);
        Go {
            limit,
            stop,
            over: false,
            frames: frames.into_values().collect(),
        }
    }
}

impl Agenda {
    pub(super) fn new(plan: &Plan) -> Agenda {
        let count = plan.nodes.len();
        let mut nodes = Vec::new();
        nodes.resize_with(count, Waiting::default);
        Agenda {
            nodes,
            lookahead: Lookahead::new(plan),
            open: count,
            sent: 0,
        }
    }

    /// A node has come as far as it could.
    pub(super) fn idle(&mut self, plan: &Plan, node: usize, idle: Idle) {
        let waiting = &mut self.nodes[node];
        waiting.next = idle.next;
        if idle.done && !waiting.done {
            waiting.done = true;
            self.open = self.open.saturating_sub(1);
        }
        for frame in idle.frames {
            // One of an interface that the node does not have is no one's.
            let Some(interface) = plan.nodes[node].interfaces.get(usize::from(frame.interface)) else {
                continue;
            };
            let [one, two] = plan.links[interface.link].ends;
            let here = (node, usize::from(frame.interface));
            let (peer, there) = if one == here { two } else { one };
            let place = (frame.time, node, self.sent);
            self.sent += 1;
            let frame = Frame {
                interface: u16::try_from(there).unwrap_or(u16::MAX),
                ..frame
            };
            self.nodes[peer].frames.insert(place, frame);
        }
    }

    /// The time of the first event, and the nodes that go on; `None` when the flows of all have come to their ends.
    pub(super) fn next(&mut self) -> Option<(u64, Vec<(usize, Go)>)> {
        if self.open == 0 {
            return None;
        }
        let times: Vec<u64> = self.nodes.iter().map(Waiting::time).collect();
        let (now, first) = times.iter().copied().zip(0..).min()?;
        let mut going = Vec::new();
        for (node, waiting) in self.nodes.iter_mut().enumerate() {
            let reached = self.lookahead.reached(node, &times);
            if times[node] < reached {
                going.push((node, waiting.go(reached - 1, false)));
            } else if node == first {
                let others = times.iter().zip(0..).filter(|(_, other)| *other != node);
                let limit = match others.min() {
                    Some((time, other)) if node < other => *time,
                    Some((time, _)) => time.saturating_sub(1),
                    None => u64::MAX,
                };
                going.push((node, waiting.go(limit.max(now), true)));
            }
        }
        Some((now, going))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes whose link takes so long, with something to do at these times.
    fn agenda(delay: &str, times: [u64; 2]) -> (Plan, Agenda) {
        let nodes = "[[node]]\nname = \"a\"\nkind = \"host\"\n[[node]]\nname = \"b\"\nkind = \"host\"\n";
        let text =
            format!("[simulation]\nduration = \"1s\"\n{nodes}[[link]]\nends = [\"a\", \"b\"]\n{delay}");
        let plan = Plan::parse(&text).unwrap();
        let mut agenda = Agenda::new(&plan);
        for (node, next) in times.into_iter().enumerate() {
            let idle = Idle {
                next,
                ..Idle::default()
            };
            agenda.idle(&plan, node, idle);
        }
        (plan, agenda)
    }

    fn going(agenda: &mut Agenda) -> Vec<(usize, u64, bool, usize)> {
        let (_, going) = agenda.next().unwrap();
        let shown = going.into_iter();
        shown
            .map(|(node, go)| (node, go.limit, go.stop, go.frames.len()))
            .collect()
    }

    #[test]
    fn nodes_go_at_the_same_time_as_far_as_nothing_can_reach_them() {
        let (_, mut both) = agenda("delay = \"10ns\"", [100, 105]);
        assert_eq!(going(&mut both), [(0, 114, false, 0), (1, 109, false, 0)]);
        let (plan, mut one) = agenda("delay = \"10ns\"", [100, 200]);
        assert_eq!(going(&mut one), [(0, 119, false, 0)]);
        let frame = Frame {
            interface: 0,
            time: 125,
            bytes: Vec::new(),
        };
        let idle = Idle {
            next: 150,
            frames: vec![frame],
            ..Idle::default()
        };
        one.idle(&plan, 0, idle);
        assert_eq!(
            going(&mut one),
            [(1, 144, false, 1)],
            "it answers at 125 at the earliest"
        );
    }

    #[test]
    fn over_links_without_a_delay_the_first_node_goes_alone_until_it_sends_or_another_is_first() {
        for (times, expected) in [
            ([100, 105], (0, 105, true, 0)),
            ([100, 100], (0, 100, true, 0)),
            ([105, 100], (1, 104, true, 0)),
        ] {
            let (_, mut agenda) = agenda("", times);
            assert_eq!(going(&mut agenda), [expected]);
        }
    }
}
