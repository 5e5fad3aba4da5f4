//! Timers.

use super::act::{MS, Ringer, semaphore, sleep, spawn};
use crate::{Outcome, ensure};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use lkl::{Host, Semaphore, Thread};

/// Later than this is too late on any machine that is not broken.
const TOO_LATE: u64 = 2000 * MS;

/// The figure is the median lateness.
pub(super) fn never_early<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let rung = semaphore(host, 0)?;
    let when = Arc::new(AtomicU64::new(0));
    let ringer = Ringer::new(host, {
        let (rung, when, host) = (Arc::clone(&rung), Arc::clone(&when), Arc::clone(host));
        move || {
            when.store(host.monotonic_ns(), SeqCst);
            rung.up();
        }
    })?;
    let mut lateness = Vec::new();
    for delta in [
        0,
        1,
        1000,
        50_000,
        MS,
        3 * MS,
        10 * MS,
        100_000,
        0,
        20_000,
        MS / 2,
    ] {
        let armed = host.monotonic_ns();
        ringer.arm(delta);
        rung.down();
        let spent = when.load(SeqCst).saturating_sub(armed);
        ensure!(spent >= delta, "a timer of {delta} ns rang after {spent} ns");
        ensure!(
            spent - delta < TOO_LATE,
            "a timer of {delta} ns rang after {spent} ns"
        );
        lateness.push(spent - delta);
    }
    lateness.sort_unstable();
    Ok(lateness[lateness.len() / 2])
}

/// Timers armed in one order ring in the order of their times.
pub(super) fn in_order<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const COUNT: u32 = 8;
    let (rung, next) = (semaphore(host, 0)?, Arc::new(AtomicU32::new(0)));
    let wrong = Arc::new(AtomicU32::new(0));
    let mut ringers = Vec::new();
    for place in 0..COUNT {
        ringers.push(Ringer::new(host, {
            let (rung, next, wrong) = (Arc::clone(&rung), Arc::clone(&next), Arc::clone(&wrong));
            move || {
                wrong.fetch_add(u32::from(next.fetch_add(1, SeqCst) != place), SeqCst);
                rung.up();
            }
        })?);
    }
    for (place, ringer) in ringers.iter().enumerate().rev() {
        ringer.arm(20 * MS + place as u64 * 5 * MS);
    }
    (0..COUNT).for_each(|_| rung.down());
    ensure!(
        wrong.load(SeqCst) == 0,
        "{} of {COUNT} timers rang out of order",
        wrong.load(SeqCst)
    );
    Ok(0)
}

pub(super) fn moved<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let (rung, count) = (semaphore(host, 0)?, Arc::new(AtomicU32::new(0)));
    let ringer = Ringer::new(host, {
        let (rung, count) = (Arc::clone(&rung), Arc::clone(&count));
        move || {
            count.fetch_add(1, SeqCst);
            rung.up();
        }
    })?;
    // To an earlier time: it need not be waited for.
    let start = host.monotonic_ns();
    ringer.arm(3600 * 1000 * MS);
    ringer.arm(5 * MS);
    rung.down();
    let spent = host.monotonic_ns().saturating_sub(start);
    ensure!(
        (5 * MS..TOO_LATE).contains(&spent),
        "moved to 5 ms it rang after {spent} ns"
    );
    // To a later time: it does not ring at the old one.
    let start = host.monotonic_ns();
    ringer.arm(5 * MS);
    ringer.arm(30 * MS);
    rung.down();
    let spent = host.monotonic_ns().saturating_sub(start);
    ensure!(spent >= 30 * MS, "moved to 30 ms it rang after {spent} ns");
    // Again and again, and it rings once.
    for _ in 0..1000 {
        ringer.arm(MS);
    }
    rung.down();
    sleep(host, 10 * MS)?;
    // An expiry may fall between two armings on a slow machine; then each of the two was one fire of its own.
    ensure!(
        (3..=1002).contains(&count.load(SeqCst)),
        "rang {} times",
        count.load(SeqCst)
    );
    ringer.arm(MS);
    sleep(host, 20 * MS)?;
    let before = count.load(SeqCst);
    sleep(host, 20 * MS)?;
    ensure!(count.load(SeqCst) == before, "a one-shot timer rang again");
    Ok(0)
}

/// The way Linux uses it: the next arming comes from inside the fire.
pub(super) fn rearms_itself<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const ROUNDS: u32 = 100;
    let (done, count) = (semaphore(host, 0)?, Arc::new(AtomicU32::new(0)));
    let this: Arc<AtomicU64> = Arc::default();
    let ringer = Arc::new(Ringer::new(host, {
        let (done, count, this) = (Arc::clone(&done), Arc::clone(&count), Arc::clone(&this));
        move || {
            if count.fetch_add(1, SeqCst) + 1 < ROUNDS {
                let raw = core::ptr::with_exposed_provenance::<Ringer<H>>(this.load(SeqCst) as usize);
                // SAFETY: the address is that of the ringer, which outlives its rings.
                unsafe { &*raw }.arm(10_000);
            } else {
                done.up();
            }
        }
    })?);
    this.store(Arc::as_ptr(&ringer).expose_provenance() as u64, SeqCst);
    ringer.arm(1000);
    done.down();
    ensure!(
        count.load(SeqCst) == ROUNDS,
        "rang {} times of {ROUNDS}",
        count.load(SeqCst)
    );
    Ok(0)
}

pub(super) fn dropped<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let count = Arc::new(AtomicU32::new(0));
    let ringer = Ringer::new(host, {
        let count = Arc::clone(&count);
        move || {
            count.fetch_add(1, SeqCst);
        }
    })?;
    ringer.arm(50 * MS);
    drop(ringer);
    // The closure went with it, so whatever rings now has nothing to stand on.
    ensure!(Arc::strong_count(&count) == 1, "the alarm is still held");
    sleep(host, 80 * MS)?;
    ensure!(count.load(SeqCst) == 0, "a dropped timer rang");
    Ok(0)
}

/// A drop that meets a fire under way returns only when that is over.
pub(super) fn dropped_while_firing<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    for round in 0..5u64 {
        let started = semaphore(host, 0)?;
        let ended = Arc::new(AtomicBool::new(false));
        let ringer = Ringer::new(host, {
            let (started, ended, host) = (Arc::clone(&started), Arc::clone(&ended), Arc::clone(host));
            move || {
                started.up();
                let begin = host.monotonic_ns();
                while host.monotonic_ns().saturating_sub(begin) < 5 * MS {
                    core::hint::spin_loop();
                }
                ended.store(true, SeqCst);
            }
        })?;
        ringer.arm(round);
        started.down();
        drop(ringer);
        ensure!(
            ended.load(SeqCst),
            "the drop returned while the timer was ringing"
        );
    }
    Ok(0)
}

/// Threads make, arm and drop timers at the same time.
pub(super) fn come_and_go<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let failed = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    for thread in 0..4u64 {
        threads.push(spawn(host, {
            let (host, failed) = (Arc::clone(host), Arc::clone(&failed));
            move || {
                for round in 0..500u64 {
                    match Ringer::new(&host, || {}) {
                        Ok(ringer) => ringer.arm((round * 7 + thread) % 40 * 10_000),
                        Err(_) => {
                            failed.fetch_add(1, SeqCst);
                        }
                    }
                }
            }
        })?);
    }
    threads.into_iter().for_each(Thread::join);
    ensure!(
        failed.load(SeqCst) == 0,
        "{} timers of 2000 could not be made",
        failed.load(SeqCst)
    );
    Ok(0)
}
