//! Ending when it is asked for: SIGINT, SIGTERM and SIGHUP, Ctrl-C and Ctrl-Break on Windows.
//!
//! A program that has a volume mounted for writing must not just die: what Linux holds back would be lost, as if the power had
//! failed. So the first request is only noted, and told to who waits for it; the program ends its work, unmounts and exits. A
//! second one ends the program at once, for whom that takes too long.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::program::Program;

/// Whether the program was asked to end.
#[derive(Clone)]
pub struct Interruption {
    shared: Arc<Shared>,
}

type Act = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requested: bool,
    acts: Vec<Act>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program is asked to end. False: it has been before.
    fn request(&self) -> bool {
        let mut state = self.state();
        if state.requested {
            return false;
        }
        state.requested = true;
        let acts = std::mem::take(&mut state.acts);
        drop(state);
        self.changed.notify_all();
        for act in acts {
            act();
        }
        true
    }
}

impl Interruption {
    /// Listens from now on. A program does this once, before it mounts anything.
    pub fn watch(program: Program) -> Interruption {
        let shared = Arc::new(Shared::default());
        let listener = Arc::clone(&shared);
        let handler = move || {
            if !listener.request() {
                let name = program.name;
                eprintln!("{name}: ended at once; what was not written to the image yet is lost");
                std::process::exit(i32::from(Exit::Interrupted as u8));
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            let error = std::io::Error::other(error);
            program.warn(format_args!("interrupts are not handled: {}", reason(&error)));
        }
        Interruption { shared }
    }

    /// Whether it was asked for.
    pub fn is_requested(&self) -> bool {
        self.shared.state().requested
    }

    /// A failure once it was asked for: for loops that go on as long as this does.
    pub fn check(&self) -> Result<(), Failure> {
        match self.is_requested() {
            true => Err(Failure::new(Exit::Interrupted, "interrupted")),
            false => Ok(()),
        }
    }

    /// Waits until it is asked for.
    pub fn wait(&self) {
        let mut state = self.shared.state();
        while !state.requested {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Does something when it is asked for, on a thread of its own; at once if it has been.
    pub fn then(&self, act: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.state();
        if state.requested {
            drop(state);
            act();
        } else {
            state.acts.push(Box::new(act));
        }
    }
}

impl std::fmt::Debug for Interruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let requested = self.is_requested();
        f.debug_struct("Interruption")
            .field("requested", &requested)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn the_first_request_is_told_to_all_who_wait_and_the_second_is_told_from_it() {
        let interruption = Interruption {
            shared: Arc::default(),
        };
        let acted = Arc::new(AtomicU32::new(0));
        let act = |interruption: &Interruption| {
            let acted = Arc::clone(&acted);
            interruption.then(move || {
                acted.fetch_add(1, Ordering::SeqCst);
            });
        };
        act(&interruption);
        assert_eq!(interruption.check(), Ok(()));
        let waiter = interruption.clone();
        let waiter = std::thread::spawn(move || waiter.wait());
        assert!(interruption.shared.request());
        waiter.join().unwrap();
        assert_eq!(interruption.check().unwrap_err().exit, Exit::Interrupted);
        assert_eq!(acted.load(Ordering::SeqCst), 1);
        act(&interruption);
        assert_eq!(acted.load(Ordering::SeqCst), 2);
        assert!(!interruption.shared.request());
    }
}
