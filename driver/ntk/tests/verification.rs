//! Is it still the same volume? After a sleep during which another system may have had the disk, and in a drive whose
//! medium can be changed: the device wants to be verified (DO_VERIFY_VOLUME), and no read of it is served until then.
//!
//! The same volume, unchanged: all handles live on. Anything else: the old handles are dead (WRONG_VOLUME), and what is
//! there now is mounted afresh. A mix of old cache and new disk is never shown.
//!
//! The device that wants this may be the one that carries the volume, or one below it, which the driver hears of by a read
//! that is refused. No error of all this is shown to the user, which every report of a machine's end is asked for.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::cc::segment::Role;
use ntos::disk::{Completion, Disk, DiskConfig};
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs};
use ntos::verifier::{hang, moments as steps};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// For how long a thread stands still where another is let in.
const STANDSTILL: Duration = Duration::from_millis(120);

/// A copy of the image in a folder of its own, to be changed.
fn copy() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = folder.path().join("disk.img");
    std::fs::copy(folder_image(), &image).expect("writable");
    (folder, image)
}

fn folder_image() -> PathBuf {
    folder().join("ext4.img")
}

/// What another system does to the volume: mounts it for writing, which counts, takes a file away and writes another.
fn change(image: &Path) {
    static MOUNTS: AtomicU32 = AtomicU32::new(1);
    let count = MOUNTS.fetch_add(1, Ordering::SeqCst).to_string();
    let folder = image.parent().expect("it is in one");
    std::fs::write(folder.join("new"), "changed\n").expect("writable");
    let image = image.to_str().expect("UTF-8");
    for command in ["rm hello.txt", "write new hello.txt"] {
        run("debugfs", &["-w", "-R", command, image], folder);
    }
    run("tune2fs", &["-C", &count, image], folder);
}

fn removable(image: &Path) -> DiskConfig {
    DiskConfig {
        removable: true,
        ..DiskConfig::image(image).completion(Completion::Seeded)
    }
}

/// Everything open on a volume that a sleep or a medium's change may meet.
struct Handles {
    file: Handle,
    uncached: Handle,
    folder: Handle,
    view: ntos::cc::section::Section,
}

impl Handles {
    fn open(machine: &Machine, disk: &Disk) -> Handles {
        let open = |name: &str, how| machine.open(&path(disk, name), how).expect("opens");
        let mapped = open("mapped.bin", OpenAs::read());
        let handles = Handles {
            file: open("data.bin", OpenAs::read()),
            uncached: open("hello.txt", OpenAs::read().uncached()),
            folder: open("folder", OpenAs::read()),
            view: mapped.map(Role::Data).expect("maps"),
        };
        // A part of each is in the caches.
        assert_eq!(handles.file.read(Some(0), 1000).bytes, data()[..1000]);
        assert_eq!(handles.uncached.read(Some(0), 512).bytes, b"hello\n");
        assert_eq!(
            handles.folder.query_directory(12, 900, None, 0).status,
            STATUS_SUCCESS
        );
        let mut bytes = vec![0; 1000];
        assert_eq!(handles.view.read(0, &mut bytes), Ok(()));
        handles
    }

    /// All of them go on as if nothing had been.
    fn live_on(&self) {
        assert_eq!(read_through(&self.file, 44_444, "cached read"), Ok(()));
        assert_eq!(self.uncached.read(Some(0), 512).bytes, b"hello\n");
        assert_eq!(
            self.folder.query_directory(12, 900, None, 0).status,
            STATUS_SUCCESS
        );
        let mut bytes = vec![0; DATA];
        assert_eq!(self.view.read(0, &mut bytes), Ok(()));
        assert!(bytes == data());
    }

