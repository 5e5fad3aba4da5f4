//! Images that QEMU made, in every format and option, against what QEMU reads from them.

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use disk_images::{Cache, Format, Image, VhdKind};
use proptest::prelude::*;
use support::{OnDisk, arg, assert_same, content, judged, open, qemu, read_all, read_by_map};

/// Bytes of the disks.
const SIZE: usize = 6 << 20;

/// A format, `qemu-img convert`'s options, and changes by `qemu-io` afterwards.
struct Make {
    name: &'static str,
    format: &'static str,
    options: &'static [&'static str],
    changes: &'static [&'static str],
}

const fn plain(name: &'static str, format: &'static str, options: &'static [&'static str]) -> Make {
    Make {
        name,
        format,
        options,
        changes: &[],
    }
}

/// Writes, zeros and holes of sizes below and above a cluster's.
const CHANGES: &[&str] = &[
    "write -P 0x11 512 512",
    "write -P 0x12 70000 3000",
    "write -z 131072 65536",
    "write -z 200704 4096",
    "write -P 0x13 204800 1024",
    "discard 1048576 262144",
    "write -P 0x14 1100000 17",
    "write -z -u 2097152 1048576",
    "write -P 0x15 2200000 100000",
    "write -P 0x16 6291455 1",
];

const MAKES: &[Make] = &[
    plain("raw", "raw", &[]),
    plain("vhd", "vpc", &[]),
    plain("vhd-exact", "vpc", &["-o", "force_size=on"]),
    plain("vhd-fixed", "vpc", &["-o", "subformat=fixed"]),
    Make {
        name: "vhd-changed",
        format: "vpc",
        options: &["-o", "force_size=on"],
        changes: CHANGES,
    },
    plain("vhdx", "vhdx", &[]),
    plain("vhdx-fixed", "vhdx", &["-o", "subformat=fixed"]),
    plain("vhdx-1m", "vhdx", &["-o", "block_size=1M,block_state_zero=on"]),
    plain(
        "vhdx-holes",
        "vhdx",
        &["-o", "block_size=1M,block_state_zero=off,log_size=2M"],
    ),
    Make {
        name: "vhdx-changed",
        format: "vhdx",
        options: &["-o", "block_size=1M"],
        changes: CHANGES,
    },
    plain("qcow2", "qcow2", &[]),
    plain("qcow2-v2", "qcow2", &["-o", "compat=0.10"]),
    plain("qcow2-512", "qcow2", &["-o", "cluster_size=512"]),
    plain("qcow2-4k", "qcow2", &["-o", "cluster_size=4k"]),
    plain("qcow2-2m", "qcow2", &["-o", "cluster_size=2M"]),
    plain("qcow2-metadata", "qcow2", &["-o", "preallocation=metadata"]),
    plain(
        "qcow2-falloc",
        "qcow2",
        &["-o", "preallocation=falloc,lazy_refcounts=on"],
    ),
    plain("qcow2-full", "qcow2", &["-o", "preallocation=full"]),
    plain("qcow2-deflate", "qcow2", &["-c"]),
    plain(
        "qcow2-deflate-v2",
        "qcow2",
        &["-c", "-o", "compat=0.10,cluster_size=4k"],
    ),
    plain("qcow2-deflate-512", "qcow2", &["-c", "-o", "cluster_size=512"]),
    plain("qcow2-deflate-2m", "qcow2", &["-c", "-o", "cluster_size=2M"]),
    plain("qcow2-zstd", "qcow2", &["-c", "-o", "compression_type=zstd"]),
    plain(
        "qcow2-zstd-4k",
        "qcow2",
        &["-c", "-o", "compression_type=zstd,cluster_size=4k"],
    ),
    plain(
        "qcow2-zstd-2m",
        "qcow2",
        &["-c", "-o", "compression_type=zstd,cluster_size=2M"],
    ),
    plain(
        "qcow2-extended-deflate",
        "qcow2",
        &["-c", "-o", "extended_l2=on,cluster_size=64k"],
    ),
    Make {
        name: "qcow2-changed",
        format: "qcow2",
        options: &[],
        changes: CHANGES,
    },
    Make {
        name: "qcow2-v2-changed",
        format: "qcow2",
        options: &["-o", "compat=0.10,cluster_size=8k"],
        changes: CHANGES,
    },
    Make {
        name: "qcow2-deflate-changed",
        format: "qcow2",
        options: &["-c"],
        changes: CHANGES,
    },
    Make {
        name: "qcow2-zstd-changed",
        format: "qcow2",
        options: &["-c", "-o", "compression_type=zstd"],
        changes: CHANGES,
    },
    Make {
        name: "qcow2-extended",
        format: "qcow2",
        options: &["-o", "extended_l2=on,cluster_size=128k"],
        changes: CHANGES,
    },
    Make {
        name: "qcow2-extended-16k",
        format: "qcow2",
        options: &["-o", "extended_l2=on,cluster_size=16k"],
        changes: CHANGES,
    },
    Make {
        name: "qcow2-extended-2m",
        format: "qcow2",
        options: &["-o", "extended_l2=on,cluster_size=2M"],
        changes: CHANGES,
    },
];

