//! What a function of the driver must leave as it found it.

use crate::{nt::KIRQL, ps::Thread};

/// What a driver must leave as it was.
pub(super) struct State {
    irql: KIRQL,
    critical: i32,
    guarded: i32,
    held: usize,
}

impl State {
    pub(super) fn of(thread: &Thread) -> Self {
        Self {
            irql: thread.irql.get(),
            critical: thread.critical_regions.get(),
            guarded: thread.guarded_regions.get(),
            held: thread.held().len(),
        }
    }

    /// DISPATCH_LEVEL or above.
    pub(super) fn at_dispatch_level(&self) -> bool {
        self.irql >= 2
    }

    pub(super) fn check(&self, thread: &Thread, function: usize) {
        let now = Self::of(thread);
        let name = crate::loader::describe(function);
        if now.irql != self.irql {
            crate::fail!(
                IrqlMismatch,
                "{name} was called at IRQL {} and returned at {}",
                self.irql,
                now.irql
            );
        }
        if (now.critical, now.guarded) != (self.critical, self.guarded) {
            crate::fail!(
                CriticalRegion,
                "{name} was called with {} critical and {} guarded regions and returned with {} and {}",
                self.critical,
                self.guarded,
                now.critical,
                now.guarded
            );
        }
        // A resource may be handed to another thread or kept by design (AcquireForLazyWrite and the like), but a spin
        // lock or mutex may not.
        let kept = thread
            .held()
            .iter()
            .skip(self.held)
            .copied()
            .find(|lock| lock.short());
        if let Some(lock) = kept {
            let place = crate::loader::describe(lock.place);
            crate::fail!(
                LockOwner,
                "{name} returned with {:?} {:#x} held since {place}",
                lock.kind,
                lock.address
            );
        }
    }
}
