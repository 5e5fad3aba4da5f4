//! What the tests share: files, content, and QEMU's tools.
#![allow(dead_code, reason = "each test uses some of it")]

pub mod memory;
pub mod vhd;
pub mod vhdx;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use disk_images::{Base, Cache, Error, Extent, File, Image, Name, ReadAt, ReadError, Reference, Unresolved};

/// A file on this machine.
#[derive(Debug)]
pub struct OnDisk(pub fs::File);

impl OnDisk {
    pub fn open(path: &Path) -> std::io::Result<OnDisk> {
        fs::File::open(path).map(OnDisk)
    }
}

impl ReadAt for OnDisk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_exact_at(buffer, offset).map_err(|_| ReadError)
    }
}

impl File for OnDisk {
    fn size_bytes(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (self.0.metadata().unwrap(), other.0.metadata().unwrap());
        (one.dev(), one.ino()) == (two.dev(), two.ino())
    }
}

/// Opens an image and what it needs, as a program on Linux would.
pub fn open(path: &Path) -> Result<Image<OnDisk>, Error> {
    let mut paths = vec![path.to_path_buf()];
    let mut resolve = |reference: &Reference| {
        let folder = paths[reference.file].parent().unwrap().to_path_buf();
        for name in &reference.names {
            let found = folder.join(portable(name));
            if let Ok(file) = OnDisk::open(&found) {
                paths.push(found);
                return Ok(file);
            }
        }
        Err(Unresolved)
    };
    disk_images::open(OnDisk::open(path).unwrap(), &mut resolve)
}

fn portable(name: &Name) -> PathBuf {
    let text = name.text().unwrap();
    match name.base {
        Base::Image => PathBuf::from(text.replace('\\', "/")),
        _ => PathBuf::from(text),
    }
}

/// All of a disk, in pieces of an odd size.
pub fn read_all(image: &Image<impl File>) -> Result<Vec<u8>, Error> {
    let mut cache = Cache::new()?;
    let mut all = vec![0xee; usize::try_from(image.virtual_size()).unwrap()];
    for (number, piece) in all.chunks_mut(1_234_567).enumerate() {
        image.read_at(&mut cache, number as u64 * 1_234_567, piece)?;
    }
    Ok(all)
}

/// All of a disk by its map: what `map` says about each byte must be so.
pub fn read_by_map(image: &Image<impl File>) -> Result<Vec<u8>, Error> {
    let mut cache = Cache::with_pages(4)?;
    let mut all = vec![0xee; usize::try_from(image.virtual_size()).unwrap()];
    let mut at = 0;
    while at < image.virtual_size() {
        let extent = image.map(&mut cache, at, image.virtual_size() - at)?;
        assert_ne!(extent.length(), 0);
        let end = at + extent.length();
        let part = &mut all[at as usize..end as usize];
        match extent {
            Extent::Data { file, offset, .. } => {
                image.file(file).unwrap().read_at(offset, part).unwrap();
            }
            Extent::Zero { .. } => part.fill(0),
            Extent::Computed { .. } => image.read_at(&mut cache, at, part)?,
        }
        at = end;
    }
    Ok(all)
}

/// Says where two disks differ first.
#[track_caller]
pub fn assert_same(what: &str, found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len(), "{what}: sizes");
    if let Some(at) = found.iter().zip(expected).position(|(one, two)| one != two) {
        panic!(
            "{what}: byte {at} is {:#04x}, not {:#04x}",
            found[at], expected[at]
        );
    }
}

/// Numbers that are the same in each run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

/// A disk with something of each kind: zeros, noise, text that packs well, in pieces of all sizes.
pub fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut bytes = Vec::with_capacity(size + 300_000);
    while bytes.len() < size {
        let unit = [512, 4096, 65536][numbers.below(3) as usize];
        let length = unit * (1 + numbers.below(6) as usize);
        let start = bytes.len();
        match numbers.below(6) {
            0 | 1 => bytes.resize(start + length, 0),
            2 => bytes.extend((0..length).map(|_| numbers.next() as u8)),
            3 => {
                bytes.extend((0..length).map(|at| b"the quick brown fox "[at % 20] ^ u8::from(at % 977 == 0)))
            }
            4 => {
                while bytes.len() < start + length {
                    bytes.extend(format!("{:x} and {} then ", numbers.below(500), numbers.below(90)).bytes());
                }
            }
            _ => {
                // Of few symbols, with long matches.
                bytes.extend((0..length).map(|_| (numbers.next().trailing_zeros() as u8).min(40)));
            }
        }
    }
    bytes.truncate(size);
    bytes
}

/// Runs one of QEMU's tools. Without them these tests fail: they are the judge.
#[track_caller]
pub fn qemu(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}; install qemu-utils"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{tool} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// The path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What QEMU reads from an image.
pub fn judged(path: &Path, format: &str) -> Vec<u8> {
    let raw = path.with_extension("judged");
    qemu(
        "qemu-img",
        &[
            "convert",
            "-t",
            "unsafe",
            "-f",
            format,
            "-O",
            "raw",
            "-S",
            "0",
            arg(path),
            arg(&raw),
        ],
    );
    let bytes = fs::read(&raw).unwrap();
    fs::remove_file(raw).unwrap();
    bytes
}