/// An opened image, and what QEMU reads from it.
struct Made {
    name: &'static str,
    format: Format,
    image: Image<OnDisk>,
    expected: Vec<u8>,
}

fn all() -> &'static [Made] {
    static ALL: OnceLock<(tempfile::TempDir, Vec<Made>)> = OnceLock::new();
    let make = || {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("source.raw");
        fs::write(&source, content(7, SIZE)).unwrap();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let made = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(make) = MAKES.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                    {
                        let path = place.path().join(make.name);
                        made.lock().unwrap().push(make_one(make, &source, path));
                    }
                });
            }
        });
        let made = made.into_inner().unwrap();
        (place, made)
    };
    &ALL.get_or_init(make).1
}

fn make_one(make: &Make, source: &std::path::Path, path: PathBuf) -> Made {
    let mut arguments = vec!["convert", "-t", "unsafe", "-f", "raw", "-O", make.format];
    arguments.extend(make.options);
    arguments.extend([arg(source), arg(&path)]);
    qemu("qemu-img", &arguments);
    if !make.changes.is_empty() {
        let mut arguments = vec!["-t", "unsafe", "-d", "unmap", "-f", make.format];
        arguments.extend(make.changes.iter().flat_map(|change| ["-c", change]));
        arguments.push(arg(&path));
        qemu("qemu-io", &arguments);
    }
    let expected = judged(&path, make.format);
    let image = open(&path).unwrap_or_else(|error| panic!("{}: {error}", make.name));
    let format = match make.format {
        "raw" => Format::Raw,
        "vpc" if make.name.contains("fixed") => Format::Vhd(VhdKind::Fixed),
        "vpc" => Format::Vhd(VhdKind::Dynamic),
        "vhdx" => Format::Vhdx,
        _ => Format::Qcow2,
    };
    Made {
        name: make.name,
        format,
        image,
        expected,
    }
}

#[test]
fn every_image_reads_as_qemu_reads_it() {
    for Made {
        name,
        format,
        image,
        expected,
    } in all()
    {
        assert_eq!(image.format(), *format, "{name}");
        assert_eq!(image.virtual_size(), expected.len() as u64, "{name}");
        assert_eq!(image.logical_sector_size(), 512, "{name}");
        let has_id = matches!(format, Format::Vhd(_) | Format::Vhdx);
        assert_eq!(image.disk_id().is_some(), has_id, "{name}");
        let found = read_all(image).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_same(name, &found, expected);
        let found = read_by_map(image).unwrap_or_else(|error| panic!("{name}, by its map: {error}"));
        assert_same(name, &found, expected);
    }
}

#[test]
fn runs_are_as_long_as_they_are() {
    for Made { name, image, .. } in all() {
        let mut cache = Cache::new().unwrap();
        let length = image.map(&mut cache, 0, image.virtual_size()).unwrap().length();
        match *name {
            // One run from start to end, although there are tables.
            "raw" | "vhd-fixed" | "vhdx-fixed" | "qcow2-full" | "qcow2-falloc" => {
                assert_eq!(length, image.virtual_size(), "{name}");
            }
            _ => assert!(length >= 512, "{name}"),
        }
        assert!(image.map(&mut cache, image.virtual_size(), 1).is_err(), "{name}");
        assert!(image.map(&mut cache, 0, 0).is_err(), "{name}");
        assert!(
            image
                .read_at(&mut cache, image.virtual_size() - 1, &mut [0; 2])
                .is_err(),
            "{name}"
        );
    }
}

#[test]
fn an_empty_disk_of_a_tebibyte_is_one_run_of_zeros() {
    let place = tempfile::tempdir().unwrap();
    for (format, size) in [("qcow2", 1u64 << 40), ("vhdx", 1 << 40), ("vpc", 1 << 37)] {
        let path = place.path().join(format);
        qemu(
            "qemu-img",
            &["create", "-f", format, arg(&path), &size.to_string()],
        );
        let image = open(&path).unwrap();
        let mut cache = Cache::new().unwrap();
        let extent = image.map(&mut cache, 0, image.virtual_size()).unwrap();
        // A map's time is bounded, so a VHD's many blocks may need more than one.
        assert!(extent.length() >= 1 << 33, "{format}: {extent:?}");
        assert!(
            matches!(extent, disk_images::Extent::Zero { .. }),
            "{format}: {extent:?}"
        );
        let mut end = [1; 4096];
        image
            .read_at(&mut cache, image.virtual_size() - 4096, &mut end)
            .unwrap();
        assert_eq!(end, [0; 4096]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// One cache for all reads of a case, so that what is left of one read is met by the next.
    #[test]
    fn any_range_reads_as_qemu_reads_it(
        which in 0..MAKES.len(),
        pages in prop::sample::select(vec![1usize, 8, 64]),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 1usize..200_000), 1..20),
    ) {
        let Made { name, image, expected, .. } = &all()[which];
        let mut cache = Cache::with_pages(pages).unwrap();
        for (start, length) in reads {
            let start = start.index(expected.len());
            let length = length.min(expected.len() - start);
            let mut found = vec![0xee; length];
            image.read_at(&mut cache, start as u64, &mut found).unwrap();
            prop_assert!(found == expected[start..start + length], "{}: {} bytes at {}", name, length, start);
        }
    }
}
