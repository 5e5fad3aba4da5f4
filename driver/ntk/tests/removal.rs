//! A disk goes at any moment: pulled out while it is being mounted, listed, read in every way, mapped, watched and locked,
//! while Linux boots, while it hangs; or asked for politely.
//!
//! A counting run numbers the moments of a scenario; then the disk goes at one of them, in a run of its own. Each time:
//! all requests end within 5 s of the removal (wall clock) and say that the device is gone; what was read is true; handles
//! can be closed; another disk's volume goes on; the disk can be plugged in again and is mounted afresh; and the unload
//! leaves nothing behind. See `moments/mod.rs` for how moments are chosen.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::disk::{Disk, DiskConfig, Fault, FaultKind};
use ntos::mountmgr;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use ntos::verifier::moments::{self as numbered, Kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// How long a run may take to reach its moment.
const REACH: Duration = Duration::from_secs(20);

/// An actor's part, to be run on a thread.
type Actor = fn(&Machine, &Disk) -> Outcome;

/// How many moments a run of `actor` on a machine has: the fewer of two runs.
fn count(kind: Kind, actor: Actor) -> u64 {
    let once = || {
        let mut total = 0;
        on(1, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            numbered::start();
            assert_eq!(actor(machine, &disk), Ok(()));
            total = numbered::count(kind);
        });
        total
    };
    once().min(once())
}

/// The other disk's volume is read until `stop`.
fn keep_busy<'s>(
    scope: &'s Scope<'s, '_>,
    machine: &'s Machine,
    other: &'s Disk,
    stop: &'s AtomicBool,
) -> std::thread::ScopedJoinHandle<'s, u64> {
    scope.spawn(move || {
        let mut rounds = 0;
        // Once at least, however late this thread begins.
        loop {
            assert_eq!(read_cached(machine, other), Ok(()), "another disk's volume");
            rounds += 1;
            if stop.load(Ordering::SeqCst) {
                return rounds;
            }
        }
    })
}

/// What an actor ends with may be that it came to its end before the removal, or that the device is gone.
fn assert_gone(outcome: Outcome, when: &str) {
    if let Err((what, status)) = outcome {
        assert!(says_gone(status), "{what}, {when}, ended with {}", name(status));
    }
}

/// Pulls the disk out while `actor` uses it, at one moment.
fn pull_at(kind: Kind, number: u64, actor: Actor) {
    let when = format!("pulled at {kind:?} {number}");
    on(number, &[disk(), disk()], |machine| {
        let [victim, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        let armed = numbered::arm(kind, number);
        std::thread::scope(|scope| {
            let (machine, victim) = (&*machine, &victim);
            let acting = scope.spawn(move || actor(machine, victim));
            assert!(armed.wait(REACH), "the moment never came: {when}");
            victim.remove();
            let limit = hang::watch(&when, LIMIT);
            armed.release();
            machine.pulled(victim);
            assert_gone(acting.join().expect("what it read was true"), &when);
            drop(limit);
        });
        drop(armed);
        assert_eq!(read_uncached(machine, &other), Ok(()), "another disk's volume");
        assert!(list(machine, &victim).is_err(), "the disk is gone");
        is_fresh(machine);
    });
}

#[test]
fn a_disk_is_pulled_out_at_any_call_of_the_driver() {
    // The first use boots Linux and mounts.
    let total = count(Kind::Import, use_all);
    for number in chosen(total * 9 / 10, 14) {
        pull_at(Kind::Import, number, use_all);
    }
}

#[test]
fn a_disk_is_pulled_out_at_any_of_its_reads() {
    let total = count(Kind::DiskRead, use_all);
    assert!(total > 10, "{total} reads make no scenario");
    for number in chosen(total, 10) {
        pull_at(Kind::DiskRead, number, use_all);
    }
}

/// The parts of the scenario in which everything happens at once, on a volume that is mounted.
const PARTS: [Actor; 4] = [list, read_cached, read_uncached, read_mapped];

/// Uses the volume from all sides until it is gone, with a notification and a lock that wait; `pull` takes it away.
fn besiege(machine: &Machine, victim: &Arc<Disk>, other: &Disk, when: &str, pull: impl FnOnce()) {
    let watched = machine
        .open(&path(victim, "folder"), OpenAs::read().asynchronous())
        .expect("opens");
    let notification = watched.notify(0x17, true, 1024).expect("is sent");
    let [holder, waiter] = [(); 2].map(|()| {
        let how = OpenAs::read().asynchronous();
        machine.open(&path(victim, "locked.bin"), how).expect("opens")
    });
    assert_eq!(
        holder.lock(0, 100, true, true).expect("is sent").wait().status,
        STATUS_SUCCESS
    );
    let lock = waiter.lock(50, 100, true, false).expect("is sent");
    let view = machine
        .open(&path(victim, "mapped.bin"), OpenAs::read())
        .and_then(|handle| handle.map(ntos::cc::segment::Role::Data))
        .expect("maps");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = keep_busy(scope, machine, other, &stop);
        let parts = PARTS.map(|part| {
            scope.spawn(move || {
                loop {
                    if let Err(error) = part(machine, victim) {
                        return error;
                    }
                }
            })
        });
        pull();
        let limit = hang::watch(when, LIMIT);
        for part in parts {
            let (what, status) = part.join().expect("what it read was true");
            assert!(says_gone(status), "{what}, {when}, ended with {}", name(status));
        }
        assert!(
            notification.wait_for(LIMIT),
            "a notification is pended still, {when}"
        );
        assert_eq!(notification.wait().status, STATUS_NOTIFY_CLEANUP);
        assert!(lock.wait_for(LIMIT), "a lock waits still, {when}");
        assert_eq!(lock.wait().status, STATUS_NO_SUCH_DEVICE);
        drop(limit);
        stop.store(true, Ordering::SeqCst);
        assert!(busy.join().expect("its bytes were true") > 0);
    });
    // What is mapped is true, or not to be had.
    let mut bytes = vec![0; DATA];
    if view.read(0, &mut bytes).is_ok() {
        assert!(bytes == data(), "invented bytes in a view, {when}");
    }
    assert_eq!(
        watched.notify(0x17, true, 1024).expect("is sent").wait().status,
        STATUS_NO_SUCH_DEVICE
    );
    assert_eq!(
        waiter.lock(200, 1, true, true).expect("is sent").wait().status,
        STATUS_NO_SUCH_DEVICE
    );
}

