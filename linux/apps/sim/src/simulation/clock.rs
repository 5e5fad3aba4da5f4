//! The simulation's clock: what has passed since the network was complete.

use super::world::World;
use crate::quantity::Time;
use std::time::Duration;

/// The clock, of any thread of the simulation.
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

    /// One that begins when so many nanoseconds have passed in its world.
    pub fn beginning_at(world: &World, zero: u64) -> Clock {
        Clock {
            world: world.clone(),
            zero,
        }
    }

    /// What it says.
    pub fn now(&self) -> Time {
        Time(self.world.elapsed_ns().saturating_sub(self.zero))
    }

    /// The time of the day, since 1970, that captures have for its zero. In virtual time it is the day's beginning.
    pub fn day(&self) -> Duration {
        match self.world {
            World::Virtual(_) => self.world.day(),
            World::Real(_) => self.world.day().saturating_add(Duration::from_nanos(self.zero)),
        }
    }

    /// What it said at a time of day of Linux's.
    pub fn at(&self, day: Duration) -> Time {
        let passed = day.saturating_sub(self.world.day());
        let nanos = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        Time(nanos.saturating_sub(self.zero))
    }

    /// Waits until it says that.
    pub fn sleep_until(&self, time: Time) {
        self.world.sleep_until_ns(self.zero.saturating_add(time.0));
    }
}
