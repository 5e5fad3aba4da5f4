//! Labels and identities that are not where they are on a volume that was just made. `blkid` is asked for the same.

use fs_probe::{Kind, probe};
use std::process::Command;

fn run(program: &str, arguments: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

fn made(mib: u64, command: &str) -> Vec<u8> {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(mib << 20).unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let mut arguments = words[1..].to_vec();
    arguments.push(image.path().to_str().unwrap());
    run(words[0], &arguments);
    std::fs::read(image.path()).unwrap()
}

/// What blkid says of one field.
fn blkid(image: &[u8], field: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image).unwrap();
    let path = file.path().to_str().unwrap();
    run("blkid", &["-p", "-s", field, "-o", "value", path])
}

fn label(image: &[u8]) -> String {
    let label = probe(image).expect("it is recognised").label.to_string();
    assert_eq!(label, blkid(image, "LABEL"), "blkid says otherwise");
    label
}

fn le16(image: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(image[at..at + 2].try_into().unwrap()))
}

fn le32(image: &[u8], at: usize) -> usize {
    u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize
}

/// Byte at which the root directory of a FAT begins.
fn fat_root(image: &[u8]) -> usize {
    let tables = match le16(image, 22) {
        0 => le32(image, 36),
        sectors => sectors,
    };
    (le16(image, 14) + usize::from(image[16]) * tables) * le16(image, 11)
}

/// Moves the label, the first entry of a directory, behind `erased` others.
fn move_back(image: &mut [u8], root: usize, erased: usize, entry: &[u8]) {
    let label = image[root..root + 32].to_vec();
    for index in 0..erased {
        image[root + index * 32..][..32].copy_from_slice(entry);
    }
    image[root + erased * 32..][..32].copy_from_slice(&label);
}

fn erased_entry() -> [u8; 32] {
    let mut entry = [b' '; 32];
    entry[0] = 0xe5;
    entry[11] = 0x20;
    entry
}

#[test]
fn an_erased_label_of_fat_is_none() {
    for (mib, command) in [(16, "mkfs.vfat -F 16 -n ALTER"), (64, "mkfs.vfat -F 32 -n ALTER")] {
        let whole = made(mib, command);
        assert_eq!(label(&whole), "ALTER");
        let root = fat_root(&whole);
        assert_eq!(&whole[root..root + 5], b"ALTER");
        let mut erased = whole.clone();
        erased[root] = 0xe5;
        assert_eq!(label(&erased), "", "{command}: the boot sector's is of old");
        let mut unnamed = whole.clone();
        unnamed[root..root + 11].copy_from_slice(b"NO NAME    ");
        // blkid takes these words for a label here; what writes them means that there is none.
        assert!(probe(&unnamed[..]).unwrap().label.is_empty(), "{command}");
    }
}

#[test]
fn a_label_of_fat_may_be_anywhere_in_the_root() {
    let mut small = made(16, "mkfs.vfat -F 16 -n WEITWEG");
    let root = fat_root(&small);
    move_back(&mut small, root, 400, &erased_entry());
    assert_eq!(label(&small), "WEITWEG");
    // In the second cluster of the root, which is not beside the first.
    let mut large = made(64, "mkfs.vfat -F 32 -s 1 -n WEITWEG");
    let root = fat_root(&large);
    let (table, sector) = (le16(&large, 14) * 512, 512);
    let (entry, label_entry) = (erased_entry(), large[root..root + 32].to_vec());
    for index in 0..sector / 32 {
        large[root + index * 32..][..32].copy_from_slice(&entry);
    }
    for (cluster, next) in [(2usize, 9u32), (9, 0x0fff_ffff)] {
        large[table + cluster * 4..][..4].copy_from_slice(&next.to_le_bytes());
    }
    large[root + 7 * sector..][..32].copy_from_slice(&label_entry);
    assert_eq!(label(&large), "WEITWEG");
    // A chain that leads to itself ends.
    large[table + 9 * 4..][..4].copy_from_slice(&2u32.to_le_bytes());
    large[root + 7 * sector..][..sector].copy_from_slice(&entry.repeat(sector / 32));
    assert!(probe(&large[..]).unwrap().label.is_empty());
}