    /// All of them are dead, whatever the caches hold.
    fn are_dead(&self, status: NTSTATUS) {
        assert_eq!(self.file.read(Some(0), 1000).status, status);
        assert_eq!(self.file.read(Some(400_000), 1000).status, status);
        assert_eq!(self.uncached.read(Some(0), 512).status, status);
        assert_eq!(self.folder.query_directory(12, 900, None, 1).status, status);
        // What was not in memory yet is not to be had.
        let mut bytes = vec![0; 1000];
        assert_eq!(self.view.read(400_000, &mut bytes), Err(STATUS_IN_PAGE_ERROR));
    }
}

fn hello(machine: &Machine, disk: &Disk) -> Result<Vec<u8>, NTSTATUS> {
    let handle = machine.open(&path(disk, "hello.txt"), OpenAs::read())?;
    handle.read(Some(0), 100).into_result()
}

/// On a machine with one disk, `first` use of which is by a test: what is the first thing that is asked afterwards.
fn each_first(act: impl Fn(usize)) {
    let _limit = hang::watch("a verification", LIMIT * 4);
    for first in 0..5 {
        act(first);
    }
}

/// One request, which is the first after the device began to want a verification.
fn ask(first: usize, handles: &Handles, machine: &Machine, disk: &Disk) -> NTSTATUS {
    match first {
        0 => handles.file.read(Some(300_000), 1000).status,
        1 => handles.uncached.read(Some(0), 512).status,
        2 => handles.folder.query_directory(12, 900, None, 0).status,
        3 => {
            let mut bytes = vec![0; 1000];
            handles
                .view
                .read(300_000, &mut bytes)
                .err()
                .unwrap_or(STATUS_SUCCESS)
        }
        _ => hello(machine, disk).err().unwrap_or(STATUS_SUCCESS),
    }
}

#[test]
fn after_a_sleep_an_unchanged_volume_lives_on() {
    each_first(|first| {
        on(first as u64, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let handles = Handles::open(machine, &disk);
            disk.suspect();
            assert!(disk.is_suspect());
            assert_eq!(
                ask(first, &handles, machine, &disk),
                STATUS_SUCCESS,
                "first {first}"
            );
            assert!(!disk.is_suspect(), "nobody has verified");
            handles.live_on();
            assert_eq!(use_all(machine, &disk), Ok(()));
        });
    });
}

#[test]
fn after_a_sleep_a_changed_volume_is_mounted_afresh() {
    each_first(|first| {
        let (_folder, image) = copy();
        on(first as u64, &[DiskConfig::image(&image)], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let handles = Handles::open(machine, &disk);
            change(&image);
            disk.suspect();
            let answer = ask(first, &handles, machine, &disk);
            match first {
                // An open by name leads to what is there now.
                4 => assert_eq!(answer, STATUS_SUCCESS),
                3 => assert_eq!(answer, STATUS_IN_PAGE_ERROR),
                _ => assert_eq!(answer, STATUS_WRONG_VOLUME, "first {first}"),
            }
            handles.are_dead(STATUS_WRONG_VOLUME);
            assert_eq!(hello(machine, &disk).expect("reads"), b"changed\n");
            assert_eq!(use_all(machine, &disk), Ok(()));
            // The old volume goes with its handles, the new one stays.
            drop(handles);
            machine.settle();
            assert_eq!(hello(machine, &disk).expect("reads"), b"changed\n");
        });
    });
}

#[test]
fn a_fixed_disk_that_asks_for_nothing_is_verified_after_a_sleep_all_the_same() {
    each_first(|first| {
        on(first as u64, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let handles = Handles::open(machine, &disk);
            machine.sleep(|| ());
            assert!(disk.is_suspect(), "nobody would look");
            assert_eq!(ask(first, &handles, machine, &disk), STATUS_SUCCESS);
            assert!(!disk.is_suspect(), "nobody has looked");
            handles.live_on();
        });
    });
}

