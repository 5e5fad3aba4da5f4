//! Clocks: system time (100 ns since 1601), interrupt time (100 ns since the double started), performance counter.

#![allow(non_snake_case)]

use crate::nt::*;
use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeQuerySystemTime <= HIGH since Nt60;
        KeQuerySystemTimePrecise <= HIGH since Nt62;
        KeQueryInterruptTime <= HIGH since Nt60;
        KeQueryInterruptTimePrecise <= HIGH since Nt62;
        KeQueryUnbiasedInterruptTime = KeQueryInterruptTime, <= HIGH since Nt61;
        KeQueryTimeIncrement <= HIGH;
        KeQueryTickCount <= HIGH since Nt60;
        KeQueryPerformanceCounter <= HIGH;
        KeStallExecutionProcessor <= HIGH;
        ExSystemTimeToLocalTime <= HIGH;
        ExLocalTimeToSystemTime <= HIGH;
        data KeTickCount = (&raw const TICK_COUNT).cast();
        data KeNumberProcessors = (&raw const PROCESSORS).cast();
    }
}

/// 100 ns units between 1601 and 1970.
const EPOCH: i64 = 116_444_736_000_000_000;
/// Length of a clock tick in 100 ns.
pub const INCREMENT: u32 = 156_250;
/// The performance counter's frequency.
const FREQUENCY: i64 = 10_000_000;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
static TICK_COUNT: [u32; 4] = [0; 4];
static PROCESSORS: i32 = 2;

/// Now, in 100 ns since 1601.
pub fn system_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EPOCH + (since.as_nanos() / 100) as i64
}

/// 100 ns since the double started, plus a second so that it is never 0.
pub fn interrupt_time() -> u64 {
    (STARTED.elapsed().as_nanos() / 100) as u64 + 10_000_000
}

unsafe extern "win64" fn KeQuerySystemTime(time: *mut i64) {
    // SAFETY: the driver passes a pointer for the time.
    unsafe { *time = system_time() };
}

unsafe extern "win64" fn KeQuerySystemTimePrecise(time: *mut i64) {
    // SAFETY: the driver passes a pointer for the time.
    unsafe { *time = system_time() };
}

unsafe extern "win64" fn KeQueryInterruptTime() -> u64 {
    interrupt_time()
}

unsafe extern "win64" fn KeQueryInterruptTimePrecise(counter: *mut u64) -> u64 {
    let now = interrupt_time();
    // SAFETY: the driver passes a pointer for the performance counter's value.
    unsafe { *counter = now };
    now
}

unsafe extern "win64" fn KeQueryTimeIncrement() -> ULONG {
    INCREMENT
}

unsafe extern "win64" fn KeQueryTickCount(count: *mut u64) {
    // SAFETY: the driver passes a pointer for the count.
    unsafe { *count = interrupt_time() / u64::from(INCREMENT) };
}

unsafe extern "win64" fn KeQueryPerformanceCounter(frequency: *mut i64) -> i64 {
    if !frequency.is_null() {
        // SAFETY: the driver passes NULL or a pointer for the frequency.
        unsafe { *frequency = FREQUENCY };
    }
    interrupt_time().cast_signed()
}

unsafe extern "win64" fn KeStallExecutionProcessor(microseconds: ULONG) {
    let start = Instant::now();
    while start.elapsed().as_micros() < u128::from(microseconds) {
        std::hint::spin_loop();
    }
}

unsafe extern "win64" fn ExSystemTimeToLocalTime(system: *const i64, local: *mut i64) {
    // SAFETY: the driver passes both pointers. The double's time zone is UTC.
    unsafe { *local = *system };
}

unsafe extern "win64" fn ExLocalTimeToSystemTime(local: *const i64, system: *mut i64) {
    // SAFETY: the driver passes both pointers. The double's time zone is UTC.
    unsafe { *system = *local };
}
