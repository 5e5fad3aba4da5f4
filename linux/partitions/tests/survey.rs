//! Which part of a disk is meant when none is named, on disks as they come from installers, burners and accidents.

use disk_partitions::{Part, Survey, Unchosen, choose};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

fn run(program: &str, arguments: &[&str], input: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
}

/// A volume of so many MiB, made by this command line.
fn volume(mib: u64, command: &str) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("image");
    let source = place.path().join("src");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x".repeat(300_000)).unwrap();
    if mib > 0 {
        std::fs::File::create(&image).unwrap().set_len(mib * MIB).unwrap();
    }
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let words: Vec<String> = command
        .split(' ')
        .map(|word| word.replace("{src}", &text(&source)).replace("{}", &text(&image)))
        .collect();
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    run(&words[0], &arguments, "");
    std::fs::read(&image).unwrap()
}

fn ext4(mib: u64) -> Vec<u8> {
    volume(mib, "mkfs.ext4 -q {}")
}

fn fat(mib: u64) -> Vec<u8> {
    volume(mib, "mkfs.vfat -S 512 {}")
}

fn put(disk: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let end = at as usize + bytes.len();
    if disk.len() < end {
        disk.resize(end, 0);
    }
    disk[at as usize..end].copy_from_slice(bytes);
}

/// A disk with these partitions, one behind the other from 1 MiB on: sfdisk's name of the type, and the content.
fn disk(label: &str, partitions: &[(&str, &[u8])]) -> Vec<u8> {
    let mut script = format!("label: {label}\nunit: sectors\n");
    let (mut at, mut places) = (MIB, Vec::new());
    for (kind, content) in partitions {
        let size = (content.len() as u64).next_multiple_of(MIB);
        script.push_str(&format!("start={}, size={}, type={kind}\n", at / 512, size / 512));
        places.push(at);
        at += size;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(at + MIB).unwrap();
    let path = file.path().to_str().unwrap();
    run(
        "sfdisk",
        &["-q", "--no-reread", "--no-tell-kernel", path],
        &script,
    );
    let mut disk = std::fs::read(file.path()).unwrap();
    for ((_, content), place) in partitions.iter().zip(places) {
        put(&mut disk, place, content);
    }
    disk
}

fn chosen(disk: &[u8]) -> Part {
    let size = disk.len() as u64;
    let part = choose(disk, size, 512, None, false).unwrap();
    let survey = Survey::take(disk, size, 512).unwrap();
    assert_eq!(survey.preferred(), Some(&part));
    part
}

fn name(part: &Part) -> &'static str {
    part.superblock.as_ref().unwrap().kind.name()
}

const EFI: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
const HOME: &str = "933ac7e1-2eb4-4f13-b844-0e14e2aef915";
const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const DATA: &str = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7";

#[test]
fn a_file_system_of_linux_comes_before_what_is_there_for_booting() {
    let (fat, small, large) = (fat(40), ext4(8), ext4(24));
    let part = chosen(&disk("gpt", &[(EFI, &fat), (LINUX, &small)]));
    assert_eq!((part.number, name(&part)), (2, "ext4"));
    let part = chosen(&disk("dos", &[("c", &fat), ("83", &small)]));
    assert_eq!((part.number, name(&part)), (2, "ext4"));
    // A small /boot before the root.
    let part = chosen(&disk("dos", &[("ef", &fat), ("83", &small), ("83", &large)]));
    assert_eq!(part.number, 3);
    // What the types say comes before sizes.
    let part = chosen(&disk("gpt", &[(EFI, &fat), (LINUX, &large), (ROOT, &small)]));
    assert_eq!(part.number, 3);
    let part = chosen(&disk("gpt", &[(EFI, &fat), (LINUX, &small), (HOME, &large)]));
    assert_eq!(part.number, 2);
    // Twins: the first.
    assert_eq!(
        chosen(&disk("gpt", &[(LINUX, &small), (LINUX, &small)])).number,
        1
    );
}

