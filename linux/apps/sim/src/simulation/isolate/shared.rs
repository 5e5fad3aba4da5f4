//! Memory that the processes of all nodes have in common: a memory file whose beginning is numbers. What is behind the
//! numbers is written and read as a file ([`super::channel`]).
//!
//! What numbers mean, and who writes them, is in [`super::rounds`] and [`super::channel`].

use lkl_host_virtual::SharedNumbers;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Bytes of the file that are numbers, at most. Behind them are channels.
pub(super) const NUMBERS: u64 = 1 << 40;

/// How many numbers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) nodes: usize,
    pub(super) links: usize,
}

/// Of all nodes together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Total {
    /// The time of the first event of the round.
    Now = 0,
    /// Nodes that go on in this round.
    Running = 1,
    /// Nodes whose flows go on.
    Open = 2,
    /// Everything is over.
    Over = 3,
}

/// Of one node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    /// When it has something to do itself, or a frame comes that it knows of. The node writes it.
    Next = 0,
    /// When the first frame comes that was sent to it since it was told to go on. Those that send write it.
    Arriving = 1,
    /// Until when it goes on.
    Limit = 2,
    /// Whether it goes no further when it has sent something.
    Stop = 3,
}

const TOTALS: usize = 4;
const FIELDS: usize = 4;

/// The memory, of one of the processes.
#[derive(Debug)]
pub(super) struct Shared {
    numbers: SharedNumbers,
    layout: Layout,
}

impl Layout {
    /// How many numbers of eight bytes there are.
    fn numbers(self) -> usize {
        TOTALS + FIELDS * self.nodes + 2 * self.links + self.nodes * self.nodes
    }
}

impl Shared {
    /// New memory, of zeros.
    pub(super) fn new(layout: Layout) -> io::Result<Shared> {
        Shared::of(memfd_create("lklsim", MemfdFlags::CLOEXEC)?.into(), layout)
    }

    /// The memory that another process has made.
    pub(super) fn of(file: File, layout: Layout) -> io::Result<Shared> {
        let numbers = SharedNumbers::new(file, layout.numbers(), layout.nodes)?;
        Ok(Shared { numbers, layout })
    }

    /// The file itself.
    pub(super) fn file(&self) -> &File {
        self.numbers.file()
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.layout.nodes
    }

    fn part(&self, first: usize, count: usize) -> &[AtomicU64] {
        &self.numbers.long()[first..][..count]
    }

    /// A number of all nodes together.
    pub(super) fn total(&self, which: Total) -> &AtomicU64 {
        &self.numbers.long()[which as usize]
    }

    /// A number of a node.
    pub(super) fn field(&self, node: usize, which: Field) -> &AtomicU64 {
        &self.part(TOTALS, FIELDS * self.layout.nodes)[FIELDS * node + which as usize]
    }

    /// How many bytes were written to each channel: those of a link are side by side, and the first is that from its first end.
    pub(super) fn written(&self, channel: usize) -> &AtomicU64 {
        &self.part(TOTALS + FIELDS * self.layout.nodes, 2 * self.layout.links)[channel]
    }

    /// How long the shortest way to a node is, from each node.
    pub(super) fn ways(&self, to: usize) -> &[AtomicU64] {
        let Layout { nodes, links } = self.layout;
        self.part(TOTALS + FIELDS * nodes + 2 * links + nodes * to, nodes)
    }

    /// How often a node was told something, which it waits for.
    pub(super) fn door(&self, node: usize) -> &AtomicU32 {
        &self.numbers.short()[node]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::Ordering;

    #[test]
    fn each_number_has_a_place_of_its_own_and_all_who_have_the_file_see_it() {
        let layout = Layout { nodes: 3, links: 2 };
        let one = Shared::new(layout).unwrap();
        let other = Shared::of(one.file().try_clone().unwrap(), layout).unwrap();
        let places = |shared: &Shared| {
            let mut places = Vec::new();
            for total in [Total::Now, Total::Running, Total::Open, Total::Over] {
                places.push(std::ptr::from_ref(shared.total(total)).addr());
            }
            for node in 0..3 {
                for field in [Field::Next, Field::Arriving, Field::Limit, Field::Stop] {
                    places.push(std::ptr::from_ref(shared.field(node, field)).addr());
                }
                places.extend(shared.ways(node).iter().map(|way| std::ptr::from_ref(way).addr()));
                places.push(std::ptr::from_ref(shared.door(node)).addr());
            }
            places.extend((0..4).map(|channel| std::ptr::from_ref(shared.written(channel)).addr()));
            places
        };
        assert_eq!(
            places(&one).into_iter().collect::<BTreeSet<_>>().len(),
            4 + 12 + 9 + 3 + 4
        );
        one.field(2, Field::Stop).store(5, Ordering::Relaxed);
        one.door(2).store(6, Ordering::Relaxed);
        assert_eq!(other.field(2, Field::Stop).load(Ordering::Relaxed), 5);
        assert_eq!(other.door(2).load(Ordering::Relaxed), 6);
    }
}
