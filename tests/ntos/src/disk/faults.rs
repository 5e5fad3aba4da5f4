//! Faults of disks: what goes wrong, and at which request.
//!
//! Read requests of a disk are numbered from 1 in the order of their arrival. A fault names the first number
//! that it applies to and how many requests in a row; requests that it does not apply to are served as usual.

use super::{Counts, Disk};
use crate::nt::*;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The request fails with this status.
    Error(NTSTATUS),
    /// The request completes with this many bytes at most.
    Short(usize),
    /// The data has this bit of each 512 bytes flipped (modulo 4096).
    Corrupt(u32),
    /// The request does not complete until the disk answers again ([`Disk::answer`]) or is removed.
    Hang,
    /// The disk is gone from here on.
    Remove,
}

/// A fault and when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first read request that fails, counted from 1.
    pub at: u64,
    /// How many in a row; `u64::MAX` for ever.
    pub count: u64,
    /// What goes wrong.
    pub kind: FaultKind,
}

impl Fault {
    /// One fault at request `at`.
    pub fn once(at: u64, kind: FaultKind) -> Fault {
        Fault { at, count: 1, kind }
    }

    /// A fault at `at` and at all later requests.
    pub fn from(at: u64, kind: FaultKind) -> Fault {
        Fault {
            at,
            count: u64::MAX,
            kind,
        }
    }

    fn applies(&self, number: u64) -> bool {
        number >= self.at && number - self.at < self.count
    }
}

impl Disk {
    /// The fault of read request `number`, if any.
    pub(super) fn fault(&self, number: u64) -> Option<FaultKind> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults
            .iter()
            .find(|fault| fault.applies(number))
            .map(|fault| fault.kind)
    }
}

impl Counts {
    /// Counts a read of `bytes`; returns its number.
    pub(super) fn read(&self, bytes: u64) -> u64 {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.deepest.fetch_max(under_way, Ordering::Relaxed);
        self.reads.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_apply_where_they_say() {
        let once = Fault::once(3, FaultKind::Hang);
        let ever = Fault::from(2, FaultKind::Hang);
        let hits = |fault: Fault| (1..6).filter(|number| fault.applies(*number)).collect::<Vec<_>>();
        assert_eq!(hits(once), [3]);
        assert_eq!(hits(ever), [2, 3, 4, 5]);
    }
}
