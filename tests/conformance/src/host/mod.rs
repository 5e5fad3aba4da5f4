//! The scenarios for a host: the contract of `host_ops.h`, point by point.
//!
//! Scenarios use nothing but the host under test: threads are the host's, waiting is the host's semaphores and timers.
//! [`act`] turns closures into the raw entries that a host takes.

mod act;
mod clocks;
mod memory;
mod semaphores;
mod threads;
mod timers;

use crate::{Outcome, Report, Summary};
use alloc::sync::Arc;
use lkl::Host;

/// A scenario: its figure, or another end than success.
pub type Scenario<H> = fn(&Arc<H>) -> Result<u64, Outcome>;

/// How many scenarios there are.
pub const SCENARIOS: usize = 24;

/// The table.
pub fn scenarios<H: Host>() -> impl Iterator<Item = (&'static str, Scenario<H>)> {
    let table: [(&'static str, Scenario<H>); SCENARIOS] = [
        ("semaphore counts beyond one hundred", semaphores::counts),
        ("semaphore starts at its count", semaphores::starts_at_count),
        ("semaphore blocks at zero", semaphores::blocks_at_zero),
        ("semaphore wakes many waiters", semaphores::many_waiters),
        ("semaphore loses no wake-up", semaphores::loses_nothing),
        (
            "semaphore may go when its down returns",
            semaphores::freed_after_down,
        ),
        ("semaphore hand-over, ns", semaphores::hand_over),
        ("semaphore up from a timer", semaphores::up_from_timer),
        ("thread exits from deep inside", threads::exits_from_deep_inside),
        ("thread ends by returning", threads::ends_by_returning),
        ("thread has 48 KiB of stack", threads::has_stack),
        (
            "thread created and joined 1000 times, ns each",
            threads::a_thousand,
        ),
        ("threads by the dozen", threads::many_at_once),
        ("timer is never early, lateness in ns", timers::never_early),
        ("timers fire in order", timers::in_order),
        ("timer is moved by arming", timers::moved),
        ("timer re-arms itself", timers::rearms_itself),
        ("timer dropped does not fire", timers::dropped),
        ("timer dropped while it fires", timers::dropped_while_firing),
        ("timers come and go", timers::come_and_go),
        ("monotonic clock goes forward on all threads", clocks::forward),
        ("clocks keep time", clocks::keep_time),
        ("pool is aligned, zero and writable", memory::pool),
        ("pages map side by side", memory::pages_map),
    ];
    table.into_iter()
}

/// Runs all of it. The host must not be in use for a boot.
pub fn run<H: Host>(host: &Arc<H>, report: &mut dyn Report) -> Summary {
    let mut summary = Summary::default();
    for (name, scenario) in scenarios::<H>() {
        report.begin(name);
        let outcome = scenario(host).map_or_else(|outcome| outcome, Outcome::Passed);
        let count = match outcome {
            Outcome::Passed(_) => &mut summary.passed,
            Outcome::Skipped(_) => &mut summary.skipped,
            Outcome::Failed(_) => &mut summary.failed,
        };
        *count = count.saturating_add(1);
        report.end(name, &outcome);
    }
    summary
}
