//! What the tests of hard moments share: images whose bytes are known, actors that use a volume until it is gone, and the
//! choice of moments.
//!
//! `LKLFS_MOMENTS` says how many moments of each scenario are tried: a number, or `all`; by default a few.
//! `LKLFS_MOMENTS_SEED` chooses which.

#![allow(dead_code, reason = "each test uses its part")]

use ntos::cc::segment::Role;
use ntos::disk::{Completion, Disk, DiskConfig};
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs};
use ntos::verifier::hang;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How long after a removal everything has to be over, by the wall clock.
pub const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of `data.bin`: not a multiple of anything.
pub const DATA: usize = 543_210;
/// Files in `folder`.
pub const ENTRIES: usize = 120;

pub fn driver() -> PathBuf {
    let path =
        std::env::var_os("LKLFS_SYS").expect("LKLFS_SYS names lklfs.sys: run this by `cargo xtask test`");
    PathBuf::from(path)
}

/// The bytes of `data.bin`: a position decides each, so that a wrong place shows.
pub fn data() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut state = 7u64;
        (0..DATA)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect()
    })
}

pub fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// A folder with `tree` and `ext4.img` made of it. Made once.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let tree = folder.path().join("tree");
            std::fs::create_dir_all(tree.join("folder")).expect("writable");
            std::fs::write(tree.join("data.bin"), data()).expect("writable");
            std::fs::write(tree.join("mapped.bin"), data()).expect("writable");
            std::fs::write(tree.join("locked.bin"), data()).expect("writable");
            std::fs::write(tree.join("hello.txt"), "hello\n").expect("writable");
            for number in 0..ENTRIES {
                std::fs::write(tree.join(format!("folder/entry {number:03}")), number.to_string())
                    .expect("writable");
            }
            let make = ["-q", "-F", "-b", "4096", "-d", "tree", "ext4.img", "12M"];
            run("mkfs.ext4", &make, folder.path());
            folder
        })
        .path()
}

pub fn disk() -> DiskConfig {
    DiskConfig::image(folder().join("ext4.img")).completion(Completion::Seeded)
}

/// A disk with the same files on a volume of its own: another UUID for each number.
pub fn other_disk(number: u32) -> DiskConfig {
    static MADE: Mutex<()> = Mutex::new(());
    let _made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("ext4-{number}.img");
    if !folder().join(&name).exists() {
        let uuid = format!("00000000-0000-4000-8000-{number:012}");
        let make = ["-q", "-F", "-b", "4096", "-U", &uuid, "-d", "tree", &name, "12M"];
        run("mkfs.ext4", &make, folder());
    }
    DiskConfig::image(folder().join(name)).completion(Completion::Seeded)
}

/// Runs `act` on a machine with these disks and a mount manager, then unloads and looks at what is left.
pub fn on(seed: u64, disks: &[DiskConfig], act: impl FnOnce(&mut Machine)) {
    let mut builder = Machine::builder()
        .seed(seed)
        .mount_manager(true)
        .drive_c(folder());
    for disk in disks {
        builder = builder.disk(disk.clone());
    }
    let mut machine = builder.start().expect("the images are good");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    act(&mut machine);
    let limit = hang::watch("the unload", Duration::from_secs(20));
    let report = machine.unload();
    drop(limit);
    assert!(report.is_clean(), "left behind:\n{report}");
}

/// The path of `name` on the only volume of `disk`.
pub fn path(disk: &Disk, name: &str) -> String {
    format!("{}\\{name}", disk.volumes()[0].path())
}

/// What a request may end with once its device is gone. The last is a mapped page that cannot be had.
pub fn says_gone(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_NO_SUCH_DEVICE | STATUS_VOLUME_DISMOUNTED | STATUS_IN_PAGE_ERROR
    )
}

