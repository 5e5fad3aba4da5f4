//! Differencing VHDs and VHDXs, sectors of 4096 bytes and logs: written here, since QEMU does not write them.

mod support;

use std::collections::BTreeMap;
use std::fs;

use disk_images::{Cache, Error, Extent, Format, VhdKind};
use support::memory::InMemory;
use support::vhdx::{BAT, Block, Disk, LOG, MIB, Said};
use support::{Numbers, arg, assert_same, content, judged, open, qemu, read_all, read_by_map, vhd, vhdx};

fn some_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    (0..length).map(|_| numbers.next() as u8).collect()
}

#[test]
fn a_differencing_vhd_shows_its_own_sectors_and_its_parents() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("base.raw"), content(5, 2 << 20)).unwrap();
    let (from, parent) = (at("base.raw"), at("parent.vhd"));
    qemu(
        "qemu-img",
        &[
            "convert",
            "-t",
            "unsafe",
            "-O",
            "vpc",
            "-o",
            "force_size=on",
            arg(&from),
            arg(&parent),
        ],
    );
    let mut expected = judged(&parent, "vpc");
    let size = expected.len() as u64;
    let mut parent_id = open(&parent).unwrap().disk_id().unwrap().0;
    // Three generations, each with sectors alone, in runs and in whole blocks.
    for (generation, name) in ["one.avhd", "two.avhd", "three.avhd"].into_iter().enumerate() {
        let mut numbers = Numbers::new(generation as u64 + 40);
        let mut own = BTreeMap::new();
        for _ in 0..40 {
            let (start, length) = (
                numbers.below(size / 512),
                [1, 3, 20, 200][numbers.below(4) as usize],
            );
            for sector in start..(start + length).min(size / 512) {
                let bytes = [numbers.next() as u8; 512];
                own.insert(sector, bytes);
                expected[sector as usize * 512..][..512].copy_from_slice(&bytes);
            }
        }
        let id = [generation as u8 + 1; 16];
        let below = ["parent.vhd", "one.avhd", "two.avhd"][generation];
        fs::write(at(name), vhd::differencing(size, id, parent_id, below, &own)).unwrap();
        let image = open(&at(name)).unwrap();
        assert_eq!(image.format(), Format::Vhd(VhdKind::Differencing));
        assert_eq!(image.layers(), generation + 2);
        assert_eq!(image.disk_id().unwrap().0, id);
        assert_same(name, &read_all(&image).unwrap(), &expected);
        assert_same(name, &read_by_map(&image).unwrap(), &expected);
        parent_id = id;
    }
    // Another disk in the parent's place.
    let other = vhd::differencing(size, [9; 16], [8; 16], "parent.vhd", &BTreeMap::new());
    fs::write(at("one.avhd"), other).unwrap();
    assert_eq!(open(&at("two.avhd")).unwrap_err(), Error::WrongParent { file: 1 });
}

/// Disks of more than one chunk of 512-byte sectors, so that the entries of bitmaps come between those of blocks.
#[test]
fn a_differencing_vhdx_shows_its_own_sectors_and_its_parents() {
    for sector in [512u32, 4096] {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let per_block = MIB / u64::from(sector);
        let size = 5 << 30;
        let block = |seed: u64| some_bytes(seed, MIB as usize);
        let parent = Disk {
            size: size - MIB,
            sector,
            data_write: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            parent: None,
            blocks: [0, 1, 2, 3, 4095, 4096, 4097]
                .map(|number| (number, Block::Full(block(number))))
                .into_iter()
                .chain([(5, Block::Empty(2)), (6, Block::Empty(1))])
                .collect(),
        };
        fs::write(at("parent.vhdx"), parent.write()).unwrap();
        let odd: Vec<u64> = (0..per_block)
            .filter(|place| place % 7 == 3 || *place > per_block - 9)
            .collect();
        let child = Disk {
            size,
            sector,
            data_write: 3,
            parent: Some((parent.data_write, ".\\parent.vhdx".to_string())),
            blocks: BTreeMap::from([
                (1, Block::Partial(block(101), odd.clone())),
                (2, Block::Full(block(102))),
                (3, Block::Empty(3)),
                (5, Block::Partial(block(105), odd.clone())),
                (4095, Block::Partial(block(4195), (0..per_block).collect())),
                (4096, Block::Partial(block(4196), odd.clone())),
                (4097, Block::Partial(block(4197), Vec::new())),
                (5119, Block::Full(block(5219))),
            ]),
        };
        fs::write(at("child.avhdx"), child.write()).unwrap();
        let image = open(&at("child.avhdx")).unwrap();
        assert_eq!(
            (image.virtual_size(), image.logical_sector_size()),
            (size, sector)
        );
        let mixed = |own: Vec<u8>, mut below: Vec<u8>| {
            for place in &odd {
                let range = *place as usize * sector as usize..(*place as usize + 1) * sector as usize;
                below[range.clone()].copy_from_slice(&own[range]);
            }
            below
        };
        let zeros = vec![0; MIB as usize];
        let expected = [
            (0, block(0)),
            (1, mixed(block(101), block(1))),
            (2, block(102)),
            (3, zeros.clone()),
            (4, zeros.clone()),
            (5, mixed(block(105), zeros.clone())),
            (6, zeros.clone()),
            (4095, block(4195)),
            (4096, mixed(block(4196), block(4096))),
            (4097, block(4097)),
            (5118, zeros),
            (5119, block(5219)),
        ];
        let mut cache = Cache::new().unwrap();
        for (number, expected) in expected {
            let mut found = vec![0xee; MIB as usize];
            image.read_at(&mut cache, number * MIB, &mut found).unwrap();
            assert_same(
                &format!("block {number} of sectors of {sector}"),
                &found,
                &expected,
            );
        }
        // Across the border of two chunks.
        let mut found = [0; 8192];
        image.read_at(&mut cache, 4096 * MIB - 4096, &mut found).unwrap();
        assert_eq!(found[..4096], block(4195)[MIB as usize - 4096..]);
        // A parent that was written to since.
        let changed = Disk {
            data_write: 4,
            ..parent
        };
        fs::write(at("parent.vhdx"), changed.write()).unwrap();
        assert_eq!(
            open(&at("child.avhdx")).unwrap_err(),
            Error::WrongParent { file: 1 }
        );
    }
}

