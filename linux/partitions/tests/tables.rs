//! Tables made by other programs, read here.

use disk_partitions::{PartitionType, Scheme, find};
use proptest::prelude::*;
use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

fn sfdisk(size: u64, script: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let mut child = Command::new("/usr/sbin/sfdisk")
        .args(["-q", "--no-reread", "--no-tell-kernel"])
        .arg(file.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("sfdisk (package fdisk)");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    std::fs::read(file.path()).unwrap()
}

#[test]
fn mbr_with_logical_drives() {
    let script = "label: dos\nlabel-id: 0x1234abcd\n\
        start=2048, size=4096, type=83\nstart=8192, size=40960, type=5\nstart=51200, size=2048, type=7\n\
        start=10240, size=2048, type=83\nstart=16384, size=4096, type=b\nstart=24576, size=1000, type=83\n";
    let disk = sfdisk(32 * MIB, script);
    let table = find(&disk[..], disk.len() as u64, 512).unwrap();
    assert_eq!(table.scheme, Scheme::Mbr);
    let seen: Vec<_> = table
        .partitions
        .iter()
        .map(|p| (p.index, p.offset / 512, p.size_bytes / 512, p.kind))
        .collect();
    let byte = PartitionType::Mbr;
    assert_eq!(
        seen,
        [
            (1, 2048, 4096, byte(0x83)),
            (3, 51200, 2048, byte(7)),
            (5, 10240, 2048, byte(0x83)),
            (6, 16384, 4096, byte(0xb)),
            (7, 24576, 1000, byte(0x83)),
        ]
    );
    assert_eq!(table.partitions[2].id.unwrap().to_string(), "1234abcd-05");
}

fn gpt(sector: u64) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0u8; 16 * MIB as usize]);
    let mut gpt = gptman::GPT::new_from(&mut disk, sector, [7; 16]).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut disk, sector).unwrap();
    gpt[1] = gptman::GPTPartitionEntry {
        partition_type_guid: *b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4",
        unique_partition_guid: [3; 16],
        starting_lba: 256,
        ending_lba: 511,
        attribute_bits: 0,
        partition_name: "Größe 😀".into(),
    };
    gpt[128] = gptman::GPTPartitionEntry {
        unique_partition_guid: [4; 16],
        starting_lba: 600,
        ending_lba: 600,
        ..gpt[1].clone()
    };
    gpt.write_into(&mut disk).unwrap();
    disk.into_inner()
}

#[test]
fn gpt_of_either_sector_size() {
    for sector in [512, 4096] {
        let disk = gpt(sector);
        let table = find(&disk[..], disk.len() as u64, 512).unwrap();
        assert_eq!(
            (table.scheme, u64::from(table.sector_size)),
            (Scheme::Gpt, sector)
        );
        let [first, last] = &table.partitions[..] else {
            panic!("{:?}", table.partitions)
        };
        assert_eq!(
            (first.index, first.offset, first.size_bytes),
            (1, 256 * sector, 256 * sector)
        );
        assert_eq!(first.label, "Größe 😀");
        assert_eq!(first.kind.to_string(), "0fc63daf-8483-4772-8e79-3d69d8477de4");
        assert_eq!((last.index, last.size_bytes), (128, sector));
    }
}

#[test]
fn gpt_backup_serves() {
    let mut disk = gpt(512);
    disk[512 + 60] ^= 1;
    assert_eq!(
        find(&disk[..], disk.len() as u64, 512).unwrap().partitions.len(),
        2
    );
    let end = disk.len() - 512;
    disk[end + 60] ^= 1;
    assert_eq!(find(&disk[..], disk.len() as u64, 512), None);
    let mut disk = gpt(512);
    disk[2 * 512] ^= 1; // an entry: its checksum is wrong
    disk[end] = 0;
    assert_eq!(find(&disk[..], disk.len() as u64, 512), None);
}

