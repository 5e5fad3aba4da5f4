//! The targets: what an input is of.

use crate::calls::Calls;
use crate::netlink::Messages;
use crate::packets::Packets;
use crate::records::{Grammar, Records};
use crate::smaller;
use crate::strands::Strands;

/// What is done with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It changes a volume, which is mounted and read.
    Image,
    /// It is system calls on a mounted volume.
    Calls,
    /// It is the same, some of them side by side.
    Schedules,
    /// It is frames for a network interface.
    Packets,
    /// It is messages to Linux's ends of netlink.
    Netlink,
}

impl Target {
    /// All.
    pub const ALL: [Target; 5] = [
        Target::Image,
        Target::Calls,
        Target::Schedules,
        Target::Packets,
        Target::Netlink,
    ];

    /// As commands call it.
    pub fn name(self) -> &'static str {
        match self {
            Target::Image => "image",
            Target::Calls => "calls",
            Target::Schedules => "schedules",
            Target::Packets => "packets",
            Target::Netlink => "netlink",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Target> {
        Target::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Whether it is of a volume.
    pub fn has_volume(self) -> bool {
        matches!(self, Target::Image | Target::Calls | Target::Schedules)
    }

    /// How its inputs become others; `None` of the one whose inputs are of a volume's structure.
    pub fn grammar(self) -> Option<&'static dyn Grammar> {
        match self {
            Target::Image => None,
            Target::Calls => Some(&Calls),
            Target::Schedules => Some(&Strands),
            Target::Packets => Some(&Packets),
            Target::Netlink => Some(&Messages),
        }
    }

    /// The smallest input that is found for which `same` holds, as it does for `input`.
    pub fn smaller(self, input: &[u8], mut same: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let Some(grammar) = self.grammar() else {
            return smaller::smaller(input, same);
        };
        let (head, rest) = input.split_at(input.len().min(grammar.head()));
        let with_head = |rest: &[u8]| [head, rest].concat();
        let rest = Records::smaller(rest, |rest| same(&with_head(rest)));
        with_head(&rest)
    }
}
