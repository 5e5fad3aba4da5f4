//! File systems that grew up with Linux: ext2/3/4, XFS, btrfs, F2FS, bcachefs, ReiserFS, JFS, NILFS2.

use crate::ReadAt;
use crate::kind::Kind;
use crate::label::Label;
use crate::superblock::Superblock;
use crate::window::Window;
use crate::xfs_log::Log;

/// `1 << log`, for logarithms of sensible block sizes.
fn power(log: u32) -> Option<u32> {
    (log <= 16).then(|| 1u32.checked_shl(log)).flatten()
}

/// `struct ext4_super_block` at 1024. What tells the three apart is which features they use.
pub(crate) fn ext<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    const HAS_JOURNAL: u32 = 0x4; // compatible
    const NEEDS_RECOVERY: u32 = 0x4; // incompatible
    const JOURNAL_DEVICE: u32 = 0x8;
    const INCOMPAT_64BIT: u32 = 0x80;
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10; // file types, recovery, meta block groups
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4; // sparse superblocks, large files, B-tree directories
    let fields = window.at(1024, 1024)?;
    if fields.le16(0x38)? != 0xef53 {
        return None;
    }
    // The magic number has two bytes: ask for a superblock that could be mounted.
    let block_size = power(fields.le32(0x18)?.checked_add(10)?)?;
    let (inodes_per_group, blocks_per_group) = (fields.le32(0x28)?, fields.le32(0x20)?);
    let revision = fields.le32(0x4c)?;
    if inodes_per_group == 0 || blocks_per_group == 0 || revision > 1 {
        return None;
    }
    let features = |offset| {
        if revision == 0 {
            Some(0)
        } else {
            fields.le32(offset)
        }
    };
    let (compat, incompat, ro_compat) = (features(0x5c)?, features(0x60)?, features(0x64)?);
    if incompat & JOURNAL_DEVICE != 0 {
        return None;
    }
    let kind = if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        Kind::Ext4
    } else if compat & HAS_JOURNAL != 0 {
        Kind::Ext3
    } else {
        Kind::Ext2
    };
    let high = if incompat & INCOMPAT_64BIT != 0 {
        fields.le32(0x150)?
    } else {
        0
    };
    let blocks = (u64::from(high) << 32) | u64::from(fields.le32(0x4)?);
    let mut superblock = Superblock::new(kind)
        .with_uuid(fields.array(0x68))
        .with_label(Label::from_bytes(fields.bytes(0x78, 16)))
        .with_blocks(Some(block_size), Some(blocks));
    if compat & HAS_JOURNAL != 0 {
        // s_jnl_blocks, a copy of the journal's inode, ends with its size, the high half first.
        let size = (u64::from(fields.le32(0x148)?) << 32) | u64::from(fields.le32(0x14c)?);
        let has_copy = fields.u8(0xfd)? == 1;
        if incompat & NEEDS_RECOVERY != 0 {
            superblock.journal_bytes = has_copy.then_some(size);
        } else if fields.le32(0xe0)? == 0 {
            // s_journal_inum: the journal is on another disk, and there is nothing in it.
            superblock.linux_options = "noload";
        }
    }
    Some(superblock)
}

/// `struct xfs_dsb` at 0, big-endian.
pub(crate) fn xfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    if !fields.is(0, b"XFSB") {
        return None;
    }
    let mut superblock = Superblock::new(Kind::Xfs)
        .with_uuid(fields.array(32))
        .with_label(Label::from_bytes(fields.bytes(108, 12)))
        .with_blocks(fields.be32(4), fields.be64(8));
    let log_bytes = u64::from(fields.be32(96)?).checked_mul(u64::from(fields.be32(4)?));
    // Without nouuid a copy of a volume that is mounted already is refused. A log that is clean needs no recovery, and with
    // one XFS writes 2 MiB into the log, which is memory here.
    let clean = Log::find(window)
        .flatten()
        .and_then(|log| log.is_clean(window))
        .unwrap_or(false);
    superblock.linux_options = if clean { "nouuid,norecovery" } else { "nouuid" };
    if !clean {
        superblock.journal_bytes = log_bytes;
    }
    Some(superblock)
}

