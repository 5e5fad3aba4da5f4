//! One-shot timers, all on one thread that sleeps until the earliest.
//!
//! The queue is an ordered set of (time, timer). Arming takes the lock for a moment; it wakes the thread only when the
//! new time is earlier than the one that it sleeps for, because Linux moves its timer much more often than it lets it
//! expire, mostly to a later time. Times are nanoseconds of the host's monotonic clock.
//!
//! The thread starts with the first timer and ends with [`Timers`].

use crate::spawn::{self, Running, Start};
use lkl::Alarm;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// How a host sleeps, and what time it is.
pub trait Sleeper: Send + Sync + 'static {
    /// Nanoseconds of a clock that never goes back.
    fn now_ns(&self) -> u64;
    /// Called by the timers' thread before anything else.
    fn begin(&self) {}
    /// Sleeps until a time (for ever: `None`), or until [`Sleeper::wake`], or for no reason. A wake-up that comes
    /// before the sleep is not lost. Not early by more than it takes to come back and look at the clock.
    fn sleep(&self, until_ns: Option<u64>);
    /// Ends the sleep, now or the next one. From any thread.
    fn wake(&self);
}

/// The timers of one host.
#[derive(Debug)]
pub struct Timers<S: Sleeper> {
    queue: Arc<Queue<S>>,
    start: Start,
    thread: Mutex<Option<Box<dyn Running>>>,
}

#[derive(Debug)]
struct Queue<S> {
    state: Mutex<State>,
    sleeper: S,
    /// Who frees a timer that fires waits here.
    fired: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeSet<(u64, u64)>,
    timers: HashMap<u64, Entry>,
    next_id: u64,
    /// What the thread sleeps for; `None` while it is awake (or woken) and will look at the queue.
    sleeps_until: Option<u64>,
    /// The timer that fires right now.
    firing: Option<u64>,
    firing_thread: Option<ThreadId>,
    ending: bool,
}

#[derive(Debug)]
struct Entry {
    alarm: Arc<Alarm>,
    armed: Option<u64>,
}

/// One timer.
#[derive(Debug)]
pub struct Timer<S: Sleeper> {
    queue: Arc<Queue<S>>,
    id: u64,
}

impl<S> Queue<S> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sleeper> Timers<S> {
    /// No timers yet.
    pub fn new(sleeper: S) -> Timers<S> {
        Timers::with_threads(sleeper, spawn::start)
    }

    /// As [`Timers::new`], with a thread that `start` starts.
    pub fn with_threads(sleeper: S, start: Start) -> Timers<S> {
        let queue = Queue {
            state: Mutex::new(State::default()),
            sleeper,
            fired: Condvar::new(),
        };
        Timers {
            queue: Arc::new(queue),
            start,
            thread: Mutex::new(None),
        }
    }

    /// A timer that is not armed. `None` when there is no thread to be had for it.
    pub fn timer(&self, alarm: Alarm) -> Option<Timer<S>> {
        self.start_thread()?;
        let mut state = self.queue.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.timers.insert(
            id,
            Entry {
                alarm: Arc::new(alarm),
                armed: None,
            },
        );
        Some(Timer {
            queue: Arc::clone(&self.queue),
            id,
        })
    }

    fn start_thread(&self) -> Option<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let queue = Arc::clone(&self.queue);
            *thread = Some((self.start)("lkl-timer", Box::new(move || run(&queue)))?);
        }
        Some(())
    }
}

impl<S: Sleeper> Drop for Timers<S> {
    fn drop(&mut self) {
        self.queue.lock().ending = true;
        self.queue.sleeper.wake();
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && !thread.is_current()
        {
            thread.join();
        }
    }
}

impl<S: Sleeper> lkl::Timer for Timer<S> {
    fn arm(&self, delta_ns: u64) {
        let due = self.queue.sleeper.now_ns().saturating_add(delta_ns);
        let mut state = self.queue.lock();
        let state = &mut *state;
        let Some(entry) = state.timers.get_mut(&self.id) else {
            return;
        };
        if let Some(before) = entry.armed.replace(due) {
            state.due.remove(&(before, self.id));
        }
        state.due.insert((due, self.id));
        if state.sleeps_until.is_some_and(|until| due < until) {
            // It is about to wake up and look: nobody else needs to wake it.
            state.sleeps_until = None;
            self.queue.sleeper.wake();
        }
    }
}

impl<S: Sleeper> Drop for Timer<S> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(Entry { armed: Some(due), .. }) = state.timers.remove(&self.id) {
            state.due.remove(&(due, self.id));
        }
        // From inside its own fire a timer cannot wait for the fire's end.
        while state.firing == Some(self.id) && state.firing_thread != Some(std::thread::current().id()) {
            state = self
                .queue
                .fired
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The thread: fires what is due, sleeps until the next.
fn run<S: Sleeper>(queue: &Queue<S>) {
    queue.sleeper.begin();
    let mut state = queue.lock();
    state.firing_thread = Some(std::thread::current().id());
    while !state.ending {
        let next = state.due.first().copied();
        match next {
            Some((due, id)) if due <= queue.sleeper.now_ns() => {
                state.due.pop_first();
                let Some(entry) = state.timers.get_mut(&id) else {
                    continue;
                };
                entry.armed = None;
                let alarm = Arc::clone(&entry.alarm);
                state.firing = Some(id);
                drop(state);
                alarm.ring();
                drop(alarm);
                state = queue.lock();
                state.firing = None;
                queue.fired.notify_all();
            }
            _ => {
                let due = next.map(|(due, _)| due);
                state.sleeps_until = Some(due.unwrap_or(u64::MAX));
                drop(state);
                queue.sleeper.sleep(due);
                state = queue.lock();
                state.sleeps_until = None;
            }
        }
    }
}
