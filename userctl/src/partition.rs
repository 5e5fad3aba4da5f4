//! Partition tables, as Linux numbers them: MBR with logical partitions (from 5 on) and GPT.
//!
//! The crates `gptman` and `mbrman` decode sectors. What holds sectors together is checked here, because an image may
//! be hostile: chains are bounded, sums are checked arithmetic, and the number of entries is limited before anything
//! is allocated for them. A table that makes no sense is no table: a FAT boot sector ends with the same two bytes as
//! an MBR does.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use gptman::GPTHeader;
use mbrman::{MBRHeader, MBRPartitionEntry};
use serde::Serialize;

/// The most partitions that are looked at; Linux's own limits are lower.
const MOST: usize = 1024;

/// The kind of a partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// Master boot record.
    Mbr,
    /// GUID partition table.
    Gpt,
}

impl std::fmt::Display for TableKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TableKind::Mbr => "MBR",
            TableKind::Gpt => "GPT",
        })
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Number as in Linux's device name (`sda1` is 1).
    pub number: u32,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its type: a name, or the raw identifier where there is none for it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name (GPT), empty if it has none.
    pub name: String,
}

/// A partition table and the partitions in it, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What kind it is.
    pub kind: TableKind,
    /// Size of a sector in bytes, the unit of the table.
    pub sector: u32,
    /// The partitions.
    pub partitions: Vec<Partition>,
}

/// Reads the partition table of a disk of `size` bytes. `Ok(None)`: it has none.
pub fn read<R: Read + Seek>(disk: &mut R, size: u64) -> io::Result<Option<Table>> {
    // GPT first: it is protected by an MBR that covers the whole disk.
    for sector in [512, 4096] {
        if let Some(table) = gpt(disk, size, sector)? {
            return Ok(Some(table));
        }
    }
    mbr(disk, size)
}

/// `length` bytes at `offset`, `None` if the disk ends before.
fn bytes_at<R: Read + Seek>(disk: &mut R, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; length];
    disk.seek(SeekFrom::Start(offset))?;
    match disk.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn gpt<R: Read + Seek>(disk: &mut R, size: u64, sector: u32) -> io::Result<Option<Table>> {
    // The primary header is in sector 1, its backup in the last one.
    let unit = u64::from(sector);
    let backup = (size / unit).checked_sub(1).map(|last| last * unit);
    for place in [Some(unit), backup].into_iter().flatten() {
        let Some(bytes) = bytes_at(disk, place, sector as usize)? else {
            continue;
        };
        let Ok(header) = GPTHeader::read_from(&mut Cursor::new(bytes)) else {
            continue;
        };
        let entry = header.size_of_partition_entry;
        let count = header.number_of_partition_entries;
        let array_size = u64::from(count) * u64::from(entry);
        let start = header.partition_entry_lba.checked_mul(unit);
        let end = start.and_then(|start| start.checked_add(array_size));
        let fits = end.is_some_and(|end| end <= size);
        if !(128..=4096).contains(&entry) || count as usize > MOST || !fits {
            continue;
        }
        let Ok(entries) = header.read_partitions(disk, unit) else {
            continue;
        };
        let used = (1..).zip(&entries).filter(|(_, entry)| entry.is_used());
        let partitions = used.filter_map(|(number, entry)| {
            let sectors = entry.ending_lba.checked_sub(entry.starting_lba)?.checked_add(1)?;
            let (offset, size) = (entry.starting_lba.checked_mul(unit)?, sectors.checked_mul(unit)?);
            offset.checked_add(size)?;
            let kind = guid_name(&entry.partition_type_guid);
            Some(Partition {
                number,
                offset,
                size,
                kind,
                name: entry.partition_name.as_str().to_string(),
            })
        });
        return Ok(Some(Table {
            kind: TableKind::Gpt,
            sector,
            partitions: partitions.collect(),
        }));
    }
    Ok(None)
}

