//! Who runs: one thread at a time, in the order in which each became ready. When none is, the clock jumps to the earliest
//! timer and that one fires.
//!
//! A thread that takes part has a [`Strand`]. The one whose turn it is holds the turn until it waits: for a semaphore of Linux's,
//! for another thread's end, or to let others go first. It then hands the turn to the next. Everything here is behind one lock,
//! which only the one with the turn, and threads from outside, ever take.

mod bell;

pub use bell::Bell;

use crate::conductor::{Conductor, Step};
use fallible::try_box;
use lkl::Alarm;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How often the clock may be read in one turn until reading it takes time: a loop around the clock must have an end.
const READS: u32 = 1000;
/// What that, or letting nothing else go first, then takes.
const MOMENT: u64 = 1000;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that takes part.
pub struct Strand {
    turn: Mutex<bool>,
    comes: Condvar,
}

impl Strand {
    fn new() -> Arc<Strand> {
        Arc::new(Strand {
            turn: Mutex::new(false),
            comes: Condvar::new(),
        })
    }

    fn grant(&self) {
        *locked(&self.turn) = true;
        self.comes.notify_one();
    }

    /// Waits for its turn.
    fn wait(&self) {
        let mut turn = locked(&self.turn);
        while !*turn {
            turn = self.comes.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        *turn = false;
    }
}

thread_local! {
    /// The calling thread's strand, while it takes part.
    static MINE: RefCell<Option<Arc<Strand>>> = const { RefCell::new(None) };
}

fn mine() -> Option<Arc<Strand>> {
    MINE.with_borrow(Clone::clone)
}

/// What comes at a time.
enum Due {
    /// A timer of Linux's.
    Alarm(Arc<Alarm>),
    /// The end of a thread's sleep.
    Strand(Arc<Strand>),
}

#[derive(Default)]
struct State {
    now: u64,
    /// What the clock said at first.
    start: u64,
    /// Who is asked before the clock passes `limit`.
    conductor: Option<Arc<dyn Conductor>>,
    limit: u64,
    reads: u32,
    /// By how much a moment differs from another.
    uneven: u64,
    /// Whose turn it is. `None`: all wait, and no timer is armed.
    running: Option<Arc<Strand>>,
    ready: VecDeque<Arc<Strand>>,
    /// By time, and then by the order of arming.
    timers: BTreeMap<(u64, u64), Due>,
    armed: u64,
    /// How many of them have come due.
    events: u64,
}

impl State {
    /// Someone became ready: it goes on at once if all were waiting.
    fn kick(&mut self) {
        if self.running.is_none()
            && let Some(next) = self.ready.pop_front()
        {
            self.turn_of(next);
        }
    }

    fn turn_of(&mut self, next: Arc<Strand>) {
        self.reads = 0;
        next.grant();
        self.running = Some(next);
    }
}

/// All threads of one Linux, its timers and its clock.
#[derive(Default)]
pub struct Schedule(Mutex<State>);

impl Schedule {
    /// With a clock that begins at `now`.
    pub fn new(now: u64) -> Arc<Schedule> {
        let state = State {
            now,
            start: now,
            ..State::default()
        };
        Arc::new(Schedule(Mutex::new(state)))
    }

    /// The clock.
    pub fn now(&self) -> u64 {
        let mut state = locked(&self.0);
        state.reads = state.reads.saturating_add(1);
        if state.reads > READS {
            // Not always as long: Linux' source of entropy measures how its steps vary until they have.
            state.uneven = state.uneven.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state.now = state
                .now
                .saturating_add(MOMENT / 2 + (state.uneven >> 40) % MOMENT);
        }
        state.now
    }

    /// How many timers of Linux's have fired, and sleeps of threads have ended.
    pub fn events(&self) -> u64 {
        locked(&self.0).events
    }

    /// Whether the calling thread takes part.
    pub fn takes_part(&self) -> bool {
        mine().is_some()
    }

    /// The calling thread takes part from now on, and has the turn when this returns.
    pub fn join_in(&self) {
        let strand = self.entrant();
        self.begin(strand);
    }

    /// A strand for a thread to come, which is ready already.
    pub fn entrant(&self) -> Arc<Strand> {
        let strand = Strand::new();
        let mut state = locked(&self.0);
        state.ready.push_back(Arc::clone(&strand));
        state.kick();
        strand
    }

    /// A thread that does not come to be: its turn, if it has it, is the next one's.
    pub fn forget(&self, strand: &Arc<Strand>) {
        let mut state = locked(&self.0);
        state.ready.retain(|other| !Arc::ptr_eq(other, strand));
        if state
            .running
            .as_ref()
            .is_some_and(|running| Arc::ptr_eq(running, strand))
        {
            self.pass(state);
        }
    }

    /// The calling thread is the one of `strand`, and waits for its first turn.
    pub fn begin(&self, strand: Arc<Strand>) {
        strand.wait();
        MINE.set(Some(strand));
    }

    /// The calling thread takes part no longer.
    pub fn leave(&self) {
        if MINE.take().is_some() {
            self.pass(locked(&self.0));
        }
    }

    /// Hands the turn on. While nothing is ready time passes: the earliest timer fires, by the calling thread.
    fn pass<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        loop {
            if let Some(next) = state.ready.pop_front() {
                state.turn_of(next);
                return;
            }
            let next = state.timers.first_key_value().map(|((when, _), _)| *when);
            if let Some(conductor) = state.conductor.clone()
                && (next.is_none_or(|next| next > state.limit) || conductor.is_due())
            {
                state = self.ask(conductor.as_ref(), next, state);
                continue;
            }
            let Some(((when, _), due)) = state.timers.pop_first() else {
                state.running = None;
                return;
            };
            state.now = state.now.max(when);
            state.reads = 0;
            state = self.happen(due, state);
        }
    }