#[test]
fn a_fixed_disk_that_was_changed_during_a_sleep_is_mounted_afresh() {
    each_first(|first| {
        let (_folder, image) = copy();
        on(first as u64, &[DiskConfig::image(&image)], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let handles = Handles::open(machine, &disk);
            machine.sleep(|| change(&image));
            let answer = ask(first, &handles, machine, &disk);
            match first {
                4 => assert_eq!(answer, STATUS_SUCCESS),
                3 => assert_eq!(answer, STATUS_IN_PAGE_ERROR),
                _ => assert_eq!(answer, STATUS_WRONG_VOLUME, "first {first}"),
            }
            handles.are_dead(STATUS_WRONG_VOLUME);
            assert_eq!(hello(machine, &disk).expect("reads"), b"changed\n");
            // A second sleep, with nobody there.
            drop(handles);
            machine.settle();
            machine.sleep(|| ());
            assert_eq!(use_all(machine, &disk), Ok(()));
        });
    });
}

/// What a request for a volume can find out: a read that has to reach the disk.
const REACHES_THE_DISK: [usize; 2] = [0, 3];

#[test]
fn a_device_below_that_wants_a_verification_of_an_unchanged_volume_gets_it() {
    for completion in [Completion::Inline, Completion::Seeded] {
        for first in REACHES_THE_DISK {
            let _limit = hang::watch("a verification", LIMIT * 4);
            on(
                first as u64,
                &[disk().layered().completion(completion)],
                |machine| {
                    let disk = Arc::clone(&machine.disks()[0]);
                    let handles = Handles::open(machine, &disk);
                    for round in 0..3 {
                        // What the first rounds have read is in memory.
                        machine.trim();
                        disk.suspect();
                        let place = 100_000 * (round + 2);
                        let outcome = match first {
                            0 => handles.file.read(Some(place), 1000).status,
                            _ => {
                                let mut bytes = vec![0; 1000];
                                let read = handles.view.read(place, &mut bytes);
                                read.err().unwrap_or(STATUS_SUCCESS)
                            }
                        };
                        assert_eq!(outcome, STATUS_SUCCESS, "first {first}, round {round}");
                        assert!(!disk.is_suspect(), "the device below was not told");
                    }
                    handles.live_on();
                    assert_eq!(use_all(machine, &disk), Ok(()));
                },
            );
        }
    }
}

#[test]
fn a_changed_volume_below_which_a_device_wants_a_verification_is_mounted_afresh() {
    for first in REACHES_THE_DISK {
        let (_folder, image) = copy();
        let _limit = hang::watch("a verification", LIMIT * 4);
        on(first as u64, &[DiskConfig::image(&image).layered()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let handles = Handles::open(machine, &disk);
            change(&image);
            disk.suspect();
            let answer = ask(first, &handles, machine, &disk);
            match first {
                3 => assert_eq!(answer, STATUS_IN_PAGE_ERROR),
                _ => assert_eq!(answer, STATUS_WRONG_VOLUME),
            }
            handles.are_dead(STATUS_WRONG_VOLUME);
            assert_eq!(hello(machine, &disk).expect("reads"), b"changed\n");
            assert!(!disk.is_suspect(), "the device below was not told");
            drop(handles);
            machine.settle();
            assert_eq!(use_all(machine, &disk), Ok(()));
        });
    }
}

#[test]
fn a_medium_whose_change_a_device_below_notices_is_never_mixed_with_the_next() {
    let (_folder, image) = copy();
    change(&image);
    let uuid = ["-U", "random", image.to_str().expect("UTF-8")];
    run("tune2fs", &uuid, folder());
    on(5, &[removable(&folder_image()).layered()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let handles = Handles::open(machine, &disk);
        disk.change_medium(Some(&image)).expect("of the same size");
        assert_eq!(handles.file.read(Some(400_000), 1000).status, STATUS_WRONG_VOLUME);
        handles.are_dead(STATUS_WRONG_VOLUME);
        assert_eq!(hello(machine, &disk).expect("reads"), b"changed\n");
        // And none at all.
        let other = machine
            .open(&path(&disk, "data.bin"), OpenAs::read())
            .expect("opens");
        disk.change_medium(None).expect("it is taken out");
        assert_eq!(other.read(Some(400_000), 1000).status, STATUS_NO_MEDIA_IN_DEVICE);
        disk.change_medium(Some(&image)).expect("the same one");
        assert!(other.read(Some(400_000), 1000).bytes == data()[400_000..401_000]);
        assert!(!disk.is_suspect(), "the device below was not told");
    });
}

