//! Disks that come and go, through the real `lklfs.sys` in the NT kernel double: Linux's partitions get letters, others
//! are left alone, and a disk that is pulled out takes its letters with it.
//!
//! Every scenario ends with an unload that must leave nothing behind.

#![cfg(target_os = "linux")]

use ntos::disk::{Disk, DiskConfig};
use ntos::mountmgr;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

fn driver() -> PathBuf {
    let path =
        std::env::var_os("LKLFS_SYS").expect("LKLFS_SYS names lklfs.sys: run this by `cargo xtask test`");
    PathBuf::from(path)
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

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
            let (ext4, fat) = (read(at, "ext4.img"), read(at, "fat.img"));
            let nothing = vec![0; MIB];
            let parts: [(u8, &[u8]); 4] = [(0x83, &ext4), (0x07, &fat), (0x83, &nothing), (0x17, &ext4)];
            std::fs::write(at.join("mbr.img"), table(&parts)).expect("writable");
            std::fs::write(at.join("one.img"), table(&[(0x83, &ext4)])).expect("writable");
            folder
        })
        .path()
}

fn read(at: &Path, name: &str) -> Vec<u8> {
    std::fs::read(at.join(name)).expect("readable")
}

/// A disk with an MBR of these partitions, each at a whole MiB.
fn table(parts: &[(u8, &[u8])]) -> Vec<u8> {
    let mut disk = vec![0; MIB];
    disk[440..444].copy_from_slice(&[1, 2, 3, 4]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (slot, (system, bytes)) in parts.iter().enumerate() {
        let (start, sectors) = ((disk.len() / 512) as u32, (bytes.len() / 512) as u32);
        let entry = &mut disk[446 + slot * 16..][..16];
        entry[4] = *system;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
        disk.extend_from_slice(bytes);
    }
    disk
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

fn hello(machine: &Machine, letter: char) -> Result<Vec<u8>, NTSTATUS> {
    let handle = machine.open(&format!("\\??\\{letter}:\\hello.txt"), OpenAs::read())?;
    handle.read(Some(0), 100).into_result()
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
                assert_eq!(hello(machine, letter).expect("reads"), b"hello\n");
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
        assert_eq!(hello(machine, letter).expect("reads"), b"hello\n");
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
        assert_eq!(hello(machine, 'D').expect("reads"), b"hello\n");
        // Whoever comes while it is away may have its letter; then it gets another.
        machine.pull(&again);
        let third = plug(machine, "ext4.img");
        assert_eq!(letters(&third)[0], Some('D'));
        let last = plug(machine, "one.img");
        let letter = letters(&last)[0].expect("a letter");
        assert!(letter != 'D' && letter != 'E', "{letter} is another's");
        assert_eq!(hello(machine, letter).expect("reads"), b"hello\n");
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
                assert_eq!(hello(machine, letter).expect("reads"), b"hello\n");
            }
            machine.pull(&disk);
            assert_eq!(letters(&disk)[0], None);
        }
    });
}