fn mbr<R: Read + Seek>(disk: &mut R, size: u64) -> io::Result<Option<Table>> {
    const SECTOR: u64 = 512;
    let Some(bytes) = bytes_at(disk, 0, 512)? else {
        return Ok(None);
    };
    let Ok(header) = MBRHeader::read_from(&mut Cursor::new(bytes)) else {
        return Ok(None);
    };
    let used: Vec<(u32, MBRPartitionEntry)> = (1..)
        .zip(header.iter())
        .filter(|(_, (_, entry))| entry.is_used())
        .map(|(n, (_, e))| (n, e.clone()))
        .collect();
    // What is left of a boot sector's code can look like entries; a real one starts on the disk and is not empty.
    let sane = |entry: &MBRPartitionEntry| {
        entry.starting_lba > 0 && entry.sectors > 0 && u64::from(entry.starting_lba) * SECTOR < size
    };
    if used.is_empty() || !used.iter().all(|(_, entry)| sane(entry)) {
        return Ok(None);
    }
    let partition = |number, start: u64, entry: &MBRPartitionEntry| Partition {
        number,
        offset: start * SECTOR,
        size: u64::from(entry.sectors) * SECTOR,
        kind: mbr_type_name(entry.sys),
        name: String::new(),
    };
    let mut partitions = Vec::new();
    let mut extended = None;
    for (number, entry) in &used {
        if entry.is_extended() {
            extended = extended.or(Some((u64::from(entry.starting_lba), u64::from(entry.sectors))));
        } else {
            partitions.push(partition(*number, u64::from(entry.starting_lba), entry));
        }
    }
    // Logical partitions: a chain of sectors, each with one partition relative to itself and the next link relative
    // to the extended partition.
    if let Some((base, sectors)) = extended {
        let mut number = 5;
        let mut here = base;
        let mut visited = Vec::new();
        while visited.len() < MOST && !visited.contains(&here) {
            visited.push(here);
            let Some(bytes) = bytes_at(disk, here * SECTOR, 512)? else {
                break;
            };
            let Ok(link) = MBRHeader::read_from(&mut Cursor::new(bytes)) else {
                break;
            };
            let entries: Vec<MBRPartitionEntry> = link.iter().map(|(_, entry)| entry.clone()).collect();
            for entry in entries
                .iter()
                .filter(|entry| entry.is_used() && !entry.is_extended() && entry.sectors > 0)
            {
                partitions.push(partition(number, here + u64::from(entry.starting_lba), entry));
                number += 1;
            }
            match entries.iter().find(|entry| entry.is_extended()) {
                Some(next) if u64::from(next.starting_lba) < sectors => {
                    here = base + u64::from(next.starting_lba)
                }
                _ => break,
            }
        }
    }
    Ok(Some(Table {
        kind: TableKind::Mbr,
        sector: 512,
        partitions,
    }))
}

/// Names of the types that one meets; others are given as `0xNN`.
fn mbr_type_name(kind: u8) -> String {
    let name = match kind {
        0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e => "FAT",
        0x07 => "NTFS/exFAT",
        0x27 => "Windows recovery",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xa5 => "FreeBSD",
        0xaf => "HFS/HFS+",
        0xee => "GPT protective",
        0xef => "EFI system",
        0xfd => "Linux RAID",
        _ => return format!("0x{kind:02x}"),
    };
    name.to_string()
}

