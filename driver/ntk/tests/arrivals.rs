//! Disks that come and go, through the real `lklfs.sys` in the NT kernel double: Linux's partitions get letters, others
//! are left alone, and a disk that is pulled out takes its letters with it.
//!
//! Every scenario ends with an unload that must leave nothing behind.

#![cfg(target_os = "linux")]

mod support;

use ntos::disk::{Disk, DiskConfig};
use ntos::mountmgr;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use support::{driver, read, run, table};

const MIB: usize = 1 << 20;

/// Disks, made once: `ext4.img` (no table), `one.img` (one partition), `mbr.img` (0x83 with ext4, 0x07 with FAT, 0x83 with nothing, 0x17 with ext4).
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let at = folder.path();
            std::fs::create_dir(at.join("tree")).expect("writable");
            std::fs::write(at.join("tree/hello.txt"), "hello\n").expect("writable");
            run("mkfs.ext4", &["-q", "-F", "-d", "tree", "ext4.img", "8M"], at);
            std::fs::write(at.join("fat.img"), vec![0; 8 * MIB]).expect("writable");
            run("mkfs.vfat", &["fat.img"], at);
            let (ext4, fat) = (bytes(at, "ext4.img"), bytes(at, "fat.img"));
            let nothing = vec![0; MIB];
            let parts: [(u8, &[u8]); 4] = [(0x83, &ext4), (0x07, &fat), (0x83, &nothing), (0x17, &ext4)];
            std::fs::write(at.join("mbr.img"), table(&parts)).expect("writable");
            std::fs::write(at.join("one.img"), table(&[(0x83, &ext4)])).expect("writable");
            folder
        })
        .path()
}

fn bytes(at: &Path, name: &str) -> Vec<u8> {
    std::fs::read(at.join(name)).expect("readable")
}

fn disk(name: &str) -> DiskConfig {
    DiskConfig::image(folder().join(name))
}

/// Runs `act` on a machine with a mount manager, then unloads and looks at what is left.
fn on(automount: bool, disks: &[&str], act: impl FnOnce(&mut Machine)) {
    let mut builder = Machine::builder().mount_manager(automount);
    for name in disks {
        builder = builder.disk(disk(name));
    }
    let mut machine = builder.start().expect("the images are good");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    act(&mut machine);
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

/// The letters of a disk's volumes, in their order.
fn letters(disk: &Disk) -> Vec<Option<char>> {
    let volumes = disk.volumes();
    volumes
        .iter()
        .map(|volume| mountmgr::letter_of(&volume.path()))
        .collect()
}

#[test]
fn linux_partitions_that_are_there_get_letters() {
    for automount in [true, false] {
        on(automount, &["mbr.img", "ext4.img"], |machine| {
            let disks = machine.disks();
            // Windows gives its own type the first letter when it mounts automatically; ours come behind.
            let [linux, windows, nothing, hidden] = letters(&disks[0])[..] else {
                panic!("four partitions");
            };
            assert_eq!(windows.is_some(), automount);
            assert_eq!(nothing, None, "a partition without a file system");
            for letter in [linux, hidden, letters(&disks[1])[0]] {
                let letter = letter.expect("a Linux volume has a letter");
                assert_eq!(read(machine, letter, "hello.txt").expect("reads"), b"hello\n");
            }
        });
    }
}

#[test]
fn a_disk_that_is_plugged_in_has_its_letter_within_a_second() {
    on(true, &[], |machine| {
        let started = Instant::now();
        let disk = machine.attach(disk("ext4.img")).expect("plugs in");
        while letters(&disk)[0].is_none() {
            assert!(
                started.elapsed() < Duration::from_secs(1),
                "no letter within a second"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        let letter = letters(&disk)[0].expect("just seen");
        assert_eq!(read(machine, letter, "hello.txt").expect("reads"), b"hello\n");
    });
}

#[test]
fn a_disk_that_is_pulled_out_takes_its_letter_and_fails_at_once() {
    on(true, &["ext4.img"], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let letter = letters(&disk)[0].expect("it has a letter");
        let path = format!("\\??\\{letter}:\\hello.txt");
        let handle = machine.open(&path, OpenAs::read().uncached()).expect("opens");
        let started = Instant::now();
        machine.pull(&disk);
        assert_eq!(letters(&disk)[0], None);
        assert!(
            !nt_success(handle.read(Some(0), 512).status),
            "bytes of a disk that is gone"
        );
        assert!(machine.open(&path, OpenAs::read()).is_err());
        assert!(
            started.elapsed() < Duration::from_millis(500),
            "{:?}",
            started.elapsed()
        );
    });
}

#[test]
fn a_volume_has_the_same_letter_when_it_comes_again() {
    on(false, &[], |machine| {
        let plug = |machine: &mut Machine, name: &str| {
            let plugged = machine.attach(disk(name)).expect("plugs in");
            machine.settle();
            plugged
        };
        let first = plug(machine, "one.img");
        assert_eq!(letters(&first)[0], Some('D'));
        let other = plug(machine, "ext4.img");
        assert_eq!(letters(&other)[0], Some('E'));
        machine.pull(&first);
        let again = plug(machine, "one.img");
        assert_eq!(letters(&again)[0], Some('D'));
        assert_eq!(read(machine, 'D', "hello.txt").expect("reads"), b"hello\n");
        // Whoever comes while it is away may have its letter; then it gets another.
        machine.pull(&again);
        let third = plug(machine, "ext4.img");
        assert_eq!(letters(&third)[0], Some('D'));
        let last = plug(machine, "one.img");
        let letter = letters(&last)[0].expect("a letter");
        assert!(letter != 'D' && letter != 'E', "{letter} is another's");
        assert_eq!(read(machine, letter, "hello.txt").expect("reads"), b"hello\n");
    });
}

#[test]
fn a_hundred_arrivals_and_removals() {
    on(true, &[], |machine| {
        for round in 0..100 {
            let disk = machine.attach(disk("ext4.img")).expect("plugs in");
            machine.settle();
            let letter = letters(&disk)[0].unwrap_or_else(|| panic!("no letter in round {round}"));
            if round % 10 == 0 {
                assert_eq!(read(machine, letter, "hello.txt").expect("reads"), b"hello\n");
            }
            machine.pull(&disk);
            assert_eq!(letters(&disk)[0], None);
        }
    });
}
