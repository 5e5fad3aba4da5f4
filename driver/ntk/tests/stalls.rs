//! What keeps Linux from answering without a fault and without a loop, in the NT kernel double: memory that is used up, and a lock
//! that is never released. Linux dies of it in the end, and starts again; only the volume that it died of goes offline. Clocks that
//! jump, and disks that hang, it does not die of.
//!
//! `LKLFS_SELFTEST_SYS` names an image with the feature `selftest`, which does this on request.

#![cfg(target_os = "linux")]

mod moments;
mod support;

use moments::{data, disk, other_disk, path};
use ntos::disk::{Disk, Fault, FaultKind};
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs};
use ntos::verifier::hang;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::selftest::{self, LOCK, MEMORY, WAIT};

const LIMIT: Duration = Duration::from_secs(60);
/// After so many milliseconds a wait for what does not come is found.
const SOON: u64 = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// Four volumes, each with an open file, which was read.
struct Four {
    machine: Machine,
    disks: [Arc<Disk>; 4],
    handles: [Handle; 4],
}

/// What may come of requests while Linux is short of memory: a volume that it dies of goes offline.
fn is_excused(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_INSUFFICIENT_RESOURCES | STATUS_NO_SUCH_DEVICE | STATUS_IN_PAGE_ERROR
    )
}

impl Four {
    fn new() -> Four {
        let machine = selftest::machine_with([disk(), other_disk(1), other_disk(2), other_disk(3)]);
        let disks = [0, 1, 2, 3].map(|at| Arc::clone(&machine.disks()[at]));
        let handles = [0, 1, 2, 3].map(|at| {
            let how = OpenAs::read().uncached();
            machine.open(&path(&disks[at], "data.bin"), how).expect("mounts")
        });
        let four = Four {
            machine,
            disks,
            handles,
        };
        (0..4).for_each(|at| four.lives_on(at));
        four
    }

    fn ask_for(&self, what: u64, milliseconds: u64, at: usize) -> NTSTATUS {
        let volume = selftest::volume_on(&self.machine, &self.disks[at]).expect("mounted");
        let control = selftest::control(&self.machine);
        selftest::ask_for(&control, what, milliseconds, volume)
    }

    fn ask(&self, what: u64, milliseconds: u64) -> NTSTATUS {
        selftest::ask(&selftest::control(&self.machine), what, milliseconds)
    }

    fn deaths(&self) -> u32 {
        support::status(&self.machine).linux_panics.get()
    }

    /// Reads a whole file by an open of its own, and a listing.
    fn use_afresh(&self, at: usize, name: &str) -> Result<(), NTSTATUS> {
        let file = self.machine.open(&path(&self.disks[at], name), OpenAs::read())?;
        let read = file.read(Some(0), data().len()).into_result()?;
        assert!(read == data(), "wrong bytes of {at}");
        let folder = self
            .machine
            .open(&path(&self.disks[at], "folder"), OpenAs::read())?;
        let listed = folder.query_directory(12, 900, None, 0).into_result()?;
        assert!(!listed.is_empty());
        Ok(())
    }

    /// The handle that was opened first reads right, and so does a new one.
    fn lives_on(&self, at: usize) {
        let read = self.handles[at].read(Some(8192), 65_536).into_result();
        match read {
            Ok(read) => assert!(read == data()[8192..73_728], "wrong bytes of {at}"),
            Err(status) => panic!("volume {at} does not live on: {}", name(status)),
        }
        self.use_afresh(at, "mapped.bin").expect("lives on");
    }

    /// The volume is mounted afresh, if it was lost.
    fn comes_back(&self, at: usize) {
        let _watch = hang::watch("a volume that comes back", LIMIT);
        loop {
            match self.use_afresh(at, "locked.bin") {
                Err(STATUS_NO_SUCH_DEVICE) => std::thread::sleep(Duration::from_millis(1)),
                used => return used.expect("comes back"),
            }
        }
    }

    fn end(self) {
        let Four {
            machine,
            disks,
            handles,
        } = self;
        drop((disks, handles));
        let _watch = hang::watch("the unload", LIMIT);
        let report = machine.unload();
        assert!(report.is_clean(), "left behind:\n{report}");
    }
}

fn said(words: &str) -> bool {
    ntos::rtl::print::last_lines(usize::MAX)
        .iter()
        .any(|line| line.contains(words))
}

#[test]
fn memory_that_a_volume_uses_up_is_that_volumes_end_and_the_three_others_live_on() {
    let four = Four::new();
    let watch = hang::watch("memory that is used up", LIMIT);
    assert_eq!(four.ask_for(MEMORY, 0, 2), STATUS_NO_SUCH_DEVICE);
    assert!(said("Linux died: System is deadlocked on memory"));
    for at in [0, 1, 3] {
        four.lives_on(at);
    }
    let read = four.handles[2].read(Some(0), 4096).status;
    assert_eq!(read, STATUS_NO_SUCH_DEVICE, "{}", name(read));
    four.comes_back(2);
    assert_eq!(four.deaths(), 1);
    drop(watch);
    four.end();
}