/// The outcome of an actor: the request that failed first, if any.
pub type Outcome = Result<(), (&'static str, NTSTATUS)>;

trait Named<T> {
    fn named(self, what: &'static str) -> Result<T, (&'static str, NTSTATUS)>;
}

impl<T> Named<T> for Result<T, NTSTATUS> {
    fn named(self, what: &'static str) -> Result<T, (&'static str, NTSTATUS)> {
        self.map_err(|status| (what, status))
    }
}

/// Reads a file whose bytes are [`data`] through a handle, in pieces; what comes is true.
pub fn read_through(handle: &Handle, piece: usize, what: &'static str) -> Outcome {
    let mut at = 0;
    while at < DATA {
        let bytes = handle.read(Some(at as u64), piece).into_result().named(what)?;
        assert!(
            !bytes.is_empty() && bytes == data()[at..at + bytes.len()],
            "invented bytes: {what} at {at}"
        );
        at += bytes.len();
    }
    Ok(())
}

pub fn read_cached(machine: &Machine, disk: &Disk) -> Outcome {
    let handle = machine
        .open(&path(disk, "data.bin"), OpenAs::read())
        .named("open to read")?;
    read_through(&handle, 50_001, "cached read")
}

pub fn read_uncached(machine: &Machine, disk: &Disk) -> Outcome {
    let how = OpenAs::read().uncached();
    let handle = machine
        .open(&path(disk, "data.bin"), how)
        .named("open to read uncached")?;
    read_through(&handle, 64 * 1024, "uncached read")
}

pub fn list(machine: &Machine, disk: &Disk) -> Outcome {
    let folder = machine
        .open(&path(disk, "folder"), OpenAs::read())
        .named("open to list")?;
    let mut count = 0;
    loop {
        let outcome = folder.query_directory(12, 900, None, 0);
        if outcome.status == STATUS_NO_MORE_FILES {
            assert_eq!(count, ENTRIES + 2, "entries are missing");
            return Ok(());
        }
        let bytes = outcome.into_result().named("list")?;
        let mut at = 0;
        loop {
            count += 1;
            let next = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
            if next == 0 {
                break;
            }
            at += next;
        }
    }
}

/// Reads through a view, which is alive meanwhile.
pub fn read_mapped(machine: &Machine, disk: &Disk) -> Outcome {
    let handle = machine
        .open(&path(disk, "mapped.bin"), OpenAs::read())
        .named("open to map")?;
    let view = handle.map(Role::Data).named("map")?;
    drop(handle);
    let mut at = 0;
    while at < DATA {
        let mut bytes = vec![0; 30_000.min(DATA - at)];
        view.read(at as u64, &mut bytes).named("mapped read")?;
        assert!(
            bytes == data()[at..at + bytes.len()],
            "invented bytes in a view at {at}"
        );
        at += bytes.len();
    }
    Ok(())
}

/// Everything that an actor does, one after the other: the first open mounts.
pub fn use_all(machine: &Machine, disk: &Disk) -> Outcome {
    list(machine, disk)?;
    read_cached(machine, disk)?;
    read_uncached(machine, disk)?;
    read_mapped(machine, disk)
}

/// Numbers from 1 to `total`: all, or as many as are wanted, each from a part of its own.
pub fn chosen(total: u64, few: u64) -> Vec<u64> {
    let wanted = match std::env::var("LKLFS_MOMENTS").ok() {
        None => few,
        Some(text) if text == "all" => total,
        Some(text) => text.parse().expect("LKLFS_MOMENTS is a number or `all`"),
    };
    let wanted = wanted.clamp(1, total);
    let seed: u64 = std::env::var("LKLFS_MOMENTS_SEED")
        .ok()
        .map_or(1, |text| text.parse().expect("LKLFS_MOMENTS_SEED is a number"));
    (0..wanted)
        .map(|part| {
            let (from, to) = (total * part / wanted, total * (part + 1) / wanted);
            let mixed = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            from + 1 + (mixed >> 20) % (to - from).max(1)
        })
        .collect()
}

/// The disk is plugged in again, and its volume is as it was.
pub fn is_fresh(machine: &mut Machine) -> Arc<Disk> {
    let again = machine.attach(disk()).expect("plugs in");
    machine.settle();
    assert_eq!(use_all(machine, &again), Ok(()), "after it was plugged in again");
    again
}
