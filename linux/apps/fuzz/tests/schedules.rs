//! Schedules find races that are there, and are found again by their seeds.
//!
//! Each schedule runs in a Linux of its own, in a process of its own: this program again, with the seed in its environment. The two
//! races are in Linux for this: `/proc/lkl_race`, an object without a lock, and the file system racy, which is minix without the
//! lock of its bitmaps (arch/lkl/fuzz).

// UNSAFETY: system calls by number, whose pointers are into strings and buffers that live as long as the process.

#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod booted;

use booted::boot;
use linux_fuzz::WritableDisks;
use linux_fuzz::schedule::{self, Call, Schedule, Trace};
use lkl::Kernel;
use lkl_fuzz::image::{Image, ImageDisk};
use lkl_fuzz::seed::Seed;
use lkl_write::Volume;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Schedules until one finds the race, at most.
const SCHEDULES: u64 = 40;
/// A task is interrupted at one point in so many: where tasks meet closely, and where one is away for long.
const ONE_IN: [u64; 4] = [16, 50, 100, 200];
/// Has Linux's random numbers the same in each run.
const SEEDED: &str = "loglevel=6 lkl_seed=6c6b6c66757a7a6c6b6c66757a7a6c6b6c66757a7a6c6b6c66757a7a6c6b6c66";
/// `racy` or `object`, in a child's environment; then its seed and its volume.
const RACE: &str = "LKLFS_RACE";
const SEED: &str = "LKLFS_RACE_SEED";
const VOLUME: &str = "LKLFS_RACE_VOLUME";

const READ: i64 = 0;
const WRITE: i64 = 1;
const OPEN: i64 = 2;
const CLOSE: i64 = 3;
const MKDIR: i64 = 83;
const MOUNT: i64 = 165;
const READ_AND_CREATE: i64 = 0o102;

fn leaked(text: &str) -> i64 {
    let bytes: &'static mut [u8] = Vec::leak([text.as_bytes(), b"\0"].concat());
    bytes.as_mut_ptr().expose_provenance() as i64
}

fn call(number: i64, args: &[i64]) -> Call {
    let mut call = Call {
        number,
        ..Call::default()
    };
    call.args[..args.len()].copy_from_slice(args);
    call
}

fn alone(kernel: &Kernel, number: i64, args: &[i64]) -> i64 {
    // SAFETY: as the head of this file says.
    let done = unsafe { kernel.syscall(number, call(number, args).args) };
    done.unwrap_or_else(|error| panic!("call {number}: {error:?}")) as i64
}

fn plan() -> Schedule {
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    Schedule {
        seed,
        one_in: ONE_IN[(seed % 4) as usize],
        room: 1000,
    }
}

/// Two tasks get and put the object.
fn object(kernel: &Kernel) -> Trace {
    alone(kernel, MKDIR, &[leaked("/p"), 0o755]);
    alone(kernel, MOUNT, &[0, leaked("/p"), leaked("proc"), 0, 0]);
    let (get, put) = (leaked("g"), leaked("p"));
    // Each opens it: writes by one open file wait for each other.
    let mut strands = [(); 2].map(|()| {
        let fd = alone(kernel, OPEN, &[leaked("/p/lkl_race"), 1, 0]);
        [call(WRITE, &[fd, get, 1]), call(WRITE, &[fd, put, 1])].repeat(10)
    });
    // SAFETY: as the head of this file says.
    let (_, trace) = unsafe { schedule::run(kernel, plan(), &mut strands) };
    trace
}

