//! Linux is killed at numbered points of a scenario that uses four volumes: the one that it dies of may be lost for a moment, the other
//! three stay right to the byte, in each run.
//!
//! The points are the requests of the scenario, one by one, and the reads that its disks are asked for, in the order of their
//! arrival. `LKLFS_MACHINE_POINTS` says how many of each way are tried: a number, or `all`; `LKLFS_MACHINE_SEED` which.

use super::dice::Dice;
use super::scenario::{FOUR, Lost, Scenario};
use super::support::faulty::{CONTAINED, break_linux};
use super::support::{self, selftest};
use super::volumes_on_disk;
use super::world::disk_of;
use ntos::disk::Completion;
use ntos::user::Machine;
use ntos::verifier::hang;
use ntos::verifier::moments::{self, Kind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a run may take to reach its point, and to come to its end.
const REACH: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(90);
/// How long a call of Linux's is waited for.
const SOON: Duration = Duration::from_secs(2);
/// Running time after which a loop is found, or a wait, in milliseconds.
const LOOP: u64 = 1000;
const HOUR: Duration = Duration::from_secs(3600);
/// How many points of each kind are tried by default.
const FEW: usize = 8;

/// How Linux dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A panic for the work of a volume.
    Panic,
    /// A thread of Linux's own reads by a null pointer.
    Thread,
    /// A fault of the processor in the next call: by its place in the table.
    Fault(usize),
    /// All memory is used up by the work of a volume.
    Memory,
    /// It need not die: the clock is set forwards by an hour.
    Forwards,
    /// The same, back.
    Back,
    /// An hour goes by while the machine sleeps.
    Sleep,
    /// A loop for the work of a volume, which the watchdog finds.
    Loop,
    /// The directories of a volume stay locked, which the watchdog finds.
    Lock,
}

impl Way {
    /// Nothing dies of it.
    fn is_harmless(self) -> bool {
        matches!(self, Way::Forwards | Way::Back | Way::Sleep)
    }
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// Before a request of the scenario.
    Request(usize),
    /// When a read comes to a disk.
    Read(u64),
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    runs: usize,
    /// Deaths of Linux.
    deaths: usize,
    /// Volumes that were lost, but for the one that Linux died of.
    lost: usize,
}

fn ways() -> Vec<Way> {
    let faults = (0..CONTAINED.len()).map(Way::Fault);
    [
        Way::Panic,
        Way::Thread,
        Way::Memory,
        Way::Forwards,
        Way::Back,
        Way::Sleep,
    ]
    .into_iter()
    .chain(faults)
    .collect()
}

fn machine(way: Way) -> Machine {
    let mut builder = Machine::builder().seed(1);
    for at in FOUR {
        builder = builder.disk(disk_of(&volumes_on_disk::all()[at]).completion(Completion::Inline));
    }
    let mut machine = builder.start().expect("the images are good");
    // Symbols, by which Linux's code is found, come with the image that is shipped.
    let driver = match way {
        Way::Fault(_) => support::driver(),
        _ => selftest::driver(),
    };
    machine.load_driver(&driver).expect("the driver loads");
    machine.settle();
    machine
}

/// The scenario on a machine of its own, which has nothing left at its end.
fn on(way: Way, act: impl FnOnce(&Machine, &mut Scenario)) {
    let machine = machine(way);
    let watch = hang::watch("a run of the scenario", LIMIT);
    let mut scenario = Scenario::new(&machine);
    act(&machine, &mut scenario);
    drop(scenario);
    let report = machine.unload();
    drop(watch);
    assert!(report.is_clean(), "left behind:\n{report}");
}

/// How many points there are: requests, and reads that come in each of two runs.
fn count() -> (usize, u64) {
    let mut reads = u64::MAX;
    let mut requests = 0;
    for _ in 0..2 {
        on(Way::Panic, |_, scenario| {
            moments::start();
            while scenario.next() {}
            reads = reads.min(moments::count(Kind::DiskRead));
            requests = scenario.requests();
            assert_eq!(scenario.lost(), Lost::default());
        });
    }
    (requests, reads)
}

/// Kills Linux, or has the next call of its do that while `act` runs. Whose it was when it is known.
fn kill(machine: &Machine, way: Way, place: usize, act: impl FnOnce()) -> Option<usize> {
    if let Way::Fault(kind) = way {
        broken(machine, CONTAINED[kind].1, act);
        return None;
    }
    let victim = kill_now(machine, way, place);
    act();
    victim
}

/// Runs `act` while Linux's code is broken. It is mended when a Linux has died of it: with each one that was booted it would be
/// one death more, and after some no other is booted.
fn broken(machine: &Machine, code: &[u8], act: impl FnOnce()) {
    let sound = break_linux(machine, code);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !died() && !over.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            break_linux(machine, &sound);
        });
        act();
        over.store(true, Ordering::Release);
    });
}

