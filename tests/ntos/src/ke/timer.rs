//! Timers: a thread that plays the clock interrupt signals them when they are due and queues their DPCs.

#![allow(non_snake_case)]

use crate::{
    ke::{
        dpc, time,
        wait::{self, NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER},
    },
    nt::*,
    ps,
    verifier::ledger::{self, Kind as Held},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Condvar, Mutex, MutexGuard, Once},
    time::{Duration, Instant},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeInitializeTimer <= DISPATCH;
        KeInitializeTimerEx <= DISPATCH;
        KeSetTimer <= DISPATCH;
        KeSetTimerEx <= DISPATCH;
        KeSetCoalescableTimer <= DISPATCH since Nt61;
        KeCancelTimer <= DISPATCH;
        KeReadStateTimer <= DISPATCH;
    }
}

struct Timers {
    /// The DPC that each timer was last set with.
    dpcs: HashMap<usize, usize>,
    order: BTreeSet<(Instant, usize)>,
    due: HashMap<usize, (Instant, Duration, usize)>,
}

static TIMERS: Mutex<Option<Timers>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Option<Timers>> {
    TIMERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn fresh() -> Timers {
    Timers {
        dpcs: HashMap::new(),
        order: BTreeSet::new(),
        due: HashMap::new(),
    }
}

impl Timers {
    fn remove(&mut self, timer: usize) -> bool {
        let Some((due, ..)) = self.due.remove(&timer) else {
            return false;
        };
        self.order.remove(&(due, timer));
        ledger::remove(Held::Timer, timer);
        true
    }

    fn insert(&mut self, timer: usize, due: Instant, period: Duration, dpc: usize) {
        self.dpcs.insert(timer, dpc);
        self.order.insert((due, timer));
        self.due.insert(timer, (due, period, dpc));
    }
}

/// Whether a timer that is not periodic is due within `time`: then work that waits for it is under way.
pub fn is_due_within(time: Duration) -> bool {
    let end = Instant::now() + time;
    lock().as_ref().is_some_and(|timers| {
        let due = timers.due.values();
        due.into_iter()
            .any(|(due, period, _)| *due <= end && period.is_zero())
    })
}

/// The clock interrupt.
fn run() {
    loop {
        let mut guard = lock();
        let timers = guard.get_or_insert_with(fresh);
        let now = Instant::now();
        let Some(&(due, timer)) = timers.order.first() else {
            drop(CHANGED.wait(guard));
            continue;
        };
        if due > now {
            drop(CHANGED.wait_timeout(guard, due - now));
            continue;
        }
        timers.order.remove(&(due, timer));
        let Some((_, period, dpc)) = timers.due.remove(&timer) else {
            continue;
        };
        if period.is_zero() {
            ledger::remove(Held::Timer, timer);
        } else {
            timers.insert(timer, due + period, period, dpc);
        }
        // Under the lock: whoever cancels or frees the timer afterwards finds it neither queued nor touched.
        wait::signal(timer, 1);
        if dpc != 0 {
            let now = time::system_time().cast_unsigned();
            let low = (now & 0xFFFF_FFFF) as usize as PVOID;
            dpc::insert(dpc as PRKDPC, low, (now >> 32) as usize as PVOID);
        }
        drop(guard);
    }
}

fn start_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ps::spawn_system("clock", run);
    });
}

fn expect(timer: PKTIMER) -> usize {
    wait::expect_type(
        timer as usize,
        &[NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER],
        "timer",
    );
    timer as usize
}

/// `KeInitializeTimer`.
pub unsafe extern "win64" fn KeInitializeTimer(timer: PKTIMER) {
    // SAFETY: passed on from the driver.
    unsafe { KeInitializeTimerEx(timer, 0) };
}

/// `KeInitializeTimerEx`: type 0 is a notification timer, 1 a synchronization timer.
pub unsafe extern "win64" fn KeInitializeTimerEx(timer: PKTIMER, timer_type: i32) {
    if ledger::holds(Held::Timer, timer as usize) {
        crate::fail!(Timer, "timer {timer:p} is initialised while it is set");
    }
    let last_dpc = lock()
        .get_or_insert_with(fresh)
        .dpcs
        .get(&(timer as usize))
        .copied();
    if let Some(dpc) = last_dpc.filter(|dpc| dpc::is_busy(*dpc)) {
        crate::fail!(
            Timer,
            "timer {timer:p} is initialised while its DPC {dpc:#x} is queued or runs: its expiry may not be over"
        );
    }
    wait::forbid_waiters(timer as usize, "timer");
    let object_type = if timer_type == 0 {
        NOTIFICATION_TIMER
    } else {
        SYNCHRONIZATION_TIMER
    };
    // SAFETY: the driver passes memory for a timer.
    unsafe {
        timer.write_bytes(0, 1);
        wait::initialize_header(timer.cast(), object_type, size_of::<KTIMER>(), 0);
    }
}

fn set(timer: PKTIMER, due: i64, period_ms: i32, dpc: PRKDPC) -> BOOLEAN {
    let object = expect(timer);
    start_thread();
    let ticks = if due <= 0 {
        due.unsigned_abs()
    } else {
        time::until(due)
    };
    let when = Instant::now() + Duration::from_nanos(ticks.saturating_mul(100).min(u64::MAX >> 2));
    let period = Duration::from_millis(u64::try_from(period_ms).unwrap_or(0));
    let mut guard = lock();
    let timers = guard.get_or_insert_with(fresh);
    let was_set = timers.remove(object);
    {
        let _dispatcher = wait::lock();
        wait::set_state(object, 0);
    }
    // SAFETY: a timer by its type.
    unsafe { (*timer).Dpc = dpc };
    ledger::add(Held::Timer, object, "set timer");
    timers.insert(object, when, period, dpc as usize);
    CHANGED.notify_all();
    u8::from(was_set)
}

/// `KeSetTimer`; true when it was set already.
pub unsafe extern "win64" fn KeSetTimer(timer: PKTIMER, due: LARGE_INTEGER, dpc: PRKDPC) -> BOOLEAN {
    // SAFETY: every LARGE_INTEGER has a QuadPart.
    set(timer, unsafe { due.QuadPart }, 0, dpc)
}

unsafe extern "win64" fn KeSetTimerEx(
    timer: PKTIMER,
    due: LARGE_INTEGER,
    period: LONG,
    dpc: PRKDPC,
) -> BOOLEAN {
    // SAFETY: every LARGE_INTEGER has a QuadPart.
    set(timer, unsafe { due.QuadPart }, period, dpc)
}

unsafe extern "win64" fn KeSetCoalescableTimer(
    timer: PKTIMER,
    due: LARGE_INTEGER,
    period: ULONG,
    _tolerance: ULONG,
    dpc: PRKDPC,
) -> BOOLEAN {
    // SAFETY: every LARGE_INTEGER has a QuadPart.
    set(timer, unsafe { due.QuadPart }, period.cast_signed(), dpc)
}

/// `KeCancelTimer`; true when it was set.
pub unsafe extern "win64" fn KeCancelTimer(timer: PKTIMER) -> BOOLEAN {
    let object = expect(timer);
    let mut guard = lock();
    u8::from(guard.get_or_insert_with(fresh).remove(object))
}

unsafe extern "win64" fn KeReadStateTimer(timer: PKTIMER) -> BOOLEAN {
    let object = expect(timer);
    let _dispatcher = wait::lock();
    u8::from(wait::state(object) != 0)
}
