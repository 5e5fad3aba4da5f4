//! Lives of the machine: each starts a machine, has threads send requests while things happen to it, and ends with nothing left.

use super::answers::Known;
use super::dice::Dice;
use super::stage::Stage;
use super::support::selftest;
use super::volumes_on_disk;
use super::worker::Worker;
use super::world::{World, disk_of};
use ntos::user::Machine;
use ntos::verifier::hang;
use std::io::Write;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a step may take: it waits for nothing that takes more than a part of that.
const LIMIT: Duration = Duration::from_secs(120);
/// Requests of a life.
const OF_A_LIFE: u64 = 20_000;
/// Requests between two things that happen, on average.
const BETWEEN: u64 = 150;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    pub seed: u64,
    pub threads: usize,
    pub requests: u64,
}

impl Course {
    /// What the environment asks for, or this.
    pub fn or(self) -> Course {
        let number = |name: &str| {
            let text = std::env::var(format!("LKLFS_MACHINE_{name}")).ok()?;
            Some(
                text.parse::<u64>()
                    .unwrap_or_else(|_| panic!("{text} is no number")),
            )
        };
        Course {
            seed: number("SEED").unwrap_or(self.seed),
            threads: number("THREADS").map_or(self.threads, |threads| threads as usize),
            requests: number("REQUESTS").unwrap_or(self.requests),
        }
    }

    fn command(self) -> String {
        let Course {
            seed,
            threads,
            requests,
        } = self;
        format!("cargo xtask test machine --seed {seed} --threads {threads} --requests {requests}")
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub requests: u64,
    pub lives: u64,
    /// Questions whose answers are known.
    pub known: usize,
    /// Of all answers, in a run of one thread.
    pub digest: u64,
}

/// Says something at once, whatever becomes of the process.
fn say(text: &str) {
    let mut out = std::io::stderr();
    let _ = writeln!(out, "{text}");
}

/// Lets the machine live until it has answered as many requests as are asked for.
///
/// # Panics
/// When an answer is wrong, or missing, or something is left at the end.
pub fn run(course: Course) -> Figures {
    let known = Known::default();
    let mut figures = Figures::default();
    while figures.requests < course.requests {
        let requests = (course.requests - figures.requests).min(OF_A_LIFE);
        say(&format!(
            "machine: seed {}, life {}, {} threads, {requests} requests; again with: {}",
            course.seed,
            figures.lives,
            course.threads,
            course.command()
        ));
        let (done, digest) = live(course, figures.lives, requests, &known);
        figures.requests += done;
        figures.lives += 1;
        figures.digest = figures.digest.rotate_left(1) ^ digest;
    }
    figures.known = known.count();
    figures
}

/// One life.
fn live(course: Course, life: u64, requests: u64, known: &Known) -> (u64, u64) {
    let volumes = volumes_on_disk::all();
    let mut dice = Dice::of(&[course.seed, life]);
    let mut builder = Machine::builder()
        .seed(dice.below(1 << 30) as u64)
        .mount_manager(dice.once_in(2));
    for volume in volumes {
        builder = builder.disk(disk_of(volume));
    }
    let mut machine = builder.start().expect("the images are good");
    machine
        .load_driver(&selftest::driver())
        .expect("the driver loads");
    if dice.once_in(2) {
        machine.press(course.seed ^ life);
    }
    machine.settle();
    let (done, digest, mut failures) = {
        let stage = Stage::new(&machine, volumes, known, (course.seed, life), course.threads);
        let digest = if course.threads == 1 {
            alone(&stage, requests)
        } else {
            together(&stage, requests);
            0
        };
        (stage.done(), digest, stage.failures())
    };
    let watch = hang::watch("the unload", LIMIT);
    let report = machine.unload();
    drop(watch);
    if !report.is_clean() {
        failures.push(format!("left behind:\n{report}"));
    }
    let first: Vec<&str> = failures.iter().map(String::as_str).take(5).collect();
    assert!(
        failures.is_empty(),
        "{} wrong:\n{}\nagain with: {}",
        failures.len(),
        first.join("\n"),
        course.command()
    );
    (done, digest)
}

/// One thread does everything: the same seed is the same answers.
fn alone(stage: &Stage, requests: u64) -> u64 {
    let mut worker = Worker::new(stage, 0);
    let mut world = World::new(stage);
    let watched = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        scope.spawn(|| watch(stage, &watched));
        let mut step = 0;
        while stage.done() < requests && !stage.is_over() {
            if step % BETWEEN == BETWEEN - 1 {
                world.happens();
            }
            worker.step(step);
            step += 1;
        }
        watched.store(0, Ordering::SeqCst);
    });
    worker.digest()
}

/// All threads send requests while things happen.
fn together(stage: &Stage, requests: u64) {
    let working = AtomicUsize::new(stage.senders.len());
    let of_each = requests.div_ceil(stage.senders.len() as u64);
    std::thread::scope(|scope| {
        for (number, sender) in stage.senders.iter().enumerate() {
            let working = &working;
            scope.spawn(move || {
                *sender.id.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
                let mut worker = Worker::new(stage, number);
                let mut step = 0;
                while sender.done.load(Ordering::Relaxed) < of_each && !stage.is_over() {
                    worker.step(step);
                    step += 1;
                }
                drop(worker);
                working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            let mut world = World::new(stage);
            let mut next = BETWEEN;
            while working.load(Ordering::SeqCst) != 0 && !stage.is_over() {
                if stage.done() < next {
                    std::thread::sleep(Duration::from_micros(300));
                    continue;
                }
                world.happens();
                next += BETWEEN;
            }
        });
        scope.spawn(|| watch(stage, &working));
    });
}

/// Stops the process with what each thread does when a request is not answered.
fn watch(stage: &Stage, working: &AtomicUsize) {
    let mut said = Instant::now();
    while working.load(Ordering::SeqCst) != 0 {
        std::thread::sleep(Duration::from_millis(20));
        if stage.longest() > LIMIT {
            let what = format!("a request of life {} of seed {}", stage.life, stage.seed);
            let _hang = hang::watch(&what, Duration::ZERO);
            std::thread::sleep(LIMIT);
        }
        if said.elapsed() > Duration::from_secs(60) {
            said = Instant::now();
            say(&format!("machine: {} requests of this life", stage.done()));
        }
    }
}