#[test]
fn what_is_left_is_taken_in_its_order() {
    let (efi, data, ntfs) = (fat(40), fat(36), volume(16, "mkntfs -q -F {}"));
    let part = chosen(&disk("gpt", &[(EFI, &efi), (DATA, &data)]));
    assert_eq!(part.number, 2, "data before EFI, though it is smaller");
    let part = chosen(&disk("gpt", &[(EFI, &efi), (DATA, &data), (DATA, &ntfs)]));
    assert_eq!(name(&part), "ntfs");
    assert_eq!(chosen(&disk("gpt", &[(EFI, &efi)])).number, 1);
    let nothing = disk("gpt", &[(LINUX, &[0; 4096])]);
    let size = nothing.len() as u64;
    assert_eq!(
        choose(&nothing[..], size, 512, None, false),
        Err(Unchosen::NothingReadable)
    );
    // Whoever names the file system names the partition, too, where there are some.
    assert_eq!(
        choose(&nothing[..], size, 512, None, true),
        Err(Unchosen::NothingReadable)
    );
    assert_eq!(choose(&nothing[..], size, 512, Some(1), true).unwrap().number, 1);
    assert_eq!(
        choose(&nothing[..], size, 512, Some(2), true),
        Err(Unchosen::NoSuchPartition)
    );
    assert_eq!(choose(&nothing[..], size, 512, Some(0), true).unwrap().number, 0);
    assert_eq!(choose(&[0; 8192][..], 8192, 512, None, true).unwrap().number, 0);
}

fn mbr_entry(kind: u8, start: u32, sectors: u32) -> [u8; 16] {
    let mut entry = [0u8; 16];
    entry[4] = kind;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..].copy_from_slice(&sectors.to_le_bytes());
    entry
}

