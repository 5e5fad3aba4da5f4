//! Small file systems of other systems, which only old disks have: BFS, BeFS, System V, QNX, EFS, AFFS, ADFS, OMFS.
//!
//! Some have a magic number of four bytes and some have none. So each has to make sense beyond that, as Linux asks of it
//! and more: sizes that agree with each other, a checksum where there is one, or a second structure that the first leads
//! to. An old disk that is not recognised can still be named; a new one that is taken for an old one cannot be helped.

use crate::ReadAt;
use crate::kind::Kind;
use crate::label::Label;
use crate::superblock::Superblock;
use crate::window::{Fields, Window};

/// `struct bfs_super_block` at 0 (SCO's boot file system).
pub(crate) fn bfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    let (start, end) = (fields.le32(4)?, fields.le32(8)?);
    // Between superblock and data are inodes of 64 bytes, 512 of them at most, and data are whole blocks.
    let sensible = fields.le32(0)? == 0x1bad_face
        && start <= end
        && (512 + 16..=512 + 64 * 512).contains(&start)
        && end.checked_add(1)?.is_multiple_of(512);
    sensible.then(|| {
        Superblock::new(Kind::Bfs)
            .with_label(Label::from_bytes(fields.bytes(34, 6)))
            .with_blocks(Some(512), Some(u64::from(end.saturating_add(1) / 512)))
    })
}

/// `befs_super_block` at 512 or, of a PowerPC, at 0; in either byte order.
pub(crate) fn befs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 1024)?;
    befs_at(fields).or_else(|| befs_at(fields.from(512)?))
}

fn befs_at(fields: Fields<'_>) -> Option<Superblock> {
    let little = match fields.array::<4>(32)? {
        [b'1', b'S', b'F', b'B'] => true,
        [b'B', b'F', b'S', b'1'] => false,
        _ => return None,
    };
    let number = |at| if little { fields.le32(at) } else { fields.be32(at) };
    let blocks = if little { fields.le64(48) } else { fields.be64(48) };
    let block_size = number(40)?;
    let sensible = number(36)? == 0x4249_4745
        && number(68)? == 0xdd12_1031
        && number(112)? == 0x15b6_830e
        && matches!(block_size, 1024 | 2048 | 4096 | 8192)
        && 1u32.checked_shl(number(44)?)? == block_size;
    sensible.then(|| {
        Superblock::new(Kind::Befs)
            .with_label(Label::from_bytes(fields.bytes(0, 32)))
            .with_blocks(Some(block_size), blocks)
    })
}

/// System V's superblock: Release 2 and 4 behind 512 bytes of a few blocks, Xenix at 1024. (Coherent's, at 512, Linux finds and then
/// reads from the block before, so that it mounts none: [`crate::signature`] names it.)
pub(crate) fn sysv<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let system_v = [0u64, 9, 15, 18].into_iter().any(|block| {
        let offset = block.saturating_mul(1024).saturating_add(512);
        let fields = window.at(offset, 512);
        fields.and_then(|fields| sysv_at(fields, 504, 0xfd18_7e20)) == Some(true)
    });
    let found = system_v
        || window
            .at(1024, 1024)
            .and_then(|fields| sysv_at(fields, 1016, 0x002b_5544))
            == Some(true);
    found.then(|| Superblock::new(Kind::Sysv))
}

/// The magic number in either byte order, a known type after it, and inodes that begin at block 2.
fn sysv_at(fields: Fields<'_>, magic_at: usize, magic: u32) -> Option<bool> {
    let little = fields.le32(magic_at)? == magic;
    if !little && fields.be32(magic_at)? != magic {
        return Some(false);
    }
    let type_at = magic_at.checked_add(4)?;
    let (kind, data) = if little {
        (fields.le32(type_at)?, fields.le16(0)?)
    } else {
        (fields.be32(type_at)?, fields.be16(0)?)
    };
    Some(matches!(kind, 1..=3 | 0x10 | 0x20 | 0x30) && data > 2)
}