#[test]
fn a_changed_volume_that_nobody_has_open_is_mounted_afresh() {
    let (_folder, image) = copy();
    on(1, &[DiskConfig::image(&image)], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        for round in 0..3 {
            assert_eq!(use_all(machine, &disk), Ok(()));
            machine.trim();
            if round == 0 {
                assert_eq!(hello(machine, &disk).expect("reads"), b"hello\n");
            }
            change(&image);
            disk.suspect();
            assert_eq!(hello(machine, &disk).expect("reads"), b"changed\n");
        }
    });
}

#[test]
fn an_open_beside_the_verification_of_a_changed_volume_finds_what_is_there_now() {
    let (_folder, image) = copy();
    on(3, &[DiskConfig::image(&image)], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let _watch = hang::watch("opens beside a verification", 20 * LIMIT);
        let changed = || {
            assert!(hello(machine, &disk).is_ok());
            machine.settle();
            machine.trim();
            change(&image);
            disk.suspect();
        };
        changed();
        let count = {
            let counted = steps::pause_here(0, STANDSTILL, || true);
            assert_eq!(hello(machine, &disk).as_deref(), Ok(&b"changed\n"[..]));
            counted.count()
        };
        for step in (1..count).step_by((count as usize / 60).max(1)) {
            changed();
            let (reached, over) = (AtomicBool::new(false), AtomicBool::new(false));
            let (reached, over) = (&Arc::new(reached), &Arc::new(over));
            let is_over = {
                let (reached, over) = (Arc::clone(reached), Arc::clone(over));
                move || {
                    reached.store(true, Ordering::SeqCst);
                    over.load(Ordering::SeqCst)
                }
            };
            std::thread::scope(|scope| {
                let first = scope.spawn(|| {
                    let _steps = steps::pause_here(step, STANDSTILL, is_over);
                    let read = hello(machine, &disk);
                    reached.store(true, Ordering::SeqCst);
                    read
                });
                while !reached.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // It ends while the first stands still, or waits for it.
                let second = hello(machine, &disk);
                over.store(true, Ordering::SeqCst);
                let first = first.join().expect("no panic");
                for read in [first, second] {
                    assert_eq!(read.as_deref(), Ok(&b"changed\n"[..]), "step {step} of {count}");
                }
            });
        }
        println!("{count} steps");
    });
}

#[test]
fn a_medium_is_changed_and_changed_back() {
    let (_folder, image) = copy();
    change(&image);
    // Another identity, too.
    run(
        "tune2fs",
        &["-U", "random", image.to_str().expect("UTF-8")],
        folder(),
    );
    on(2, &[removable(&folder_image())], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let handles = Handles::open(machine, &disk);
        disk.change_medium(Some(&image)).expect("of the same size");
        // The first that is asked finds out.
        assert_eq!(handles.file.read(Some(400_000), 1000).status, STATUS_WRONG_VOLUME);
        handles.are_dead(STATUS_WRONG_VOLUME);
        assert_eq!(hello(machine, &disk).expect("reads"), b"changed\n");
        // The old medium comes back: it may have been changed elsewhere, so the old handles stay dead.
        let other = machine
            .open(&path(&disk, "data.bin"), OpenAs::read())
            .expect("opens");
        disk.change_medium(Some(&folder_image()))
            .expect("of the same size");
        assert_eq!(hello(machine, &disk).expect("reads"), b"hello\n");
        assert_eq!(other.read(Some(0), 1000).status, STATUS_WRONG_VOLUME);
        handles.are_dead(STATUS_WRONG_VOLUME);
        assert_eq!(use_all(machine, &disk), Ok(()));
    });
}

