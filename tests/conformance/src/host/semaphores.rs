//! Semaphores.

use super::act::{MS, Ringer, join, semaphore, sleep, spawn};
use crate::{Outcome, ensure};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use lkl::{Host, Semaphore};

/// A cap on the count loses wake-ups: the existing hosts' was 100.
pub(super) fn counts<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let sem = semaphore(host, 0)?;
    for _ in 0..100_000 {
        sem.up();
    }
    for _ in 0..100_000 {
        sem.down();
    }
    Ok(0)
}

pub(super) fn starts_at_count<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let sem = semaphore(host, 1000)?;
    for _ in 0..1000 {
        sem.down();
    }
    let passed = Arc::new(AtomicU32::new(0));
    let thread = spawn(host, {
        let (sem, passed) = (Arc::clone(&sem), Arc::clone(&passed));
        move || {
            sem.down();
            passed.store(1, SeqCst);
        }
    })?;
    sleep(host, 10 * MS)?;
    let early = passed.load(SeqCst);
    sem.up();
    join([thread]);
    ensure!(early == 0, "one down more than the count did not block");
    Ok(0)
}

pub(super) fn blocks_at_zero<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let (sem, done) = (semaphore(host, 0)?, semaphore(host, 0)?);
    let passed = Arc::new(AtomicU32::new(0));
    let thread = spawn(host, {
        let (sem, done, passed) = (Arc::clone(&sem), Arc::clone(&done), Arc::clone(&passed));
        move || {
            for _ in 0..3 {
                sem.down();
                passed.fetch_add(1, SeqCst);
                done.up();
            }
        }
    })?;
    let mut early = 0;
    for round in 0..3 {
        sleep(host, 5 * MS)?;
        early += u32::from(passed.load(SeqCst) != round);
        sem.up();
        done.down();
    }
    join([thread]);
    ensure!(
        early == 0,
        "a down at zero returned without an up, {early} times of 3"
    );
    Ok(0)
}

pub(super) fn many_waiters<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const WAITERS: u32 = 50;
    let (sem, done) = (semaphore(host, 0)?, semaphore(host, 0)?);
    let passed = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    for _ in 0..WAITERS {
        threads.push(spawn(host, {
            let (sem, done, passed) = (Arc::clone(&sem), Arc::clone(&done), Arc::clone(&passed));
            move || {
                sem.down();
                passed.fetch_add(1, SeqCst);
                done.up();
            }
        })?);
    }
    sleep(host, 10 * MS)?;
    for _ in 0..WAITERS / 2 {
        sem.up();
    }
    for _ in 0..WAITERS / 2 {
        done.down();
    }
    sleep(host, 5 * MS)?;
    let half = passed.load(SeqCst);
    for _ in WAITERS / 2..WAITERS {
        sem.up();
    }
    join(threads);
    ensure!(
        half == WAITERS / 2,
        "{half} of {WAITERS} waiters passed after {} ups",
        WAITERS / 2
    );
    Ok(0)
}

/// Four threads up, four down, as fast as they can: what goes in comes out, or this hangs.
pub(super) fn loses_nothing<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const ROUNDS: u32 = 20_000;
    let sem = semaphore(host, 0)?;
    let mut threads = Vec::new();
    for _ in 0..4 {
        let (up, down) = (Arc::clone(&sem), Arc::clone(&sem));
        threads.push(spawn(host, move || (0..ROUNDS).for_each(|_| up.up()))?);
        threads.push(spawn(host, move || (0..ROUNDS).for_each(|_| down.down()))?);
    }
    join(threads);
    Ok(0)
}

/// Whoever waits may free the semaphore as soon as its down returns, though the up is still on its way out.
pub(super) fn freed_after_down<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const ROUNDS: u32 = 2000;
    let next: Arc<AtomicU64> = Arc::default();
    let (posted, failed) = (semaphore(host, 0)?, Arc::new(AtomicU32::new(0)));
    let thread = spawn(host, {
        let (next, posted) = (Arc::clone(&next), Arc::clone(&posted));
        move || {
            for _ in 0..ROUNDS {
                posted.down();
                let raw = core::ptr::with_exposed_provenance::<H::Semaphore>(next.swap(0, SeqCst) as usize);
                // SAFETY: the other thread frees it only after the up below has let it through.
                unsafe { &*raw }.up();
            }
        }
    })?;
    for _ in 0..ROUNDS {
        let Some(sem) = host.semaphore(0) else {
            failed.fetch_add(1, SeqCst);
            continue;
        };
        next.store(core::ptr::from_ref(&*sem).expose_provenance() as u64, SeqCst);
        posted.up();
        sem.down();
        drop(sem);
    }
    let failed = failed.load(SeqCst);
    ensure!(failed == 0, "no memory for {failed} semaphores");
    join([thread]);
    Ok(0)
}

/// What a context switch of Linux costs: an up for another thread and a down for oneself.
pub(super) fn hand_over<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const ROUNDS: u64 = 5000;
    let (ping, pong) = (semaphore(host, 0)?, semaphore(host, 0)?);
    let thread = spawn(host, {
        let (ping, pong) = (Arc::clone(&ping), Arc::clone(&pong));
        move || {
            for _ in 0..ROUNDS {
                ping.down();
                pong.up();
            }
        }
    })?;
    let start = host.monotonic_ns();
    for _ in 0..ROUNDS {
        ping.up();
        pong.down();
    }
    let spent = host.monotonic_ns().saturating_sub(start);
    join([thread]);
    Ok(spent / (2 * ROUNDS))
}

pub(super) fn up_from_timer<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let sem = semaphore(host, 0)?;
    let ringer = Ringer::new(host, {
        let sem = Arc::clone(&sem);
        move || sem.up()
    })?;
    for round in 0..200 {
        ringer.arm(round * 1000);
        sem.down();
    }
    Ok(0)
}