/// The root's entry at 512, whose name is a slash, and in the directory that it leads to the bitmap's.
pub(crate) fn qnx4<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    const BLOCKS: u64 = 16;
    let fields = window.at(512, 512)?;
    if !fields.is(0, b"/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") {
        return None;
    }
    let (first, count) = (u64::from(fields.le32(20)?), u64::from(fields.le32(24)?));
    let start = first.checked_sub(1)?;
    for block in 0..count.min(BLOCKS) {
        let fields = window.at(start.checked_add(block)?.checked_mul(512)?, 512)?;
        for entry in 0..8usize {
            if fields.is(entry.checked_mul(64)?, b".bitmap\0") {
                return Some(Superblock::new(Kind::Qnx4));
            }
        }
    }
    None
}

/// `struct qnx6_super_block` behind a boot block of 8 KiB, or at 0; in either byte order, with a checksum.
pub(crate) fn qnx6<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    const MAGIC: u32 = 0x6819_1122;
    [8192, 0].into_iter().find_map(|offset| {
        let fields = window.at(offset, 512)?;
        let little = fields.le32(0)? == MAGIC;
        if !little && fields.be32(0)? != MAGIC {
            return None;
        }
        let number = |at| if little { fields.le32(at) } else { fields.be32(at) };
        let block_size = number(48).filter(|size| size.is_power_of_two() && (512..=4096).contains(size))?;
        if number(4)? != crc32_be(fields.bytes(8, 504)?) {
            return None;
        }
        Some(
            Superblock::new(Kind::Qnx6)
                .with_uuid(fields.array(32))
                .with_blocks(Some(block_size), number(60).map(u64::from)),
        )
    })
}

/// CRC-32 with the highest bit first, from 0 on, as Linux's `crc32_be`.
fn crc32_be(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000_0000 != 0 {
                shifted ^ 0x04c1_1db7
            } else {
                shifted
            }
        })
    })
}

/// `struct efs_super`, big-endian, at 512 of the volume, or of the last EFS partition in SGI's table.
pub(crate) fn efs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    const TABLE: u32 = 0x0be5_a941;
    const PARTITIONS: usize = 16;
    let fields = window.at(0, 512)?;
    let mut start = 0u64;
    if fields.be32(0)? == TABLE {
        for index in 0..PARTITIONS {
            let at = index.checked_mul(12)?.checked_add(312)?;
            if matches!(fields.be32(at.checked_add(8)?)?, 5 | 7) {
                start = u64::from(fields.be32(at.checked_add(4)?)?);
            }
        }
    }
    let fields = window.at(start.checked_add(1)?.checked_mul(512)?, 512)?;
    let (size, first, group, inodes) = (
        fields.be32(0)?,
        fields.be32(4)?,
        fields.be32(8)?,
        fields.be16(12)?,
    );
    let sensible = matches!(fields.be32(28)?, 0x0007_2959 | 0x0007_295a)
        && first < size
        && group != 0
        && inodes != 0
        && u32::from(inodes) < group
        && fields.be16(18)? != 0;
    sensible.then(|| {
        Superblock::new(Kind::Efs)
            .with_label(Label::from_bytes(fields.bytes(38, 6)))
            .with_blocks(Some(512), Some(u64::from(size)))
    })
}

/// Amiga's: a name of the format at 0, and a root block in the middle of the volume that adds up to nothing.
pub(crate) fn affs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let known = matches!(
        window.at(0, 512)?.array::<4>(0)?,
        [b'D', b'O', b'S', 0..=5] | [b'm', b'u', b'F', 0..=5 | b'S']
    );
    let bytes = window.size()?;
    if !known {
        return None;
    }
    for block in [512u32, 1024, 2048, 4096] {
        // Two blocks are reserved. With an odd number of sectors it is one block further on.
        let middle = bytes.checked_div(u64::from(block))?.checked_add(1)? / 2;
        for root in [middle, middle.checked_add(1)?] {
            let size = usize::try_from(block).ok()?;
            let Some(fields) = window.at(root.checked_mul(u64::from(block))?, size) else {
                continue;
            };
            let words = fields.bytes(0, size)?.chunks_exact(4);
            let sum = words.fold(0u32, |sum, word| {
                let word = word.try_into().map_or(0, u32::from_be_bytes);
                sum.wrapping_add(word)
            });
            if sum == 0 && fields.be32(0)? == 2 && fields.be32(size.checked_sub(4)?)? == 1 {
                let name = size.checked_sub(80)?;
                let length = usize::from(fields.u8(name)?.min(31));
                let label = Label::from_bytes(fields.bytes(name.checked_add(1)?, length));
                let mut superblock = Superblock::new(Kind::Affs).with_label(label);
                superblock.block_size = Some(block);
                return Some(superblock);
            }
        }
    }
    None
}

