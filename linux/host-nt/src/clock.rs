//! Clocks: the performance counter, and the system time.

#![allow(unsafe_code)]

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::SystemInformation::GetSystemTimeAsFileTime;

/// The monotonic clock, with its unit.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Counts a second.
    frequency: u64,
}

impl Clock {
    /// The clock of this machine.
    pub fn new() -> Clock {
        let mut frequency = 0i64;
        // SAFETY: room for the number. It never fails on a 64-bit system.
        unsafe { QueryPerformanceFrequency(&mut frequency) };
        Clock {
            frequency: u64::try_from(frequency).unwrap_or(0).max(1),
        }
    }

    /// Nanoseconds since some time in the past.
    pub fn monotonic_ns(self) -> u64 {
        let mut count = 0i64;
        // SAFETY: room for the number. It never fails on a 64-bit system.
        unsafe { QueryPerformanceCounter(&mut count) };
        let count = u128::try_from(count).unwrap_or(0);
        // The product needs more than 64 bits after an hour or so.
        u64::try_from(count * 1_000_000_000 / u128::from(self.frequency)).unwrap_or(u64::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

/// Nanoseconds since 1970, UTC, with the precision of the system's tick.
pub fn realtime_ns() -> u64 {
    /// From 1601 to 1970, in units of 100 ns.
    const EPOCH: u64 = 116_444_736_000_000_000;
    let mut time = FILETIME {
        dwLowDateTime: 0,
        dwHighDateTime: 0,
    };
    // SAFETY: room for the time.
    unsafe { GetSystemTimeAsFileTime(&mut time) };
    let time = (u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime);
    time.saturating_sub(EPOCH).saturating_mul(100)
}
