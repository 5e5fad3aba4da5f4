//! Timers: the queue is [`lkl_host_std::timer`]; this is how its thread sleeps here, with no slack.

#![allow(unsafe_code)]

use lkl_host_std::timer::Sleeper;
use std::sync::atomic::{AtomicU32, Ordering};

/// The timers of a host.
pub type Timers = lkl_host_std::timer::Timers<FutexSleeper>;
/// One timer.
pub type Timer = lkl_host_std::timer::Timer<FutexSleeper>;

/// Sleeps on a futex until an absolute time of CLOCK_MONOTONIC.
#[derive(Debug, Default)]
pub struct FutexSleeper {
    woken: AtomicU32,
}

impl Sleeper for FutexSleeper {
    fn now_ns(&self) -> u64 {
        crate::nanoseconds(rustix::time::ClockId::Monotonic)
    }

    /// Asks that sleeps of this thread end when they should, not up to 50 us later.
    fn begin(&self) {
        // SAFETY: an option of the calling thread. Failure only costs precision.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
    }

    fn sleep(&self, until_ns: Option<u64>) {
        let until = until_ns.unwrap_or(u64::MAX / 2);
        let until = libc::timespec {
            tv_sec: i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(until % 1_000_000_000).unwrap_or(0),
        };
        // WAIT_BITSET takes an absolute time.
        let operation = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
        if self.woken.load(Ordering::Acquire) == 0 {
            // SAFETY: the word and the time live through the call. Why it returns does not matter.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.woken.as_ptr(),
                    operation,
                    0,
                    &raw const until,
                    std::ptr::null::<u32>(),
                    libc::FUTEX_BITSET_MATCH_ANY,
                )
            };
        }
        self.woken.store(0, Ordering::Release);
    }

    fn wake(&self) {
        self.woken.store(1, Ordering::Release);
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the address is only a name here.
        unsafe { libc::syscall(libc::SYS_futex, self.woken.as_ptr(), operation, 1) };
    }
}
