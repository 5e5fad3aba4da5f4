//! Small blocks in shared pages, for when there are too many for guard pages.
//!
//! A cell is a block with at least 16 bytes of [`SLACK`] on either side. Freed cells are filled with [`FREED`] and queue
//! up behind others of their size, so that a write to them has time to happen before they are looked at again.

use super::{ALIGN, SLACK};
use crate::mm::{
    PAGE_SIZE, phys,
    space::{self, Protection, RegionKind},
};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

/// The largest block that gets a cell.
pub const LARGEST: usize = 2048;
/// Bytes of a freed cell.
const FREED: u8 = 0xDF;
/// Bytes before a block.
const BEFORE: usize = 16;
/// Pages of one piece that is cut into cells.
const PIECE: usize = 64;
/// Freed cells of a size that wait before one of them is used again.
const PATIENCE: usize = 256;

pub(super) struct Cells {
    free: BTreeMap<usize, (Vec<usize>, VecDeque<usize>)>,
}

/// Bytes of the cell that holds a block of `size` bytes.
fn cell_size(size: usize) -> usize {
    let need = BEFORE + size.next_multiple_of(ALIGN) + ALIGN;
    if need <= 512 {
        need.next_multiple_of(64)
    } else {
        need.next_multiple_of(256)
    }
}

/// The slack on both sides of a block.
pub(super) fn slack(address: usize, size: usize) -> (Range<usize>, Range<usize>) {
    let start = address - BEFORE;
    (start..address, address + size..start + cell_size(size))
}

impl Cells {
    pub(super) const fn new() -> Self {
        Self {
            free: BTreeMap::new(),
        }
    }

    /// A block of `size` bytes with its slack filled.
    pub(super) fn take(&mut self, size: usize) -> usize {
        let cell = cell_size(size);
        let (never_used, freed) = self.free.entry(cell).or_default();
        let start = match freed.len() {
            0..PATIENCE => never_used.pop(),
            _ => freed.pop_front(),
        };
        let start = start.unwrap_or_else(|| {
            let extent = phys::allocate(PIECE as u64).expect("the double's memory is not full");
            let frames = vec![extent];
            let region = space::map(RegionKind::Pool, PIECE, PAGE_SIZE, frames, Protection::ReadWrite);
            let cells = (region.pages * PAGE_SIZE) / cell;
            never_used.extend((1..cells).map(|index| region.base + index * cell));
            region.base
        });
        // SAFETY: the cell is free and mapped, and becomes the caller's.
        unsafe { std::ptr::write_bytes(start as *mut u8, SLACK, cell) };
        start + BEFORE
    }

    /// Takes a block back. Some: the cell that would be used next was written after its own free, at that address.
    pub(super) fn give_back(&mut self, address: usize, size: usize) -> Option<usize> {
        let (start, cell) = (address - BEFORE, cell_size(size));
        // SAFETY: the block was live until now, so its cell is mapped and nobody else's.
        unsafe { std::ptr::write_bytes(start as *mut u8, FREED, cell) };
        let (_, freed) = self.free.entry(cell).or_default();
        freed.push_back(start);
        let oldest = *freed.front()?;
        // SAFETY: free cells stay mapped.
        let bytes = unsafe { std::slice::from_raw_parts(oldest as *const u8, cell) };
        bytes.iter().position(|byte| *byte != FREED).map(|at| oldest + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_slack_on_both_sides_and_wait_before_they_are_used_again() {
        let mut cells = Cells::new();
        for size in [1, 16, 100, 500, LARGEST] {
            let (before, after) = slack(0x1000, size);
            assert!(before.len() >= 16 && after.len() >= 16, "{size}");
            let block = cells.take(size);
            assert!(block.is_multiple_of(ALIGN));
            assert_eq!(cells.give_back(block, size), None);
            assert_ne!(cells.take(size), block);
        }
    }

    #[test]
    fn a_write_to_a_freed_cell_is_noticed() {
        let mut cells = Cells::new();
        let block = cells.take(64);
        assert_eq!(cells.give_back(block, 64), None);
        // SAFETY: free cells stay mapped.
        unsafe { *((block + 3) as *mut u8) = 1 };
        let other = cells.take(64);
        assert_eq!(cells.give_back(other, 64), Some(block + 3));
    }
}
