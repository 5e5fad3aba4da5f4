//! Makes the seeds of the corpora anew, in `corpora/TARGET/seed-*`: `cargo run -p fuzz-targets --example seeds`.
//!
//! | target | what the seeds are made of |
//! |---|---|
//! | superblocks | an image of each kind of crate `volumes`: mkfs with its options, or that crate's own maker; of it what is looked at |
//! | partitions | sfdisk and sgdisk, on disks with sectors of 512 and 4096 bytes |
//! | images | qemu-img, and the makers of `disk_images`' own tests for differencing disks and logs |
//! | unpack | libzstd and miniz_oxide |
//! | the others | what the crates themselves write, and texts from their tests |
//!
//! What is found later is kept beside them by `cargo xtask fuzz TARGET --merge`, under names of libFuzzer's.

#[path = "../../../../linux/images/tests/support/mod.rs"]
mod support;

mod more;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_probe::{ReadAt, ReadError, fingerprint, probe, signature};
use fuzz_targets::input::Input;
use fuzz_targets::sparse::Sparse;
use support::vhdx::{Block, Disk, MIB, Said};
use support::{content, vhd, vhdx};
use volumes::kind::{self, Kind, Maker};

fn main() {
    superblocks();
    partitions();
    images();
    more::all();
}

/// Keeps a seed.
fn keep(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("seed-{name}")), bytes).unwrap();
}

/// Runs a program; its error, if it fails.
fn run(words: &[&str], input: &str) -> Result<(), String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .env("PATH", path)
        .env("SOURCE_DATE_EPOCH", "1000000000")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", words[0]))?;
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    match child.wait().unwrap() {
        status if status.success() => Ok(()),
        status => Err(format!("{words:?}: {status}")),
    }
}

/// Bytes that remember which sectors were read.
struct Watched<'a> {
    bytes: &'a [u8],
    read: RefCell<BTreeSet<u64>>,
}

impl ReadAt for Watched<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.bytes.read_at(offset, buffer)?;
        let end = (offset + buffer.len() as u64).div_ceil(512);
        self.read.borrow_mut().extend(offset / 512..end);
        Ok(())
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }
}

fn superblocks() {
    for kind in kind::all() {
        match made(kind) {
            Ok(image) => superblock(kind.name, &image),
            Err(error) => eprintln!("{}: {error}", kind.name),
        }
    }
}

