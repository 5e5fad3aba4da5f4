//! The time. libapr has the time of day in microseconds, which the user of the machine may set, and no other clock.
//!
//! So the clock that never goes back is the time of day plus a correction, which grows by as much as the time of day went back.
//! When it is set forward, timers expire early: libapr has no way to tell.

#![allow(unsafe_code)]

use crate::apr::apr_time_now;
use std::sync::{Mutex, PoisonError};

/// Nanoseconds since 1970, UTC.
pub fn realtime_ns() -> u64 {
    // SAFETY: always works.
    let microseconds = unsafe { apr_time_now() };
    u64::try_from(microseconds).unwrap_or(0).saturating_mul(1000)
}

/// A clock that never goes back.
#[derive(Debug, Default)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The time of day when it was last asked.
    last: u64,
    correction: u64,
}

impl Clock {
    /// Nanoseconds.
    pub fn monotonic_ns(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .at(realtime_ns())
    }
}

impl State {
    fn at(&mut self, now: u64) -> u64 {
        let back = self.last.saturating_sub(now);
        self.correction = self.correction.saturating_add(back);
        self.last = now;
        now.saturating_add(self.correction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_when_the_time_of_day_is_set_back() {
        let mut state = State::default();
        assert_eq!(state.at(1000), 1000);
        assert_eq!(state.at(400), 1000, "set back by 600");
        assert_eq!(state.at(450), 1050, "and going on");
        assert_eq!(state.at(50), 1050);
        assert_eq!(state.at(60), 1060);
    }
}