#[test]
fn a_medium_that_was_out_for_a_moment_lives_on() {
    on(3, &[removable(&folder_image())], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let handles = Handles::open(machine, &disk);
        disk.change_medium(None).expect("it is taken out");
        // No medium: requests fail and say so, opens too; but nothing is given up yet.
        assert_eq!(
            handles.file.read(Some(400_000), 1000).status,
            STATUS_NO_MEDIA_IN_DEVICE
        );
        assert_eq!(hello(machine, &disk), Err(STATUS_NO_MEDIA_IN_DEVICE));
        assert!(disk.is_suspect());
        disk.change_medium(Some(&folder_image())).expect("the same one");
        handles.live_on();
        assert_eq!(use_all(machine, &disk), Ok(()));
    });
}

#[test]
fn a_drive_that_is_empty_at_first_is_not_given_up_for_ever() {
    on(4, &[removable(&folder_image())], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        disk.change_medium(None).expect("there is none");
        assert_eq!(hello(machine, &disk), Err(STATUS_NO_MEDIA_IN_DEVICE));
        disk.change_medium(Some(&folder_image())).expect("put in");
        assert_eq!(hello(machine, &disk).expect("reads"), b"hello\n");
    });
}

#[test]
fn what_is_under_way_while_the_medium_is_changed_is_never_mixed() {
    let (_folder, image) = copy();
    // The same names, other bytes: every byte of the file is another one.
    let other: Vec<u8> = data().iter().map(|byte| !byte).collect();
    let place = image.parent().expect("it is in one");
    std::fs::write(place.join("other"), &other).expect("writable");
    for command in ["rm data.bin", "write other data.bin"] {
        run(
            "debugfs",
            &["-w", "-R", command, image.to_str().expect("UTF-8")],
            place,
        );
    }
    for seed in 0..6 {
        on(seed, &[removable(&folder_image())], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let limit = hang::watch("reads while the medium is changed", LIMIT * 2);
            std::thread::scope(|scope| {
                let (machine, disk, other) = (&*machine, &disk, &other);
                for reader in 0..4_usize {
                    scope.spawn(move || {
                        for round in 0..12 {
                            let how = if (reader + round) % 2 == 0 {
                                OpenAs::read()
                            } else {
                                OpenAs::read().uncached()
                            };
                            let Ok(handle) = machine.open(&path(disk, "data.bin"), how) else {
                                continue;
                            };
                            // Which of the two it is, a handle says by its first byte; then it must stay with it.
                            let mut seen: Option<&[u8]> = None;
                            for at in (0..DATA - 4096).step_by(40_960) {
                                let outcome = handle.read(Some(at as u64), 4096);
                                if !nt_success(outcome.status) {
                                    break;
                                }
                                let truth = seen.get_or_insert(if outcome.bytes[0] == data()[at] {
                                    data()
                                } else {
                                    other
                                });
                                assert!(
                                    outcome.bytes == truth[at..at + 4096],
                                    "two media are mixed at {at}"
                                );
                            }
                        }
                    });
                }
                for round in 0..8 {
                    std::thread::sleep(std::time::Duration::from_millis(3 + seed));
                    let medium = if round % 2 == 0 {
                        image.clone()
                    } else {
                        folder_image()
                    };
                    disk.change_medium(Some(&medium)).expect("of the same size");
                }
            });
            drop(limit);
            let reads = disk.counts.reads.load(Ordering::SeqCst);
            assert!(reads > 50, "{reads} reads are no test");
            assert_eq!(use_all(machine, &disk), Ok(()), "the first medium is in again");
        });
    }
}
