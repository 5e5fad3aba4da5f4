//! The names in a directory, collected within bounds.
//!
//! What a volume says decides how many names there are, and a damaged one may say that there is always one more. So
//! [`Names`] stops at a circle ([`lklfs_nt::repeats`]), and at a number of bytes that no directory of real use comes near;
//! what was found until then is kept, with the reason ([`Trouble`]).

use std::fmt;
use std::ops::ControlFlow;

use lklfs_nt::repeats::Repeats;

use crate::volume::{Errno, Volume};
use crate::watchdog;

/// Bytes that the names on the way from the root to where a walk stands may take: some nine million of 20 bytes.
pub const MOST_BYTES: usize = 256 << 20;

/// Why something of a volume is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Linux refused it.
    Errno(Errno),
    /// A directory leads in a circle.
    Endless,
    /// A directory was reached by two paths; its entries were met by the first.
    Again,
    /// There is no room for the names of a directory.
    TooMany,
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::Errno(errno)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Errno(errno) => errno.fmt(f),
            Trouble::Endless => f.write_str("the directory never ends: the same names come again and again"),
            Trouble::Again => f.write_str("the same directory as one that was met before, by another path"),
            Trouble::TooMany => f.write_str("the directory has more names than there is room for"),
        }
    }
}

/// Names, sorted by their bytes, each once, none of them `.` or `..`.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Start and length of each in `bytes`.
    places: Vec<(u32, u16)>,
}

impl Names {
    /// Those in `directory`, as many as fit into `room` bytes; and why they are not all.
    pub fn of<V: Volume>(volume: &V, directory: &V::Node, room: usize) -> (Names, Option<Trouble>) {
        let mut names = Names::default();
        let mut repeats = Repeats::new();
        let mut trouble = None;
        let listed = volume.list(directory, &mut |name, cookie| {
            if repeats.entry(name, cookie) {
                trouble = Some(Trouble::Endless);
            } else if !names.add(name, room) {
                trouble = Some(Trouble::TooMany);
            }
            match trouble {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            }
        });
        watchdog::progress();
        names.sort();
        (names, trouble.or(listed.err().map(Trouble::Errno)))
    }

    /// Adds one, unless it is none; `false` when there is no room.
    fn add(&mut self, name: &[u8], room: usize) -> bool {
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
            return true;
        }
        let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len())) else {
            return false;
        };
        if self.size() + name.len() + size_of::<(u32, u16)>() > room {
            return false;
        }
        self.bytes.extend_from_slice(name);
        self.places.push((start, length));
        true
    }

    fn sort(&mut self) {
        let Names { bytes, places } = self;
        let name =
            |&(start, length): &(u32, u16)| &bytes[start as usize..start as usize + usize::from(length)];
        places.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        // A damaged directory can hold a name twice; opened by name, the second would be the first again.
        places.dedup_by(|a, b| name(a) == name(b));
    }

    /// Bytes that they take.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<(u32, u16)>()
    }

    /// The one with this number, from 0.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let &(start, length) = self.places.get(index)?;
        self.bytes
            .get(start as usize..start as usize + usize::from(length))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.places.len()).filter_map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn names_are_sorted_and_none_is_a_dot() {
        let mut volume = Memory::new();
        for path in ["/b", "/a", "/c"] {
            volume.add_file(path, b"");
        }
        let (names, trouble) = Names::of(&volume, &volume.root().unwrap(), MOST_BYTES);
        assert_eq!(names.iter().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(trouble, None);
    }

    #[test]
    fn a_circle_ends_with_each_name_once() {
        let mut volume = Memory::new();
        for number in 0..300 {
            volume.add_file(&format!("/{number}"), b"");
        }
        volume.never_ends("/");
        let (names, trouble) = Names::of(&volume, &volume.root().unwrap(), MOST_BYTES);
        assert_eq!(names.iter().count(), 300);
        assert_eq!(trouble, Some(Trouble::Endless));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let mut volume = Memory::new();
        for number in 0..300 {
            volume.add_file(&format!("/{number}"), b"");
        }
        let (names, trouble) = Names::of(&volume, &volume.root().unwrap(), 1000);
        assert!((1..300).contains(&names.iter().count()) && names.size() <= 1000);
        assert_eq!(trouble, Some(Trouble::TooMany));
    }
}
