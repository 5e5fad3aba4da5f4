//! The file systems: how the distribution makes each, how its files get there, what it can hold.
//!
//! Where Debian 12 has a mkfs, its options are its defaults but for identifiers, which are fixed, and for what the name of
//! the kind says; where it has none, [`crate::makers`] makes the image. What a file system cannot hold is not asked of it: see [`Abilities`].

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// What a file system can hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Permission bits.
    pub modes: bool,
    /// A file may have no permission bit at all.
    pub mode_zero: bool,
    /// Owners and groups.
    pub owners: Owners,
    /// Symbolic links.
    pub links: bool,
    /// Longest target of a link in bytes.
    pub target: usize,
    /// Several names for one file.
    pub hard_links: bool,
    /// FIFOs and sockets.
    pub fifos: bool,
    /// Block and character devices.
    pub devices: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Files with holes (elsewhere a hole would be written out).
    pub holes: bool,
    /// Names are ASCII only.
    pub ascii_names: bool,
    /// Names are UCS-2: no character beyond U+FFFF.
    pub bmp_names: bool,
    /// Names are any bytes but NUL and slash.
    pub any_bytes: bool,
    /// Two names may differ in case only.
    pub case_sensitive: bool,
    /// Longest name in bytes.
    pub name: usize,
    /// There are no directories but the root.
    pub flat: bool,
    /// Levels of the deep directory.
    pub depth: u32,
    /// The most files in the wide directory.
    pub wide: u32,
    /// The largest file that is to be made, in bytes.
    pub largest: u64,
    /// Times of change.
    pub mtime: Option<Times>,
    /// The root directory has a time, too.
    pub root_time: bool,
    /// mkfs makes a directory of its own in the root.
    pub lost_found: bool,
    /// How directories count their links.
    pub directory_links: DirectoryLinks,
}

/// Which owners fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owners {
    /// None at all.
    None,
    /// Owners of 16 bits, groups of 8.
    Small,
    /// 16 bits.
    Medium,
    /// 32 bits.
    Large,
}

/// The links that a directory shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectoryLinks {
    /// Two, and one for each directory in it.
    Subdirectories,
    /// Always one.
    One,
    /// Not stated here; only a reference can tell.
    Unknown,
}

/// Which times fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Unit in nanoseconds.
    pub unit: u64,
    /// Earliest second.
    pub first: i64,
    /// Latest second.
    pub last: i64,
}

impl Times {
    /// `time` in the unit.
    pub fn round(&self, (seconds, nanoseconds): (i64, u32)) -> (i64, u32) {
        let unit = i64::try_from(self.unit / 1_000_000_000)
            .unwrap_or(i64::MAX)
            .max(1);
        let fraction = u32::try_from(self.unit).unwrap_or(u32::MAX);
        let nanoseconds = if self.unit >= 1_000_000_000 {
            0
        } else {
            nanoseconds - nanoseconds % fraction
        };
        (seconds - seconds.rem_euclid(unit), nanoseconds)
    }
}

/// How an image of a kind comes about. In commands, `{image}` and `{tree}` stand for paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// mkfs on an empty image, which is then mounted and filled.
    Filled {
        /// The mkfs.
        mkfs: &'static [&'static str],
        /// Options of the mount that fills it.
        options: &'static str,
        /// A FUSE program that mounts it for filling, where Linux does not write to it.
        fuse: Option<&'static str>,
    },
    /// A program makes it from a directory.
    Packed {
        /// The program.
        command: &'static [&'static str],
    },
}

/// A file system.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name here: one kind for each way of making it.
    pub name: &'static str,
    /// Linux's name for it.
    pub linux: &'static str,
    /// Modules of the user-mode Linux that it needs; empty if none.
    pub modules: &'static [&'static str],
    /// Size of the image in bytes; packed images have the size that they get.
    pub size: u64,
    /// How it is made.
    pub maker: Maker,
    /// Options of a mount that reads it.
    pub options: &'static str,
    /// What mkfs adds of its own.
    pub extra: &'static [&'static str],
    /// Nothing on the disk tells this file system well enough: a reader must be told its name.
    pub named: bool,
    /// Linux's own kernels are built without it as often as with it.
    pub rare: bool,
    /// What it can hold.
    pub abilities: Abilities,
}

impl Kind {
    /// The kind called `name`.
    pub fn named(name: &str) -> Option<&'static Kind> {
        all().iter().find(|kind| kind.name == name)
    }

    /// Whether this machine's own Linux can mount it.
    pub fn is_native(&self) -> bool {
        if self.rare {
            return false;
        }
        let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        list.lines()
            .any(|line| line.split_whitespace().next_back() == Some(self.linux))
    }
}

/// All kinds.
pub fn all() -> &'static [Kind] {
    static ALL: LazyLock<Vec<Kind>> = LazyLock::new(|| {
        let mut kinds = table::all();
        kinds.extend(crate::makers::kinds().cloned());
        kinds
    });
    &ALL
}

#[path = "kind_table.rs"]
mod table;