#[test]
fn a_disk_is_pulled_out_while_it_is_used_from_all_sides() {
    // So many calls come from all sides that any of the first thousands is one of many kinds.
    for number in chosen(4000, 8) {
        let when = format!("pulled at call {number} of many at once");
        on(number, &[disk(), disk()], |machine| {
            let [victim, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
            assert_eq!(list(machine, &other), Ok(()));
            assert_eq!(list(machine, &victim), Ok(()));
            besiege(machine, &victim, &other, &when, || {
                let armed = numbered::arm(Kind::Import, number);
                assert!(armed.wait(REACH), "the moment never came: {when}");
                victim.remove();
                armed.release();
                machine.pulled(&victim);
            });
            is_fresh(machine);
        });
    }
}

#[test]
fn a_disk_that_hangs_is_pulled_out() {
    let total = count(Kind::DiskRead, use_all);
    for number in chosen(total, 6) {
        let when = format!("hangs from read {number} on");
        on(number, &[disk(), disk()], |machine| {
            let [victim, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
            assert_eq!(list(machine, &other), Ok(()));
            let before = victim.counts.reads.load(Ordering::SeqCst);
            victim.fail(Fault::from(before + number, FaultKind::Hang));
            std::thread::scope(|scope| {
                let (machine, victim) = (&*machine, &victim);
                let acting = scope.spawn(move || use_all(machine, victim));
                let start = Instant::now();
                while victim.counts.reads.load(Ordering::SeqCst) < before + number {
                    assert!(start.elapsed() < REACH, "the moment never came: {when}");
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::thread::sleep(Duration::from_millis(20));
                let limit = hang::watch(&format!("another disk's volume while one {when}"), LIMIT);
                assert_eq!(read_uncached(machine, &other), Ok(()));
                drop(limit);
                let limit = hang::watch(&when, LIMIT);
                machine.pull(victim);
                assert_gone(acting.join().expect("what it read was true"), &when);
                drop(limit);
            });
            is_fresh(machine);
        });
    }
}

#[test]
fn a_disk_that_is_used_from_all_sides_hangs_and_is_pulled_out() {
    on(3, &[disk(), disk()], |machine| {
        let [victim, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        assert_eq!(list(machine, &other), Ok(()));
        assert_eq!(list(machine, &victim), Ok(()));
        let reads = victim.counts.reads.load(Ordering::SeqCst);
        victim.fail(Fault::from(reads + 3, FaultKind::Hang));
        besiege(machine, &victim, &other, "hangs and is pulled", || {
            std::thread::sleep(Duration::from_millis(100));
            machine.pull(&victim);
        });
        is_fresh(machine);
    });
}

/// The script of somebody who uses a disk that may be taken away politely in between: whatever is open keeps it.
fn eject_at(number: u64) {
    let when = format!("asked for at call {number}");
    on(number, &[disk(), disk()], |machine| {
        let [victim, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        let armed = numbered::arm(Kind::Import, number);
        let ejected = std::thread::scope(|scope| {
            let (machine, victim) = (&*machine, &victim);
            let acting = scope.spawn(move || use_all(machine, victim));
            assert!(armed.wait(REACH), "the moment never came: {when}");
            let limit = hang::watch(&when, LIMIT);
            let ejected = machine.eject(victim);
            armed.release();
            let outcome = acting.join().expect("what it read was true");
            drop(limit);
            match ejected {
                // It was refused because somebody uses the disk, who must not notice.
                Err(status) => {
                    assert_eq!(status, STATUS_ACCESS_DENIED, "{when}");
                    if let Err((what, status)) = outcome {
                        // An open that came while the question was being decided.
                        assert!(
                            what.starts_with("open") && status == STATUS_ACCESS_DENIED
                                || what.starts_with("open") && status == STATUS_NO_SUCH_DEVICE,
                            "{what}, {when}, ended with {}",
                            name(status)
                        );
                    }
                }
                Ok(()) => match outcome {
                    Err((what, STATUS_ACCESS_DENIED)) if what.starts_with("open") => {}
                    outcome => assert_gone(outcome, &when),
                },
            }
            ejected
        });
        drop(armed);
        machine.settle();
        match ejected {
            Err(_) => assert_eq!(use_all(machine, &victim), Ok(()), "it stays: {when}"),
            Ok(()) => {
                assert_eq!(mountmgr::letter_of(&victim.volumes()[0].path()), None);
                assert!(list(machine, &victim).is_err(), "the disk is gone");
                is_fresh(machine);
            }
        }
        assert_eq!(read_cached(machine, &other), Ok(()));
    });
}

#[test]
fn a_disk_is_asked_for_politely_at_any_call() {
    let total = count(Kind::Import, use_all);
    for number in chosen(total * 9 / 10, 8) {
        eject_at(number);
    }
}

#[test]
fn an_open_file_keeps_a_disk_and_a_closed_one_does_not() {
    on(5, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let open = machine
            .open(&path(&disk, "data.bin"), OpenAs::read())
            .expect("opens");
        assert_eq!(read_through(&open, 10_000, "cached read"), Ok(()));
        assert_eq!(machine.eject(&disk), Err(STATUS_ACCESS_DENIED));
        assert_eq!(read_through(&open, 10_000, "cached read"), Ok(()));
        // A view keeps it as well, although its handle is closed.
        let view = open.map(ntos::cc::segment::Role::Data).expect("maps");
        drop(open);
        assert_eq!(machine.eject(&disk), Err(STATUS_ACCESS_DENIED));
        assert_eq!(list(machine, &disk), Ok(()));
        drop(view);
        assert_eq!(machine.eject(&disk), Ok(()));
    });
}

#[test]
fn a_removal_that_is_cancelled_leaves_the_volume_usable() {
    on(6, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        for _ in 0..3 {
            assert_eq!(use_all(machine, &disk), Ok(()));
            let volume = disk.volumes()[0];
            let asked = machine.pnp(&volume, IRP_MN_QUERY_REMOVE_DEVICE);
            assert!(
                nt_success(asked) || asked == STATUS_NOT_SUPPORTED,
                "{}",
                name(asked)
            );
            assert_eq!(list(machine, &disk), Err(("open to list", STATUS_NO_SUCH_DEVICE)));
            machine.pnp(&volume, IRP_MN_CANCEL_REMOVE_DEVICE);
        }
        assert_eq!(use_all(machine, &disk), Ok(()));
    });
}

#[test]
fn a_volume_that_is_dismounted_ends_what_waits_on_it() {
    on(7, &[disk()], |machine| {
        const FSCTL_DISMOUNT_VOLUME: u32 = 0x0009_0020;
        let disk = Arc::clone(&machine.disks()[0]);
        let folder = machine
            .open(&path(&disk, "folder"), OpenAs::read().asynchronous())
            .expect("opens");
        let notification = folder.notify(0x17, false, 1024).expect("is sent");
        let volume = machine
            .open(&disk.volumes()[0].path(), OpenAs::volume())
            .expect("opens");
        assert_eq!(volume.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
        assert!(
            notification.wait_for(Duration::from_secs(1)),
            "a notification is pended still"
        );
        assert_eq!(notification.wait().status, STATUS_NOTIFY_CLEANUP);
        drop(volume);
        // The old handle is dead; a new open mounts afresh at once.
        assert_eq!(
            folder.query_directory(12, 900, None, 0).status,
            STATUS_VOLUME_DISMOUNTED
        );
        drop(folder);
        machine.settle();
        assert_eq!(use_all(machine, &disk), Ok(()));
    });
}

#[test]
fn a_disk_that_goes_as_it_comes_keeps_no_letter() {
    for delay in [0, 1, 3, 10, 30] {
        on(delay, &[], |machine| {
            let config: DiskConfig = disk().delay(Duration::from_millis(1));
            let came = machine.attach(config).expect("plugs in");
            std::thread::sleep(Duration::from_millis(delay));
            let limit = hang::watch("a removal during the arrival", LIMIT);
            machine.pull(&came);
            machine.settle();
            drop(limit);
            assert_eq!(mountmgr::letter_of(&came.volumes()[0].path()), None);
            is_fresh(machine);
        });
    }
}
