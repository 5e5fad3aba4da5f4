//! The bugs that lie in this Linux to be found (`arch/lkl/fuzz/planted.c`): each sleeps until Linux's command line names it.

use crate::target::Target;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// What names it.
    pub number: u32,
    /// What is wrong.
    pub what: &'static str,
    /// The target that reaches it.
    pub target: Target,
    /// The volume in `seeds/`; empty for a target without one.
    pub volume: &'static str,
}

const fn bug(number: u32, target: Target, volume: &'static str, what: &'static str) -> Bug {
    Bug {
        number,
        what,
        target,
        volume,
    }
}

/// All.
pub const BUGS: [Bug; 10] = [
    bug(
        1,
        Target::Image,
        "ext4",
        "write behind an object, behind a checksum",
    ),
    bug(2, Target::Image, "ext4", "use after free in an unmount"),
    bug(3, Target::Image, "vfat", "division by zero"),
    bug(4, Target::Image, "f2fs", "NULL pointer"),
    bug(5, Target::Calls, "ext4", "list that an entry is added to twice"),
    bug(6, Target::Calls, "ext4", "recursion without an end"),
    bug(7, Target::Netlink, "", "length of an attribute"),
    bug(8, Target::Netlink, "", "index of a register"),
    bug(9, Target::Packets, "", "length of a packet that becomes negative"),
    bug(10, Target::Packets, "", "sleep in atomic context"),
];

/// The file that they are in, as stacks have it.
pub const FILE: &str = "arch/lkl/fuzz/planted.c";
