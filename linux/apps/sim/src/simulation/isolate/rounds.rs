//! The rounds in which nodes go on, as their processes agree on them in the memory that they share.
//!
//! Each node that has come as far as it may says when it has something to do next. The last one of the round decides who goes on in the next one ([`agenda`](super::agenda)),
//! wakes these up, and goes on itself if it is among them. A node that is not waits at its door. So no process but the nodes' own takes part,
//! and what follows from the times alone is the same each time.

use super::agenda::{Leave, going};
use super::lookahead::{neighbours, ways_to};
use super::shared::{Field, Layout, Shared, Total};
use crate::plan::Plan;
use rustix::thread::futex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The layout of the memory that the nodes of a plan share.
pub(super) fn layout(plan: &Plan) -> Layout {
    Layout {
        nodes: plan.nodes.len(),
        links: plan.links.len(),
    }
}

/// Memory for the nodes of a plan, in which all nodes are about to begin.
pub(super) fn prepare(plan: &Plan) -> io::Result<Shared> {
    let shared = Shared::new(layout(plan))?;
    let neighbours = neighbours(plan);
    for node in 0..plan.nodes.len() {
        for (place, way) in shared.ways(node).iter().zip(ways_to(node, &neighbours)) {
            place.store(way, Ordering::Relaxed);
        }
        shared
            .field(node, Field::Arriving)
            .store(u64::MAX, Ordering::Relaxed);
    }
    let count = u64::try_from(plan.nodes.len()).unwrap_or(u64::MAX);
    shared.total(Total::Running).store(count, Ordering::Relaxed);
    shared.total(Total::Open).store(count, Ordering::Release);
    Ok(shared)
}

/// The part of one node in the rounds.
#[derive(Debug)]
pub(super) struct Rounds {
    shared: Arc<Shared>,
    node: usize,
    /// What the door said when the node was told something last.
    heard: u32,
    done: bool,
}

impl Rounds {
    pub(super) fn new(shared: &Arc<Shared>, node: usize) -> Rounds {
        Rounds {
            shared: Arc::clone(shared),
            node,
            heard: 0,
            done: false,
        }
    }

    /// A frame is on its way to a node.
    pub(super) fn sent(&self, to: usize, time: u64) {
        let arriving = self.shared.field(to, Field::Arriving);
        arriving.fetch_min(time, Ordering::Relaxed);
    }

    /// The node has come as far as it could, and has something to do at `next`; `done`: its flows have come to their ends. How far it
    /// goes on, when it does; `None` when everything is over.
    pub(super) fn turn(&mut self, next: u64, done: bool) -> Option<Leave> {
        let shared = &self.shared;
        shared
            .field(self.node, Field::Next)
            .store(next, Ordering::Relaxed);
        if done && !self.done {
            self.done = true;
            shared.total(Total::Open).fetch_sub(1, Ordering::Relaxed);
        }
        // Whoever is last sees what all others have written before.
        if shared.total(Total::Running).fetch_sub(1, Ordering::AcqRel) == 1 {
            self.next_round();
        }
        let door = shared.door(self.node);
        while door.load(Ordering::Acquire) == self.heard {
            // It returns early for a signal, or when the door has changed meanwhile.
            let _ = futex::wait(door, futex::Flags::empty(), self.heard, None);
        }
        self.heard = self.heard.wrapping_add(1);
        if shared.total(Total::Over).load(Ordering::Relaxed) != 0 {
            return None;
        }
        Some(Leave {
            limit: shared.field(self.node, Field::Limit).load(Ordering::Relaxed),
            stop: shared.field(self.node, Field::Stop).load(Ordering::Relaxed) != 0,
        })
    }

    /// Decides who goes on, when none does.
    fn next_round(&self) {
        let shared = &self.shared;
        if shared.total(Total::Open).load(Ordering::Relaxed) == 0 {
            shared.total(Total::Over).store(1, Ordering::Relaxed);
            (0..shared.nodes()).for_each(|node| self.tell(node));
            return;
        }
        let time = |node| {
            let [next, arriving] =
                [Field::Next, Field::Arriving].map(|field| shared.field(node, field).load(Ordering::Relaxed));
            next.min(arriving)
        };
        let times: Vec<u64> = (0..shared.nodes()).map(time).collect();
        let now = times.iter().copied().min().unwrap_or(0);
        shared.total(Total::Now).store(now, Ordering::Relaxed);
        let ways = |node| shared.ways(node).iter().map(|way| way.load(Ordering::Relaxed));
        let going = going(&times, ways);
        let count = u64::try_from(going.len()).unwrap_or(u64::MAX);
        // Before any of them can end the round.
        shared.total(Total::Running).store(count, Ordering::Relaxed);
        for (node, leave) in &going {
            let set = |field, value| shared.field(*node, field).store(value, Ordering::Relaxed);
            set(Field::Limit, leave.limit);
            set(Field::Stop, leave.stop.into());
            // What is on its way it knows of when it says what is next.
            set(Field::Arriving, u64::MAX);
        }
        going.iter().for_each(|(node, _)| self.tell(*node));
    }

    /// Has a node see what was written for it.
    fn tell(&self, node: usize) {
        let door = self.shared.door(node);
        door.fetch_add(1, Ordering::Release);
        if node != self.node {
            // There is no way in which this fails with such an address.
            let _ = futex::wake(door, futex::Flags::empty(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn processes_that_share_the_memory_go_on_in_turns_and_end_together_when_all_are_done() {
        let nodes = "[[node]]\nname = \"a\"\nkind = \"host\"\n[[node]]\nname = \"b\"\nkind = \"host\"\n";
        let text = format!(
            "[simulation]\nduration = \"1s\"\n{nodes}[[link]]\nends = [\"a\", \"b\"]\ndelay = \"10ns\"\n"
        );
        let plan = Plan::parse(&text).unwrap();
        let shared = Arc::new(prepare(&plan).unwrap());
        let turns = Mutex::new(Vec::new());
        // Each sends something to the other whenever something comes to it, until its time is over.
        std::thread::scope(|scope| {
            for node in 0..2 {
                let (shared, turns) = (&shared, &turns);
                scope.spawn(move || {
                    let mut rounds = Rounds::new(shared, node);
                    let mut next = [100, u64::MAX][node];
                    while let Some(leave) = rounds.turn(next, next > 150 && next < u64::MAX) {
                        turns.lock().unwrap().push((node, leave.limit, leave.stop));
                        let now = if node == 0 && next == 100 {
                            100
                        } else {
                            leave.limit
                        };
                        rounds.sent(1 - node, now + 10);
                        next = now + 20;
                    }
                });
            }
        });
        let expected = [(0, 119, false), (1, 129, false), (0, 139, false), (1, 168, false)];
        assert_eq!(turns.into_inner().unwrap(), expected);
        assert_eq!(shared.total(Total::Over).load(Ordering::Relaxed), 1);
    }
}
