//! The time that a simulation is in: virtual time, in which a thread goes on at a time and the clock jumps, or the machine's own.

use lkl_host_virtual::{BootConfig, BootError, Kernel, Start};
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// The time, and what starts threads in it.
#[derive(Clone, Debug)]
pub enum World {
    /// Virtual time.
    Virtual(lkl_host_virtual::World),
    /// The machine's own.
    Real(RealTime),
}

/// When a simulation in the machine's own time began.
#[derive(Clone, Copy, Debug)]
pub struct RealTime {
    began: Instant,
    day: Duration,
}

/// A thread of the simulation.
#[derive(Debug)]
pub enum Task<T> {
    /// It takes part in virtual time.
    Virtual(lkl_host_virtual::Task<T>),
    /// It is like any thread.
    Real(JoinHandle<T>),
}

/// Boots Linux in that time.
///
/// # Errors
/// Linux's.
pub fn boot(real: bool, config: &BootConfig<'_>) -> Result<(Kernel, World), BootError> {
    if real {
        let kernel = lkl_host_posix::boot(config)?;
        let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let real = RealTime {
            began: Instant::now(),
            // A clock before 1970 makes odd times in captures, and no more.
            day: day.unwrap_or_default(),
        };
        return Ok((kernel, World::Real(real)));
    }
    let (kernel, world) = lkl_host_virtual::boot(Default::default(), Start::default(), config)?;
    Ok((kernel, World::Virtual(world)))
}

impl World {
    /// Nanoseconds that have passed since it began.
    pub fn elapsed_ns(&self) -> u64 {
        match self {
            World::Virtual(world) => world.elapsed_ns(),
            World::Real(real) => u64::try_from(real.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The time of the day, since 1970, when it began.
    pub fn day(&self) -> Duration {
        match self {
            World::Virtual(_) => Duration::from_secs(Start::default().seconds),
            World::Real(real) => real.day,
        }
    }

    /// The calling thread waits until so many have passed.
    pub fn sleep_until_ns(&self, elapsed: u64) {
        match self {
            World::Virtual(world) => world.sleep_until_ns(elapsed),
            World::Real(_) => {
                let left = elapsed.saturating_sub(self.elapsed_ns());
                std::thread::sleep(Duration::from_nanos(left));
            }
        }
    }

    /// Timers that fired and sleeps that ended; `None` where they are not counted.
    pub fn events(&self) -> Option<u64> {
        match self {
            World::Virtual(world) => Some(world.events()),
            World::Real(_) => None,
        }
    }

    /// Starts a thread.
    pub fn spawn<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> io::Result<Task<T>> {
        match self {
            World::Virtual(world) => world.spawn(act).map(Task::Virtual),
            World::Real(_) => std::thread::Builder::new().spawn(act).map(Task::Real),
        }
    }
}

impl<T> Task<T> {
    /// Waits for its end; what it has returned, or its panic.
    pub fn join(self) -> std::thread::Result<T> {
        match self {
            Task::Virtual(task) => task.join(),
            Task::Real(thread) => thread.join(),
        }
    }
}
