//! Read-only images and small file systems: squashfs, EROFS, romfs, cramfs, minix.

use crate::ReadAt;
use crate::kind::Kind;
use crate::label::Label;
use crate::superblock::{Superblock, Uuid};
use crate::window::{Fields, Window};

/// `struct squashfs_super_block` at 0, of version 4, which is the one that Linux reads.
pub(crate) fn squashfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 96)?;
    if !fields.is(0, b"hsqs") || fields.le16(28)? != 4 {
        return None;
    }
    let mut superblock = Superblock::new(Kind::Squashfs);
    superblock.block_size = fields.le32(12).filter(|size| *size != 0);
    superblock.size_bytes = fields.le64(40);
    Some(superblock)
}

/// `struct erofs_super_block` at 1024.
pub(crate) fn erofs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(1024, 128)?;
    if fields.le32(0)? != 0xe0f5_e1e2 {
        return None;
    }
    let block_size = 1u32
        .checked_shl(u32::from(fields.u8(12)?))
        .filter(|size| (512..=65536).contains(size))?;
    Some(
        Superblock::new(Kind::Erofs)
            .with_uuid(fields.array(48))
            .with_label(Label::from_bytes(fields.bytes(64, 16)))
            .with_blocks(Some(block_size), fields.le32(36).map(u64::from)),
    )
}

/// `struct romfs_super_block` at 0, big-endian; the name follows.
pub(crate) fn romfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    if !fields.is(0, b"-rom1fs-") {
        return None;
    }
    let mut superblock = Superblock::new(Kind::Romfs).with_label(Label::from_bytes(fields.bytes(16, 100)));
    superblock.size_bytes = fields.be32(8).map(u64::from);
    Some(superblock)
}

/// `struct cramfs_super` at 0, or at 512 behind a boot sector.
pub(crate) fn cramfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    let cramfs = |fields: Fields<'_>| {
        if fields.le32(0)? != 0x28cd_3d45 || !fields.is(16, b"Compressed ROMFS") {
            return None;
        }
        let mut superblock =
            Superblock::new(Kind::Cramfs).with_label(Label::from_bytes(fields.bytes(48, 16)));
        superblock.uuid = fields.le32(32).map(Uuid::Serial32);
        superblock.size_bytes = fields.le32(4).map(u64::from);
        Some(superblock)
    };
    cramfs(fields).or_else(|| cramfs(fields.from(512)?))
}

/// `struct minix_super_block` or `struct minix3_super_block` at 1024. Their magic numbers have two bytes, so the rest
/// must add up.
pub(crate) fn minix<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(1024, 64)?;
    let (imap_blocks, zmap_blocks, first_data, block_size, zones);
    match (fields.le16(16)?, fields.le16(24)?) {
        (0x137f | 0x138f, _) => {
            (imap_blocks, zmap_blocks, first_data) = (fields.le16(4)?, fields.le16(6)?, fields.le16(8)?);
            (block_size, zones) = (1024, u64::from(fields.le16(2)?));
        }
        (0x2468 | 0x2478, _) => {
            (imap_blocks, zmap_blocks, first_data) = (fields.le16(4)?, fields.le16(6)?, fields.le16(8)?);
            (block_size, zones) = (1024, u64::from(fields.le32(20)?));
        }
        (_, 0x4d5a) => {
            (imap_blocks, zmap_blocks, first_data) = (fields.le16(6)?, fields.le16(8)?, fields.le16(10)?);
            (block_size, zones) = (u32::from(fields.le16(28)?), u64::from(fields.le32(20)?));
        }
        _ => return None,
    }
    let maps = u32::from(imap_blocks).checked_add(u32::from(zmap_blocks))?;
    let sensible = imap_blocks != 0
        && zmap_blocks != 0
        && u32::from(first_data) > maps
        && u64::from(first_data) < zones
        && block_size.is_power_of_two()
        && (512..=16384).contains(&block_size);
    sensible.then(|| Superblock::new(Kind::Minix).with_blocks(Some(block_size), Some(zones)))
}
