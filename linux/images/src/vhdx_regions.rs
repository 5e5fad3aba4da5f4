//! The regions of a VHDX, and the metadata in one of them.

use crate::File;
use crate::error::Error;
use crate::fields::{Fields, wide, zeros};
use crate::source::Source;
use crate::vhdx::{KIB, MIB, checksum_is_right, damaged, guid, unsupported};

const REGION_TABLES: [u64; 2] = [192 * KIB, 256 * KIB];
/// Bytes of a region table and of the metadata's table.
const TABLE: usize = 64 << 10;
/// Entries that fit in such a table.
const MOST_ENTRIES: u16 = 2047;

const BAT: [u8; 16] = guid(0x2dc27766_f623_4200_9d64_115e9bfd4a08);
const METADATA: [u8; 16] = guid(0x8b7ca206_4790_4b9a_b8fe_575f050f886e);
const FILE_PARAMETERS: [u8; 16] = guid(0xcaa16737_fa36_4d43_b3b6_33f0aa44e76b);
const DISK_SIZE: [u8; 16] = guid(0x2fa54224_cd1b_4876_b211_5dbed83bf4b8);
const DISK_ID: [u8; 16] = guid(0xbeca12ab_b2e6_4523_93ef_c309e000c746);
const LOGICAL_SECTOR: [u8; 16] = guid(0x8141bf1d_a96f_4709_ba47_f233a8faab5f);
const PHYSICAL_SECTOR: [u8; 16] = guid(0xcda348c7_445d_4471_9cc9_e9885251c556);
const PARENT_LOCATOR: [u8; 16] = guid(0xa8d35f2d_b30b_454d_abf7_d3d84834ab0c);

/// A range of the file.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    pub offset: u64,
    pub length: u64,
}

/// What the metadata say.
#[derive(Default)]
pub(crate) struct Metadata {
    pub parameters: Option<(u32, u32)>,
    pub size: Option<u64>,
    pub id: Option<[u8; 16]>,
    pub sector: Option<u32>,
    pub locator: Option<(u64, u64)>,
}

/// Where the BAT and the metadata are.
pub(crate) fn find<F: File>(source: &Source<F>, log: Region) -> Result<(Region, Region), Error> {
    let mut table = zeros(TABLE)?;
    let mut whole = false;
    for offset in REGION_TABLES {
        source.read(offset, &mut table)?;
        whole = Fields(&table).is(0, b"regi") && checksum_is_right(&mut table);
        if whole {
            break;
        }
    }
    let count = Fields(&table)
        .le32(8)
        .filter(|count| whole && *count <= u32::from(MOST_ENTRIES));
    let Some(count) = count else {
        return Err(damaged("neither of its region tables is whole"));
    };
    let (mut bat, mut metadata) = (None, None);
    for entry in table
        .get(16..)
        .unwrap_or_default()
        .as_chunks::<32>()
        .0
        .iter()
        .take(count.try_into().unwrap_or(0))
    {
        let fields = Fields(entry);
        let numbers = || {
            Some((
                fields.array::<16>(0)?,
                fields.le64(16)?,
                fields.le32(24)?,
                fields.le32(28)?,
            ))
        };
        let Some((kind, offset, length, required)) = numbers() else {
            break;
        };
        let region = Region {
            offset,
            length: u64::from(length),
        };
        let place = match kind {
            BAT => &mut bat,
            METADATA => &mut metadata,
            _ if required & 1 != 0 => return Err(unsupported("an unknown region that it requires")),
            _ => continue,
        };
        let apart = |other: &Region| {
            let (end, other_end) = (
                offset.saturating_add(region.length),
                other.offset.saturating_add(other.length),
            );
            end <= other.offset || other_end <= offset
        };
        if offset < MIB || !offset.is_multiple_of(MIB) || !region.length.is_multiple_of(MIB) || length == 0 {
            return Err(damaged("a region lies where none can"));
        }
        if place.is_some() || !apart(&log) && log.length != 0 {
            return Err(damaged("its regions overlap"));
        }
        if offset
            .checked_add(region.length)
            .is_none_or(|end| end > source.size())
        {
            return Err(Error::Truncated {
                file: source.index,
                size: source.size(),
                offset: source.size().max(offset),
            });
        }
        *place = Some(region);
    }
    match (bat, metadata) {
        (Some(bat), Some(metadata)) => {
            let end = |region: &Region| region.offset.saturating_add(region.length);
            if bat.offset < end(&metadata) && metadata.offset < end(&bat) {
                return Err(damaged("its regions overlap"));
            }
            Ok((bat, metadata))
        }
        _ => Err(damaged("it has no BAT or no metadata")),
    }
}

impl Metadata {
    /// Reads them.
    pub fn read<F: File>(source: &Source<F>, region: Region) -> Result<Metadata, Error> {
        let mut table = zeros(TABLE)?;
        source.read(region.offset, &mut table)?;
        let count = Fields(&table).le16(10).filter(|count| *count <= MOST_ENTRIES);
        let Some(count) = count.filter(|_| Fields(&table).is(0, b"metadata")) else {
            return Err(damaged("its table of metadata is not one"));
        };
        let mut items = Metadata::default();
        let entries = table.get(32..).unwrap_or_default().as_chunks::<32>().0;
        for entry in entries.iter().take(usize::from(count)) {
            let fields = Fields(entry);
            let numbers = || {
                Some((
                    fields.array::<16>(0)?,
                    fields.le32(16)?,
                    fields.le32(20)?,
                    fields.le32(24)?,
                ))
            };
            let Some((kind, offset, length, flags)) = numbers() else {
                break;
            };
            let known = [
                FILE_PARAMETERS,
                DISK_SIZE,
                DISK_ID,
                LOGICAL_SECTOR,
                PHYSICAL_SECTOR,
                PARENT_LOCATOR,
            ];
            // Users' items are not the disk's.
            if flags & 1 != 0 || !known.contains(&kind) {
                if flags & 4 != 0 {
                    return Err(unsupported("unknown metadata that it requires"));
                }
                continue;
            }
            let (offset, length) = (u64::from(offset), u64::from(length));
            if offset < wide(TABLE) || offset.saturating_add(length) > region.length {
                return Err(damaged("an item of its metadata lies outside them"));
            }
            let at = region.offset.saturating_add(offset);
            let mut value = [0; 16];
            let there = value.get_mut(..usize::try_from(length.min(16)).unwrap_or(0));
            source.read(at, there.unwrap_or_default())?;
            let value = Fields(&value);
            let size_is = |size: u64| match length == size {
                true => Ok(()),
                false => Err(damaged("an item of its metadata has another size than it must")),
            };
            match kind {
                FILE_PARAMETERS => {
                    size_is(8)?;
                    items.parameters = value.le32(0).zip(value.le32(4));
                }
                DISK_SIZE => {
                    size_is(8)?;
                    items.size = value.le64(0);
                }
                DISK_ID => {
                    size_is(16)?;
                    items.id = value.array(0);
                }
                LOGICAL_SECTOR => {
                    size_is(4)?;
                    items.sector = value.le32(0);
                }
                PARENT_LOCATOR => items.locator = Some((at, length)),
                _ => {}
            }
        }
        Ok(items)
    }
}
