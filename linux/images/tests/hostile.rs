//! Bad images: cut off, changed at random, with right checksums and wrong ones, and too little memory for good ones.
//!
//! Whatever the image, opening and reading it ends, soon, without a panic and with little memory.
//
// UNSAFETY: an allocator that fails when it is told to, around the system's.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::sync::OnceLock;

use disk_images::{Cache, Error, Image, Unresolved, open};
use proptest::prelude::*;
use support::memory::InMemory;
use support::vhdx::{Block, Disk, MIB, Said};
use support::{Numbers, arg, content, qemu, vhd, vhdx};

/// Counts what a thread holds, and fails when it is told to.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    /// Allocations until all fail.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

// SAFETY: all is the system's, but for blocks that are refused.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let left = LEFT.get();
        if left == 0 {
            return std::ptr::null_mut();
        }
        LEFT.set(if left == usize::MAX { left } else { left - 1 });
        HELD.set(HELD.get() + layout.size() as isize);
        MOST.set(MOST.get().max(HELD.get()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A good image, and where its headers and tables are.
struct Good {
    name: &'static str,
    bytes: Vec<u8>,
    tables: Vec<std::ops::Range<usize>>,
}

fn good() -> &'static [Good] {
    static GOOD: OnceLock<Vec<Good>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("raw");
        fs::write(&source, content(8, 1 << 20)).unwrap();
        let mut all = Vec::new();
        let makes: [(&str, &[&str]); 6] = [
            ("vpc", &["-o", "force_size=on"]),
            ("qcow2", &["-o", "cluster_size=512"]),
            ("qcow2", &["-c", "-o", "cluster_size=4k"]),
            ("qcow2", &["-c", "-o", "compression_type=zstd,cluster_size=64k"]),
            ("qcow2", &["-o", "extended_l2=on,cluster_size=16k"]),
            ("qcow2", &["-o", "compat=0.10"]),
        ];
        for (format, options) in makes {
            let path = place.path().join("image");
            let mut arguments = vec!["convert", "-t", "unsafe", "-O", format];
            arguments.extend(options);
            arguments.extend([arg(&source), arg(&path)]);
            qemu("qemu-img", &arguments);
            let bytes = fs::read(&path).unwrap();
            let end = bytes.len();
            let tables = match format {
                "vpc" => vec![0..2048, end - 512..end],
                // QEMU puts the first tables at the start.
                _ => vec![0..120, 0..(end / 4).min(300_000)],
            };
            all.push(Good {
                name: format,
                bytes,
                tables,
            });
        }
        let disk = Disk {
            size: 4 * MIB,
            sector: 512,
            data_write: 5,
            parent: Some((5, "self".to_string())),
            blocks: BTreeMap::from([
                (0, Block::Full(content(9, MIB as usize))),
                (
                    1,
                    Block::Partial(content(10, MIB as usize), (0..2048).step_by(3).collect()),
                ),
                (2, Block::Empty(2)),
            ]),
        };
        let mut bytes = disk.write();
        let (bat, metadata) = (vhdx::BAT as usize, vhdx::METADATA as usize);
        let tables = vec![
            65536..65536 + 80,
            131_072..131_072 + 80,
            192 << 10..(192 << 10) + 96,
            metadata..metadata + 256,
            metadata + 65536..metadata + 65536 + 400,
            bat..bat + 64,
        ];
        all.push(Good {
            name: "vhdx",
            bytes: bytes.clone(),
            tables: tables.clone(),
        });
        vhdx::header(&mut bytes, 0, 9, 5, 99);
        let size = bytes.len() as u64;
        let mut at = 0;
        for number in 1..4u64 {
            let said = [
                Said::Sector(vhdx::BAT, bytes[bat..bat + 4096].to_vec()),
                Said::Zeros(6 * MIB + 4096 * number, 8192),
            ];
            let entry = vhdx::entry(number, 0, 99, size, &said);
            at = vhdx::write_ring(&mut bytes, vhdx::LOG, MIB, at, &entry);
        }
        let mut with_log = tables;
        with_log.push(vhdx::LOG as usize..vhdx::LOG as usize + 3 * 8192);
        all.push(Good {
            name: "vhdx log",
            bytes,
            tables: with_log,
        });
        let own = BTreeMap::from([(3, [1; 512]), (200, [2; 512])]);
        let bytes = vhd::differencing(1 << 20, [1; 16], [1; 16], "self", &own);
        let end = bytes.len();
        all.push(Good {
            name: "vhd differencing",
            bytes,
            tables: vec![0..2200, end - 512..end],
        });
        all
    })
}

/// Makes the checksums right again, so that what they guard is reached.
fn mend(name: &str, bytes: &mut [u8]) {
    let end = bytes.len();
    if name.starts_with("vhdx") && end >= 4 * MIB as usize {
        for at in [64u64 << 10, 128 << 10] {
            vhdx::sum(bytes, at, 4096);
        }
        // A whole table takes long to sum up bit by bit; the second is used when the first is wrong.
        for number in 0..3 {
            let at = vhdx::LOG + 8192 * number;
            let length = u32::from_le_bytes(bytes[at as usize + 8..at as usize + 12].try_into().unwrap());
            if (4096..=65536).contains(&length) {
                vhdx::sum(bytes, at, length as usize);
            }
        }
    } else if name.starts_with('v') && end > 2048 {
        vhd::sum(&mut bytes[end - 512..], 64);
        vhd::sum(&mut bytes[..512], 64);
        vhd::sum(&mut bytes[512..1536], 36);
    }
}