const LOG_ID: u128 = 0xfeed_beef;

fn sector_of(file: &[u8], at: u64) -> Vec<u8> {
    file[at as usize..at as usize + 4096].to_vec()
}

/// The disk of an image after what a log says was done in its file.
fn written_home(clean: &[u8], said: &[Vec<Said>]) -> Vec<u8> {
    let mut file = clean.to_vec();
    for said in said.iter().flatten() {
        match said {
            Said::Sector(at, bytes) => vhdx::put(&mut file, *at, bytes),
            Said::Zeros(at, length) => vhdx::put(&mut file, *at, &vec![0; *length as usize]),
        }
    }
    read_all(&disk_images::open(InMemory::new(file), &mut |_| unreachable!()).unwrap()).unwrap()
}

#[test]
fn a_log_reads_as_if_it_had_been_written_home() {
    let data = content(6, 5 << 20);
    let disk = Disk {
        size: 6 * MIB,
        sector: 512,
        data_write: 5,
        parent: None,
        blocks: (0..5)
            .map(|n| {
                (
                    n,
                    Block::Full(data[(n * MIB) as usize..][..MIB as usize].to_vec()),
                )
            })
            .collect(),
    };
    let clean = disk.write();
    // Blocks 0 and 4 change places; block 2 is zeros; some data of block 1 comes from the log, twice; and before all that
    // the log says things that it takes back.
    let mut bat = sector_of(&clean, BAT);
    let (first, last) = (bat[..8].to_vec(), bat[32..40].to_vec());
    bat[..8].copy_from_slice(&last);
    bat[32..40].copy_from_slice(&first);
    let home = |block: u64| 4 * MIB + block * MIB;
    let size = clean.len() as u64;
    let said: [Vec<Said>; 4] = [
        vec![Said::Sector(BAT, vec![0; 4096]), Said::Zeros(home(3), MIB)],
        vec![
            Said::Sector(BAT, bat),
            Said::Zeros(home(2), MIB),
            Said::Zeros(home(1), 64 << 10),
            Said::Sector(home(3), some_bytes(1, 4096)),
        ],
        (0..150)
            .map(|n| Said::Sector(home(1) + 4096 * n, some_bytes(n + 10, 4096)))
            .collect(),
        vec![
            Said::Zeros(home(1) + 8192, 4096),
            Said::Sector(home(2) + 4096, some_bytes(3, 4096)),
        ],
    ];
    let expected = written_home(&clean, &said);
    // From the start of the ring, and around its end.
    for start in [0u64, MIB - 3 * 4096] {
        let mut dirty = clean.clone();
        vhdx::header(&mut dirty, 0, 9, 5, LOG_ID);
        let mut at = start;
        for (number, said) in said.iter().enumerate() {
            let entry = vhdx::entry(0x1_ffff_fffe + number as u64, start, LOG_ID, size, said);
            at = vhdx::write_ring(&mut dirty, LOG, MIB, at, &entry);
        }
        // What is left of an older life of the ring, and of a write that was cut off.
        let old = vhdx::entry(3, at, LOG_ID, size, &[Said::Zeros(BAT, MIB)]);
        vhdx::write_ring(&mut dirty, LOG, MIB, at + 8192, &old);
        let mut torn = vhdx::entry(0x2_0000_0002, start, LOG_ID, size, &[Said::Zeros(BAT, MIB)]);
        torn[70] ^= 1;
        vhdx::write_ring(&mut dirty, LOG, MIB, at, &torn);

        let image = disk_images::open(InMemory::new(dirty.clone()), &mut |_| unreachable!()).unwrap();
        assert_same("the log", &read_all(&image).unwrap(), &expected);
        assert_same("the log, by its map", &read_by_map(&image).unwrap(), &expected);
        let computed = image.map(&mut Cache::new().unwrap(), MIB, 4096).unwrap();
        assert_eq!(computed, Extent::Computed { length: 4096 });
        // Nothing whole in the log: the image is refused, not shown as it was before.
        dirty[LOG as usize..][..MIB as usize].fill(0);
        let refused = disk_images::open(InMemory::new(dirty), &mut |_| unreachable!()).unwrap_err();
        assert!(refused.to_string().contains("log"), "{refused}");
    }
}

