//! What might keep Linux from answering without a fault and without a loop, in the NT kernel double: clocks that jump.

#![cfg(target_os = "linux")]

mod moments;
mod support;

use moments::{data, disk, other_disk, path};
use ntos::disk::{Disk, Fault, FaultKind};
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs};
use ntos::verifier::hang;
use std::sync::Arc;
use std::time::Duration;
use support::selftest;

const LIMIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Four volumes, each with an open file, which was read.
struct Four {
    machine: Machine,
    disks: [Arc<Disk>; 4],
    handles: [Handle; 4],
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