/// Two tasks fill a file each. Whether each then has what was written to it, from the disk.
fn racy(kernel: &Kernel) -> (Trace, bool) {
    const PIECE: usize = 1024;
    const PIECES: usize = 12;
    let volume = std::fs::read(std::env::var(VOLUME).unwrap()).unwrap();
    let disk = Arc::new(ImageDisk::new(Image::new(&Arc::new(Seed::of(&volume)))));
    let device = kernel.add_writable_disk(disk, 0).expect("a disk");
    let node = String::from_utf8(device.dev_path().unwrap().as_bytes().to_vec()).unwrap();
    let root = node.replacen("/dev", "/mnt", 1);
    let mount = || Volume::mount(kernel, &device, "racy", "").expect("mounted");
    let mounted = mount();
    let bytes: [&'static [u8]; 2] = [1u8, 2].map(|byte| &*Vec::leak(vec![byte; PIECE]));
    let paths = [1, 2].map(|number| leaked(&format!("{root}/{number}")));
    let mut strands: Vec<Vec<Call>> = (0..2)
        .map(|strand| {
            let mut calls = vec![call(OPEN, &[paths[strand], READ_AND_CREATE, 0o644])];
            let at = bytes[strand].as_ptr().expose_provenance() as i64;
            let mut write = call(WRITE, &[0, at, PIECE as i64]);
            write.from[0] = 1;
            calls.extend(vec![write; PIECES]);
            let mut close = call(CLOSE, &[0]);
            close.from[0] = 1;
            calls.push(close);
            calls
        })
        .collect();
    // SAFETY: as the head of this file says.
    let (ended, trace) = unsafe { schedule::run(kernel, plan(), &mut strands) };
    ended.expect("Linux lives");
    mounted.unmount().expect("unmounted");
    let mounted = mount();
    let mut whole = strands
        .iter()
        .all(|calls| calls.iter().all(|call| call.result >= 0));
    for (path, bytes) in paths.into_iter().zip(bytes) {
        let fd = alone(kernel, OPEN, &[path, 0, 0]);
        let read: &'static mut [u8] = Vec::leak(vec![0; PIECE]);
        for _ in 0..PIECES {
            let at = read.as_mut_ptr().expose_provenance() as i64;
            whole &= alone(kernel, READ, &[fd, at, PIECE as i64]) == PIECE as i64 && read == bytes;
        }
        alone(kernel, CLOSE, &[fd]);
    }
    mounted.unmount().expect("unmounted");
    (trace, whole)
}

#[test]
#[ignore = "a child of the others"]
fn child() {
    // The world ends with the process.
    let (kernel, _world, said) = boot(SEEDED);
    let (trace, found) = match std::env::var(RACE).unwrap().as_str() {
        "object" => {
            let trace = object(&kernel);
            let said = String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
            // Where it is told is another address in each process.
            let word = said
                .lines()
                .find_map(|line| line.split_once("BUG: ")?.1.split(" in ").next());
            (trace, word.map(str::to_owned))
        }
        _ => {
            let (trace, whole) = racy(&kernel);
            (
                trace,
                (!whole).then(|| "a file has another one's bytes".to_owned()),
            )
        }
    };
    assert!(trace.points > 100, "{trace:?}");
    println!("trace: {trace:?}");
    println!("found: {found:?}");
    // Linux is not halted: it may be dead, with threads that wait.
    std::process::exit(0);
}

/// What a schedule has led to: its trace, and what was found.
fn run(race: &str, volume: &Path, seed: u64) -> (String, Option<String>) {
    // At the same addresses each time: Linux hashes them.
    let output = Command::new("setarch")
        .arg("-R")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(RACE, race)
        .env(VOLUME, volume)
        .env(SEED, seed.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("seed {seed}: {text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    let found = line("found: ");
    (
        line("trace: ").to_owned(),
        (found != "None").then(|| found.to_owned()),
    )
}

/// The first seed whose schedule finds the race finds it again, by the same interruptions.
fn is_found_and_replayed(race: &str, volume: &Path) {
    let search = (1..=SCHEDULES).map(|seed| (seed, run(race, volume, seed)));
    let mut sound = None;
    for (seed, (trace, found)) in search {
        let Some(found) = found else {
            sound.get_or_insert(trace);
            continue;
        };
        println!("{race}: schedule {seed}: {found}");
        let again = run(race, volume, seed);
        assert_eq!(again, (trace.clone(), Some(found)), "schedule {seed}");
        assert_ne!(Some(trace), sound, "another seed is another trace");
        return;
    }
    panic!("{race}: {SCHEDULES} schedules have not found it");
}

#[test]
fn a_race_for_an_object_is_found_by_some_schedule_and_again_by_its_seed() {
    is_found_and_replayed("object", Path::new(""));
}

#[test]
fn a_file_system_without_its_lock_is_caught_giving_a_block_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let volume = scratch.path().join("minix.img");
    std::fs::write(&volume, vec![0; 1 << 20]).unwrap();
    let made = Command::new("/usr/sbin/mkfs.minix")
        .arg(&volume)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    is_found_and_replayed("racy", &volume);
}
