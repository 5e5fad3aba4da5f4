//! Packets that have left their node's process, and have not come to the other one yet: each has its time when it comes.

use crate::plan::{EventKind, Plan};
use crate::quantity::Time;
use crate::simulation::isolate::common;
use std::collections::BTreeMap;

/// A packet, as far as it is kept.
pub(super) struct Packet {
    pub(super) time: Time,
    pub(super) len: usize,
    pub(super) leaves: bool,
    pub(super) data: Vec<u8>,
}

/// A link behind its first end.
pub(super) struct Way {
    /// How long it takes, in nanoseconds, from which time on.
    delays: Vec<(Time, u64)>,
    packets: BTreeMap<(Time, u64), Packet>,
    seen: u64,
}

impl Way {
    /// That of a link whose ends are in two processes.
    pub(super) fn new(plan: &Plan, link: usize) -> Way {
        let mut line = plan.links[link].lines[0];
        let mut delays = vec![(Time(0), common(line))];
        for event in &plan.events {
            if let EventKind::Change(other, change) = event.kind
                && other == link
            {
                line = line.with(change);
                delays.push((event.at, common(line)));
            }
        }
        Way {
            delays,
            packets: BTreeMap::new(),
            seen: 0,
        }
    }

    /// A packet was seen at the first end.
    pub(super) fn add(&mut self, packet: Packet) {
        let before = |(from, _): &&(Time, u64)| *from <= packet.time;
        let delay = self.delays.iter().rev().find(before);
        let delay = delay.map_or(0, |(_, delay)| *delay);
        let time = match packet.leaves {
            true => Time(packet.time.0.saturating_add(delay)),
            false => packet.time,
        };
        self.packets.insert((time, self.seen), Packet { time, ..packet });
        self.seen = self.seen.wrapping_add(1);
    }

    /// The first that has come by then.
    pub(super) fn come_by(&mut self, now: Time) -> Option<Packet> {
        let first = self.packets.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_leave_have_the_time_at_which_they_come_and_are_in_order() {
        let text = "[simulation]\nduration = \"1s\"\n[[node]]\nname = \"a\"\nkind = \"host\"\n[[node]]\nname = \"b\"\nkind = \"host\"\n\
                    [[link]]\nends = [\"a\", \"b\"]\nname = \"wire\"\ndelay = \"100ns\"\njitter = \"10ns\"\n\
                    [[event]]\nat = \"500ns\"\nchange = \"wire\"\ndelay = \"30ns\"\n";
        let plan = Plan::parse(text).unwrap();
        let mut way = Way::new(&plan, 0);
        for (time, leaves) in [(400, true), (450, false), (500, true)] {
            way.add(Packet {
                time: Time(time),
                len: 0,
                leaves,
                data: Vec::new(),
            });
        }
        let mut come = |now| std::iter::from_fn(|| Some(way.come_by(Time(now))?.time.0)).collect::<Vec<_>>();
        assert_eq!(come(489), [450]);
        assert_eq!(come(490), [490]);
        assert_eq!(come(600), [520]);
    }
}