    /// Has the conductor say how the clock goes on.
    fn ask<'a>(
        &'a self,
        conductor: &dyn Conductor,
        next: Option<u64>,
        state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let (now, start) = (state.now, state.start);
        drop(state);
        let step = conductor.next(
            now.saturating_sub(start),
            next.map(|next| next.saturating_sub(start)),
        );
        let mut state = locked(&self.0);
        match step {
            Some(Step { now, limit }) => {
                state.now = state.now.max(now.saturating_add(start));
                state.limit = limit.saturating_add(start);
                state.reads = 0;
            }
            None => state.conductor = None,
        }
        state
    }

    /// Has the clock driven from outside from now on: it passes only as the conductor says.
    pub fn conduct(&self, conductor: Arc<dyn Conductor>) {
        let mut state = locked(&self.0);
        state.limit = state.now;
        state.conductor = Some(conductor);
    }

    /// Lets something happen whose time has come.
    fn happen<'a>(&'a self, due: Due, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.events = state.events.saturating_add(1);
        match due {
            Due::Alarm(alarm) => {
                drop(state);
                alarm.ring();
                locked(&self.0)
            }
            Due::Strand(strand) => {
                state.ready.push_back(strand);
                state
            }
        }
    }

    /// The calling thread, which takes part, sleeps until the clock says `when`; others go first in any case.
    pub fn sleep_until(&self, when: u64) {
        let Some(strand) = mine() else {
            return;
        };
        let mut state = locked(&self.0);
        let at = (when.max(state.now), state.armed);
        state.armed = state.armed.saturating_add(1);
        state.timers.insert(at, Due::Strand(Arc::clone(&strand)));
        self.wait_for(&strand, state);
    }

    /// Waits for the turn of the calling thread, which is in `ready` or will be.
    fn wait_for(&self, strand: &Strand, state: MutexGuard<'_, State>) {
        self.pass(state);
        strand.wait();
    }

    /// Lets all go first that are ready. If there are none, a moment passes.
    pub fn let_others(&self) {
        let Some(strand) = mine() else {
            std::thread::yield_now();
            return;
        };
        let mut state = locked(&self.0);
        if state.ready.is_empty() {
            state.now = state.now.saturating_add(MOMENT);
            let due = state
                .timers
                .first_key_value()
                .is_some_and(|((when, _), _)| *when <= state.now);
            if due && let Some((_, due)) = state.timers.pop_first() {
                state = self.happen(due, state);
            }
            if state.ready.is_empty() {
                return;
            }
        }
        state.ready.push_back(Arc::clone(&strand));
        self.wait_for(&strand, state);
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Count {
    count: u64,
    waiters: VecDeque<Arc<Strand>>,
    /// Threads that do not take part.
    outside: u32,
}

/// A semaphore for which threads wait that take part, and others.
pub struct Semaphore {
    schedule: Arc<Schedule>,
    count: Mutex<Count>,
    /// For those that do not take part.
    upped: Condvar,
}

impl Semaphore {
    /// One that starts at `count`.
    pub fn new(schedule: &Arc<Schedule>, count: u32) -> Semaphore {
        Semaphore {
            schedule: Arc::clone(schedule),
            count: Mutex::new(Count {
                count: count.into(),
                ..Count::default()
            }),
            upped: Condvar::new(),
        }
    }
}

impl lkl::Semaphore for Semaphore {
    fn up(&self) {
        let mut count = locked(&self.count);
        match count.waiters.pop_front() {
            Some(waiter) => {
                drop(count);
                let mut state = locked(&self.schedule.0);
                state.ready.push_back(waiter);
                state.kick();
            }
            None => {
                count.count = count.count.saturating_add(1);
                if count.outside > 0 {
                    self.upped.notify_one();
                }
            }
        }
    }

    fn down(&self) {
        let mut count = locked(&self.count);
        if let Some(strand) = mine() {
            if count.count > 0 {
                count.count = count.count.saturating_sub(1);
                return;
            }
            // The turn is this thread's, so that an `up` in between only makes it ready.
            count.waiters.push_back(Arc::clone(&strand));
            drop(count);
            self.schedule.wait_for(&strand, locked(&self.schedule.0));
            return;
        }
        while count.count == 0 {
            count.outside = count.outside.saturating_add(1);
            count = self.upped.wait(count).unwrap_or_else(PoisonError::into_inner);
            count.outside = count.outside.saturating_sub(1);
        }
        count.count = count.count.saturating_sub(1);
    }
}

/// A timer of Linux's.
pub struct Timer {
    schedule: Arc<Schedule>,
    alarm: Arc<Alarm>,
    /// Where it is among the armed ones.
    place: Mutex<Option<(u64, u64)>>,
}

impl Timer {
    /// One that is not armed.
    pub fn new(schedule: &Arc<Schedule>, alarm: Alarm) -> Option<Box<Timer>> {
        try_box(Timer {
            schedule: Arc::clone(schedule),
            alarm: Arc::new(alarm),
            place: Mutex::new(None),
        })
    }
}

impl lkl::Timer for Timer {
    fn arm(&self, delta_ns: u64) {
        let mut place = locked(&self.place);
        let mut state = locked(&self.schedule.0);
        if let Some(place) = place.take() {
            state.timers.remove(&place);
        }
        let at = (state.now.saturating_add(delta_ns), state.armed);
        state.armed = state.armed.saturating_add(1);
        state.timers.insert(at, Due::Alarm(Arc::clone(&self.alarm)));
        *place = Some(at);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(place) = locked(&self.place).take() {
            locked(&self.schedule.0).timers.remove(&place);
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").finish_non_exhaustive()
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}
