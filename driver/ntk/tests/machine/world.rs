//! What happens to the machine meanwhile: disks come and go, are asked for, hang, and cannot be read; volumes are locked, dismounted and
//! verified; memory is short; requests are cancelled; Linux dies.
//!
//! Each act notes the span of its trouble, which ends when the volume has been seen to be well again.

use super::dice::Dice;
use super::stage::Stage;
use super::support::{Control, selftest};
use super::weather::Trouble;
use ntos::disk::{Disk, DiskConfig, Fault, FaultKind};
use ntos::io::names::wide;
use ntos::nt::*;
use ntos::user::{Handle, OpenAs, cancel_synchronous};
use ntos::verifier::fault;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Most deaths of Linux in a life of the machine: the driver boots no more than eight within ten minutes.
const MOST_DEATHS: usize = 3;
/// How long a volume may take to be well again.
const RECOVERY: Duration = Duration::from_secs(60);

/// File systems whose images get the same UUID from their makers.
const ONE_UUID: [&str; 4] = ["ext4", "btrfs", "f2fs", "erofs"];

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Pull,
    Eject,
    AskAndCancel,
    Dismount,
    Lock,
    Unreadable,
    Hang,
    Short,
    Cancel,
    Suspect,
    Sleep,
    Die,
}

const EVENTS: [(Event, usize); 12] = [
    (Event::Pull, 6),
    (Event::Eject, 3),
    (Event::AskAndCancel, 3),
    (Event::Dismount, 6),
    (Event::Lock, 6),
    (Event::Unreadable, 6),
    (Event::Hang, 8),
    (Event::Short, 8),
    (Event::Cancel, 30),
    (Event::Suspect, 6),
    (Event::Sleep, 2),
    (Event::Die, 4),
];

/// What is plugged in for a volume.
pub fn disk_of(volume: &super::volumes_on_disk::Volume) -> DiskConfig {
    DiskConfig::image(&volume.image)
}

/// To the driver, volumes with one UUID are one that it mounts on request only when two Linuxes have died of it.
fn both_have_the_uuid(stage: &Stage, one: usize, other: usize) -> bool {
    [one, other]
        .iter()
        .all(|place| ONE_UUID.contains(&stage.volumes[*place].kind.linux))
}

/// What happens, one thing after the other.
pub struct World<'s, 'm> {
    stage: &'s Stage<'m>,
    deaths: usize,
    /// The volumes that Linux died of.
    died: Vec<usize>,
    number: u64,
}

impl<'s, 'm> World<'s, 'm> {
    pub fn new(stage: &'s Stage<'m>) -> Self {
        World {
            stage,
            deaths: 0,
            died: Vec::new(),
            number: 0,
        }
    }