/// Has all of Linux's memory taken for so long, and uses all volumes meanwhile: what each request ends with is right or excused.
/// Afterwards all are right.
fn without_memory(milliseconds: u64, enough: impl Fn(&Four, Instant) -> bool + Sync) {
    let four = Four::new();
    let watch = hang::watch("no memory", LIMIT);
    assert_eq!(four.ask(MEMORY, milliseconds), STATUS_SUCCESS);
    let start = Instant::now();
    let refused: usize = std::thread::scope(|scope| {
        let users = [0, 1, 2, 3].map(|at| {
            let (four, enough) = (&four, &enough);
            scope.spawn(move || {
                let (mut refused, mut round) = (0, 0);
                while !enough(four, start) {
                    let offset = round % 100 * 4096;
                    round += 1;
                    let read = four.handles[at].read(Some(offset as u64), 4096).into_result();
                    let read = read.map(|read| assert!(read == data()[offset..offset + 4096]));
                    let name = ["data.bin", "mapped.bin", "locked.bin"][round % 3];
                    for status in [read, four.use_afresh(at, name)]
                        .into_iter()
                        .filter_map(Result::err)
                    {
                        assert!(is_excused(status), "{}", ntos::nt::name(status));
                        refused += 1;
                    }
                }
                refused
            })
        });
        users
            .into_iter()
            .map(|user| user.join().expect("it goes on"))
            .sum()
    });
    let deaths = four.deaths();
    println!("{refused} requests were refused, {deaths} Linuxes died");
    (0..4).for_each(|at| four.comes_back(at));
    // Each death is one volume's.
    let lost = (0..4).filter(|at| four.handles[*at].read(Some(0), 4096).into_result().is_err());
    assert!(lost.count() <= deaths as usize);
    drop(watch);
    four.end();
}

#[test]
fn without_memory_for_a_while_requests_are_refused_or_wait_and_no_byte_is_wrong() {
    without_memory(1500, |_, start| start.elapsed() > Duration::from_millis(3000));
}

/// Nothing that a lock in Linux keeps waiting waits for ever, and no other volume is lost.
#[test]
fn a_lock_that_is_never_released_is_found_and_the_three_other_volumes_live_on() {
    let four = Four::new();
    let watch = hang::watch("a lock that is never released", LIMIT);
    assert_eq!(four.ask(WAIT, SOON), STATUS_SUCCESS);
    // Those of the third volume that was mounted.
    assert_eq!(four.ask(LOCK, 2), STATUS_SUCCESS);
    let start = Instant::now();
    // The others are not kept waiting by it.
    for at in [0, 1, 3] {
        four.use_afresh(at, "locked.bin").expect("does not wait");
    }
    assert_eq!(four.deaths(), 0);
    let opened = four.use_afresh(2, "locked.bin");
    assert_eq!(opened, Err(STATUS_NO_SUCH_DEVICE));
    assert!(start.elapsed() >= Duration::from_millis(SOON));
    assert!(said("Linux died: a wait: "));
    for at in [0, 1, 3] {
        four.lives_on(at);
    }
    four.comes_back(2);
    assert_eq!(four.deaths(), 1);
    drop(watch);
    four.end();
}

#[test]
fn a_disk_that_hangs_for_long_is_no_lock_that_is_never_released() {
    let four = Four::new();
    let watch = hang::watch("a disk that hangs", LIMIT);
    assert_eq!(four.ask(WAIT, SOON / 2), STATUS_SUCCESS);
    four.disks[1].fail(Fault::from(1, FaultKind::Hang));
    std::thread::scope(|scope| {
        // Both wait: one for the disk, the other for a lock that the first one has.
        let readers = [(); 2].map(|()| scope.spawn(|| four.use_afresh(1, "locked.bin")));
        std::thread::sleep(Duration::from_millis(SOON * 3));
        assert!(readers.iter().all(|reader| !reader.is_finished()), "it hangs");
        four.disks[1].answer();
        for reader in readers {
            reader.join().expect("goes on").expect("reads");
        }
    });
    assert_eq!(four.deaths(), 0);
    drop(watch);
    four.end();
}

/// Requests under way and to come are answered in time, and Linux lives.
#[test]
fn clocks_that_jump_by_an_hour_change_nothing() {
    type Jump = fn(&Machine);
    let jumps: [(&str, Jump); 4] = [
        ("forwards", |machine| machine.set_clock(HOUR, false)),
        ("back", |machine| machine.set_clock(HOUR, true)),
        ("far back", |machine| machine.set_clock(HOUR * 24 * 3650, true)),
        ("by sleep", |machine| machine.sleep_for(HOUR)),
    ];
    let four = Four::new();
    for (round, (what, jump)) in jumps.iter().cycle().take(jumps.len() * 2).enumerate() {
        let _watch = hang::watch(what, Duration::from_secs(10));
        let at = round % 4;
        four.disks[at].fail(Fault::from(1, FaultKind::Hang));
        std::thread::scope(|scope| {
            let handle = &four.handles[at];
            let from = 100_000 / 4096 * 4096 + round * 8192;
            let waits = scope.spawn(move || (handle.read(Some(from as u64), 4096).into_result(), from));
            std::thread::sleep(Duration::from_millis(30));
            jump(&four.machine);
            four.disks[at].answer();
            let (read, from) = waits.join().expect("it reads");
            assert!(read.expect("is answered") == data()[from..from + 4096], "{what}");
        });
        (0..4).for_each(|at| four.lives_on(at));
        // What Linux does later by itself, it does.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(four.deaths(), 0);
    four.end();
}
