//! The simulation's clock: virtual time since the network was complete.

use crate::quantity::Time;
use lkl_host_virtual::{Start, World};
use std::time::Duration;

/// The clock, of any thread that takes part.
#[derive(Clone, Debug)]
pub struct Clock {
    world: World,
    zero: u64,
}

impl Clock {
    /// One that begins now.
    pub fn new(world: &World) -> Clock {
        Clock {
            world: world.clone(),
            zero: world.elapsed_ns(),
        }
    }

    /// What it says.
    pub fn now(&self) -> Time {
        Time(self.world.elapsed_ns().saturating_sub(self.zero))
    }

    /// What it said at a time of day of Linux's.
    pub fn at(&self, day: Duration) -> Time {
        let passed = day.saturating_sub(Duration::from_secs(Start::default().seconds));
        let nanos = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        Time(nanos.saturating_sub(self.zero))
    }

    /// Waits until it says that.
    pub fn sleep_until(&self, time: Time) {
        self.world.sleep_until_ns(self.zero.saturating_add(time.0));
    }
}