    /// The next thing happens.
    pub fn happens(&mut self) {
        self.number += 1;
        let stage = self.stage;
        let mut dice = Dice::of(&[stage.seed, stage.life, u64::MAX, self.number]);
        let all = EVENTS.iter().map(|(_, weight)| weight).sum();
        let mut left = dice.below(all);
        let event = EVENTS.iter().find(|(_, weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        let place = dice.below(stage.places.len());
        let Some((event, _)) = event else { return };
        if std::env::var_os("LKLFS_MACHINE_TELL").is_some() {
            eprintln!("{event:?} of {place} after {}", stage.done());
        }
        match event {
            Event::Pull => self.pull(place),
            Event::Eject => self.eject(place),
            Event::AskAndCancel => self.ask_and_cancel(place),
            Event::Dismount => self.dismount(place),
            Event::Lock => self.lock(place),
            Event::Unreadable => self.unreadable(place, &mut dice),
            Event::Hang => self.hang(place, &mut dice),
            Event::Short => self.short(&mut dice),
            Event::Cancel => self.cancel(&mut dice),
            Event::Suspect => stage.places[place].disk().suspect(),
            Event::Sleep => stage
                .machine
                .sleep(|| std::thread::sleep(Duration::from_millis(1))),
            Event::Die => self.die(place),
        }
        if stage.alone {
            stage.machine.settle();
        }
    }

    fn volume(&self, place: usize) -> Result<Handle, NTSTATUS> {
        let path = self.stage.places[place].disk().volumes()[0].path();
        Handle::open(wide(&path), None, OpenAs::volume())
    }

    /// A file of the volume is opened and read: it is mounted and well.
    fn is_well(&self, place: usize) -> Result<(), NTSTATUS> {
        let path = self.stage.places[place].disk().volumes()[0].path();
        let root = Handle::open(wide(&format!("{path}\\")), None, OpenAs::read())?;
        root.query_directory(12, 4096, None, 1).into_result().map(drop)
    }

    /// Waits until it is, for as long as it says something that `passes`.
    fn recovers(&self, place: usize, why: &str, passes: &[NTSTATUS]) {
        let start = Instant::now();
        loop {
            match self.is_well(place) {
                Ok(()) => return,
                Err(status) if passes.contains(&status) && start.elapsed() < RECOVERY => {
                    std::thread::sleep(Duration::from_micros(300));
                }
                Err(status) => {
                    let kind = self.stage.volumes[place].kind.name;
                    return self
                        .stage
                        .fail(format!("{kind} does not recover: {why}: {}", name(status)));
                }
            }
        }
    }

    fn plug_again(&self, place: usize) {
        match self.stage.machine.plug(disk_of(&self.stage.volumes[place])) {
            Ok(disk) => self.stage.places[place].put(disk),
            Err(error) => self.stage.fail(format!("a disk cannot be plugged in: {error}")),
        }
    }

    fn pull(&self, place: usize) {
        let spans = &self.stage.places[place].spans;
        spans.begin(Trouble::Gone);
        self.stage.machine.pull(&self.stage.places[place].disk());
        self.plug_again(place);
        self.recovers(place, "pulled out and plugged in again", &[]);
        spans.end(Trouble::Gone);
    }

    fn eject(&self, place: usize) {
        let spans = &self.stage.places[place].spans;
        spans.begin(Trouble::Asked);
        spans.begin(Trouble::Gone);
        let disk = self.stage.places[place].disk();
        match self.stage.machine.eject(&disk) {
            Ok(()) => {
                self.plug_again(place);
                self.recovers(place, "given away and plugged in again", &[]);
                spans.end(Trouble::Gone);
            }
            Err(STATUS_ACCESS_DENIED) => {
                // What is open must not notice.
                spans.retract(Trouble::Gone);
                self.recovers(place, "a removal was refused", &[]);
            }
            Err(status) => self
                .stage
                .fail(format!("a removal was refused with {}", name(status))),
        }
        spans.end(Trouble::Asked);
    }

    fn ask_and_cancel(&self, place: usize) {
        let spans = &self.stage.places[place].spans;
        spans.begin(Trouble::Asked);
        // If it is granted, the volume is mounted afresh afterwards; an open that was on its way met the old one.
        spans.begin(Trouble::Dismounted);
        let volume = self.stage.places[place].disk().volumes()[0];
        let granted = self.stage.machine.pnp(&volume, IRP_MN_QUERY_REMOVE_DEVICE);
        if granted == STATUS_ACCESS_DENIED {
            spans.retract(Trouble::Dismounted);
        }
        self.stage.machine.pnp(&volume, IRP_MN_CANCEL_REMOVE_DEVICE);
        self.recovers(place, "a removal was cancelled", &[]);
        match granted {
            STATUS_ACCESS_DENIED => {}
            STATUS_SUCCESS | STATUS_NOT_SUPPORTED => spans.end(Trouble::Dismounted),
            status => self
                .stage
                .fail(format!("a removal was refused with {}", name(status))),
        }
        spans.end(Trouble::Asked);
    }

    fn dismount(&self, place: usize) {
        let spans = &self.stage.places[place].spans;
        spans.begin(Trouble::Dismounted);
        let status = self.volume(place).map_or_else(
            |status| status,
            |volume| volume.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status,
        );
        if status != STATUS_SUCCESS {
            self.stage
                .fail(format!("a dismount was refused with {}", name(status)));
        }
        self.recovers(place, "dismounted", &[]);
        spans.end(Trouble::Dismounted);
    }

    /// Locks the volume if nothing is open on it, and unlocks or dismounts it.
    fn lock(&self, place: usize) {
        let spans = &self.stage.places[place].spans;
        spans.begin(Trouble::Locked);
        let locked = match self.volume(place) {
            Ok(volume) => match volume.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status {
                STATUS_SUCCESS => volume.fsctl(FSCTL_UNLOCK_VOLUME, &[], 0).status,
                STATUS_ACCESS_DENIED => STATUS_SUCCESS,
                status => status,
            },
            Err(status) => status,
        };
        if locked != STATUS_SUCCESS {
            self.stage.fail(format!("a lock ended with {}", name(locked)));
        }
        self.recovers(place, "locked", &[]);
        spans.end(Trouble::Locked);
    }

    fn next_read(disk: &Disk) -> u64 {
        disk.counts.reads.load(Ordering::SeqCst) + 1
    }

    fn unreadable(&self, place: usize, dice: &mut Dice) {
        let spans = &self.stage.places[place].spans;
        spans.begin(Trouble::Unreadable);
        let disk = self.stage.places[place].disk();
        let status = *dice.pick(&[STATUS_IO_DEVICE_ERROR, STATUS_DEVICE_DATA_ERROR, STATUS_CRC_ERROR]);
        disk.fail(Fault::from(Self::next_read(&disk), FaultKind::Error(status)));
        if self.stage.alone {
            // Asks for what was not read yet, or was.
            let _ = self.is_well(place);
        } else {
            std::thread::sleep(Duration::from_micros(dice.below(20_000) as u64));
        }
        disk.heal();
        self.quiet(&disk);
        self.recovers(place, "read errors", &[STATUS_IO_DEVICE_ERROR]);
        spans.end(Trouble::Unreadable);
    }

    /// Waits until the disk has answered what it was asked.
    fn quiet(&self, disk: &Disk) {
        let start = Instant::now();
        while !disk.is_quiet() && start.elapsed() < Duration::from_millis(50) {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// A disk does not answer for a while. Whatever is asked waits, and is answered rightly.
    fn hang(&self, place: usize, dice: &mut Dice) {
        let disk: Arc<Disk> = self.stage.places[place].disk();
        disk.fail(Fault::from(Self::next_read(&disk), FaultKind::Hang));
        std::thread::sleep(Duration::from_micros(dice.below(30_000) as u64));
        disk.answer();
    }

    /// Allocations fail for a moment.
    fn short(&self, dice: &mut Dice) {
        if self.stage.alone {
            return;
        }
        self.stage.everywhere.begin(Trouble::Short);
        let lasting = Duration::from_micros(dice.below(4000) as u64);
        fault::fail_from(&[], dice.below(50) as u64, Some(lasting));
        std::thread::sleep(lasting + Duration::from_micros(dice.below(2000) as u64));
        fault::disarm();
        // What was hit then comes to its end.
        for place in 0..self.stage.places.len() {
            self.recovers(place, "short of memory", &[STATUS_INSUFFICIENT_RESOURCES]);
        }
        self.stage.everywhere.end(Trouble::Short);
    }

    /// Cancels what a thread waits for, as another thread of its program may.
    fn cancel(&self, dice: &mut Dice) {
        if self.stage.alone {
            return;
        }
        let sender = dice.pick(&self.stage.senders);
        let id = *sender.id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = id {
            sender.spans.begin(Trouble::Cancelled);
            cancel_synchronous(id);
            sender.spans.end(Trouble::Cancelled);
        }
    }

    /// Linux dies of a volume. All others go on, but for those of FAT.
    fn die(&mut self, place: usize) {
        let stage = self.stage;
        let alike = |other: &usize| *other == place || both_have_the_uuid(stage, *other, place);
        if self.deaths == MOST_DEATHS || self.died.iter().any(alike) {
            return;
        }
        let mounted = self.is_well(place);
        let path = stage.places[place].disk().volumes()[0].path();
        let volumes = Control::open(stage.machine).volumes();
        let listed = volumes.iter().find(|listed| listed.source == path);
        let (Ok(()), Some(listed)) = (mounted, listed) else {
            return stage.fail(format!("{path} is not listed: {mounted:?}"));
        };
        self.deaths += 1;
        self.died.push(place);
        let hit: Vec<usize> = (0..stage.places.len())
            .filter(|other| *other == place || !stage.volumes[*other].has_steady_ids())
            .collect();
        for hit in &hit {
            stage.places[*hit].spans.begin(Trouble::Died);
        }
        let control = selftest::control(stage.machine);
        let status = selftest::ask_for(&control, selftest::PANIC, 0, listed.record.volume.get());
        if status != STATUS_NO_SUCH_DEVICE {
            stage.fail(format!("a death ended with {}", name(status)));
        }
        // Another volume's request boots the next one, in which this one is not.
        let other = (place + 1) % stage.places.len();
        self.recovers(other, "Linux died of another volume", &[STATUS_NO_SUCH_DEVICE]);
        stage.machine.settle();
        for hit in &hit {
            self.recovers(*hit, "Linux died of it", &[STATUS_NO_SUCH_DEVICE]);
            stage.places[*hit].spans.end(Trouble::Died);
        }
    }
}
