//! Mounts and unmounts, thousands of them, end where they began, to the byte: what Linux has free of its own memory, and what the driver
//! holds of NT's pool. But Linux keeps what it has made for as many tasks as there were at a time: threads, which come when there is
//! work and go after five idle minutes, entry tasks for callers, and of each a semaphore, which the next one gets. Those are counted,
//! and may not be many.
//!
//! `LKLFS_MACHINE_MOUNTS` says how many.

use super::support;
use super::volumes_on_disk::{self, Volume};
use super::world::disk_of;
use ntos::disk::Disk;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::{hang, ledger};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// When everything has been there once that stays: caches of Linux's for objects of each kind, tables that have grown.
const WARM: usize = 64;
/// How many mounts by default.
const MOUNTS: usize = 160;
/// Mounts in a row of which the least is taken: Linux gives some of its memory back after a grace period, or by a worker.
const WINDOW: usize = 48;

/// How many callers of what allocates are told when there is more of it in the end.
const CALLERS: usize = 10;
/// The most that a thread has of NT's pool: its stack, and what is known of it.
const THREAD: usize = 66_304;
/// The most that a worker keeps as room for data: as much as was read at a time.
const ROOM: usize = 66_048;
/// What a task of Linux's has of it, ever after: a semaphore.
const SEMAPHORE: usize = 32;
/// The most that it has of Linux's memory: its stack, and what is known of it.
const TASK: u64 = 20_480;
/// How many tasks more than before there may have been at a time.
const MORE_TASKS: usize = 12;

/// What is in use when nothing is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    /// Bytes of NT's pool, without the rooms.
    pool: usize,
    /// Workers that have a room for data.
    rooms: usize,
    /// Threads of the driver's, Linux's among them.
    threads: usize,
    /// Semaphores of Linux's: as many as it had tasks at a time, and a few.
    semaphores: usize,
    /// Bytes of Linux's own memory.
    linux: u64,
}

impl Memory {
    fn least(self, other: Memory) -> Memory {
        Memory {
            pool: self.pool.min(other.pool),
            rooms: self.rooms.min(other.rooms),
            threads: self.threads.min(other.threads),
            semaphores: self.semaphores.min(other.semaphores),
            linux: self.linux.min(other.linux),
        }
    }
}

/// Blocks of NT's pool: how many there are of a size, by the places that allocated them.
type Blocks = BTreeMap<(usize, String), usize>;

fn pool() -> Blocks {
    let mut blocks = Blocks::new();
    for holding in ledger::holdings() {
        if holding.kind == ledger::Kind::Pool {
            *blocks.entry((holding.bytes, holding.place)).or_default() += 1;
        }
    }
    blocks
}

/// Whether a block is a worker's room for data: that is all that its work leaves.
fn is_room(bytes: usize, place: &str) -> bool {
    (4096..=ROOM).contains(&bytes) && place.contains("serve_posts") && place.contains("try_reserve_exact")
}

/// What one has more or fewer of than the other, in words.
fn difference(then: &Blocks, now: &Blocks) -> String {
    let mut text = String::new();
    for key in then.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        let [then, now] = [then, now].map(|blocks| blocks.get(key).copied().unwrap_or(0));
        if then != now {
            let (bytes, place) = key;
            text += &format!("\n{then} and then {now} of {bytes} bytes: {place}");
        }
    }
    text
}

fn memory(machine: &Machine) -> (Memory, Blocks) {
    let status = support::status(machine);
    let threads = ledger::holdings()
        .iter()
        .filter(|holding| holding.kind == ledger::Kind::Thread)
        .count();
    let blocks = pool();
    let memory = Memory {
        pool: blocks
            .iter()
            .filter(|((bytes, place), _)| !is_room(*bytes, place))
            .map(|((bytes, _), count)| bytes * count)
            .sum(),
        rooms: blocks
            .iter()
            .filter(|((bytes, place), _)| is_room(*bytes, place))
            .map(|(_, count)| count)
            .sum(),
        threads,
        semaphores: blocks
            .iter()
            .filter(|((bytes, place), _)| *bytes == SEMAPHORE && place.contains("sem_alloc"))
            .map(|(_, count)| count)
            .sum(),
        linux: status.pool_size.get() - status.pool_free.get(),
    };
    (memory, blocks)
}

