//! A gate: counts who is inside, and closes for good.
//!
//! `halt` must know that no thread is inside Linux and that no disk read is under way before it takes Linux's memory
//! away. Both are counted by a gate. Passing costs one atomic addition; nobody polls: the last one to leave a closed
//! gate wakes who closed it. A thread that never leaves, since it is in a loop inside Linux, would keep that one waiting
//! for ever; when that is known the wait is called off.

use crate::host::Semaphore;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Set once the gate is closed; the bits below count who is inside.
const CLOSED: usize = 1 << (usize::BITS - 1);

pub(crate) struct Gate {
    state: AtomicUsize,
    drained: Box<dyn Semaphore>,
    called_off: AtomicBool,
}

impl Gate {
    /// An open gate. `drained` starts at zero.
    pub(crate) fn new(drained: Box<dyn Semaphore>) -> Self {
        Gate {
            state: AtomicUsize::new(0),
            drained,
            called_off: AtomicBool::new(false),
        }
    }

    /// Goes in. False when the gate is closed. Any context.
    pub(crate) fn enter(&self) -> bool {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        if before & CLOSED == 0 {
            return true;
        }
        self.leave();
        false
    }

    /// Comes out, after an `enter` that said true. Any context. The gate's memory must outlive the call, even
    /// when it was the last: callers hold a reference count on it.
    pub(crate) fn leave(&self) {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        if before == CLOSED | 1 {
            self.drained.up();
        }
    }

    /// Closes the gate and waits until everybody is out, or until the wait is called off. Whether everybody is out.
    /// Blocks. For one caller, once.
    pub(crate) fn close(&self) -> bool {
        self.shut();
        self.wait()
    }

    /// Closes the gate. Any context. For one caller, once.
    pub(crate) fn shut(&self) {
        // Counting the closer in makes exactly one leave see the count fall to zero after the gate has closed, be it
        // the closer's own or the last visitor's; a late visitor that finds it closed may make it zero once more,
        // and an extra `up` on a semaphore that nobody waits for any more harms nothing.
        self.state.fetch_add(1, Ordering::AcqRel);
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        self.leave();
    }

    /// What `close` waits for, after `shut`. Blocks. For one caller, once.
    pub(crate) fn wait(&self) -> bool {
        self.drained.down();
        self.is_empty()
    }

    /// Whether it is closed and everybody is out.
    pub(crate) fn is_empty(&self) -> bool {
        // A late visitor that finds it closed is no visitor, but may be seen here for a moment.
        self.state.load(Ordering::Acquire) == CLOSED || !self.called_off.load(Ordering::Acquire)
    }

    /// After `shut`: whether everybody is out. Any context.
    pub(crate) fn has_drained(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Ends the wait of `close`, now or to come: a visitor may never leave. Any context.
    pub(crate) fn call_off(&self) {
        self.called_off.store(true, Ordering::Release);
        self.drained.up();
    }

    /// Whether `close` was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }
}

#[cfg(test)]
#[path = "gate_test.rs"]
mod tests;
