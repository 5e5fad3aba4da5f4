//! The GUID partition table: a header with a checksum, and an array of entries with another. There are two copies; the
//! second, at the end of the disk, serves when the first is damaged.

use crate::{Guid, Partition, PartitionId, PartitionType, Scheme, Table, range};
use alloc::string::String;
use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc};
use fs_probe::ReadAt;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Bytes of the header that are defined; one that is longer has more that is not.
const HEADER_LEN: usize = 92;
/// Entries at most; the usual number is 128.
const ENTRIES_MOST: u32 = 4096;

/// The table at either end of the disk.
pub(crate) fn read(disk: &(impl ReadAt + ?Sized), size_bytes: u64, sector_size: u32) -> Option<Table> {
    let last = size_bytes.checked_div(u64::from(sector_size))?.checked_sub(1)?;
    [1, last]
        .into_iter()
        .find_map(|sector| read_at(disk, sector, size_bytes, sector_size))
}

fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn le64(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(offset..offset.checked_add(8)?)?.try_into().ok()?,
    ))
}

fn guid(bytes: &[u8], offset: usize) -> Option<Guid> {
    Some(Guid(bytes.get(offset..offset.checked_add(16)?)?.try_into().ok()?))
}

fn read_at(disk: &(impl ReadAt + ?Sized), sector: u64, size_bytes: u64, sector_size: u32) -> Option<Table> {
    let mut header = [0u8; 512];
    disk.read_at(sector.checked_mul(u64::from(sector_size))?, &mut header)
        .ok()?;
    let header_len = usize::try_from(le32(&header, 12)?).ok()?;
    if !header.starts_with(b"EFI PART") || header_len < HEADER_LEN || le64(&header, 24)? != sector {
        return None;
    }
    let stored = le32(&header, 16)?;
    header.get_mut(16..20)?.fill(0);
    if CRC.checksum(header.get(..header_len)?) != stored {
        return None;
    }
    let (array, count) = (le64(&header, 72)?, le32(&header, 80)?);
    let (entry_len, array_crc) = (usize::try_from(le32(&header, 84)?).ok()?, le32(&header, 88)?);
    if count > ENTRIES_MOST || !(128..=512).contains(&entry_len) || !entry_len.is_power_of_two() {
        return None;
    }
    let partitions = entries(disk, array, count, entry_len, array_crc, size_bytes, sector_size)?;
    Some(Table {
        scheme: Scheme::Gpt,
        sector_size,
        partitions,
    })
}

fn entries(
    disk: &(impl ReadAt + ?Sized),
    array: u64,
    count: u32,
    entry_len: usize,
    array_crc: u32,
    size_bytes: u64,
    sector_size: u32,
) -> Option<Vec<Partition>> {
    let start = array.checked_mul(u64::from(sector_size))?;
    let total = usize::try_from(count).ok()?.checked_mul(entry_len)?;
    let mut partitions = Vec::new();
    let mut digest = CRC.digest();
    let mut block = [0u8; 512];
    let mut done = 0usize;
    let mut index = 0u32;
    while done < total {
        let part = block.get_mut(..total.checked_sub(done)?.min(512))?;
        disk.read_at(start.checked_add(u64::try_from(done).ok()?)?, part)
            .ok()?;
        digest.update(part);
        for entry in part.chunks_exact(entry_len) {
            index = index.checked_add(1)?;
            if let Some(partition) = partition(entry, index, size_bytes, sector_size) {
                partitions.try_reserve(1).ok()?;
                partitions.push(partition);
            }
        }
        done = done.checked_add(part.len())?;
    }
    (digest.finalize() == array_crc).then_some(partitions)
}

fn partition(entry: &[u8], index: u32, size_bytes: u64, sector_size: u32) -> Option<Partition> {
    let kind = guid(entry, 0)?;
    if kind == Guid([0; 16]) {
        return None;
    }
    let (first, last) = (le64(entry, 32)?, le64(entry, 40)?);
    let sectors = last.checked_sub(first)?.checked_add(1)?;
    let place = range(first, sectors, sector_size, size_bytes)?;
    Some(Partition {
        index,
        offset: place.offset,
        size_bytes: place.size,
        missing_bytes: place.missing,
        kind: PartitionType::Gpt(kind),
        label: label(entry.get(56..128)?),
        id: Some(PartitionId::Gpt(guid(entry, 16)?)),
    })
}

/// 36 code units of UTF-16, up to the first zero. Empty for lack of memory.
fn label(field: &[u8]) -> String {
    let units = field
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u16::from_le_bytes(*pair));
    let mut text = String::new();
    if text.try_reserve(36 * 3).is_ok() {
        let chars = char::decode_utf16(units.take_while(|unit| *unit != 0));
        text.extend(chars.map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
    text
}