/// Opens an image, with itself or nothing as its parent, and reads all of it.
fn exercise(bytes: Vec<u8>, parent: Option<InMemory>) -> Result<u64, Error> {
    let size = bytes.len() as u64;
    let file = InMemory::new(bytes);
    let read = file.read.clone();
    let start = HELD.get();
    MOST.set(start);
    let image = open(file, &mut |_| parent.clone().ok_or(Unresolved));
    assert!(
        read.get() < 5_000 + 4 * size / 512,
        "{} reads to open {size} bytes",
        read.get()
    );
    let result = image.and_then(|image| read_some(&image));
    assert!(MOST.get() - start < 24 << 20, "{} bytes held", MOST.get() - start);
    result
}

/// Reads the start and some places of a disk of any size; a number that stands for what was there.
fn read_some(image: &Image<InMemory>) -> Result<u64, Error> {
    let mut cache = Cache::new()?;
    let size = image.virtual_size();
    let mut buffer = [0; 10_000];
    let mut result = Ok(());
    let mut digest = DefaultHasher::new();
    let mut numbers = Numbers::new(size);
    let mut at = 0;
    for number in 0..200 {
        if at >= size {
            break;
        }
        let length = (size - at).min(buffer.len() as u64);
        let map = image.map(&mut cache, at, (size - at).min(4 << 20));
        let read = image.read_at(&mut cache, at, &mut buffer[..length as usize]);
        if let Ok(extent) = map {
            assert!(extent.length() > 0 && extent.length() <= (size - at).min(4 << 20));
        }
        assert!(map.is_ok() || read.is_err());
        result = result.and(read);
        digest.write(&buffer[..length as usize]);
        at = if number < 100 {
            at + length
        } else {
            numbers.below(size)
        };
    }
    result.map(|()| digest.finish())
}

#[test]
fn good_images_are_good() {
    for Good { name, bytes, .. } in good() {
        let mut mended = bytes.clone();
        mend(name, &mut mended);
        assert!(
            mended == *bytes,
            "{name}: the checksums are those that the test computes"
        );
        match exercise(bytes.clone(), None) {
            Err(Error::Unresolved { .. }) => assert!(name.contains('v'), "{name}"),
            result => assert!(result.is_ok(), "{name}: {result:?}"),
        }
    }
}

#[test]
fn cut_off_images_say_what_is_missing() {
    let mut refused = 0;
    for Good { name, bytes, .. } in good() {
        let own = InMemory::new(bytes.clone());
        let whole = exercise(bytes.clone(), Some(own.clone()));
        for part in 0..60 {
            let length = bytes.len() * part / 60;
            let result = exercise(bytes[..length].to_vec(), Some(own.clone()));
            refused += usize::from(result.is_err());
            // What is there may be all that matters; what is not is no zeros. Nothing at all is an empty raw disk.
            let silent = result.is_ok() && result != whole && length > 0;
            assert!(!silent, "{name} cut to {length} of {} bytes", bytes.len());
        }
        for lost in 1..40 {
            let _ = exercise(bytes[..bytes.len() - lost].to_vec(), Some(own.clone()));
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn each_allocation_may_fail() {
    for Good { name, bytes, .. } in good() {
        // A parent's content matters little here: the image itself ends the chain by being found again.
        let file = InMemory::new(bytes.clone());
        let mut failed = 0;
        for count in 0.. {
            let other = InMemory::new(bytes.clone());
            LEFT.set(count);
            let result = open(file.clone(), &mut |_| Ok(other.clone())).and_then(|image| read_some(&image));
            LEFT.set(usize::MAX);
            match result {
                Err(Error::NoMemory) => failed += 1,
                // Names of parents are what they are with less memory, too.
                _ => break,
            }
        }
        assert!(failed > 3, "{name}: {failed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    #[test]
    fn changed_images_end_soon(
        which in 0usize..9,
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop_oneof![
                prop::collection::vec(any::<u8>(), 1..9),
                Just(vec![0; 8]),
                Just(vec![0xff; 8]),
                Just(vec![0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
                Just(vec![0, 0, 0, 0, 0, 1, 0, 0]),
            ]),
            1..6,
        ),
        mended in any::<bool>(),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let Good { name, bytes, tables } = &good()[which];
        let mut bytes = bytes.clone();
        for (table, place, change) in &changes {
            let table = table.get(tables);
            let at = table.start + place.index(table.len());
            let end = (at + change.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&change[..end - at]);
        }
        if mended {
            mend(name, &mut bytes);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let parent = InMemory::new(good()[1].bytes.clone());
        let _ = exercise(bytes, Some(parent));
    }
}