/// Acorn's disc record: in a boot block at 3072 with a checksum, or, of floppies, 4 bytes into the map of the only zone.
pub(crate) fn adfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let block = window.at(3072, 512)?;
    let bytes = block.bytes(0, 511)?;
    // Added from the end, and what overflows is added again.
    let sum = bytes.iter().rev().fold(0u32, |sum, byte| {
        (sum & 0xff)
            .saturating_add(sum >> 8)
            .saturating_add(u32::from(*byte))
    });
    let bootable = sum & 0xff == u32::from(block.u8(511)?);
    if bootable && let Some(found) = block.from(0x1c0).and_then(disc_record) {
        return Some(found);
    }
    let record = window.at(0, 512)?.from(4)?;
    let floppy = record.u8(0)? == 10
        && record.u8(9)? == 1
        && record.u8(42)? == 0
        && matches!(record.le32(16)?, 819_200 | 1_638_400)
        && window.size().is_none_or(|size| size >= 819_200);
    let record = window.at(0, 512)?.from(4)?;
    floppy.then(|| disc_record(record)).flatten()
}

fn disc_record(record: Fields<'_>) -> Option<Superblock> {
    let (sector, id_length, version) = (record.u8(0)?, record.u8(4)?, record.le32(44)?);
    let (low, high) = (record.le32(16)?, record.le32(36)?);
    let zones = u32::from(record.u8(9)?) | (u32::from(record.u8(42)?) << 8);
    let longest = if version == 0 { 16 } else { 19 };
    let sensible = (8..=10).contains(&sector)
        && id_length >= sector.saturating_add(3)
        && id_length <= longest
        && high.checked_shr(u32::from(sector)) == Some(0)
        && zones != 0
        && record.le32(12)? != 0
        && version <= 1
        && record.bytes(52, 8)?.iter().all(|byte| *byte == 0);
    let bytes = (u64::from(high) << 32) | u64::from(low);
    let whole = bytes != 0 && bytes.is_multiple_of(1u64.checked_shl(u32::from(sector))?);
    (sensible && whole).then(|| {
        let mut superblock = Superblock::new(Kind::Adfs).with_label(Label::from_bytes(record.bytes(22, 10)));
        superblock.block_size = 1u32.checked_shl(u32::from(sector));
        superblock.size_bytes = Some(bytes);
        superblock
    })
}

/// `struct omfs_super_block` at 0, big-endian, and the root block that it leads to, which says how large the volume is, too.
pub(crate) fn omfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    let (root, blocks) = (fields.be64(256)?, fields.be64(264)?);
    let (block_size, system) = (fields.be32(276)?, fields.be32(284)?);
    let sensible = fields.be32(272)? == 0xc299_3d87
        && blocks <= 1 << 31
        && system.is_power_of_two()
        && (512..=4096).contains(&system)
        && block_size.is_power_of_two()
        && (system..=8192).contains(&block_size);
    if !sensible {
        return None;
    }
    let fields = window.at(root.checked_mul(u64::from(block_size))?, 512)?;
    if fields.be64(32)? != blocks {
        return None;
    }
    Some(
        Superblock::new(Kind::Omfs)
            .with_label(Label::from_bytes(fields.bytes(72, 256)))
            .with_blocks(Some(block_size), Some(blocks)),
    )
}
