//! One-shot timers, all on one thread that sleeps until the earliest.
//!
//! The queue is an ordered set of (time, timer). Arming takes the lock for a moment; it wakes the thread only when the
//! new time is earlier than the one that it sleeps for, because Linux moves its timer much more often than it lets it
//! expire, mostly to a later time. Times are of CLOCK_MONOTONIC, in ns; the thread asks the kernel for no slack.
//!
//! The thread starts with the first timer and ends with the last of [`Timers`] and [`Timer`].

use lkl::Alarm;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

/// The timers of one host.
#[derive(Debug)]
pub struct Timers {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    /// The thread sleeps here.
    earlier: Condvar,
    /// Who frees a timer that fires waits here.
    fired: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeSet<(Instant, u64)>,
    timers: HashMap<u64, Entry>,
    next_id: u64,
    /// What the thread sleeps for; None: it is awake and will look at the queue, or sleeps for nothing.
    sleeps_until: Option<Instant>,
    sleeps_for_ever: bool,
    /// The timer that fires right now.
    firing: Option<u64>,
    firing_thread: Option<ThreadId>,
    ending: bool,
}

#[derive(Debug)]
struct Entry {
    alarm: Arc<Alarm>,
    armed: Option<Instant>,
}

/// One timer.
#[derive(Debug)]
pub struct Timer {
    queue: Arc<Queue>,
    id: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time so far off that it never comes, for deltas that overflow.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Timers {
    /// No timers yet.
    pub fn new() -> Timers {
        let queue = Queue {
            state: Mutex::new(State::default()),
            earlier: Condvar::new(),
            fired: Condvar::new(),
        };
        Timers {
            queue: Arc::new(queue),
            thread: Mutex::new(None),
        }
    }

    /// A timer that is not armed. None when there is no thread to be had for it.
    pub fn timer(&self, alarm: Alarm) -> Option<Timer> {
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
            *thread = Some(
                std::thread::Builder::new()
                    .name("lkl-timer".into())
                    .spawn(move || run(&queue))
                    .ok()?,
            );
        }
        Some(())
    }
}

impl Default for Timers {
    fn default() -> Self {
        Timers::new()
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.queue.lock().ending = true;
        self.queue.earlier.notify_one();
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // An error would be a panic in an alarm, which aborts.
            let _ = thread.join();
        }
    }
}

impl lkl::Timer for Timer {
    fn arm(&self, delta_ns: u64) {
        let now = Instant::now();
        let due = now
            .checked_add(Duration::from_nanos(delta_ns))
            .unwrap_or(now + NEVER);
        let mut state = self.queue.lock();
        let state = &mut *state;
        let Some(entry) = state.timers.get_mut(&self.id) else {
            return;
        };
        if let Some(before) = entry.armed.replace(due) {
            state.due.remove(&(before, self.id));
        }
        state.due.insert((due, self.id));
        if state.sleeps_for_ever || state.sleeps_until.is_some_and(|until| due < until) {
            // It is about to wake up and look: nobody else needs to wake it.
            state.sleeps_for_ever = false;
            state.sleeps_until = None;
            self.queue.earlier.notify_one();
        }
    }
}

impl Drop for Timer {
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
fn run(queue: &Queue) {
    crate::fault::no_timer_slack();
    let mut state = queue.lock();
    state.firing_thread = Some(std::thread::current().id());
    while !state.ending {
        let now = Instant::now();
        match state.due.first().copied() {
            Some((due, id)) if due <= now => {
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
            Some((due, _)) => {
                state.sleeps_until = Some(due);
                let slept = queue.earlier.wait_timeout(state, due.duration_since(now));
                state = slept.unwrap_or_else(PoisonError::into_inner).0;
                state.sleeps_until = None;
            }
            None => {
                state.sleeps_for_ever = true;
                state = queue.earlier.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.sleeps_for_ever = false;
            }
        }
    }
}
