//! Linux boots and halts over and over, in the NT kernel double: the driver is loaded, mounts, and is unloaded, with threads
//! that give way at random by a seed, and all processors busy besides. Each halt has a time limit.
//!
//! `LKLFS_BOOTS` says how often, `LKLFS_BOOTS_SEED` where the seeds begin.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn once(seed: u64) {
    let watch = hang::watch(&format!("the boot of seed {seed}"), LIMIT);
    let mut machine = Machine::builder()
        .seed(seed)
        .disk(disk())
        .start()
        .expect("the image is good");
    machine.load_driver(&driver()).expect("the driver loads");
    std::thread::scope(|scope| {
        let machine = &machine;
        for name in ["hello.txt", "data.bin", "folder\\entry 007"]
            .iter()
            .take(1 + (seed % 3) as usize)
        {
            scope.spawn(move || {
                let name = path(&machine.disks()[0], name);
                let file = machine.open(&name, OpenAs::read()).expect("opens");
                assert!(!file.read(Some(0), 4096).into_result().expect("reads").is_empty());
            });
        }
    });
    drop(watch);
    let watch = hang::watch(&format!("the halt of seed {seed}"), LIMIT);
    let report = machine.unload();
    drop(watch);
    assert!(report.is_clean(), "seed {seed} left behind:\n{report}");
}

#[test]
fn many_boots_on_a_busy_machine_end() {
    let boots = number("LKLFS_BOOTS", 6);
    let first = number("LKLFS_BOOTS_SEED", 1);
    let over = AtomicBool::new(false);
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let end = scope
            .spawn(|| (0..boots).for_each(|number| once(first + number)))
            .join();
        over.store(true, Ordering::Relaxed);
        end.expect("every boot ends");
    });
    eprintln!("{boots} boots ended, in {:.0} s", start.elapsed().as_secs_f64());
}
