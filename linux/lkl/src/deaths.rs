//! What follows from Linux's deaths: whether another one boots, and which volumes come into it.
//!
//! A program or driver that outlives its Linux keeps one [`Deaths`]. The account of whose work one died
//! ([`crate::Kernel::death_account`]) is *condemned*: what was open on it does not come into the next one. What it was mounted from,
//! told by a `Key`, is *fatal* when [`FATAL`] have died of it. [`MOST_DEATHS`] deaths within [`WHILE`] are too many: there is none
//! after them.
//!
//! This only counts. It boots nothing, and knows no clock.

use alloc::vec::Vec;
use core::num::NonZeroU64;

/// How often Linux may die within [`WHILE`].
pub const MOST_DEATHS: usize = 8;
/// Nanoseconds: ten minutes.
pub const WHILE: u64 = 600_000_000_000;
/// After so many deaths of one volume it is fatal.
pub const FATAL: u32 = 2;

/// The deaths so far.
#[derive(Debug)]
pub struct Deaths<Key> {
    /// When the last ones were, the latest first.
    latest: [Option<u64>; MOST_DEATHS],
    count: u32,
    condemned: Vec<NonZeroU64>,
    of: Vec<(Key, u32)>,
}

impl<Key> Default for Deaths<Key> {
    fn default() -> Self {
        Deaths::new()
    }
}

impl<Key> Deaths<Key> {
    /// None yet.
    pub const fn new() -> Self {
        Deaths {
            latest: [None; MOST_DEATHS],
            count: 0,
            condemned: Vec::new(),
            of: Vec::new(),
        }
    }

    /// Linux has died, or has not come up, at `now`: nanoseconds of a clock that never goes back. Whether another one is to boot.
    #[must_use]
    pub fn note(&mut self, now: u64) -> bool {
        self.count = self.count.saturating_add(1);
        self.latest.rotate_right(1);
        let [latest, .., oldest] = &mut self.latest;
        *latest = Some(now);
        !oldest.is_some_and(|oldest| now.saturating_sub(oldest) < WHILE)
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// One died at the work of this account. Without memory to remember it, it comes into the next one.
    pub fn condemn(&mut self, account: NonZeroU64) {
        if !self.condemned.contains(&account) && self.condemned.try_reserve(1).is_ok() {
            self.condemned.push(account);
        }
    }

    /// Whether one died at the work of this account.
    pub fn is_condemned(&self, account: NonZeroU64) -> bool {
        self.condemned.contains(&account)
    }
}

impl<Key: PartialEq> Deaths<Key> {
    /// One died of this volume; `copy` is its key, to keep. Without memory for that, it may be mounted as often as Linux may die.
    pub fn note_of(&mut self, key: &Key, copy: impl FnOnce() -> Option<Key>) {
        if let Some((_, deaths)) = self.of.iter_mut().find(|(of, _)| of == key) {
            *deaths = deaths.saturating_add(1);
            return;
        }
        if let Some(copy) = copy()
            && self.of.try_reserve(1).is_ok()
        {
            self.of.push((copy, 1));
        }
    }

    /// Whether so many died of this volume that it is not to be mounted any more.
    pub fn is_fatal(&self, key: &Key) -> bool {
        self.of.iter().any(|(of, deaths)| of == key && *deaths >= FATAL)
    }

    /// Forgets what died of a volume.
    pub fn forgive(&mut self, key: &Key) {
        self.of.retain(|(of, _)| of != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    #[test]
    fn as_many_deaths_as_there_may_be_within_a_while_are_the_end() {
        let mut deaths = Deaths::<()>::new();
        for at in 0..7 {
            assert!(deaths.note(at), "{at}");
        }
        assert!(!deaths.note(WHILE - 1));
        assert_eq!(deaths.count(), 8);
    }

    #[test]
    fn deaths_that_are_long_ago_do_not_count() {
        let mut deaths = Deaths::<()>::new();
        for number in 0..100 {
            // Eight are more than seven eighths of a while apart, and no less than a whole one.
            assert!(deaths.note(number * WHILE / 7 + number), "{number}");
        }
        let end = 99 * WHILE / 7 + 99;
        // Seven of the last are within a while of this.
        assert!(!deaths.note(end + 1));
    }

    #[test]
    fn a_volume_is_fatal_from_its_second_death_until_it_is_forgiven() {
        let mut deaths = Deaths::new();
        deaths.note_of(&"a", || Some("a"));
        assert!(!deaths.is_fatal(&"a"));
        deaths.note_of(&"b", || Some("b"));
        assert!(!deaths.is_fatal(&"a") && !deaths.is_fatal(&"b"));
        deaths.note_of(&"a", || panic!("it is known"));
        assert!(deaths.is_fatal(&"a") && !deaths.is_fatal(&"b"));
        deaths.forgive(&"a");
        assert!(!deaths.is_fatal(&"a"));
        deaths.note_of(&"a", || Some("a"));
        assert!(!deaths.is_fatal(&"a"));
        // It cannot be remembered.
        deaths.note_of(&"c", || None);
        deaths.note_of(&"c", || None);
        assert!(!deaths.is_fatal(&"c"));
    }

    #[test]
    fn an_account_stays_condemned() {
        let mut deaths = Deaths::<()>::new();
        deaths.condemn(account(3));
        deaths.condemn(account(3));
        assert!(deaths.is_condemned(account(3)) && !deaths.is_condemned(account(4)));
        assert_eq!(deaths.condemned.len(), 1);
    }
}
