//! Timers: the queue is [`lkl_host_std::timer`]; this is how its thread sleeps here.

use crate::clock::Clock;
use crate::sem::Monitor;
use lkl_host_std::timer::Sleeper;
use std::sync::Arc;

/// The timers of a host.
pub type Timers = lkl_host_std::timer::Timers<CondSleeper>;
/// One timer.
pub type Timer = lkl_host_std::timer::Timer<CondSleeper>;

/// Sleeps on a condition variable, to the microsecond.
#[derive(Debug)]
pub struct CondSleeper {
    clock: Arc<Clock>,
    /// 1 when the sleep is to end.
    woken: Monitor,
}

impl CondSleeper {
    /// `None` for lack of memory.
    pub fn new(clock: Arc<Clock>) -> Option<CondSleeper> {
        Some(CondSleeper {
            clock,
            woken: Monitor::new(0)?,
        })
    }
}

impl Sleeper for CondSleeper {
    fn now_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    fn sleep(&self, until_ns: Option<u64>) {
        let microseconds = until_ns.map(|until| {
            let left = until.saturating_sub(self.now_ns()).div_ceil(1000);
            i64::try_from(left).unwrap_or(i64::MAX)
        });
        self.woken.wait(microseconds, |_| 0);
    }

    fn wake(&self) {
        self.woken.change(|_| 1);
    }
}
