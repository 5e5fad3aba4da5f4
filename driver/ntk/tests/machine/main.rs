//! A random machine: threads send requests of every kind to eight volumes of several file systems while disks come and go, hang and
//! fail, volumes are locked and dismounted, memory is short, requests are cancelled, and Linux dies. A model knows what each answer may
//! be (`answers`, `weather`); no answer is missing, the verifier has nothing to say, and nothing is left at the end.
//!
//! `LKLFS_MACHINE_SEED`, `_THREADS` and `_REQUESTS` choose the run; each thread's sequence is a function of the seed, and with one
//! thread so are the answers. `cargo xtask test machine` runs more.

#![cfg(target_os = "linux")]

mod answers;
mod data;
mod dice;
mod fat;
mod life;
mod mounts;
mod opens;
mod points;
mod queries;
mod scenario;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod volumes_on_disk;
mod weather;
mod worker;
mod world;

use life::{Course, run};
use std::time::Instant;

#[test]
fn whatever_happens_each_answer_is_right_or_excused() {
    let course = Course {
        seed: 1,
        threads: 64,
        requests: 12_000,
    };
    let start = Instant::now();
    let figures = run(course.or());
    eprintln!(
        "machine: {} requests in {} lives, {} answers known, {:.1} s",
        figures.requests,
        figures.lives,
        figures.known,
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn with_one_thread_the_same_seed_is_the_same_answers() {
    let course = Course {
        seed: 2,
        threads: 1,
        requests: 1_500,
    };
    let [one, other] = [(); 2].map(|()| run(course).digest);
    eprintln!("machine: digest {one:#018x}");
    assert_eq!(one, other);
}
