//! Microsoft's file systems: FAT, exFAT, NTFS. Labels of all three are not in the boot sector but in the volume.

use crate::ReadAt;
use crate::kind::Kind;
use crate::label::Label;
use crate::superblock::{Superblock, Uuid};
use crate::window::{Fields, Window};

/// A power of two within limits.
fn size_between(size: u32, least: u32, most: u32) -> Option<u32> {
    (size.is_power_of_two() && (least..=most).contains(&size)).then_some(size)
}

/// The boot sector of FAT12, FAT16 and FAT32 (`struct fat_boot_sector`). Nothing in it is a magic number, so every
/// field that Linux checks is checked.
pub(crate) fn vfat<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    let sector_size = size_between(u32::from(fields.le16(11)?), 512, 4096)?;
    let cluster_sectors = size_between(u32::from(fields.u8(13)?), 1, 128)?;
    let (reserved, fats, media) = (fields.le16(14)?, fields.u8(16)?, fields.u8(21)?);
    let jump = fields.u8(0)?;
    if reserved == 0 || !(1..=4).contains(&fats) || !(media >= 0xf8 || media == 0xf0) {
        return None;
    }
    if !matches!(jump, 0xeb | 0xe9) || !fields.is(510, &[0x55, 0xaa]) {
        return None;
    }
    let sectors = match fields.le16(19)? {
        0 => fields.le32(32)?,
        sectors => u32::from(sectors),
    };
    let fat_sectors_16 = fields.le16(22)?;
    let fat_sectors = if fat_sectors_16 == 0 {
        fields.le32(36)?
    } else {
        u32::from(fat_sectors_16)
    };
    let root_entries = fields.le16(17)?;
    if sectors == 0 || fat_sectors == 0 || (fat_sectors_16 != 0 && root_entries == 0) {
        return None;
    }
    // FAT32 has a longer block of parameters before the extended signature.
    let extended = if fat_sectors_16 == 0 { 66 } else { 38 };
    let has_serial = matches!(fields.u8(extended)?, 0x28 | 0x29);
    let mut superblock = Superblock::new(Kind::Vfat).with_blocks(Some(sector_size), Some(u64::from(sectors)));
    superblock.block_size = sector_size.checked_mul(cluster_sectors);
    if has_serial {
        superblock.uuid = fields.le32(extended.checked_add(1)?).map(Uuid::Serial32);
        let label = Label::from_bytes(fields.bytes(extended.checked_add(5)?, 11));
        if label.as_str() != "NO NAME" {
            superblock.label = label;
        }
    }
    let first_root_sector = u64::from(fats)
        .checked_mul(u64::from(fat_sectors))?
        .checked_add(u64::from(reserved))?
        .checked_add(if fat_sectors_16 == 0 {
            let root_cluster = u64::from(fields.le32(44)?.saturating_sub(2));
            root_cluster.checked_mul(u64::from(cluster_sectors))?
        } else {
            0
        })?;
    let root = first_root_sector.checked_mul(u64::from(sector_size))?;
    if let Some(label) = window.at(root, 512).and_then(fat_root_label) {
        superblock.label = label;
    }
    Some(superblock)
}

/// The entry of a root directory that holds the label: attribute 8, which is not part of a long name.
fn fat_root_label(root: Fields<'_>) -> Option<Label> {
    for index in 0..128usize {
        let entry = root.from(index.checked_mul(32)?)?;
        let (first, attributes) = (entry.u8(0)?, entry.u8(11)?);
        if first == 0 {
            return None;
        }
        if first != 0xe5 && attributes & 0x08 != 0 && attributes & 0x3f != 0x0f {
            return Some(Label::from_bytes(entry.bytes(0, 11)));
        }
    }
    None
}

