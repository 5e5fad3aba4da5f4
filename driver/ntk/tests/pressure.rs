//! Memory is short all the time: pages of our files are taken away at any moment, segments lose their last reference in a thread
//! of the system's, so that CLOSE comes whenever it likes, files are flushed and read ahead of any wish, and the lazy writer takes cache
//! maps away. What is read is true all the same, and volumes, disks and the service go when they are told to.

#![cfg(target_os = "linux")]

mod moments;
mod support;

use lklfs_control::Request;
use moments::*;
use ntos::cc::segment::Role;
use ntos::disk::Disk;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::Control;

/// The volume of `disk`, opened for its controls.
fn control(machine: &Machine, disk: &Disk, code: u32) -> NTSTATUS {
    match machine.open(&disk.volumes()[0].path(), OpenAs::volume()) {
        Ok(handle) => handle.fsctl(code, &[], 0).status,
        Err(status) => status,
    }
}

/// A request that met a volume which was taken away.
fn says_dismounted(status: NTSTATUS) -> bool {
    says_gone(status) || matches!(status, STATUS_FILE_INVALID | STATUS_ACCESS_DENIED)
}

#[test]
fn what_is_read_while_pages_are_taken_away_is_true() {
    for seed in 1..=4 {
        let mut did = None;
        on(seed, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            drop(
                machine
                    .open(&path(&disk, "hello.txt"), OpenAs::read())
                    .expect("mounts"),
            );
            machine.press(seed);
            let limit = hang::watch("reading under pressure", Duration::from_secs(60));
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for _ in 0..6 {
                            assert_eq!(use_all(machine, &disk), Ok(()), "seed {seed}");
                        }
                    });
                }
                scope.spawn(|| {
                    let handle = machine
                        .open(&path(&disk, "mapped.bin"), OpenAs::read())
                        .expect("opens");
                    for round in 0..40 {
                        let role = if round % 2 == 0 { Role::Data } else { Role::Image };
                        let view = handle.map(role).expect("maps");
                        let mut bytes = vec![0; 9000];
                        let at = (round * 13_001) % (DATA - bytes.len());
                        view.read(at as u64, &mut bytes).expect("is read");
                        assert!(bytes == data()[at..at + bytes.len()], "invented bytes at {at}");
                        view.flush().expect("nothing is dirty");
                    }
                });
            });
            drop(limit);
            did = Some(machine.relieve());
        });
        let did = did.expect("the machine ran");
        assert!(did.trimmed > 20 && did.prefetched > 5, "seed {seed}: {did:?}");
        assert!(did.dereferenced > 0, "seed {seed}: {did:?}");
    }
}

/// The volume is locked and dismounted, again and again, while files of it lose their last references elsewhere.
#[test]
fn a_volume_is_dismounted_while_its_files_are_closed_by_the_system() {
    for seed in 1..=4 {
        on(seed, &[disk(), disk()], |machine| {
            let [victim, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
            machine.press(seed);
            let limit = hang::watch("dismounting under pressure", Duration::from_secs(60));
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Acquire) {
                        if let Err((what, status)) = use_all(machine, &victim) {
                            assert!(says_dismounted(status), "seed {seed}: {what}: {}", name(status));
                        }
                    }
                });
                scope.spawn(|| {
                    while !stop.load(Ordering::Acquire) {
                        assert_eq!(use_all(machine, &other), Ok(()), "seed {seed}");
                    }
                });
                for round in 0..12 {
                    let status = control(machine, &victim, FSCTL_DISMOUNT_VOLUME);
                    assert_eq!(status, STATUS_SUCCESS, "seed {seed}, round {round}");
                    std::thread::sleep(Duration::from_millis(10));
                }
                stop.store(true, Ordering::Release);
            });
            drop(limit);
            assert_eq!(use_all(machine, &victim), Ok(()), "seed {seed}");
            // The machine ends under pressure as well.
        });
    }
}

#[test]
fn a_volume_can_be_locked_under_pressure_once_its_files_are_closed() {
    for seed in 1..=6 {
        on(seed, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            machine.press(seed);
            let limit = hang::watch("locking under pressure", Duration::from_secs(30));
            for round in 0..5 {
                assert_eq!(use_all(machine, &disk), Ok(()), "seed {seed}");
                let volume = machine
                    .open(&disk.volumes()[0].path(), OpenAs::volume())
                    .expect("opens");
                let locked = volume.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status;
                assert_eq!(name(locked), name(STATUS_SUCCESS), "seed {seed}, round {round}");
                let unlocked = volume.fsctl(FSCTL_UNLOCK_VOLUME, &[], 0).status;
                assert_eq!(unlocked, STATUS_SUCCESS);
            }
            drop(limit);
        });
    }
}

#[test]
fn a_disk_is_pulled_out_under_pressure() {
    for seed in 1..=6 {
        on(seed, &[disk(), disk()], |machine| {
            let [victim, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
            assert_eq!(use_all(machine, &victim), Ok(()));
            machine.press(seed);
            let limit = hang::watch("a removal under pressure", Duration::from_secs(30));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while let Ok(()) = use_all(machine, &victim) {}
                        let (what, status) = use_all(machine, &victim).expect_err("it is gone");
                        assert!(says_gone(status), "seed {seed}: {what}: {}", name(status));
                    });
                }
                scope.spawn(|| assert_eq!(use_all(machine, &other), Ok(()), "seed {seed}"));
                std::thread::sleep(Duration::from_millis(5 + 9 * seed));
                machine.pull(&victim);
            });
            drop(limit);
            is_fresh(machine);
        });
    }
}

/// `userctl stop` while the memory manager still has files of ours, then `sc stop`.
#[test]
fn the_driver_is_unloaded_under_pressure() {
    for seed in 1..=6 {
        on(seed, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            machine.press(seed);
            for round in 0..3 {
                assert_eq!(use_all(machine, &disk), Ok(()), "seed {seed}");
                let limit = hang::watch("a stop under pressure", Duration::from_secs(30));
                let control = Control::open(machine);
                let stopped = control.ask(Request::Stop { force: false }).map(drop);
                assert_eq!(stopped.map_err(name), Ok(()), "seed {seed}, round {round}");
                drop(control);
                assert!(machine.stop_service(), "the driver was not unloaded");
                machine.load_driver(&driver()).expect("the driver loads again");
                machine.settle();
                drop(limit);
            }
        });
    }
}