/// Names of the GUIDs that one meets; others are written out.
fn guid_name(guid: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *guid;
    let first = u32::from_le_bytes([a, b, c, d]);
    let (second, third) = (u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
    let rest: String = rest.iter().map(|byte| format!("{byte:02X}")).collect();
    let text = format!(
        "{first:08X}-{second:04X}-{third:04X}-{}-{}",
        &rest[..4],
        &rest[4..]
    );
    let name = match text.as_str() {
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4" => "Linux",
        "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" => "Linux root (x86-64)",
        "933AC7E1-2EB4-4F13-B844-0E14E2AEF915" => "Linux home",
        "BC13C2FF-59E6-4262-A352-B275FD6F7172" => "Linux boot",
        "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F" => "Linux swap",
        "E6D6D379-F507-44C2-A23C-238F2A3DF928" => "Linux LVM",
        "A19D880F-05FC-4D3B-A006-743F0F84911E" => "Linux RAID",
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => "EFI system",
        "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" => "Windows data",
        "E3C9E316-0B5C-4DB8-817D-F92DF00215AE" => "Windows reserved",
        "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC" => "Windows recovery",
        "21686148-6449-6E6F-744E-656564454649" => "BIOS boot",
        "48465300-0000-11AA-AA11-00306543ECAC" => "HFS+",
        _ => return text,
    };
    name.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(kind: u8, start: u32, sectors: u32) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[4] = kind;
        bytes[8..12].copy_from_slice(&start.to_le_bytes());
        bytes[12..].copy_from_slice(&sectors.to_le_bytes());
        bytes
    }

    fn put(disk: &mut [u8], sector: usize, entries: &[[u8; 16]]) {
        for (index, entry) in entries.iter().enumerate() {
            disk[sector * 512 + 446 + index * 16..][..16].copy_from_slice(entry);
        }
        disk[sector * 512 + 510..][..2].copy_from_slice(&[0x55, 0xaa]);
    }

    fn table(disk: &[u8]) -> Option<Table> {
        read(&mut Cursor::new(disk), disk.len() as u64).unwrap()
    }

    #[test]
    fn primary_and_logical_partitions_have_linux_numbers() {
        let mut disk = vec![0; 512 * 100];
        put(
            &mut disk,
            0,
            &[
                entry(0x83, 1, 4),
                entry(5, 10, 80),
                entry(0, 0, 0),
                entry(7, 92, 3),
            ],
        );
        put(&mut disk, 10, &[entry(0x83, 2, 5), entry(5, 20, 10)]);
        put(&mut disk, 30, &[entry(0x82, 1, 9)]);
        let found: Vec<_> = table(&disk)
            .unwrap()
            .partitions
            .iter()
            .map(|p| (p.number, p.offset / 512, p.size / 512))
            .collect();
        assert_eq!(found, [(1, 1, 4), (4, 92, 3), (5, 12, 5), (6, 31, 9)]);
    }

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let mut disk = vec![0; 512 * 100];
        put(&mut disk, 0, &[entry(5, 10, 80)]);
        put(&mut disk, 10, &[entry(0x83, 1, 5), entry(5, 20, 10)]);
        put(&mut disk, 30, &[entry(0x83, 1, 5), entry(5, 0, 10)]);
        assert_eq!(table(&disk).unwrap().partitions.len(), 2);
    }

    #[test]
    fn boot_code_is_no_table() {
        let mut disk = vec![0x90; 512 * 4];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(table(&disk), None);
        assert_eq!(table(&[]), None);
        assert_eq!(table(&[0; 700]), None);
    }

    #[test]
    fn gpt_is_read_from_its_backup_too() {
        for sector in [512u64, 4096] {
            let mut disk = Cursor::new(vec![0u8; 4096 * 200]);
            let mut gpt = gptman::GPT::new_from(&mut disk, sector, [7; 16]).unwrap();
            gpt.align = 1;
            gpt[3] = gptman::GPTPartitionEntry {
                partition_type_guid: *b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4",
                unique_partition_guid: [9; 16],
                starting_lba: 50,
                ending_lba: 59,
                attribute_bits: 0,
                partition_name: "daten".into(),
            };
            gpt.write_into(&mut disk).unwrap();
            let mut disk = disk.into_inner();
            for broken in [false, true] {
                if broken {
                    disk[sector as usize] ^= 1;
                }
                let found = table(&disk).unwrap();
                assert_eq!((found.kind, u64::from(found.sector)), (TableKind::Gpt, sector));
                let expected = Partition {
                    number: 3,
                    offset: 50 * sector,
                    size: 10 * sector,
                    kind: "Linux".into(),
                    name: "daten".into(),
                };
                assert_eq!(found.partitions, [expected]);
            }
        }
    }

    proptest! {
        #[test]
        fn no_disk_makes_it_panic(
            mut disk in proptest::collection::vec(any::<u8>(), 2048..6000),
            entries in proptest::collection::vec((0u8..16, 0u32..12, any::<u32>()), 8),
        ) {
            for (sector, four) in [0usize, 1].into_iter().zip(entries.chunks(4)) {
                let four: Vec<_> = four.iter().map(|&(kind, start, sectors)| entry(kind, start, sectors)).collect();
                put(&mut disk, sector, &four);
            }
            let _ = table(&disk);
        }
    }
}
