//! The log of XFS, as far as it tells where it ends and how.
//!
//! The log is a ring of blocks of 512 bytes. Each begins with the number of the round, the *cycle*, in which it was written:
//! from the start to the head the present one, behind it an older one. So the head is found by halving. What was written
//! last stands before it; if that is the record of an unmount, the log is *clean*: there is nothing to recover. This is
//! what Linux looks for, too (`xlog_find_head`, `xlog_check_unmount_rec`).

use crate::ReadAt;
use crate::window::Window;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;
/// The first word of a record's header.
const RECORD: u32 = 0xfeed_babe;
/// The largest record, in bytes, whose header is one block.
const SMALL_RECORD: u32 = 32 * 1024;
/// `XLOG_UNMOUNT_TRANS`, a flag of an operation.
const UNMOUNT: u8 = 0x20;

/// A log inside of its file system.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    /// Byte on the volume.
    start: u64,
    /// In blocks.
    count: u64,
}

impl Log {
    /// From the superblock. `Some(None)`: it is on another disk.
    pub(crate) fn find<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Option<Self>> {
        let fields = window.at(0, 512)?;
        let block_bytes = u64::from(fields.be32(4)?);
        let (address, blocks) = (fields.be64(48)?, u64::from(fields.be32(96)?));
        let (group_blocks, group_log) = (u64::from(fields.be32(84)?), u32::from(fields.u8(124)?));
        if address == 0 || blocks == 0 {
            return Some(None);
        }
        // An address is a group's number above a block's.
        let group = address.checked_shr(group_log)?;
        let within = address.checked_sub(group.checked_shl(group_log)?)?;
        let start = group
            .checked_mul(group_blocks)?
            .checked_add(within)?
            .checked_mul(block_bytes)?;
        let count = blocks.checked_mul(block_bytes)?.checked_div(512)?;
        Some(Some(Log { start, count }))
    }

    /// A block.
    pub(crate) fn block<V: ReadAt + ?Sized>(
        &self,
        window: &mut Window<'_, V>,
        index: u64,
    ) -> Option<[u8; BLOCK]> {
        let offset = self.start.checked_add(index.checked_mul(512)?)?;
        window.at(offset, BLOCK)?.array(0)
    }

    /// The present cycle, and the block behind the last one of it.
    pub(crate) fn head<V: ReadAt + ?Sized>(&self, window: &mut Window<'_, V>) -> Option<(u32, u64)> {
        let present = cycle(&self.block(window, 0)?)?;
        let (mut low, mut high) = (0, self.count);
        // Invariant: block `low` is of the present cycle, block `high` is not, or does not exist.
        while high.checked_sub(low)? > 1 {
            let middle = low.checked_add(high)?.checked_div(2)?;
            if cycle(&self.block(window, middle)?)? == present {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some((present, high))
    }

    /// Whether the last record says that the file system was unmounted. `None`, as `Some(false)`, when in doubt.
    pub(crate) fn is_clean<V: ReadAt + ?Sized>(&self, window: &mut Window<'_, V>) -> Option<bool> {
        let (_, head) = self.head(window)?;
        let header = self.block(window, head.checked_sub(2)?)?;
        let record = self.block(window, head.checked_sub(1)?)?;
        // h_num_logops is 1, and h_size says that the header is no longer than this block: with version 2 (h_version
        // has the bit) it may be.
        let small = word(&header, 8)? & 2 == 0 || word(&header, 320)? <= SMALL_RECORD;
        let one = word(&header, 0)? == RECORD && word(&header, 40)? == 1;
        // oh_flags of the only operation.
        Some(small && one && record.get(9)? & UNMOUNT != 0)
    }
}

fn word(block: &[u8; BLOCK], at: usize) -> Option<u32> {
    let four = block.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// The cycle of a block: its first word, or the second where the first says that a record begins.
fn cycle(block: &[u8; BLOCK]) -> Option<u32> {
    match word(block, 0)? {
        RECORD => word(block, 4),
        cycle => Some(cycle),
    }
}