/// `struct boot_sector` of exFAT at 0.
pub(crate) fn exfat<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    if !fields.is(3, b"EXFAT   ") || !fields.is(510, &[0x55, 0xaa]) {
        return None;
    }
    let sector_size = 1u32
        .checked_shl(u32::from(fields.u8(108)?))
        .filter(|size| (512..=4096).contains(size))?;
    let cluster_sectors = 1u32
        .checked_shl(u32::from(fields.u8(109)?))
        .filter(|count| *count <= 1 << 16)?;
    let mut superblock = Superblock::new(Kind::Exfat).with_blocks(Some(sector_size), fields.le64(72));
    superblock.uuid = fields.le32(100).map(Uuid::Serial32);
    superblock.block_size = sector_size.checked_mul(cluster_sectors);
    let root_sector = u64::from(fields.le32(96)?.saturating_sub(2))
        .checked_mul(u64::from(cluster_sectors))?
        .checked_add(u64::from(fields.le32(88)?))?;
    let root = root_sector.checked_mul(u64::from(sector_size))?;
    if let Some(label) = window.at(root, 512).and_then(exfat_root_label) {
        superblock.label = label;
    }
    Some(superblock)
}

/// The entry of type 0x83 of an exFAT root directory.
fn exfat_root_label(root: Fields<'_>) -> Option<Label> {
    for index in 0..128usize {
        let entry = root.from(index.checked_mul(32)?)?;
        match entry.u8(0)? {
            0 => return None,
            0x83 => {
                let len = usize::from(entry.u8(1)?.min(11));
                return Some(Label::from_utf16_le(entry.bytes(2, len.checked_mul(2)?)));
            }
            _ => {}
        }
    }
    None
}

/// The boot sector of NTFS at 0.
pub(crate) fn ntfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(0, 512)?;
    if !fields.is(3, b"NTFS    ") {
        return None;
    }
    let sector_size = size_between(u32::from(fields.le16(11)?), 256, 4096)?;
    // Above 0x80 it is a negative power of two.
    let cluster_sectors = match fields.u8(13)? {
        count @ 1..=0x80 => u32::from(count),
        log @ 0xf0.. => 1u32.checked_shl(256u32.checked_sub(u32::from(log))?)?,
        _ => return None,
    };
    let cluster = sector_size.checked_mul(cluster_sectors)?;
    let mut superblock = Superblock::new(Kind::Ntfs).with_blocks(Some(sector_size), fields.le64(40));
    superblock.block_size = Some(cluster);
    superblock.uuid = fields.le64(72).map(Uuid::Serial64);
    let record_size = match fields.array::<1>(64).map(i8::from_le_bytes)? {
        clusters @ 1.. => u32::try_from(clusters).ok()?.checked_mul(cluster)?,
        log => 1u32.checked_shl(u32::from(log.unsigned_abs()))?,
    };
    // File 3 of the master file table is $Volume, whose attribute 0x60 is the label.
    let volume_file = fields
        .le64(48)?
        .checked_mul(u64::from(cluster))
        .and_then(|table| table.checked_add(u64::from(record_size).checked_mul(3)?));
    if let Some(label) = volume_file
        .and_then(|at| window.at(at, 512))
        .and_then(ntfs_volume_name)
    {
        superblock.label = label;
    }
    Some(superblock)
}

/// Walks the attributes of a file record for the volume's name.
fn ntfs_volume_name(record: Fields<'_>) -> Option<Label> {
    if !record.is(0, b"FILE") {
        return None;
    }
    let mut at = usize::from(record.le16(20)?);
    for _ in 0..16 {
        let attribute = record.from(at)?;
        let (kind, len) = (attribute.le32(0)?, usize::try_from(attribute.le32(4)?).ok()?);
        if kind == u32::MAX || len < 16 {
            return None;
        }
        if kind == 0x60 && attribute.u8(8)? == 0 {
            let value_len = usize::try_from(attribute.le32(16)?).ok()?.min(256);
            return Some(Label::from_utf16_le(
                attribute.bytes(usize::from(attribute.le16(20)?), value_len),
            ));
        }
        at = at.checked_add(len)?;
    }
    None
}
