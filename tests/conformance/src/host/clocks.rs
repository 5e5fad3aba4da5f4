//! Clocks.

use super::act::{MS, join, sleep, spawn};
use crate::{Outcome, ensure};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use lkl::Host;

/// No thread reads a time that is before one that another has read already.
pub(super) fn forward<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let latest = Arc::new(AtomicU64::new(0));
    let wrong = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    for _ in 0..4 {
        threads.push(spawn(host, {
            let (host, latest, wrong) = (Arc::clone(host), Arc::clone(&latest), Arc::clone(&wrong));
            move || {
                for _ in 0..50_000 {
                    let seen = latest.load(SeqCst);
                    let now = host.monotonic_ns();
                    wrong.fetch_add(u32::from(now < seen), SeqCst);
                    latest.fetch_max(now, SeqCst);
                }
            }
        })?);
    }
    join(threads);
    ensure!(
        wrong.load(SeqCst) == 0,
        "the clock went back {} times",
        wrong.load(SeqCst)
    );
    Ok(0)
}

/// Both clocks tell the same length of a pause, in nanoseconds; the real one tells a date.
pub(super) fn keep_time<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    const YEAR: u64 = 31_556_952 * 1_000_000_000;
    let (monotonic, real) = (host.monotonic_ns(), host.realtime_ns());
    sleep(host, 50 * MS)?;
    let (monotonic, passed) = (
        host.monotonic_ns() - monotonic,
        host.realtime_ns().saturating_sub(real),
    );
    let years = real / YEAR;
    ensure!((50..200).contains(&years), "it is {years} years since 1970");
    ensure!(
        (50 * MS..5000 * MS).contains(&monotonic),
        "a pause of 50 ms took {monotonic} ns"
    );
    // Somebody may set the clock in between, but not in units of another kind.
    let apart = passed.abs_diff(monotonic);
    ensure!(
        apart < 20 * MS,
        "the clocks differ by {apart} ns after a pause of {monotonic} ns"
    );
    Ok(0)
}
