//! One table of scenarios, several subjects.
//!
//! [`host`] is the suite that every [`lkl::Host`] passes: semaphores, threads, timers, clocks, memory, with no Linux
//! under test. It is `no_std`, does not panic and does not print, so that the NT host can run it inside the driver image;
//! whoever runs it brings a [`Report`]. The POSIX host runs it as `cargo test` (`tests/host.rs`).
//!
//! The second table, over a booted kernel, is in `tests/kernel`: it needs a process for each boot, so it is no library.

// UNSAFETY (whole crate): it calls a host's raw operations, which is what it tests.

#![no_std]

extern crate alloc;

pub mod content;
pub mod host;

#[doc(hidden)]
pub use alloc::format;
use alloc::string::String;

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should. The number is a figure that the scenario measured (its name says of what), or 0.
    Passed(u64),
    /// The subject does not have what the scenario is about, and may say so.
    Skipped(&'static str),
    /// Not as it should: what was seen.
    Failed(String),
}

/// Receives what happens, in order.
pub trait Report {
    /// A scenario begins. Said first, so that the name of one that hangs is known.
    fn begin(&mut self, name: &'static str);
    /// It has ended.
    fn end(&mut self, name: &'static str, outcome: &Outcome);
}

/// How many ended in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Scenarios that passed.
    pub passed: u32,
    /// Scenarios that were skipped.
    pub skipped: u32,
    /// Scenarios that failed.
    pub failed: u32,
}

/// Ends a scenario with a failure unless something holds.
#[macro_export]
macro_rules! ensure {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err($crate::Outcome::Failed($crate::format!($($text)*)));
        }
    };
}