#[test]
fn a_label_of_exfat_may_be_anywhere_in_the_root() {
    let whole = made(16, "mkfs.exfat -c 4096 -L Entfernt");
    assert_eq!(label(&whole), "Entfernt");
    let (heap, table) = (le32(&whole, 88) * 512, le32(&whole, 80) * 512);
    let cluster = le32(&whole, 96);
    let root = heap + (cluster - 2) * 4096;
    assert_eq!(whole[root], 0x83);
    // A file that was deleted.
    let mut deleted = [0u8; 32];
    deleted[0] = 0x05;
    let mut moved = whole.clone();
    move_back(&mut moved, root, 40, &deleted);
    assert_eq!(label(&moved), "Entfernt");
    let mut far = whole.clone();
    move_back(&mut far, root, 127, &deleted);
    let entry = far[root + 127 * 32..][..32].to_vec();
    far[root + 127 * 32..][..32].copy_from_slice(&deleted);
    let other = cluster + 20;
    for (cluster, next) in [(cluster, other as u32), (other, u32::MAX)] {
        far[table + cluster * 4..][..4].copy_from_slice(&next.to_le_bytes());
    }
    far[heap + (other - 2) * 4096..][..32].copy_from_slice(&entry);
    assert_eq!(label(&far), "Entfernt");
    let mut erased = whole.clone();
    erased[root] = 0x03;
    assert!(probe(&erased[..]).unwrap().label.is_empty());
}

/// There is no tool here that makes one: a header, as far as it is looked at.
#[test]
fn the_uuid_of_hfs_plus_is_that_of_macos() {
    let mut image = vec![0u8; 1 << 20];
    let header = &mut image[1024..1536];
    header[..4].copy_from_slice(b"H+\0\x04");
    header[40..44].copy_from_slice(&4096u32.to_be_bytes());
    header[44..48].copy_from_slice(&256u32.to_be_bytes());
    header[104..112].copy_from_slice(&[0x6b, 0x8c, 0x2f, 0x10, 0x4e, 0x91, 0x77, 0xd3]);
    let found = probe(&image[..]).unwrap();
    assert_eq!(found.kind, Kind::HfsPlus);
    let uuid = found.uuid.unwrap().to_string();
    assert_eq!(uuid, blkid(&image, "UUID"));
    assert_eq!(
        (uuid.len(), &uuid[14..15]),
        (36, "3"),
        "a UUID of version 3: {uuid}"
    );
    image[1024 + 104..1024 + 112].fill(0);
    assert_eq!(probe(&image[..]).unwrap().uuid, None);
}

/// Superblocks whose field for the size of a block was overwritten are told as they are, without a size.
#[test]
fn blocks_without_bytes_have_no_size() {
    let jfs = |block: u32, sector: u32| {
        let mut image = vec![0u8; 64 << 10];
        let superblock = &mut image[32 << 10..];
        superblock[..4].copy_from_slice(b"JFS1");
        superblock[4] = 2;
        superblock[8] = 100;
        superblock[16..20].copy_from_slice(&block.to_le_bytes());
        superblock[24..28].copy_from_slice(&sector.to_le_bytes());
        let found = probe(&image[..]).unwrap();
        assert_eq!(found.kind, Kind::Jfs);
        (found.block_size, found.size_bytes)
    };
    assert_eq!(jfs(4096, 512), (Some(4096), Some(51_200)));
    assert_eq!(jfs(0, 0), (None, None));

    let mut image = vec![0u8; 128 << 10];
    image[(64 << 10) + 0x40..][..8].copy_from_slice(b"_BHRfS_M");
    let found = probe(&image[..]).unwrap();
    assert_eq!((found.kind, found.block_size), (Kind::Btrfs, None));

    let mut image = vec![0u8; 64 << 10];
    image[..4].copy_from_slice(b"hsqs");
    image[28] = 4;
    let found = probe(&image[..]).unwrap();
    assert_eq!((found.kind, found.block_size), (Kind::Squashfs, None));
}