#[test]
fn a_log_that_lost_its_file_is_refused() {
    let disk = Disk {
        size: MIB,
        sector: 512,
        data_write: 5,
        parent: None,
        blocks: BTreeMap::new(),
    };
    let mut file = disk.write();
    vhdx::header(&mut file, 0, 9, 5, LOG_ID);
    let size = file.len() as u64;
    let entry = vhdx::entry(7, 0, LOG_ID, size + MIB, &[Said::Zeros(BAT, 4096)]);
    vhdx::write_ring(&mut file, LOG, MIB, 0, &entry);
    let refused = disk_images::open(InMemory::new(file), &mut |_| unreachable!()).unwrap_err();
    assert_eq!(
        refused,
        Error::Truncated {
            file: 0,
            size,
            offset: size
        }
    );
}

/// QEMU replays a log when it may write. It takes only simple ones, so there are few entries here.
#[test]
fn a_log_reads_as_qemu_writes_it_home() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("replayed.vhdx");
    let disk = Disk {
        size: 2 * MIB,
        sector: 512,
        data_write: 5,
        parent: None,
        blocks: BTreeMap::from([(0, Block::Full(content(12, MIB as usize)))]),
    };
    let mut dirty = disk.write();
    let size = dirty.len() as u64;
    let mut bat = sector_of(&dirty, BAT);
    let (first, second) = (bat[..8].to_vec(), bat[8..16].to_vec());
    bat[..8].copy_from_slice(&second);
    bat[8..16].copy_from_slice(&first);
    let said = [
        vec![Said::Sector(BAT, bat), Said::Zeros(4 * MIB + 65536, 65536)],
        vec![
            Said::Sector(4 * MIB + 69632, some_bytes(4, 4096)),
            Said::Sector(4 * MIB, some_bytes(5, 4096)),
        ],
    ];
    vhdx::header(&mut dirty, 0, 9, 5, LOG_ID);
    let mut at = 0;
    for (number, said) in said.iter().enumerate() {
        let entry = vhdx::entry(0x1_ffff_ffff + number as u64, 0, LOG_ID, size, said);
        at = vhdx::write_ring(&mut dirty, LOG, MIB, at, &entry);
    }
    fs::write(&path, &dirty).unwrap();
    let image = disk_images::open(InMemory::new(dirty), &mut |_| unreachable!()).unwrap();
    let found = read_all(&image).unwrap();
    qemu(
        "qemu-img",
        &["check", "-q", "-r", "all", "-f", "vhdx", arg(&path)],
    );
    assert_same("the log", &found, &judged(&path, "vhdx"));
}

/// QEMU refuses entries whose descriptors need a second sector, so the judge is the same log in smaller entries.
#[test]
fn an_entry_may_have_many_descriptors() {
    let disk = Disk {
        size: 2 * MIB,
        sector: 512,
        data_write: 5,
        parent: None,
        blocks: BTreeMap::from([(0, Block::Full(content(11, MIB as usize)))]),
    };
    let clean = disk.write();
    let said = |range: std::ops::Range<u64>| -> Vec<Said> {
        range
            .map(|n| Said::Sector(4 * MIB + 4096 * n, some_bytes(n, 4096)))
            .collect()
    };
    let read = |entries: &[Vec<Said>]| {
        let mut dirty = clean.clone();
        vhdx::header(&mut dirty, 0, 9, 5, LOG_ID);
        let mut at = 0;
        for (number, said) in entries.iter().enumerate() {
            let entry = vhdx::entry(7 + number as u64, 0, LOG_ID, clean.len() as u64, said);
            at = vhdx::write_ring(&mut dirty, LOG, MIB, at, &entry);
        }
        read_all(&disk_images::open(InMemory::new(dirty), &mut |_| unreachable!()).unwrap()).unwrap()
    };
    let small = read(&[said(0..50), said(50..100), said(100..150)]);
    assert_ne!(
        small[140 * 4096..150 * 4096],
        clean[(4 << 20) + 140 * 4096..(4 << 20) + 150 * 4096]
    );
    assert_same("one entry", &read(&[said(0..150)]), &small);
}
