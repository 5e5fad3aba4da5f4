//! What the log of a VHDX changes in its file: sectors of 4 KiB that are in the log, and ranges of zeros.
//!
//! A log may say something about the same place many times, and the last word counts. [`Plan`] collects what it says in
//! order; [`Plan::finish`] sweeps over it once and leaves ranges that do not overlap, so that a look-up is a binary
//! search, however the log was made.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

use crate::error::Error;
use crate::fields::push;

/// Bytes of a sector of the log, and what its places are multiples of.
pub(crate) const SECTOR: usize = 4096;
pub(crate) const SECTOR_BYTES: u64 = 4096;

/// What is to be read instead of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Patch {
    /// Zeros.
    Zero,
    /// The sector at byte `at` of the same file, but for its first and last bytes.
    Sector { at: u64, head: [u8; 8], tail: [u8; 4] },
}

/// Ranges in order that do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Patches(Vec<Range>);

#[derive(Debug, Clone, Copy)]
struct Range {
    start: u64,
    end: u64,
    patch: Patch,
}

impl Patches {
    /// What is said about the byte at `offset`, and for how many bytes from there on that holds: at most `length`.
    pub fn find(&self, offset: u64, length: u64) -> (Option<Patch>, u64) {
        let next = self.0.partition_point(|range| range.end <= offset);
        match self.0.get(next) {
            Some(range) if range.start <= offset => {
                (Some(range.patch), length.min(range.end.saturating_sub(offset)))
            }
            Some(range) => (None, length.min(range.start.saturating_sub(offset))),
            None => (None, length),
        }
    }
}

/// What a log says, in its order.
#[derive(Debug, Default)]
pub(crate) struct Plan(Vec<Range>);

impl Plan {
    /// The bytes from `start` up to `end` are `patch` from now on.
    pub fn add(&mut self, start: u64, end: u64, patch: Patch) -> Result<(), Error> {
        if start < end {
            push(&mut self.0, Range { start, end, patch })?;
        }
        Ok(())
    }

    /// The last word about each place.
    pub fn finish(self) -> Result<Patches, Error> {
        let said = self.0;
        // Everything that may be needed is asked for now.
        let mut by_start = Vec::new();
        let mut edges = Vec::new();
        let mut open = BinaryHeap::new();
        let mut done: Vec<Range> = Vec::new();
        let twice = said.len().saturating_mul(2);
        let reserved = by_start.try_reserve_exact(said.len()).is_ok()
            && edges.try_reserve_exact(twice).is_ok()
            && open.try_reserve_exact(said.len()).is_ok()
            && done.try_reserve_exact(twice).is_ok();
        if !reserved {
            return Err(Error::NoMemory);
        }
        by_start.extend(0..said.len());
        by_start.sort_unstable_by_key(|&order| said.get(order).map(|range| range.start));
        edges.extend(said.iter().flat_map(|range| [range.start, range.end]));
        edges.sort_unstable();
        edges.dedup();
        let mut waiting = by_start.into_iter().peekable();
        for (&start, &end) in edges.iter().zip(edges.iter().skip(1)) {
            while let Some(order) =
                waiting.next_if(|&order| said.get(order).is_some_and(|range| range.start <= start))
            {
                open.push(order);
            }
            // The latest that reaches here.
            while open
                .peek()
                .is_some_and(|&order| said.get(order).is_none_or(|range| range.end <= start))
            {
                open.pop();
            }
            let Some(range) = open.peek().and_then(|&order| said.get(order)) else {
                continue;
            };
            match done.last_mut() {
                Some(last) if last.end == start && last.patch == range.patch => last.end = end,
                _ => done.push(Range {
                    start,
                    end,
                    patch: range.patch,
                }),
            }
        }
        Ok(Patches(done))
    }
}
