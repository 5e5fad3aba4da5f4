//! Puts the checksums of changed blocks right. Without that hardly a changed block would get beyond its first check.
//!
//! What a block is, its own first bytes say, as it stood in the seed or stands now; nothing is followed. All sums but F2FS's are
//! CRC-32C with the field taken as zeros.

use crate::image::Image;
use crate::seed::PAGE;
use crc::{Algorithm, CRC_32_ISCSI, CRC_32_ISO_HDLC, Crc};

/// CRC-32C as Linux's `crc32c()` has it: what it is given is the state, and nothing is inverted at the end.
const RAW: Crc<u32> = Crc::<u32>::new(&Algorithm {
    xorout: 0,
    ..CRC_32_ISCSI
});
const FINISHED: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// CRC-32 as `crc32_le()` has it.
const RAW_IEEE: Crc<u32> = Crc::<u32>::new(&Algorithm {
    init: F2FS_MAGIC.reverse_bits(),
    xorout: 0,
    ..CRC_32_ISO_HDLC
});
const F2FS_MAGIC: u32 = 0xf2f5_2010;

fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |two| u16::from_le_bytes(*two))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |four| u32::from_le_bytes(*four))
}

/// Puts a sum into a block. `None` when it has no such place.
fn put(block: &mut [u8], at: usize, sum: impl FnOnce(&[u8]) -> u32) -> Option<()> {
    block.get_mut(at..at + 4)?.fill(0);
    let sum = sum(block);
    block[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    Some(())
}

/// Reads a block, has it mended, and writes it.
fn mended(image: &mut Image, at: u64, length: usize, mend: impl FnOnce(&mut [u8]) -> Option<()>) {
    let mut block = image.bytes(at, length);
    if mend(&mut block).is_some() {
        image.write(at, &block);
    }
}

/// All that were changed.
pub fn mend(fs: &str, image: &mut Image) {
    let changed = image.changed();
    match fs {
        "ext4" => ext4(image, &changed),
        "xfs" => xfs(image, &changed),
        "btrfs" => btrfs(image, &changed),
        "f2fs" => f2fs(image, &changed),
        "erofs" => mended(image, 1024, PAGE - 1024, |block| {
            put(block, 4, |bytes| RAW.checksum(bytes))
        }),
        _ => {}
    }
}

/// Inodes, group descriptors and the superblock of an ext4 with `metadata_csum`. Its blocks are pages, or fewer bytes.
fn ext4(image: &mut Image, changed: &[u64]) {
    const METADATA_CSUM: u32 = 0x400;
    let superblock = image.bytes(1024, 1024);
    if le32(&superblock, 100) & METADATA_CSUM == 0 {
        return;
    }
    let block = 1024u64 << (le32(&superblock, 24) & 7);
    let seed = RAW.checksum(&superblock[104..120]);
    let first = u64::from(le32(&superblock, 20));
    let (per_group, inode) = (u64::from(le32(&superblock, 40)), u64::from(le16(&superblock, 88)));
    let descriptor = match le32(&superblock, 96) & 0x80 {
        0 => 32,
        _ => usize::from(le16(&superblock, 254)).clamp(32, 64),
    };
    let table = (first + 1) * block;
    let inodes = u64::from(le32(&image.bytes(table + 8, 4), 0)) * block;
    let is_changed = |at: u64| changed.binary_search(&(at / PAGE as u64)).is_ok();
    if (128..=1024).contains(&inode) && per_group < 1 << 16 {
        for number in 0..per_group {
            let at = inodes + number * inode;
            if is_changed(at) && at < image.size() {
                mended(image, at, inode as usize, |bytes| {
                    ext4_inode(bytes, seed, number as u32 + 1)
                });
            }
        }
    }
    mended(image, table, descriptor, |bytes| {
        bytes[30..32].fill(0);
        let sum = with(with(seed, &0u32.to_le_bytes()), bytes);
        bytes[30..32].copy_from_slice(&sum.to_le_bytes()[..2]);
        Some(())
    });
    mended(image, 1024, 1024, |bytes| {
        let sum = RAW.checksum(&bytes[..1020]);
        bytes[1020..].copy_from_slice(&sum.to_le_bytes());
        Some(())
    });
}

/// The sum goes on from a state.
fn with(state: u32, bytes: &[u8]) -> u32 {
    let mut digest = RAW.digest_with_initial(state.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

/// `None` for one that was never used: mkfs leaves it empty.
fn ext4_inode(bytes: &mut [u8], seed: u32, number: u32) -> Option<()> {
    bytes.iter().find(|byte| **byte != 0)?;
    let seed = with(with(seed, &number.to_le_bytes()), bytes.get(100..104)?);
    // i_checksum_lo, and i_checksum_hi where the inode is long enough.
    let high = bytes.len() > 132 && le16(bytes, 128) >= 4;
    bytes.get_mut(124..126)?.fill(0);
    if high {
        bytes.get_mut(130..132)?.fill(0);
    }
    let sum = with(seed, bytes).to_le_bytes();
    bytes.get_mut(124..126)?.copy_from_slice(&sum[..2]);
    if high {
        bytes.get_mut(130..132)?.copy_from_slice(&sum[2..]);
    }
    Some(())
}

/// Where the sum is in a block of XFS that begins so, and how long such a block is in the seed, whose sectors have 512 bytes and
/// whose inodes as many.
fn xfs_place(block: &[u8]) -> Option<(usize, usize)> {
    let magic = block.first_chunk::<4>()?;
    Some(match magic {
        b"XFSB" => (224, 512),
        b"XAGF" => (216, 512),
        b"XAGI" => (312, 512),
        b"XAFL" => (32, 512),
        [b'I', b'N', ..] => (100, 512),
        b"AB3B" | b"AB3C" | b"IAB3" | b"FIB3" | b"RMB3" | b"R3FC" => (52, PAGE),
        b"BMA3" => (64, PAGE),
        b"XDB3" | b"XDD3" | b"XDF3" => (4, PAGE),
        b"XSLM" | b"XARM" => (12, PAGE),
        // Leaves and nodes of directories and attributes.
        _ if matches!(le16(block, 8).swap_bytes(), 0x3df1 | 0x3dff | 0x3ebe | 0x3bee) => (12, PAGE),
        _ => return None,
    })
}

fn xfs(image: &mut Image, changed: &[u64]) {
    for page in changed {
        for sector in 0..8u64 {
            let at = page * PAGE as u64 + sector * 512;
            let head = image.bytes(at, 512);
            if let Some((place, length)) = xfs_place(&head) {
                mended(image, at, length, |block| {
                    put(block, place, |bytes| FINISHED.checksum(bytes))
                });
            }
        }
    }
}

fn btrfs(image: &mut Image, changed: &[u64]) {
    const NODE: u64 = 16_384;
    const SUPERBLOCK: u64 = 65_536;
    const MIRROR: u64 = 64 << 20;
    let summed = |block: &mut [u8]| {
        let sum = FINISHED.checksum(&block[32..]);
        block[..4].copy_from_slice(&sum.to_le_bytes());
        Some(())
    };
    let identity = image.bytes(SUPERBLOCK + 32, 16);
    let mut last = None;
    for page in changed {
        let at = page * PAGE as u64;
        if at == SUPERBLOCK || at == MIRROR {
            mended(image, at, PAGE, summed);
            continue;
        }
        let node = at / NODE * NODE;
        if last.replace(node) != Some(node) && image.bytes(node + 32, 16) == identity {
            mended(image, node, NODE as usize, summed);
        }
    }
}

/// Blocks of checkpoints: those whose sum is where they say that it is.
fn f2fs(image: &mut Image, changed: &[u64]) {
    for page in changed {
        mended(image, page * PAGE as u64, PAGE, |block| {
            // checksum_offset, and a version of the checkpoint that is not absurd.
            let place = le32(block, 164) as usize;
            if !(192..=PAGE - 4).contains(&place) || !place.is_multiple_of(4) {
                return None;
            }
            let sum = RAW_IEEE.checksum(&block[..place]);
            block[place..place + 4].copy_from_slice(&sum.to_le_bytes());
            Some(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use std::path::Path;
    use std::sync::Arc;

    fn seed(name: &str) -> Arc<Seed> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        Arc::new(Seed::unpack(&std::fs::read(path).unwrap()).unwrap())
    }

    /// A sound volume stays as it is though all its pages are mended: each sum is computed as mkfs does.
    #[test]
    fn mending_a_sound_volume_changes_nothing() {
        for name in ["ext4", "xfs", "btrfs", "f2fs", "erofs"] {
            let seed = seed(name);
            let mut image = Image::new(&seed);
            for (number, page) in &seed.pages {
                image.write(number * PAGE as u64, &page[..]);
            }
            mend(name, &mut image);
            for (number, page) in &seed.pages {
                let now = image.bytes(number * PAGE as u64, PAGE);
                let differs = page.iter().zip(&now).position(|(one, other)| one != other);
                assert_eq!(differs, None, "{name}: page {number}");
            }
        }
    }

    /// What was broken is whole again, but for the change.
    #[test]
    fn a_spoilt_sum_is_put_right() {
        for (name, at) in [("ext4", 2044), ("xfs", 224), ("btrfs", 65_536), ("erofs", 1028)] {
            let seed = seed(name);
            let mut image = Image::new(&seed);
            let before = image.bytes(at, 4);
            image.write(at, &[0x5a; 4]);
            mend(name, &mut image);
            assert_eq!(image.bytes(at, 4), before, "{name}");
        }
    }
}