/// Mounts the volume by opening a file, uses it, and has it dismounted.
fn mount_once(machine: &Machine, disk: &Disk, volume: &Volume, number: usize) {
    let path = disk.volumes()[0].path();
    let item = volume.find("sizes\\65537");
    let super::volumes_on_disk::Node::File(file) = &volume.items[item].node else {
        panic!("it is a file");
    };
    let right = file.at(0, 65_537);
    for how in [OpenAs::read(), OpenAs::read().uncached()] {
        let name = format!("{path}\\{}", volume.items[item].name());
        let handle = machine.open(&name, how).expect("mounts");
        let read = handle.read(Some(0), 66_048);
        assert!(read.bytes == right, "mount {number} of {}", volume.kind.name);
    }
    let root = machine.open(&format!("{path}\\"), OpenAs::read()).expect("opens");
    assert_eq!(root.query_directory(37, 4096, None, 1).status, STATUS_SUCCESS);
    drop(root);
    let handle = machine.open(&path, OpenAs::volume()).expect("opens");
    for code in [FSCTL_LOCK_VOLUME, FSCTL_DISMOUNT_VOLUME] {
        let status = handle.fsctl(code, &[], 0).status;
        assert_eq!(
            status,
            STATUS_SUCCESS,
            "mount {number} of {}: {}",
            volume.kind.name,
            name(status)
        );
    }
}

fn number() -> usize {
    let text = std::env::var("LKLFS_MACHINE_MOUNTS").ok();
    text.map_or(MOUNTS, |text| text.parse().expect("a number"))
}

#[test]
#[ignore = "takes minutes: cargo xtask test machine --mounts N"]
fn mounts_and_unmounts_end_where_they_began() {
    let volumes = volumes_on_disk::all();
    let mut builder = Machine::builder().seed(1);
    for volume in volumes {
        builder = builder.disk(disk_of(volume));
    }
    let mut machine = builder.start().expect("the images are good");
    ledger::note_callers(CALLERS);
    machine.load_driver(&support::driver()).expect("the driver loads");
    machine.settle();
    let total = number();
    let start = Instant::now();
    let (mut warm, mut last) = (None, None);
    // What the pool had when it had least.
    let (mut warm_blocks, mut last_blocks) = (Blocks::new(), Blocks::new());
    for number in 0..total {
        let at = number % volumes.len();
        let watch = hang::watch("a mount and an unmount", Duration::from_secs(60));
        mount_once(&machine, &machine.disks()[at], &volumes[at], number);
        drop(watch);
        if at + 1 < volumes.len() {
            continue;
        }
        machine.trim();
        let (now, blocks) = memory(&machine);
        let note = |least: &mut Option<Memory>, least_blocks: &mut Blocks| {
            if least.is_none_or(|least| now.pool < least.pool) {
                least_blocks.clone_from(&blocks);
            }
            *least = Some(least.map_or(now, |least| least.least(now)));
        };
        if (WARM..WARM + WINDOW).contains(&number) {
            note(&mut warm, &mut warm_blocks);
        }
        if number + WINDOW >= total {
            note(&mut last, &mut last_blocks);
        }
        if std::env::var_os("LKLFS_MACHINE_TELL").is_some() {
            eprintln!("{number}: {now:?}");
        }
    }
    eprintln!(
        "machine: after {WARM} mounts {warm:?}, after {total} {last:?}, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let (warm, last) = (warm.expect("enough of them"), last.expect("enough of them"));
    let difference = difference(&warm_blocks, &last_blocks);
    eprintln!("machine: the pool has changed by:{difference}");
    assert!(warm.semaphores > 0, "symbols tell which blocks are semaphores");
    let threads = last.threads.saturating_sub(warm.threads);
    let tasks = last.semaphores.saturating_sub(warm.semaphores);
    assert!(tasks <= MORE_TASKS, "{warm:?}, in the end {last:?}");
    assert!(last.rooms <= last.threads, "{last:?}: each worker has one");
    assert!(
        last.linux <= warm.linux + tasks as u64 * TASK,
        "{warm:?}, in the end {last:?}"
    );
    assert!(
        last.pool <= warm.pool + threads * THREAD + tasks * SEMAPHORE,
        "{warm:?}, in the end {last:?}:{difference}"
    );
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}