fn kill_now(machine: &Machine, way: Way, place: usize) -> Option<usize> {
    match way {
        Way::Forwards => machine.set_clock(HOUR, false),
        Way::Back => machine.set_clock(HOUR, true),
        Way::Sleep => machine.sleep_for(HOUR),
        _ => {}
    }
    if way.is_harmless() {
        return None;
    }
    let control = selftest::control(machine);
    let volume = selftest::volume_on(machine, &machine.disks()[place]).unwrap_or(0);
    let victim = (volume != 0).then_some(place);
    match way {
        Way::Panic => {
            selftest::ask_for(&control, selftest::PANIC, 0, volume);
            victim
        }
        Way::Loop => {
            selftest::ask(&control, selftest::LIMIT, LOOP);
            selftest::ask_for(&control, selftest::DEAF, 0, volume);
            victim
        }
        Way::Thread => {
            selftest::ask(&control, selftest::FAULT, 0);
            None
        }
        Way::Memory => {
            selftest::ask_for(&control, selftest::MEMORY, 0, volume);
            // A thread of Linux's may be the first that finds none.
            None
        }
        Way::Lock => {
            selftest::ask(&control, selftest::WAIT, LOOP);
            // They are mounted one after the other. One that is not, is not locked.
            selftest::ask(&control, selftest::LOCK, place as u64);
            victim
        }
        Way::Fault(_) | Way::Forwards | Way::Back | Way::Sleep => None,
    }
}

/// How many Linuxes have died on this machine.
fn deaths() -> usize {
    let lines = ntos::rtl::print::last_lines(usize::MAX);
    lines.iter().filter(|line| line.contains("Linux died: ")).count()
}

fn died() -> bool {
    deaths() > 0
}

/// One run: Linux dies at the point, and the scenario goes on to its end.
fn run(point: Point, way: Way, place: usize, tally: &mut Tally) {
    let what = format!("{way:?} at {point:?}");
    on(way, |machine, scenario| {
        let mut victim = None;
        match point {
            Point::Request(number) => {
                while scenario.requests() < number && scenario.next() {}
                victim = kill(machine, way, place, || {
                    scenario.next();
                });
            }
            Point::Read(number) => std::thread::scope(|scope| {
                let armed = moments::arm(Kind::DiskRead, number);
                let killer = scope.spawn(move || {
                    let came = armed.wait(REACH);
                    match came {
                        true => kill(machine, way, place, || {
                            armed.release();
                            let start = Instant::now();
                            while !died() && start.elapsed() < SOON {
                                std::thread::sleep(Duration::from_millis(1));
                            }
                        }),
                        false => {
                            armed.release();
                            None
                        }
                    }
                });
                while !killer.is_finished() && scenario.next() {}
                victim = killer.join().expect("it kills");
            }),
        }
        while scenario.next() {}
        scenario.ends_well(&what);
        let deaths = deaths();
        // Each death may cost the volume that it was of. More than one Linux may meet code that is broken, before it is mended.
        let excused = deaths.saturating_sub(1);
        let lost = scenario.lost().but_for(victim).saturating_sub(excused);
        tally.runs += 1;
        tally.deaths += deaths;
        tally.lost += lost;
        if way.is_harmless() {
            assert_eq!((deaths, scenario.lost()), (0, Lost::default()), "{what}");
        }
        assert_eq!(lost, 0, "{what}: {:?}, victim {victim:?}", scenario.lost());
    });
}

/// Some of the numbers from 0 to `total`, each from a part of its own.
fn some(total: usize, few: usize, dice: &mut Dice) -> Vec<usize> {
    let few = few.min(total);
    let part = |at: usize| (total * at / few, total * (at + 1) / few);
    (0..few)
        .map(part)
        .map(|(from, to)| from + dice.below((to - from).max(1)))
        .collect()
}

#[test]
#[ignore = "takes minutes: cargo xtask test machine --points N"]
fn linux_dies_at_any_point_and_three_of_four_volumes_stay_right() {
    let start = Instant::now();
    let wanted = std::env::var("LKLFS_MACHINE_POINTS").ok();
    let seed = std::env::var("LKLFS_MACHINE_SEED").map_or(1, |text| text.parse().expect("a number"));
    let few = match wanted.as_deref() {
        None => FEW,
        Some("all") => usize::MAX,
        Some(text) => text.parse().expect("a number or `all`"),
    };
    let mut dice = Dice::of(&[seed]);
    let (requests, reads) = count();
    let ways = ways();
    let mut tally = Tally::default();
    let points = some(requests, few, &mut dice).into_iter().map(Point::Request);
    let moments = some(reads as usize, few, &mut dice)
        .into_iter()
        .map(|read| Point::Read(read as u64 + 1));
    for (number, point) in points.chain(moments).enumerate() {
        // Each way in turn, so that all are met; the seed moves them.
        let way = ways[(number + seed as usize) % ways.len()];
        run(point, way, dice.below(FOUR.len()), &mut tally);
    }
    // These take their time to be found.
    for (number, point) in some(requests, few.div_ceil(FEW).saturating_mul(2), &mut dice)
        .into_iter()
        .enumerate()
    {
        run(
            Point::Request(point),
            [Way::Loop, Way::Lock][number % 2],
            dice.below(FOUR.len()),
            &mut tally,
        );
    }
    eprintln!(
        "machine: {requests} requests and {reads} reads are points; {} runs, {} deaths of Linux, {} volumes lost, {:.1} s",
        tally.runs,
        tally.deaths,
        tally.lost,
        start.elapsed().as_secs_f64()
    );
    assert!(tally.deaths * 2 > tally.runs, "too few of them died: {tally:?}");
}
