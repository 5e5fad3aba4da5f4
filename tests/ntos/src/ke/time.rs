//! Clocks: system time (100 ns since 1601), interrupt time (100 ns since the double started), performance counter.
//!
//! The system time may be set ([`set_system_time`]), and all of them go on while the machine sleeps ([`sleep`]); times that count
//! from now are none of those clocks' and go on as they were. Times of the day that threads or timers wait for are not moved, so that
//! a clock may not be changed once there was one.

#![allow(non_snake_case)]

use crate::nt::*;
use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeQuerySystemTime <= HIGH since Nt60;
        KeQuerySystemTimePrecise <= HIGH since Nt62;
        KeQueryInterruptTime <= HIGH since Nt60;
        KeQueryInterruptTimePrecise <= HIGH since Nt62;
        KeQueryUnbiasedInterruptTime <= HIGH since Nt61;
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

/// By how much the system time was set forwards, in 100 ns; below 0 it was set back.
static SET: AtomicI64 = AtomicI64::new(0);
/// How long the machine has slept, in 100 ns.
static SLEPT: AtomicU64 = AtomicU64::new(0);
/// A time of the day was waited for.
static WAITED_FOR: AtomicBool = AtomicBool::new(false);

fn in_100_ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos() / 100).expect("less than an age")
}

/// Now, in 100 ns since 1601.
pub fn system_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let slept = SLEPT.load(Ordering::SeqCst).cast_signed();
    EPOCH + in_100_ns(since) + slept + SET.load(Ordering::SeqCst)
}

/// 100 ns since the double started, plus a second so that it is never 0.
pub fn interrupt_time() -> u64 {
    (STARTED.elapsed().as_nanos() / 100) as u64 + 10_000_000 + SLEPT.load(Ordering::SeqCst)
}

/// 100 ns from now until a time of the day, which something waits for.
pub(crate) fn until(system_time: i64) -> u64 {
    WAITED_FOR.store(true, Ordering::SeqCst);
    (system_time - self::system_time()).max(0).unsigned_abs()
}

fn expect_no_waits() {
    assert!(
        !WAITED_FOR.load(Ordering::SeqCst),
        "the clock is changed, and something has waited for a time of the day: that is not modelled"
    );
}

/// Sets the system time forwards by so much, or back.
pub fn set_system_time(by: Duration, back: bool) {
    expect_no_waits();
    let by = in_100_ns(by);
    SET.fetch_add(if back { -by } else { by }, Ordering::SeqCst);
}

/// So much time goes by while the machine sleeps.
pub fn sleep(time: Duration) {
    expect_no_waits();
    SLEPT.fetch_add(in_100_ns(time).unsigned_abs(), Ordering::SeqCst);
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

unsafe extern "win64" fn KeQueryUnbiasedInterruptTime() -> u64 {
    interrupt_time() - SLEPT.load(Ordering::SeqCst)
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