/// `struct btrfs_super_block` at 64 KiB.
pub(crate) fn btrfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(65536, 1024)?;
    if !fields.is(0x40, b"_BHRfS_M") {
        return None;
    }
    let mut superblock = Superblock::new(Kind::Btrfs)
        .with_uuid(fields.array(0x20))
        .with_label(Label::from_bytes(fields.bytes(0x12b, 256)));
    superblock.block_size = fields.le32(0x90).filter(|size| *size != 0);
    // Of this device; that of all of them is beside it.
    superblock.size_bytes = fields.le64(0xd1);
    Some(superblock)
}

/// `struct f2fs_super_block` at 1024, or its second copy at 5120.
pub(crate) fn f2fs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    [1024, 5120].into_iter().find_map(|offset| {
        let fields = window.at(offset, 2048)?;
        if fields.le32(0)? != 0xf2f5_2010 {
            return None;
        }
        Some(
            Superblock::new(Kind::F2fs)
                .with_uuid(fields.array(108))
                .with_label(Label::from_utf16_le(fields.bytes(124, 1024)))
                .with_blocks(power(fields.le32(16)?), fields.le64(36)),
        )
    })
}

/// `struct bch_sb` at 4096.
pub(crate) fn bcachefs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    const MAGIC: [u8; 16] = [
        0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef,
    ];
    let fields = window.at(4096, 512)?;
    if !fields.is(24, &MAGIC) {
        return None;
    }
    Some(
        Superblock::new(Kind::Bcachefs)
            .with_uuid(fields.array(56))
            .with_label(Label::from_bytes(fields.bytes(72, 32))),
    )
}

/// `struct reiserfs_super_block` at 64 KiB, or at 8 KiB for the oldest.
pub(crate) fn reiserfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    [65536, 8192].into_iter().find_map(|offset| {
        let fields = window.at(offset, 512)?;
        if !(fields.is(52, b"ReIsErFs\0") || fields.is(52, b"ReIsEr2Fs") || fields.is(52, b"ReIsEr3Fs")) {
            return None;
        }
        Some(
            Superblock::new(Kind::Reiserfs)
                .with_uuid(fields.array(84))
                .with_label(Label::from_bytes(fields.bytes(100, 16)))
                .with_blocks(fields.le16(44).map(u32::from), fields.le32(0).map(u64::from)),
        )
    })
}

/// `struct jfs_superblock` at 32 KiB.
pub(crate) fn jfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(32768, 512)?;
    let version = fields.le32(4)?;
    if !fields.is(0, b"JFS1") || !(1..=2).contains(&version) {
        return None;
    }
    // The size is counted in blocks of the disk, not in the file system's own.
    let whole = Superblock::new(Kind::Jfs).with_blocks(fields.le32(24), fields.le64(8));
    let mut superblock = Superblock::new(Kind::Jfs)
        .with_uuid(fields.array(136))
        .with_label(Label::from_bytes(fields.bytes(152, 16)))
        .with_blocks(fields.le32(16), None);
    superblock.size_bytes = whole.size_bytes;
    Some(superblock)
}

/// `struct nilfs_super_block` at 1024, or its copy in the last whole 4 KiB.
pub(crate) fn nilfs2<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    nilfs2_at(window, 1024).or_else(|| {
        let last = (window.size()? >> 12).checked_sub(1)?;
        nilfs2_at(window, last << 12)
    })
}

fn nilfs2_at<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, offset: u64) -> Option<Superblock> {
    let fields = window.at(offset, 1024)?;
    if fields.le16(6)? != 0x3434 {
        return None;
    }
    // Two bytes again: the revision is 2, and the structure's size is written in it.
    let block_size = power(fields.le32(20)?.checked_add(10)?)?;
    if fields.le32(0)? != 2 || !(200..=1024).contains(&fields.le16(8)?) {
        return None;
    }
    let mut superblock = Superblock::new(Kind::Nilfs2)
        .with_uuid(fields.array(152))
        .with_label(Label::from_bytes(fields.bytes(168, 80)));
    superblock.block_size = Some(block_size);
    superblock.size_bytes = fields.le64(32);
    Some(superblock)
}
