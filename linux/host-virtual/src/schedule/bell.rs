//! What one thread waits for, until a time, and another one rings.

use super::{Due, Schedule, Strand, locked, mine};
use std::fmt;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Ringing {
    rung: bool,
    /// Who waits, and where it is among the timers.
    waiter: Option<(Arc<Strand>, (u64, u64))>,
}

/// What one thread that takes part waits for, until a time: another one, or one from outside, rings it.
pub struct Bell {
    schedule: Arc<Schedule>,
    ringing: Mutex<Ringing>,
}

impl Bell {
    /// One that has not rung.
    pub fn new(schedule: &Arc<Schedule>) -> Bell {
        Bell {
            schedule: Arc::clone(schedule),
            ringing: Mutex::default(),
        }
    }

    /// Wakes up the thread that waits, or else the next one that would.
    pub fn ring(&self) {
        let mut ringing = locked(&self.ringing);
        ringing.rung = true;
        if let Some((strand, at)) = ringing.waiter.take() {
            let mut state = locked(&self.schedule.0);
            // Its time may have come just now: it is ready then.
            if state.timers.remove(&at).is_some() {
                state.ready.push_back(strand);
                state.kick();
            }
        }
    }

    /// The calling thread, which takes part, waits until it rings, or until the clock says `when`; others go first unless it has rung.
    /// Whether it has rung since this returned last. One thread at a time waits.
    pub fn wait_until(&self, when: u64) -> bool {
        let Some(strand) = mine() else {
            return false;
        };
        let mut ringing = locked(&self.ringing);
        if !ringing.rung {
            let mut state = locked(&self.schedule.0);
            let at = (when.max(state.now), state.armed);
            state.armed = state.armed.saturating_add(1);
            state.timers.insert(at, Due::Strand(Arc::clone(&strand)));
            ringing.waiter = Some((Arc::clone(&strand), at));
            drop(ringing);
            self.schedule.wait_for(&strand, state);
            ringing = locked(&self.ringing);
            ringing.waiter = None;
        }
        std::mem::take(&mut ringing.rung)
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
