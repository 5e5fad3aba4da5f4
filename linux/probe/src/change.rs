//! Whether somebody has written to a volume: a fingerprint of what its file system cannot leave alone when it is mounted
//! for writing.
//!
//! It is for volumes that are mounted here while another system may have had the disk: the machine slept and something
//! else was started, or a removable medium was away. What is read here must be the disk itself, not what Linux shows of
//! it, since Linux replays journals into an overlay.
//!
//! | file system | what is looked at | why any writer changes it |
//! |---|---|---|
//! | ext2/3/4 | the superblock: mount count, times of mount, write and check, state, free blocks and inodes, journal flag | mounting for writing counts, dates and flags it at once |
//! | btrfs | the superblock: generation, roots of trees and log, checksum | every commit and every log write rewrites it |
//! | XFS | the superblock, and the head of the log: its cycle, block and last record | every change goes through the log, whose head only moves on |
//! | F2FS | the first block of both checkpoint packs: version, flags, counts | every checkpoint writes one with the next version; mounting for writing after a crash and unmounting write one |
//! | others | the block with the superblock | most mark in it that they are mounted |
//!
//! What cannot be seen: F2FS data that was only `fsync`ed between two checkpoints by a system that then crashed and has not
//! mounted it again; and writes that bypass the file system and leave these blocks alone.

use crate::kind::Kind;
use crate::superblock::Superblock;
use crate::window::Window;
use crate::xfs_log::Log;
use crate::{ReadAt, ReadError};

/// What was found on a volume at one time. Two that are equal mean that nobody has mounted the volume for writing in
/// between (by its 64 bits, which are no defence against a forger).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// FNV-1a, 64 bits.
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Takes the fingerprint of the volume on which [`probe`](crate::probe) has found `superblock`. An error when any of it
/// cannot be read or makes no sense: then nothing is known.
pub fn fingerprint<V: ReadAt + ?Sized>(
    volume: &V,
    superblock: &Superblock,
) -> Result<Fingerprint, ReadError> {
    let mut window = Window::new(volume).ok_or(ReadError)?;
    let mut hash = Hash::new();
    let taken = match superblock.kind {
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => block(&mut window, &mut hash, 1024, 1024),
        Kind::Btrfs => block(&mut window, &mut hash, 65536, 4096),
        Kind::Xfs => block(&mut window, &mut hash, 0, 512).and_then(|()| xfs_log(&mut window, &mut hash)),
        Kind::F2fs => f2fs_checkpoints(&mut window, &mut hash),
        Kind::Bcachefs => block(&mut window, &mut hash, 4096, 512),
        Kind::Reiserfs => {
            // The newer place, or the older one.
            block(&mut window, &mut hash, 65536, 512).or_else(|| block(&mut window, &mut hash, 8192, 512))
        }
        Kind::Jfs => block(&mut window, &mut hash, 32768, 512),
        Kind::Nilfs2 => block(&mut window, &mut hash, 1024, 1024),
        // Small, optical, read-only and foreign ones: their superblock is somewhere in the first blocks.
        _ => block(&mut window, &mut hash, 0, 512)
            .and_then(|()| block(&mut window, &mut hash, 1024, 512))
            .and_then(|()| block(&mut window, &mut hash, 32768, 512).or(Some(()))),
    };
    taken.map(|()| Fingerprint(hash.0)).ok_or(ReadError)
}

/// Adds the bytes of one block of at most 4096.
fn block<V: ReadAt + ?Sized>(
    window: &mut Window<'_, V>,
    hash: &mut Hash,
    offset: u64,
    len: usize,
) -> Option<()> {
    hash.add(window.at(offset, len)?.bytes(0, len)?);
    Some(())
}

/// Both checkpoint packs' first blocks: `cp_blkaddr` of the superblock, and one segment further.
fn f2fs_checkpoints<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, hash: &mut Hash) -> Option<()> {
    let (block_log, segment_log, first) = [1024, 5120].into_iter().find_map(|offset| {
        let fields = window.at(offset, 2048)?;
        (fields.le32(0)? == 0xf2f5_2010).then_some(())?;
        Some((fields.le32(16)?, fields.le32(20)?, fields.le32(76)?))
    })?;
    if block_log > 16 || segment_log > 16 {
        return None;
    }
    let start = u64::from(first).checked_shl(block_log)?;
    let segment = 1u64.checked_shl(block_log.checked_add(segment_log)?)?;
    block(window, hash, start, 4096)?;
    block(window, hash, start.checked_add(segment)?, 4096)
}

/// How many blocks before the head of XFS's log are looked at.
const LOG_TAIL: u64 = 8;

/// The head of XFS's log: where it is, and what was written last.
fn xfs_log<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, hash: &mut Hash) -> Option<()> {
    let Some(log) = Log::find(window)? else {
        // The log is on another disk, which this one does not tell of.
        return Some(());
    };
    let (cycle, head) = log.head(window)?;
    hash.add(&cycle.to_be_bytes());
    hash.add(&head.to_be_bytes());
    for index in head.saturating_sub(LOG_TAIL)..head {
        hash.add(&log.block(window, index)?);
    }
    Some(())
}
