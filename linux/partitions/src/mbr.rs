//! The master boot record and the chain of extended boot records behind it.

use crate::{Partition, PartitionId, PartitionType, Scheme, Table, range};
use alloc::string::String;
use alloc::vec::Vec;
use fs_probe::ReadAt;

/// Logical drives at most: Linux's own limit is of this order, and a chain that is longer is a loop.
const LOGICAL_MOST: usize = 128;

/// One of the four entries of a boot record.
#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    start: u32,
    sectors: u32,
}

impl Entry {
    fn parse(bytes: &[u8; 16]) -> Option<Entry> {
        let [active, _, _, _, kind, _, _, _, s0, s1, s2, s3, n0, n1, n2, n3] = *bytes;
        // What has neither of the two is no table.
        matches!(active, 0 | 0x80).then_some(Entry {
            kind,
            start: u32::from_le_bytes([s0, s1, s2, s3]),
            sectors: u32::from_le_bytes([n0, n1, n2, n3]),
        })
    }

    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    fn is_used(self) -> bool {
        self.kind != 0 && self.sectors != 0
    }
}

/// A boot record: signature and four entries.
pub(crate) struct Master {
    signature: u32,
    entries: [Entry; 4],
}

impl Master {
    /// `None` when the sector is no boot record.
    pub(crate) fn parse(sector: &[u8; 512]) -> Option<Master> {
        let (rest, [0x55, 0xaa]) = sector.split_last_chunk::<2>()? else {
            return None;
        };
        let (code, table) = rest.split_last_chunk::<64>()?;
        let (entries, []) = table.as_chunks::<16>() else {
            return None;
        };
        let [a, b, c, d] = entries else { return None };
        let entries = [
            Entry::parse(a)?,
            Entry::parse(b)?,
            Entry::parse(c)?,
            Entry::parse(d)?,
        ];
        let signature = u32::from_le_bytes(code.get(440..444)?.try_into().ok()?);
        Some(Master { signature, entries })
    }

    /// Whether the entries are those of a table beyond doubt: some are used, all of these are inside the disk, and none has
    /// anything of another's.
    pub(crate) fn is_orderly(&self, size_bytes: u64, sector_size: u32) -> bool {
        let sectors = size_bytes.checked_div(u64::from(sector_size)).unwrap_or(0);
        let ends = |entry: &Entry| u64::from(entry.start).saturating_add(u64::from(entry.sectors));
        let unused = |entry: &Entry| entry.kind == 0 && entry.start == 0 && entry.sectors == 0;
        let sound =
            |entry: &Entry| unused(entry) || (entry.is_used() && entry.start != 0 && ends(entry) <= sectors);
        let mut used = self.entries.iter().filter(|entry| !unused(entry)).enumerate();
        let apart = used.all(|(index, one)| {
            let mut others = self
                .entries
                .iter()
                .filter(|entry| !unused(entry))
                .skip(index)
                .skip(1);
            others.all(|other| ends(one) <= u64::from(other.start) || ends(other) <= u64::from(one.start))
        });
        apart && self.entries.iter().all(sound) && !self.entries.iter().all(unused)
    }

    /// Whether it only says that there is a GPT.
    pub(crate) fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == 0xee)
    }
}

/// The partitions of a boot record; `None` when it has none.
pub(crate) fn read(
    disk: &(impl ReadAt + ?Sized),
    master: &Master,
    size_bytes: u64,
    sector_size: u32,
) -> Option<Table> {
    let mut partitions = Vec::new();
    let mut add = |index: u32, start: u64, entry: Entry| {
        if let Some(place) = range(start, u64::from(entry.sectors), sector_size, size_bytes)
            && partitions.try_reserve(1).is_ok()
        {
            let id = (master.signature != 0).then_some(PartitionId::Mbr(master.signature, index));
            let kind = PartitionType::Mbr(entry.kind);
            partitions.push(Partition {
                index,
                offset: place.offset,
                size_bytes: place.size,
                missing_bytes: place.missing,
                kind,
                label: String::new(),
                id,
            });
        }
    };
    for (index, entry) in (1..).zip(&master.entries) {
        if entry.is_used() && !entry.is_extended() {
            add(index, u64::from(entry.start), *entry);
        }
    }
    let extended = master
        .entries
        .iter()
        .find(|entry| entry.is_extended() && entry.is_used());
    if let Some(extended) = extended {
        logical_drives(disk, *extended, sector_size, &mut add);
    }
    (!partitions.is_empty()).then_some(Table {
        scheme: Scheme::Mbr,
        sector_size,
        partitions,
    })
}

/// Walks the chain: each extended boot record has one logical drive, counted from the record itself, and a link to the
/// next record, counted from the extended partition's start.
fn logical_drives(
    disk: &(impl ReadAt + ?Sized),
    extended: Entry,
    sector_size: u32,
    add: &mut impl FnMut(u32, u64, Entry),
) {
    let base = u64::from(extended.start);
    let mut record = base;
    let mut index = 5u32;
    for _ in 0..LOGICAL_MOST {
        let mut sector = [0u8; 512];
        let Some(offset) = record.checked_mul(u64::from(sector_size)) else {
            return;
        };
        if disk.read_at(offset, &mut sector).is_err() {
            return;
        }
        let Some(parsed) = Master::parse(&sector) else {
            return;
        };
        for entry in parsed
            .entries
            .iter()
            .filter(|entry| entry.is_used() && !entry.is_extended())
        {
            add(index, record.saturating_add(u64::from(entry.start)), *entry);
            index = index.saturating_add(1);
        }
        let Some(next) = parsed
            .entries
            .iter()
            .find(|entry| entry.is_extended() && entry.is_used())
        else {
            return;
        };
        let next = base.saturating_add(u64::from(next.start));
        if next == record || next == base {
            return;
        }
        record = next;
    }
}