fn mbr(disk: &mut [u8], entries: &[[u8; 16]]) {
    for (index, entry) in entries.iter().enumerate() {
        disk[446 + index * 16..][..16].copy_from_slice(entry);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
}

#[test]
fn a_hybrid_disc_is_the_disc() {
    let mut disc = volume(0, "genisoimage -quiet -R -V SCHEIBE -o {} {src}");
    let occupied = disc.len() as u64;
    // As isohybrid leaves it: an EFI image behind the disc's own files, and a table.
    let at = occupied.next_multiple_of(MIB);
    let efi = fat(4);
    put(&mut disc, at, &efi);
    let entries = [
        mbr_entry(0, 0, (occupied / 512) as u32),
        mbr_entry(0xef, (at / 512) as u32, (efi.len() / 512) as u32),
    ];
    mbr(&mut disc, &entries);
    let part = chosen(&disc);
    assert_eq!((part.number, name(&part)), (0, "iso9660"));
    assert_eq!(
        choose(&disc[..], disc.len() as u64, 512, Some(2), false)
            .unwrap()
            .number,
        2
    );
    // A place for changes behind the disc is not what is meant.
    let (at, changes) = ((disc.len() as u64).next_multiple_of(MIB), ext4(8));
    put(&mut disc, at, &changes);
    mbr(
        &mut disc,
        &[
            entries[0],
            entries[1],
            mbr_entry(0x83, (at / 512) as u32, (changes.len() / 512) as u32),
        ],
    );
    assert_eq!(chosen(&disc).number, 0);
}

#[test]
fn a_disc_that_was_partitioned_since_is_not_there_any_more() {
    let old = volume(0, "genisoimage -quiet -R -V ALT -o {} {src}");
    assert!(old.len() as u64 > MIB / 4);
    let mut disk = disk("dos", &[("83", &ext4(8))]);
    // The disc was larger than what is left of it.
    let left = &old[32768..64 << 10];
    put(&mut disk, 32768, left);
    let blocks = (disk.len() / 2048) as u32;
    put(&mut disk, 32768 + 80, &blocks.to_le_bytes());
    let survey = Survey::take(&disk[..], disk.len() as u64, 512).unwrap();
    assert_eq!(name(&survey.whole), "iso9660");
    assert_eq!(chosen(&disk).number, 1);
}

#[test]
fn the_others_are_told_but_not_those_for_booting() {
    let (fat, small, large) = (fat(40), ext4(8), ext4(24));
    let disk = disk(
        "gpt",
        &[(EFI, &fat), (LINUX, &small), (HOME, &large), (DATA, &fat)],
    );
    let survey = Survey::take(&disk[..], disk.len() as u64, 512).unwrap();
    let part = survey.preferred().unwrap();
    assert_eq!(part.number, 2);
    let others: Vec<u32> = survey.others(part).map(|part| part.number).collect();
    assert_eq!(others, [3, 4]);
}

/// A table that counts in 4096 bytes, with file systems that count in 512.
#[test]
fn an_mbr_may_count_in_sectors_of_4096_bytes() {
    let (first, second) = (fat(36), ext4(8));
    let mut disk = vec![0u8; MIB as usize];
    put(&mut disk, 256 * 4096, &first);
    let at = disk.len() as u64;
    put(&mut disk, at, &second);
    disk.resize(disk.len() + MIB as usize, 0);
    mbr(
        &mut disk,
        &[
            mbr_entry(0xc, 256, (first.len() / 4096) as u32),
            mbr_entry(0x83, (at / 4096) as u32, (second.len() / 4096) as u32),
        ],
    );
    let survey = Survey::take(&disk[..], disk.len() as u64, 512).unwrap();
    assert_eq!(survey.table.as_ref().unwrap().sector_size, 4096);
    let seen: Vec<_> = survey
        .partitions
        .iter()
        .map(|part| (part.number, name(part)))
        .collect();
    assert_eq!(seen, [(1, "vfat"), (2, "ext4")]);
    // A disk that says that its sectors have 4096 bytes may have a table from one that had 512.
    let other = self::disk("dos", &[("83", &second)]);
    let survey = Survey::take(&other[..], other.len() as u64, 4096).unwrap();
    assert_eq!(survey.table.as_ref().unwrap().sector_size, 512);
    assert_eq!(survey.preferred().unwrap().number, 1);
}

#[test]
fn a_boot_sector_that_was_left_over_does_not_hide_the_table() {
    let stick = fat(40);
    let size = stick.len() as u64;
    // A stick without a table stays one.
    assert_eq!(Survey::take(&stick[..], size, 512).unwrap().table, None);
    // fdisk keeps the first 440 bytes.
    let mut disk = disk("dos", &[("83", &ext4(8)), ("83", &[0; 4096])]);
    disk[..440].copy_from_slice(&stick[..440]);
    let survey = Survey::take(&disk[..], disk.len() as u64, 512).unwrap();
    assert_eq!(name(&survey.whole), "vfat");
    assert_eq!(survey.partitions.len(), 2);
    assert_eq!(survey.preferred().unwrap().number, 1);
    assert_eq!(
        choose(&disk[..], disk.len() as u64, 512, Some(2), true)
            .unwrap()
            .number,
        2
    );
    // Boot code that happens to look like entries is none: they are not inside the disk, or not beside each other.
    for entries in [
        [mbr_entry(0x83, 63, u32::MAX), mbr_entry(0, 0, 0)],
        [mbr_entry(0x83, 63, 100), mbr_entry(0x20, 100, 100)],
        [mbr_entry(0x83, 63, 100), mbr_entry(0x20, 500, 0)],
        [mbr_entry(0x83, 0, 100), mbr_entry(0, 0, 0)],
    ] {
        let mut stick = stick.clone();
        mbr(&mut stick, &entries);
        let survey = Survey::take(&stick[..], size, 512).unwrap();
        assert_eq!(survey.table, None, "{entries:?}");
        assert_eq!(survey.preferred().unwrap().number, 0);
    }
    // And where nothing is on the partitions that it has, the stick is what is meant.
    let mut stick = stick.clone();
    mbr(&mut stick, &[mbr_entry(0x83, 63, 100), mbr_entry(0x83, 163, 100)]);
    let survey = Survey::take(&stick[..], size, 512).unwrap();
    assert_eq!(survey.partitions.len(), 2);
    assert_eq!(survey.preferred().unwrap().number, 0);
}

#[test]
fn what_was_cut_off_is_as_long_as_it_was() {
    let whole = ext4(16);
    let half = &whole[..whole.len() / 2 - 100];
    let part = chosen(half);
    assert_eq!(part.size_bytes, 16 * MIB);
    assert_eq!(part.missing_bytes, whole.len() as u64 - half.len() as u64);
    assert_eq!(part.present_bytes(), half.len() as u64);
    assert_eq!(chosen(&whole).missing_bytes, 0);
    // The same with a table.
    let disk = disk("dos", &[("83", &whole)]);
    let cut = &disk[..disk.len() - 9 * MIB as usize];
    let part = chosen(cut);
    assert_eq!((part.number, part.size_bytes), (1, 16 * MIB));
    assert_eq!(part.missing_bytes, 8 * MIB);
    // One that says it has more than any disk is damaged instead.
    let mut odd = whole.clone();
    odd[1024 + 4..1024 + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    odd[1024 + 0x18..1024 + 0x1c].copy_from_slice(&6u32.to_le_bytes());
    odd[1024 + 0x60] |= 0x80;
    odd[1024 + 0x150..1024 + 0x154].copy_from_slice(&0xffffu32.to_le_bytes());
    let part = choose(&odd[..], odd.len() as u64, 512, Some(0), true).unwrap();
    assert_eq!((part.size_bytes, part.missing_bytes), (16 * MIB, 0));
}