#[test]
fn mbr_of_another_writer() {
    let mut disk = Cursor::new(vec![0u8; 4 * MIB as usize]);
    let mut mbr = mbrman::MBR::new_from(&mut disk, 512, [1, 2, 3, 4]).unwrap();
    mbr[2] = mbrman::MBRPartitionEntry {
        boot: mbrman::BOOT_ACTIVE,
        first_chs: mbrman::CHS::empty(),
        sys: 0x83,
        last_chs: mbrman::CHS::empty(),
        starting_lba: 63,
        sectors: 100,
    };
    mbr.write_into(&mut disk).unwrap();
    let disk = disk.into_inner();
    let table = find(&disk[..], disk.len() as u64, 512).unwrap();
    assert_eq!(
        (table.partitions[0].index, table.partitions[0].offset),
        (2, 63 * 512)
    );
    assert_eq!(table.partitions[0].id.unwrap().to_string(), "04030201-02");
    // The disk ends inside the partition: it is cut. It ends before: there is none.
    assert_eq!(table.partitions[0].missing_bytes, 0);
    let cut = find(&disk[..100 * 512], 100 * 512, 512).unwrap();
    assert_eq!(
        (cut.partitions[0].size_bytes, cut.partitions[0].missing_bytes),
        (37 * 512, 63 * 512)
    );
    assert_eq!(find(&disk[..63 * 512], 63 * 512, 512), None);
}

fn entry(kind: u8, start: u32, sectors: u32) -> [u8; 16] {
    let mut entry = [0u8; 16];
    entry[4] = kind;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..].copy_from_slice(&sectors.to_le_bytes());
    entry
}

/// Writes a boot record.
fn put(disk: &mut [u8], sector: usize, entries: &[[u8; 16]]) {
    let at = sector * 512;
    for (index, entry) in entries.iter().enumerate() {
        disk[at + 446 + index * 16..][..16].copy_from_slice(entry);
    }
    disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
}

#[test]
fn loops_end_and_rubbish_is_refused() {
    let mut disk = vec![0u8; MIB as usize];
    let mut record = |sector: usize, entries: &[[u8; 16]]| put(&mut disk, sector, entries);
    record(0, &[entry(5, 10, u32::MAX)]);
    record(10, &[entry(0x83, 1, 1), entry(5, 20, 1)]);
    record(30, &[entry(0x83, 1, 1), entry(5, 30, 1)]);
    record(40, &[entry(0x83, u32::MAX, u32::MAX), entry(5, 20, 1)]);
    let table = find(&disk[..], disk.len() as u64, 512).unwrap();
    assert!(table.partitions.len() < 200);
    assert!(
        table
            .partitions
            .iter()
            .all(|p| p.offset + p.size_bytes <= disk.len() as u64)
    );
    assert_eq!(find(&[0u8; 4096][..], 4096, 512), None);
    assert_eq!(find(&[0xffu8; 4096][..], 4096, 512), None);
    assert_eq!(find(&disk[..], disk.len() as u64, 0), None);
}

#[test]
fn boot_code_is_no_table() {
    let mut disk = vec![0x90; 512 * 4];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(find(&disk[..], disk.len() as u64, 512), None);
    assert_eq!(find(&[][..], 0, 512), None);
    assert_eq!(find(&[0; 700][..], 700, 512), None);
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
        let size = disk.len() as u64;
        let partitions = find(&disk[..], size, 512).map_or_else(Vec::new, |table| table.partitions);
        prop_assert!(partitions.iter().all(|p| p.size_bytes > 0 && p.offset + p.size_bytes <= size));
    }
}

#[test]
fn a_fat_boot_sector_is_no_table() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4 * MIB).unwrap();
    let made = Command::new("/usr/sbin/mkfs.vfat")
        .arg(file.path())
        .stdout(Stdio::null())
        .status();
    assert!(made.expect("mkfs.vfat (package dosfstools)").success());
    let disk = std::fs::read(file.path()).unwrap();
    assert_eq!(find(&disk[..], disk.len() as u64, 512), None);
}
