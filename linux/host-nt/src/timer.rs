//! Timers: the queue is [`lkl_host_std::timer`]; this is how its thread sleeps here.

#![allow(unsafe_code)]

use crate::clock::Clock;
use lkl_host_std::timer::Sleeper;
use std::ptr::null;
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE};
use windows_sys::Win32::System::Threading::{
    CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, CancelWaitableTimer, CreateEventW, CreateWaitableTimerExW,
    INFINITE, SetEvent, SetWaitableTimer, TIMER_ALL_ACCESS, WaitForMultipleObjects,
};

/// The timers of a host.
pub type Timers = lkl_host_std::timer::Timers<WaitableSleeper>;
/// One timer.
pub type Timer = lkl_host_std::timer::Timer<WaitableSleeper>;

/// Sleeps on a waitable timer and an event.
#[derive(Debug)]
pub struct WaitableSleeper {
    clock: Clock,
    timer: HANDLE,
    wake: HANDLE,
}

// SAFETY: handles of timers and events may be used by any thread.
unsafe impl Send for WaitableSleeper {}
// SAFETY: as above.
unsafe impl Sync for WaitableSleeper {}

impl WaitableSleeper {
    /// `None` when the system has no timer or event to give.
    pub fn new(clock: Clock) -> Option<WaitableSleeper> {
        // SAFETY: no name and no attributes. Systems before Windows 10 1803 refuse the flag.
        let exact = unsafe {
            CreateWaitableTimerExW(
                null(),
                null(),
                CREATE_WAITABLE_TIMER_HIGH_RESOLUTION,
                TIMER_ALL_ACCESS,
            )
        };
        let timer = if exact.is_null() {
            // SAFETY: as above. With no flag it resets itself.
            unsafe { CreateWaitableTimerExW(null(), null(), 0, TIMER_ALL_ACCESS) }
        } else {
            exact
        };
        // SAFETY: no name and no attributes; an event that resets itself.
        let wake = unsafe { CreateEventW(null(), 0, 0, null()) };
        let sleeper = WaitableSleeper { clock, timer, wake };
        (!timer.is_null() && !wake.is_null()).then_some(sleeper)
    }
}

impl Sleeper for WaitableSleeper {
    fn now_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    fn sleep(&self, until_ns: Option<u64>) {
        let both = [self.wake, self.timer];
        let count = match until_ns {
            None => 1,
            Some(until) => {
                let delta = until.saturating_sub(self.clock.monotonic_ns()).div_ceil(100);
                // Negative: relative, in units of 100 ns.
                let due = -i64::try_from(delta).unwrap_or(i64::MAX).max(1);
                // SAFETY: the timer is ours; nothing is called back.
                unsafe { SetWaitableTimer(self.timer, &due, 0, None, null(), 0) };
                2
            }
        };
        // SAFETY: as many handles as said. Why it returns does not matter.
        unsafe { WaitForMultipleObjects(count, both.as_ptr(), 0, INFINITE) };
        if count == 2 {
            // SAFETY: the timer is ours.
            unsafe { CancelWaitableTimer(self.timer) };
        }
    }

    fn wake(&self) {
        // SAFETY: the event is ours.
        unsafe { SetEvent(self.wake) };
    }
}

impl Drop for WaitableSleeper {
    fn drop(&mut self) {
        for handle in [self.timer, self.wake] {
            if !handle.is_null() {
                // SAFETY: nobody uses it any more.
                unsafe { CloseHandle(handle) };
            }
        }
    }
}
