//! Suspended threads.
//!
//! NT suspends a thread by a normal kernel APC, which waits in it until it is resumed. It is delivered as soon as the thread
//! is at PASSIVE_LEVEL outside of critical and guarded regions, in the middle of a driver too. Any program may suspend the
//! threads that it has a handle to; those of the system's process are none of its.
//!
//! Here that moment is a call of an import. [`within`] suspends a thread of the user's at the n-th call from now on, or at
//! the first after it where NT would, while others act; with `NTOS_SEED` every such thread is now and then suspended for
//! some milliseconds. What a suspended thread keeps from others stops them for as long: a watch
//! ([`crate::verifier::hang`]) that ends while a thread is suspended in a driver says so under a name of its own.

use super::Thread;
use crate::verifier::choose::choose;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One call in how many suspends a thread for a moment, when there is a seed.
const RARITY: u64 = 512;

type Ends = (Sender<()>, Receiver<()>);

/// What the one thread that is to be suspended tells, and waits for.
static ENDS: Mutex<Option<Ends>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// Threads that are suspended while they are in a driver.
static SUSPENDED: AtomicU32 = AtomicU32::new(0);

/// Whether a thread is suspended in a driver.
pub fn any() -> bool {
    SUSPENDED.load(Ordering::Acquire) != 0
}

/// What came of [`within`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The thread was suspended, and resumed after the others had acted.
    Suspended,
    /// It had no such call, or none where it could be suspended.
    Never,
}

/// Runs `act` on a thread of the user's that is suspended at its `number`th call of an import, from 1, or at the first
/// after it where it may be; runs `meanwhile` while it stands there, and resumes it.
pub fn within(number: u64, act: impl FnOnce() + Send, meanwhile: impl FnOnce()) -> Came {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (told, stands) = channel();
    let (resume, resumed) = channel();
    *ENDS.lock().unwrap_or_else(PoisonError::into_inner) = Some((told, resumed));
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let _over = Over;
            super::current().suspend_after.set(number);
            act();
            super::current().suspend_after.set(0);
        });
        let came = match stands.recv() {
            Ok(()) => {
                meanwhile();
                Came::Suspended
            }
            Err(_) => Came::Never,
        };
        let _ = resume.send(());
        let ended = runs.join();
        assert!(ended.is_ok(), "the thread that was suspended panicked");
        came
    })
}

/// The thread has done what it had to: without the sender, the other side knows that it is not suspended any more.
struct Over;

impl Drop for Over {
    fn drop(&mut self) {
        drop(ENDS.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A call of an import by a driver: the thread may be suspended here.
pub(crate) fn point(thread: &Thread) {
    if thread.is_system {
        return;
    }
    let due = match thread.suspend_after.get() {
        0 => choose(RARITY) == 1,
        1 => true,
        left => {
            thread.suspend_after.set(left - 1);
            false
        }
    };
    let may =
        thread.irql.get() == 0 && thread.critical_regions.get() == 0 && thread.guarded_regions.get() == 0;
    if !due || !may {
        return;
    }
    SUSPENDED.fetch_add(1, Ordering::AcqRel);
    if thread.suspend_after.replace(0) == 0 {
        std::thread::sleep(Duration::from_millis(3));
    } else {
        let ends = ENDS.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((tell, resumed)) = ends {
            // If nobody waits for it any more, it goes on at once.
            if tell.send(()).is_ok() {
                drop(tell);
                while resumed.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {}
            }
        }
    }
    SUSPENDED.fetch_sub(1, Ordering::AcqRel);
}
