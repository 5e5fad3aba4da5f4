//! Images on images: backing files of each format, data files, and chains that lead nowhere.

mod support;

use std::fs;
use std::path::Path;

use disk_images::{Error, MAX_LAYERS, Role};
use support::memory::InMemory;
use support::{arg, assert_same, content, judged, open, qemu, read_all, read_by_map};

const SIZE: usize = 3 << 20;
const CHANGES: [&str; 12] = [
    "-c",
    "write -P 0x21 4096 512",
    "-c",
    "write -P 0x22 1000000 70000",
    "-c",
    "write -z 196608 65536",
    "-c",
    "write -z 300000 1000",
    "-c",
    "discard 524288 131072",
    "-c",
    "write -P 0x23 2097152 65536",
];

fn overlay(path: &Path, base: &str, base_format: &str, options: &str, size: Option<&str>) {
    let mut arguments = vec![
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        options,
        "-b",
        base,
        "-F",
        base_format,
        arg(path),
    ];
    arguments.extend(size);
    qemu("qemu-img", &arguments);
}

fn change(path: &Path) {
    let mut arguments = vec!["-t", "unsafe", "-d", "unmap", "-f", "qcow2"];
    arguments.extend(CHANGES);
    arguments.push(arg(path));
    qemu("qemu-io", &arguments);
}

fn compare(path: &Path, layers: usize) {
    let image = open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(image.layers(), layers);
    let expected = judged(path, "qcow2");
    let name = path.to_string_lossy();
    assert_same(&name, &read_all(&image).unwrap(), &expected);
    assert_same(&name, &read_by_map(&image).unwrap(), &expected);
}

#[test]
fn each_format_can_be_below() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("base.raw"), content(3, SIZE)).unwrap();
    let options = [
        ("raw", "cluster_size=64k"),
        ("vpc", "cluster_size=4k"),
        ("vhdx", "extended_l2=on,cluster_size=64k"),
        ("qcow2", "compat=0.10"),
        ("qcow2", "extended_l2=on,cluster_size=16k"),
    ];
    for (number, (format, options)) in options.into_iter().enumerate() {
        let base = format!("base{number}.{format}");
        qemu(
            "qemu-img",
            &[
                "convert",
                "-t",
                "unsafe",
                "-O",
                format,
                arg(&at("base.raw")),
                arg(&at(&base)),
            ],
        );
        let (middle, top) = (at(&format!("middle{number}")), at(&format!("top{number}")));
        overlay(&middle, &base, format, options, None);
        change(&middle);
        compare(&middle, 2);
        // Smaller than what is below, then larger than that.
        overlay(&top, arg(&middle), "qcow2", "cluster_size=32k", Some("2500096"));
        compare(&top, 3);
        let larger = at(&format!("larger{number}"));
        overlay(&larger, arg(&top), "qcow2", options, Some("4M"));
        change(&larger);
        compare(&larger, 4);
    }
}

#[test]
fn what_is_declared_raw_is_not_looked_at() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    // A disk whose first bytes are those of a qcow2 image, as a guest can write them.
    qemu(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", arg(&at("inner")), "1M"],
    );
    let mut disk = fs::read(at("inner")).unwrap();
    disk.resize(1 << 20, 0x77);
    fs::write(at("disk.raw"), &disk).unwrap();
    overlay(&at("top"), "disk.raw", "raw", "cluster_size=64k", None);
    assert_same("top", &read_all(&open(&at("top")).unwrap()).unwrap(), &disk);
}

#[test]
fn data_may_be_in_a_file_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("base.raw"), content(4, SIZE)).unwrap();
    for (name, options) in [
        ("plain", ""),
        ("raw", ",data_file_raw=on"),
        ("extended", ",extended_l2=on,cluster_size=32k"),
    ] {
        let (path, data) = (at(name), at(&format!("{name}.data")));
        let options = format!("data_file={}{options}", arg(&data));
        let (source, target) = (at("base.raw"), path.clone());
        qemu(
            "qemu-img",
            &[
                "convert",
                "-t",
                "unsafe",
                "-O",
                "qcow2",
                "-o",
                &options,
                arg(&source),
                arg(&target),
            ],
        );
        change(&path);
        compare(&path, 1);
        fs::remove_file(data).unwrap();
        let missing = Error::Unresolved {
            file: 0,
            role: Role::Data,
        };
        assert_eq!(open(&path).unwrap_err(), missing);
    }
}

#[test]
fn chains_that_lead_nowhere_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let unsafely = |name: &str, base: &str| {
        qemu(
            "qemu-img",
            &[
                "create",
                "-q",
                "-u",
                "-f",
                "qcow2",
                "-b",
                base,
                "-F",
                "qcow2",
                arg(&at(name)),
                "1M",
            ],
        );
    };
    unsafely("lonely", "nobody");
    assert_eq!(
        open(&at("lonely")).unwrap_err(),
        Error::Unresolved {
            file: 0,
            role: Role::Parent
        }
    );
    unsafely("self", "self");
    assert_eq!(open(&at("self")).unwrap_err(), Error::Loop { file: 0 });
    unsafely("one", "two");
    unsafely("two", "one");
    assert_eq!(open(&at("one")).unwrap_err(), Error::Loop { file: 0 });
    assert_eq!(open(&at("two")).unwrap_err(), Error::Loop { file: 0 });
    // A caller that cannot tell files apart is stopped by the limit.
    let bytes = fs::read(at("self")).unwrap();
    let mut opened = 1;
    let again = disk_images::open(InMemory::new(bytes.clone()), &mut |_| {
        opened += 1;
        Ok(InMemory::new(bytes.clone()))
    });
    assert_eq!(again.unwrap_err(), Error::TooDeep);
    assert_eq!(opened, MAX_LAYERS + 1);
}
