//! Partition tables (MBR, GPT) and the choice among partitions: `disk_partitions`.
//!
//! The bytes: one that says how, then a [`Sparse`] disk. What must hold:
//! - all partitions are inside the disk, have bytes, and have numbers of their own in rising order;
//! - a table that is found, written anew by a plain writer and read again, has the same partitions;
//! - the survey has a part for each partition of the table, and the part that is chosen is one of them;
//! - a second look says the same; reads are bounded, and so is memory.

use crate::allocated::within;
use crate::checksums;
use crate::input::Input;
use crate::sparse::Sparse;
use disk_partitions::{Part, PartitionId, PartitionType, Scheme, Survey, Table, choose, find};

/// Reads and bytes that looking for a table and at each partition may take.
const FIND: (u64, u64) = (50_000, 64 << 20);
/// Memory for tables with the most entries, and labels.
const MEMORY: usize = 4 << 20;

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let mut disk = Sparse::new(input);
    if how & 1 != 0 {
        checksums::gpt(&mut disk);
    }
    let sector = [512, 4096, 512, 1024][usize::from(how >> 1 & 3)];
    let size = disk.size_bytes();
    let table = within(MEMORY, || find(&disk, size, sector));
    let (reads, read) = disk.was_read();
    assert!(reads <= FIND.0 && read <= FIND.1, "{reads} reads of {read} bytes");
    assert_eq!(table, find(&disk, size, sector), "another answer the second time");
    if let Some(table) = &table {
        check(table, size);
        rewritten(table, size);
    }
    let survey = within(MEMORY, || Survey::take(&disk, size, sector)).expect("memory");
    assert_eq!(survey.table, table);
    let numbers = |parts: &[Part]| parts.iter().map(|part| part.number).collect::<Vec<_>>();
    let listed: Vec<u32> = table.iter().flat_map(|table| &table.partitions).map(|one| one.index).collect();
    assert_eq!(numbers(&survey.partitions), listed);
    for part in survey.partitions.iter().chain([&survey.whole]) {
        assert!(part.offset.checked_add(part.present_bytes()).is_some_and(|end| end <= size));
        assert_eq!(choose(&disk, size, sector, Some(part.number), false).as_ref(), Ok(part));
    }
    match choose(&disk, size, sector, None, how & 8 != 0) {
        Ok(part) => assert_eq!(survey.part(part.number), Some(&part)),
        Err(_) => assert!(survey.preferred().is_none()),
    }
}

fn check(table: &Table, size: u64) {
    let mut last = 0;
    for partition in &table.partitions {
        let end = partition.offset.checked_add(partition.size_bytes);
        assert!(partition.size_bytes >= u64::from(table.sector_size), "{partition:?}");
        assert!(end.is_some_and(|end| end <= size), "{partition:?} of {size}");
        assert!(partition.index > last, "{partition:?} after {last}");
        assert!(partition.label.chars().count() <= 36);
        last = partition.index;
    }
}

/// Writes the table on an empty disk of the same size, and compares what is found there. What a table cannot say of these
/// partitions is left out.
fn rewritten(table: &Table, size: u64) {
    let sector = u64::from(table.sector_size);
    let mut disk = Sparse::new(Input(&[]));
    let mut described = u32::try_from(size / 512).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    described.extend(((size % 512) as u16).to_le_bytes());
    disk.clone_from(&Sparse::new(Input(&described)));
    match table.scheme {
        Scheme::Gpt => gpt(&mut disk, table, sector),
        Scheme::Mbr => {
            if !mbr(&mut disk, table, sector) {
                return;
            }
        }
    }
    let again = find(&disk, size, table.sector_size);
    let places = |table: &Table| -> Vec<_> {
        let places = table.partitions.iter();
        places.map(|one| (one.index, one.offset, one.size_bytes, one.kind, one.id)).collect()
    };
    assert_eq!(again.as_ref().map(places), Some(places(table)), "of the table that was written anew");
}

fn gpt(disk: &mut Sparse, table: &Table, sector: u64) {
    let count = table.partitions.iter().map(|one| one.index).max().unwrap_or(1);
    let mut protective = [0; 512];
    protective[446 + 4] = 0xee;
    protective[446 + 8] = 1;
    protective[446 + 12..446 + 16].fill(0xff);
    protective[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.put(0, &protective);
    let mut header = [0; 512];
    header[..8].copy_from_slice(b"EFI PART");
    header[12..16].copy_from_slice(&92u32.to_le_bytes());
    header[24..32].copy_from_slice(&1u64.to_le_bytes());
    header[72..80].copy_from_slice(&2u64.to_le_bytes());
    header[80..84].copy_from_slice(&count.to_le_bytes());
    header[84..88].copy_from_slice(&128u32.to_le_bytes());
    disk.put(sector, &header);
    for one in &table.partitions {
        let mut entry = [0; 128];
        let (PartitionType::Gpt(kind), Some(PartitionId::Gpt(id))) = (one.kind, one.id) else {
            panic!("{one:?} in a GPT")
        };
        entry[..16].copy_from_slice(&kind.0);
        entry[16..32].copy_from_slice(&id.0);
        let first = one.offset / sector;
        let last = first + (one.size_bytes + one.missing_bytes) / sector - 1;
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        disk.put(2 * sector + u64::from(one.index - 1) * 128, &entry);
    }
    checksums::gpt(disk);
}

/// False when such a table cannot be written: with logical drives, or signs of a GPT.
fn mbr(disk: &mut Sparse, table: &Table, sector: u64) -> bool {
    let mut master = [0; 512];
    for one in &table.partitions {
        let PartitionType::Mbr(kind) = one.kind else { panic!("{one:?} in an MBR") };
        if one.index > 4 || kind == 0xee {
            return false;
        }
        if let Some(PartitionId::Mbr(signature, index)) = one.id {
            assert_eq!(index, one.index);
            master[440..444].copy_from_slice(&signature.to_le_bytes());
        }
        let at = 446 + 16 * (one.index as usize - 1);
        master[at + 4] = kind;
        let (first, count) = (one.offset / sector, (one.size_bytes + one.missing_bytes) / sector);
        for (place, value) in [(at + 8, first), (at + 12, count)] {
            let value = u32::try_from(value).expect("a number of an MBR");
            master[place..place + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    master[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.put(0, &master);
    true
}
