//! NT's clocks in nanoseconds: the performance counter, which never goes back, and system time.
//
// UNSAFETY: one call of KeQueryPerformanceCounter.

use crate::nt::{KeQueryPerformanceCounter, LARGE_INTEGER, quad};
use crate::routines;

const NS_PER_SECOND: u64 = 1_000_000_000;
/// 100 ns intervals from 1601 to 1970.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

/// Nanoseconds of the performance counter. Any IRQL.
pub fn monotonic_ns() -> u64 {
    let mut frequency = LARGE_INTEGER::default();
    // SAFETY: the frequency is writable.
    let ticks = unsafe { KeQueryPerformanceCounter(&mut frequency) };
    let ticks = u64::try_from(quad(&ticks)).unwrap_or(0);
    let frequency = u64::try_from(quad(&frequency)).unwrap_or(1).max(1);
    // Whole seconds apart, so that nothing overflows for 584 years: rest < frequency < 2^34 on every machine.
    let seconds = ticks.checked_div(frequency).unwrap_or(0);
    let rest = ticks.checked_rem(frequency).unwrap_or(0);
    let fraction = rest
        .saturating_mul(NS_PER_SECOND)
        .checked_div(frequency)
        .unwrap_or(0);
    seconds.saturating_mul(NS_PER_SECOND).saturating_add(fraction)
}

/// Nanoseconds since 1970, UTC. Any IRQL.
pub fn realtime_ns() -> u64 {
    let since_1970 = routines::system_time().saturating_sub(UNIX_EPOCH);
    u64::try_from(since_1970).unwrap_or(0).saturating_mul(100)
}
