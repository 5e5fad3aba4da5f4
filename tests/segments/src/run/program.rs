//! The script's program: a thread for each call.

use super::Outcome;
use crate::calls::Prepared;
use crate::calls::raw;
use crate::script::values::Call;
use lkl::{Errno, Kernel};
use lkl_host_virtual::{Bell, Task, World};
use lkl_net::Namespace;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A call that is under way.
pub struct Pending {
    /// As the script has it.
    pub call: Option<Call>,
    /// When it is to return, since the script's start.
    pub until: u64,
    outcome: Arc<Mutex<Option<Outcome>>>,
    task: Task<()>,
}

impl Pending {
    /// Makes a call in a thread; `bell` rings when it has returned.
    pub fn start(
        kernel: &Kernel,
        world: &World,
        bell: &Arc<Bell>,
        mut prepared: Prepared,
        namespace: Option<Namespace>,
    ) -> io::Result<Pending> {
        let outcome = Arc::new(Mutex::new(None));
        let (its_outcome, its_bell) = (Arc::clone(&outcome), Arc::clone(bell));
        let (kernel, its_world) = (kernel.clone(), world.clone());
        let task = world.spawn(move || {
            let result: Result<u64, Errno> =
                raw::call(&kernel, namespace.as_ref(), prepared.number, &mut prepared.memory);
            let at = its_world.elapsed_ns();
            *its_outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some((prepared, result, at));
            its_bell.ring();
        })?;
        Ok(Pending {
            call: None,
            until: 0,
            outcome,
            task,
        })
    }

    /// Whether it has returned, and what it returned was not taken yet.
    pub fn is_over(&self) -> bool {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Takes what it returned, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for the thread's end. The call.
    pub fn join(self) -> Option<Call> {
        let _ = self.task.join();
        self.call
    }
}