fn made(kind: &'static Kind) -> Result<Vec<u8>, String> {
    let place = tempfile::tempdir().unwrap();
    let (image, tree) = (place.path().join("image"), place.path().join("tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    let word = |word: &&str| {
        word.replace("{image}", image.to_str().unwrap())
            .replace("{tree}", tree.to_str().unwrap())
    };
    let command = match kind.maker {
        _ if volumes::makers::kinds().any(|own| own.name == kind.name) => {
            let made = volumes::make(kind, &volumes::Plan::default()).map_err(|error| error.to_string())?;
            return fs::read(made.image).map_err(|error| error.to_string());
        }
        Maker::Filled { mkfs, .. } => {
            fs::File::create(&image).unwrap().set_len(kind.size).unwrap();
            mkfs
        }
        Maker::Packed { command } => command,
    };
    let words: Vec<String> = command.iter().map(word).collect();
    run(&words.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    fs::read(image).map_err(|error| error.to_string())
}

/// What is looked at of an image, without what changes nothing.
fn superblock(name: &str, image: &[u8]) {
    let watched = Watched {
        bytes: image,
        read: RefCell::default(),
    };
    let found = probe(&watched);
    let _ = found.as_ref().map(|found| fingerprint(&watched, found));
    let _ = signature::name(&watched, image.len() as u64);
    let size = image.len() as u64;
    let mut sectors: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for sector in watched.read.into_inner() {
        let bytes = &image[sector as usize * 512..image.len().min(sector as usize * 512 + 512)];
        sectors.insert(sector, bytes.to_vec());
    }
    let described = |sectors: &BTreeMap<u64, Vec<u8>>| {
        Sparse::described(size, sectors.iter().map(|(number, bytes)| (*number, &bytes[..])))
    };
    let wanted = told(&described(&sectors));
    for length in [512, 64, 8] {
        let numbers: Vec<u64> = sectors.keys().copied().collect();
        for number in numbers {
            for at in (0..512).step_by(length) {
                let place = |sectors: &mut BTreeMap<u64, Vec<u8>>, bytes: &[u8]| {
                    if let Some(part) = sectors
                        .get_mut(&number)
                        .and_then(|sector| sector.get_mut(at..at + length))
                    {
                        part.copy_from_slice(bytes);
                    }
                };
                let before = sectors[&number].get(at..at + length).unwrap_or_default().to_vec();
                if before.iter().any(|byte| *byte != 0) {
                    place(&mut sectors, &vec![0; length]);
                    if told(&described(&sectors)) != wanted {
                        place(&mut sectors, &before);
                    }
                }
            }
        }
    }
    let mut seed = vec![7, 0];
    seed.extend(described(&sectors));
    keep("superblocks", name, &seed);
}

/// What is said of a disk.
fn told(description: &[u8]) -> (Option<fs_probe::Superblock>, Option<String>, bool) {
    let disk = Sparse::new(Input(description));
    let found = probe(&disk);
    let mark = found
        .as_ref()
        .and_then(|found| fingerprint(&disk, found).ok())
        .is_some();
    (
        found,
        signature::name(&disk, disk.size_bytes()).map(|name| format!("{name:?}")),
        mark,
    )
}

fn partitions() {
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("image");
    let path = image.to_str().unwrap();
    let mbr = "label: dos\nlabel-id: 0x12345678\nstart=64, size=200, type=83, bootable\nstart=300, size=40, type=82\n\
               start=400, size=3000, type=5\nstart=500, size=100, type=83\nstart=700, size=50, type=83\n";
    let gpt = "label: gpt\nlabel-id: 6C6B6C66-7300-4D61-8000-000000000001\nfirst-lba: 40\nstart=64, size=200, type=linux, name=\"root \u{e9}\", \
               uuid=6C6B6C66-7300-4D61-8000-000000000002\nstart=300, size=100, type=uefi, uuid=6C6B6C66-7300-4D61-8000-000000000003\n";
    for (name, script) in [("mbr", mbr), ("gpt", gpt)] {
        fs::File::create(&image).unwrap().set_len(4096 * 512).unwrap();
        run(&["sfdisk", "-q", path], script).unwrap();
        let bytes = fs::read(&image).unwrap();
        let described = Sparse::describe(&bytes, |_| true);
        let mut seed = vec![0];
        seed.extend(&described);
        keep("partitions", name, &seed);
        // With sums that are put right, and cut off.
        seed[0] = 1;
        seed.truncate(seed.len() - 3);
        keep("partitions", &format!("{name}-mended"), &seed);
        let mut seed = vec![1];
        seed.extend(Sparse::describe(&bytes[..bytes.len() / 16], |_| true));
        keep("partitions", &format!("{name}-cut"), &seed);
    }
    // This sfdisk makes no tables for sectors of 4096 bytes on files: the second sector becomes the ninth.
    fs::File::create(&image).unwrap().set_len(4096 * 512).unwrap();
    run(&["sfdisk", "-q", path], gpt).unwrap();
    let small = fs::read(&image).unwrap();
    let mut large = vec![0; 8 * small.len()];
    large[..512].copy_from_slice(&small[..512]);
    large[4096..4096 + 512].copy_from_slice(&small[512..1024]);
    large[8192..8192 + 16384].copy_from_slice(&small[1024..1024 + 16384]);
    let mut seed = vec![1 | 2];
    seed.extend(Sparse::describe(&large, |_| true));
    keep("partitions", "gpt-4k", &seed);
}

/// A seed of one or two files; the marks are those of the target.
fn files(name: &str, how: u8, first: &[u8], second: &[u8]) {
    let keep_head = |bytes: &[u8]| {
        // Content at the end of long runs says little: what is longer than a few sectors is left zero.
        let described = Sparse::describe(bytes, |_| true);
        if described.len() <= 3800 {
            return described;
        }
        let mut run = 0;
        let mut keep = BTreeSet::new();
        for (number, sector) in (0u64..).zip(bytes.chunks(512)) {
            run = if sector.iter().all(|byte| *byte == 0) {
                0
            } else {
                run + 1
            };
            if (1..=2).contains(&run) {
                keep.insert(number);
            }
        }
        Sparse::describe(bytes, |sector| keep.contains(&sector))
    };
    let (first, second) = (keep_head(first), keep_head(second));
    let mut seed = vec![how];
    seed.extend(
        u16::try_from(first.len())
            .expect("a small description")
            .to_le_bytes(),
    );
    seed.extend(first);
    seed.extend(second);
    println!("images/{name}: {} bytes", seed.len());
    keep("images", name, &seed);
}

fn images() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { place.path().join(name) };
    let mut disk = vec![0; 160 << 10];
    for number in [0usize, 3, 70, 71, 200] {
        disk[number * 512..number * 512 + 512].fill(b'a' + (number % 26) as u8);
    }
    fs::write(at("raw"), &disk).unwrap();
    let qemu = |arguments: &[&str]| {
        let mut words = vec!["qemu-img"];
        words.extend(arguments);
        run(&words, "").unwrap();
    };
    let raw = at("raw");
    let raw = raw.to_str().unwrap();
    let makes: [(&str, &str, &[&str]); 9] = [
        ("vhd", "vpc", &["-o", "force_size=on"]),
        ("vhd-fixed", "vpc", &["-o", "force_size=on,subformat=fixed"]),
        ("vhdx", "vhdx", &["-o", "block_size=1M"]),
        ("qcow2", "qcow2", &["-o", "cluster_size=512"]),
        ("qcow2-deflate", "qcow2", &["-c", "-o", "cluster_size=4k"]),
        (
            "qcow2-zstd",
            "qcow2",
            &["-c", "-o", "cluster_size=4k,compression_type=zstd"],
        ),
        (
            "qcow2-extended",
            "qcow2",
            &["-o", "cluster_size=16k,extended_l2=on"],
        ),
        ("qcow2-2", "qcow2", &["-o", "compat=0.10,cluster_size=4k"]),
        ("raw", "raw", &[]),
    ];
    for (name, format, options) in makes {
        let image = at(name);
        let image = if name == "raw" { at("raw2") } else { image };
        let mut arguments = vec!["convert", "-t", "unsafe", "-O", format];
        arguments.extend(options);
        arguments.extend([raw, image.to_str().unwrap()]);
        qemu(&arguments);
        let bytes = fs::read(&image).unwrap();
        files(name, 1, &bytes, &[]);
    }
    // A qcow2 image on another, and one with its data beside it.
    let (top, base) = (at("top"), at("qcow2"));
    qemu(&[
        "create",
        "-f",
        "qcow2",
        "-o",
        "cluster_size=1k",
        "-F",
        "qcow2",
        "-b",
        base.to_str().unwrap(),
        top.to_str().unwrap(),
    ]);
    run(
        &[
            "qemu-io",
            "-f",
            "qcow2",
            "-c",
            "write -P 7 5k 2k",
            "-c",
            "write -z 40k 4k",
            top.to_str().unwrap(),
        ],
        "",
    )
    .unwrap();
    files(
        "qcow2-backed",
        0,
        &fs::read(&top).unwrap(),
        &fs::read(&base).unwrap(),
    );
    let (outside, data) = (at("outside"), at("data"));
    let options = format!("cluster_size=4k,data_file={}", data.display());
    qemu(&[
        "create",
        "-f",
        "qcow2",
        "-o",
        &options,
        outside.to_str().unwrap(),
        "64k",
    ]);
    run(
        &[
            "qemu-io",
            "-f",
            "qcow2",
            "-c",
            "write -P 9 8k 6k",
            outside.to_str().unwrap(),
        ],
        "",
    )
    .unwrap();
    files(
        "qcow2-data",
        0,
        &fs::read(&outside).unwrap(),
        &fs::read(&data).unwrap(),
    );

    let own = BTreeMap::from([(3, [1; 512]), (200, [2; 512])]);
    let child = vhd::differencing(160 << 10, [2; 16], [1; 16], "parent.vhd", &own);
    let parent = vhd::differencing(
        160 << 10,
        [1; 16],
        [1; 16],
        "none",
        &BTreeMap::from([(4, [5; 512])]),
    );
    files("vhd-differencing", 1, &child, &parent);
    let make = |sector, parent, block| Disk {
        size: 2 * MIB,
        sector,
        data_write: 5,
        parent,
        blocks: BTreeMap::from([(0, block), (1, Block::Empty(2))]),
    };
    let part: Vec<u8> = content(10, 4096)
        .into_iter()
        .chain(vec![0; MIB as usize - 4096])
        .collect();
    let mut parent = make(512, None, Block::Full(part.clone())).write();
    let child = make(
        512,
        Some((5, "parent.vhdx".to_owned())),
        Block::Partial(part.clone(), vec![1, 2, 9]),
    )
    .write();
    files("vhdx-differencing", 1, &child, &parent);
    files("vhdx-4k", 1, &make(4096, None, Block::Full(part)).write(), &[]);
    vhdx::header(&mut parent, 0, 9, 5, 99);
    let size = parent.len() as u64;
    let bat = vhdx::BAT as usize;
    let said = [
        Said::Sector(vhdx::BAT, parent[bat..bat + 4096].to_vec()),
        Said::Zeros(5 * MIB, 8192),
    ];
    let entry = vhdx::entry(1, 0, 99, size, &said);
    vhdx::write_ring(&mut parent, vhdx::LOG, MIB, 0, &entry);
    files("vhdx-log", 1, &parent, &[]);
}
