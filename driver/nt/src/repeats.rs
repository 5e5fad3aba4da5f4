//! A listing that never ends, told while it is made.
//!
//! A damaged directory can lead in a circle: a leaf that is its own successor, an entry whose length is wrong, after which a
//! file system begins again where it was. Each step of such a listing looks well, and only the whole is not: a directory
//! holds no name twice. [`Repeats`] finds the circle with two words of memory, by Brent's algorithm: it keeps one entry,
//! compares each later one with it, and keeps a later one instead whenever the listing has doubled in length. A circle is
//! found before the listing is six times as long as the circle and what leads to it.
//!
//! It is here because both ends of the driver list directories: the driver for programs, and `userctl` by itself.

/// What is remembered of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    kept: Option<(u64, u64)>,
    /// How often the kept name has come again.
    again: u8,
    /// Entries so far, and the number at which another one is kept.
    count: u64,
    next: u64,
    /// A circle was found, and stays found.
    found: bool,
}

/// A name that comes so often again is a circle. Once is damage of another kind: a name that is there twice.
const CIRCLE: u8 = 2;

/// FNV-1a, 64 bits. A name that is made to collide with another is told as damage, no more.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Repeats {
    /// Nothing has been listed.
    pub const fn new() -> Self {
        Self {
            kept: None,
            again: 0,
            count: 0,
            next: 0,
            found: false,
        }
    }

    /// Takes the next entry, `.` and `..` too: its name, and where the listing goes on after it (a count of the caller's,
    /// where that is not told). `true`, from then on: the listing goes in a circle, and this entry has been there before.
    ///
    /// # IRQL
    ///
    /// Any; never blocks.
    pub fn entry(&mut self, name: &[u8], cookie: u64) -> bool {
        if self.found {
            return true;
        }
        let hash = hash(name);
        if let Some((kept, place)) = self.kept
            && kept == hash
        {
            // The same name that leads to the same place has been there before, and so has all that follows.
            self.again = self.again.saturating_add(1);
            self.found = place == cookie || self.again >= CIRCLE;
            return self.found;
        }
        self.count = self.count.saturating_add(1);
        if self.count >= self.next {
            self.kept = Some((hash, cookie));
            self.again = 0;
            self.next = self.count.saturating_mul(2);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_listing_that_ends_is_none() {
        let mut repeats = Repeats::new();
        assert!((0..100_000u64).all(|at| !repeats.entry(format!("name {at}").as_bytes(), at)));
        // Cookies that do not tell entries apart, as those of one hash value in ext4, are no circle.
        let mut repeats = Repeats::new();
        assert!((0..1000).all(|at| !repeats.entry(format!("name {at}").as_bytes(), 7)));
    }

    #[test]
    fn a_name_that_is_there_twice_is_no_circle() {
        let mut repeats = Repeats::new();
        let names = ["a", "b", "b", "c", "a", "d", "e", "f", "d"];
        assert!(
            (0..)
                .zip(names)
                .all(|(at, name)| !repeats.entry(name.as_bytes(), at))
        );
    }

    #[test]
    fn every_circle_is_found_soon() {
        for lead in [0usize, 1, 2, 7, 100] {
            for circle in [1usize, 2, 3, 50, 123] {
                for moving in [false, true] {
                    let mut repeats = Repeats::new();
                    let found = (0..6 * (lead + circle) + 8).position(|at| {
                        let place = if at < lead {
                            at
                        } else {
                            lead + (at - lead) % circle
                        };
                        let cookie = if moving { at } else { place };
                        repeats.entry(format!("name {place}").as_bytes(), cookie as u64)
                    });
                    assert!(found.is_some(), "{lead} entries, then {circle} for ever");
                }
            }
        }
    }
}
