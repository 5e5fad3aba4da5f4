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
    let marked = matches!(jump, 0xeb | 0xe9) && fields.is(510, &[0x55, 0xaa]);
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
    let first_fat = u64::from(reserved).checked_mul(u64::from(sector_size))?;
    if sectors == 0 || fat_sectors == 0 || (fat_sectors_16 != 0 && root_entries == 0) {
        return None;
    }
    // Linux does not look at the mark at the end, nor at the jump. Without them the table must begin as all do: with the
    // kind of medium, and ones.
    let fields = if marked {
        fields
    } else {
        let table = window.at(first_fat, 4)?;
        let begins = table.u8(0)? == media && table.is(1, &[0xff, 0xff]);
        if !begins || u64::from(fat_sectors).checked_mul(u64::from(fats))? >= u64::from(sectors) {
            return None;
        }
        window.at(0, 512)?
    };
    // FAT32 has a longer block of parameters before the extended signature.
    let extended = if fat_sectors_16 == 0 { 66 } else { 38 };
    let has_serial = matches!(fields.u8(extended)?, 0x28 | 0x29);
    let mut superblock = Superblock::new(Kind::Vfat).with_blocks(Some(sector_size), Some(u64::from(sectors)));
    superblock.block_size = sector_size.checked_mul(cluster_sectors).filter(|size| *size != 0);
    if has_serial {
        superblock.uuid = fields.le32(extended.checked_add(1)?).map(Uuid::Serial32);
        superblock.label = fat_label(fields.array(extended.checked_add(5)?)?);
    }
    let cluster_size = u64::from(sector_size.checked_mul(cluster_sectors)?);
    let table = u64::from(reserved).checked_mul(u64::from(sector_size))?;
    let after_tables = u64::from(fats)
        .checked_mul(u64::from(fat_sectors))?
        .checked_add(u64::from(reserved))?
        .checked_mul(u64::from(sector_size))?;
    let root = match fat_sectors_16 {
        0 => Directory {
            first: after_tables,
            cluster_size,
            chain: Some((table, 0x0fff_ffff)),
            cluster: fields.le32(44)? & 0x0fff_ffff,
            left: MOST_ENTRIES,
        },
        // The root has a place of its own, before the clusters.
        _ => Directory {
            first: after_tables,
            cluster_size: u64::from(root_entries).checked_mul(32)?,
            chain: None,
            cluster: 2,
            left: usize::from(root_entries).min(MOST_ENTRIES),
        },
    };
    // The boot sector keeps the label of the day the volume was formatted. What holds is the root directory's: a label that
    // it does not have was erased.
    match root.find(window, fat_volume_label) {
        Search::Found(label) => superblock.label = label,
        Search::Nothing => superblock.label = Label::default(),
        Search::Unreadable => {}
    }
    Some(superblock)
}

/// Entries of a root directory that are looked at. Together with the table's blocks it is what a search reads at most:
/// some 300 KiB.
const MOST_ENTRIES: usize = 8192;

/// A directory of FAT or exFAT.
struct Directory {
    /// Byte at which cluster 2 begins.
    first: u64,
    cluster_size: u64,
    /// Byte at which the table begins that leads from cluster to cluster, and the bits of its entries that count; `None`: all
    /// is in one piece.
    chain: Option<(u64, u32)>,
    cluster: u32,
    /// Entries still to be looked at.
    left: usize,
}

/// What becomes of a search.
enum Search {
    Found(Label),
    Nothing,
    Unreadable,
}

impl Directory {
    /// The first label that `told` finds in an entry, up to the one that ends the directory.
    fn find<V: ReadAt + ?Sized>(
        mut self,
        window: &mut Window<'_, V>,
        told: fn(&[u8; 32]) -> Option<Label>,
    ) -> Search {
        while self.left != 0 {
            let Some(start) = u64::from(self.cluster)
                .checked_sub(2)
                .and_then(|index| index.checked_mul(self.cluster_size))
                .and_then(|at| at.checked_add(self.first))
            else {
                return Search::Unreadable;
            };
            let mut within = 0u64;
            while within < self.cluster_size && self.left != 0 {
                self.left = self.left.saturating_sub(1);
                let place = start.checked_add(within);
                let entry = place.and_then(|at| window.at(at, 32)?.array::<32>(0));
                let Some(entry) = entry else {
                    return Search::Unreadable;
                };
                if entry.first() == Some(&0) {
                    return Search::Nothing;
                }
                if let Some(label) = told(&entry) {
                    return Search::Found(label);
                }
                within = within.saturating_add(32);
            }
            let Some((table, bits)) = self.chain else {
                return Search::Nothing;
            };
            let place = u64::from(self.cluster)
                .checked_mul(4)
                .and_then(|at| at.checked_add(table));
            let next = place.and_then(|at| window.at(at, 4)?.le32(0));
            match next.map(|next| next & bits) {
                // The end of the chain.
                Some(next) if next >= bits & 0xffff_fff8 => return Search::Nothing,
                Some(next) if next >= 2 => self.cluster = next,
                Some(_) | None => return Search::Unreadable,
            }
        }
        Search::Nothing
    }
}

/// A label of FAT: 11 bytes. One of old, and one that was erased, says so in words.
fn fat_label(field: [u8; 11]) -> Label {
    match &field {
        b"NO NAME    " => Label::default(),
        _ => Label::from_bytes(Some(&field)),
    }
}

/// The label in an entry of a FAT directory: attribute 8, which is neither part of a long name nor erased.
fn fat_volume_label(entry: &[u8; 32]) -> Option<Label> {
    const ERASED: u8 = 0xe5;
    let (mut name, attributes) = (*entry.first_chunk::<11>()?, *entry.get(11)?);
    let first = name.first_mut()?;
    if *first == ERASED || attributes & 0x08 == 0 || attributes & 0x3f == 0x0f {
        return None;
    }
    // A name that begins with that byte has this one in its place.
    if *first == 0x05 {
        *first = ERASED;
    }
    Some(fat_label(name))
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
    superblock.block_size = sector_size.checked_mul(cluster_sectors).filter(|size| *size != 0);
    let heap = u64::from(fields.le32(88)?).checked_mul(u64::from(sector_size))?;
    let table = u64::from(fields.le32(80)?).checked_mul(u64::from(sector_size))?;
    let root = Directory {
        first: heap,
        cluster_size: u64::from(superblock.block_size?),
        chain: Some((table, u32::MAX)),
        cluster: fields.le32(96)?,
        left: MOST_ENTRIES,
    };
    if let Search::Found(label) = root.find(window, exfat_volume_label) {
        superblock.label = label;
    }
    Some(superblock)
}

/// The label in an entry of an exFAT directory: type 0x83; without the highest bit it is not in use.
fn exfat_volume_label(entry: &[u8; 32]) -> Option<Label> {
    let [0x83, length, text @ ..] = entry else {
        return None;
    };
    let bytes = usize::from((*length).min(11)).checked_mul(2)?;
    Some(Label::from_utf16_le(text.get(..bytes)))
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
