//! Moments: numbered points in a run, at any of which something may happen from outside.
//!
//! There are two kinds: each call of an import by a driver, and each read request of any disk. A counting run
//! ([`start`], [`count`]) tells how many there are; another run arms one of them ([`arm`]), and whoever waits for it
//! ([`Armed::wait`]) acts while the thread that has reached it stands still there for a moment. So what happens from
//! outside happens at that point or close behind it, whatever the thread holds.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread that reaches an armed moment stands still, at most.
const STANDSTILL: Duration = Duration::from_millis(2);

/// What is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls of imports.
    Import,
    /// Reads that come to disks.
    DiskRead,
}

static RUNNING: AtomicBool = AtomicBool::new(false);
static COUNTS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
/// The armed moment of each kind; 0 for none.
static ARMED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
static TELL: Mutex<Option<(Sender<()>, Receiver<()>)>> = Mutex::new(None);

const fn slot(kind: Kind) -> usize {
    match kind {
        Kind::Import => 0,
        Kind::DiskRead => 1,
    }
}

/// Counts from now on, from zero.
pub fn start() {
    for count in &COUNTS {
        count.store(0, Ordering::SeqCst);
    }
    RUNNING.store(true, Ordering::SeqCst);
}

/// Stops counting and says how many moments of a kind there were.
pub fn count(kind: Kind) -> u64 {
    RUNNING.store(false, Ordering::SeqCst);
    COUNTS[slot(kind)].load(Ordering::SeqCst)
}

/// An armed moment. Dropped, it is not armed any more.
pub struct Armed {
    reached: Receiver<()>,
    go_on: Sender<()>,
}

/// Counts from zero and arms the `number`th moment of a kind, from 1.
pub fn arm(kind: Kind, number: u64) -> Armed {
    let (told, reached) = channel();
    let (go_on, released) = channel();
    *TELL.lock().unwrap_or_else(PoisonError::into_inner) = Some((told, released));
    ARMED[slot(kind)].store(number, Ordering::SeqCst);
    start();
    Armed { reached, go_on }
}

impl Armed {
    /// Waits until the moment has come; false when it has not within `limit`.
    pub fn wait(&self, limit: Duration) -> bool {
        self.reached.recv_timeout(limit) != Err(RecvTimeoutError::Timeout)
    }

    /// The thread that stands still may go on before its time.
    pub fn release(&self) {
        // It may have gone on already.
        let _ = self.go_on.send(());
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        for armed in &ARMED {
            armed.store(0, Ordering::SeqCst);
        }
        RUNNING.store(false, Ordering::SeqCst);
        *TELL.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// One more moment of a kind has come.
pub fn pass(kind: Kind) {
    if !RUNNING.load(Ordering::Relaxed) {
        return;
    }
    let number = COUNTS[slot(kind)].fetch_add(1, Ordering::SeqCst) + 1;
    if ARMED[slot(kind)].load(Ordering::Relaxed) != number {
        return;
    }
    let told = TELL.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((tell, released)) = told {
        // Nobody may wait any more.
        let _ = tell.send(());
        let _ = released.recv_timeout(STANDSTILL);
    }
}

/// What a thread that pauses waits for, and from which step on.
struct Pause {
    at: u64,
    until: Box<dyn Fn() -> bool>,
    limit: Duration,
}

thread_local! {
    static STEPS: Cell<Option<u64>> = const { Cell::new(None) };
    static PAUSE: RefCell<Option<Pause>> = const { RefCell::new(None) };
}

/// The calling thread counts its steps. Dropped, it does so no more.
pub struct Steps(());

/// The calling thread counts its steps from now on, and stands still at step `at` (from 1; 0 for none) until `until` is true,
/// or for `limit` if it cannot become true there.
pub fn pause_here(at: u64, limit: Duration, until: impl Fn() -> bool + 'static) -> Steps {
    let until = Box::new(until);
    PAUSE.with(|pause| *pause.borrow_mut() = Some(Pause { at, until, limit }));
    STEPS.set(Some(0));
    Steps(())
}

impl Steps {
    /// How many steps there were.
    pub fn count(&self) -> u64 {
        STEPS.get().unwrap_or(0)
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        STEPS.set(None);
        PAUSE.with(|pause| *pause.borrow_mut() = None);
    }
}

/// The calling thread is about to call an import, or has called it.
pub fn step() {
    let Some(before) = STEPS.get() else { return };
    STEPS.set(Some(before + 1));
    PAUSE.with(|pause| {
        let Ok(pause) = pause.try_borrow() else { return };
        let Some(pause) = pause.as_ref().filter(|pause| pause.at == before + 1) else {
            return;
        };
        let end = Instant::now() + pause.limit;
        while !(pause.until)() && Instant::now() < end {
            std::thread::sleep(Duration::from_micros(50));
        }
    });
}
