//! The time limit: a damaged image must not make a program hang.
//!
//! Two bounds are watched by one thread. `--timeout` bounds the whole run. And always, a run that makes no progress at
//! all for [`STALL`] — no call into Linux has returned and no read of the image has ended — is given up. Linux may be
//! looping on the thread that called it and cannot be stopped from outside, so the end is the end of the process: first
//! the program removes what it has half written ([`Limit::clean_up`]), then one line is printed, then the process exits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::exit::Exit;
use crate::program::Program;

/// How long nothing at all may happen.
pub const STALL: Duration = Duration::from_secs(120);

/// How often the thread looks.
const TICK: Duration = Duration::from_millis(100);

static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// Tells that something has been done.
pub fn progress() {
    PROGRESS.fetch_add(1, Ordering::Relaxed);
}

/// What is watched.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Whose run it is.
    pub program: Program,
    /// What is being read, for the message.
    pub subject: String,
    /// How long the whole run may take.
    pub timeout: Option<Duration>,
    /// Whether it is too late to end the run, since all is done.
    pub is_finished: fn() -> bool,
    /// Removes what is half written.
    pub clean_up: fn(),
}

/// Starts the thread that ends the process when the time is over or nothing happens for [`STALL`].
pub fn start(limit: Limit) {
    let (started, timeout, program) = (Instant::now(), limit.timeout, limit.program);
    let watch = move || {
        let mut last = (PROGRESS.load(Ordering::Relaxed), Instant::now());
        loop {
            let rest = timeout.map_or(TICK, |timeout| {
                timeout.saturating_sub(started.elapsed()).min(TICK)
            });
            std::thread::sleep(rest);
            if (limit.is_finished)() {
                return;
            }
            if let Some(timeout) = timeout.filter(|&timeout| started.elapsed() >= timeout) {
                let seconds = timeout.as_secs_f64();
                let option = program.timeout;
                limit.give_up(&format!(
                    "the time limit of {seconds} seconds passed; allow more with {option}"
                ));
            }
            let now = PROGRESS.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() >= STALL {
                let seconds = STALL.as_secs();
                limit.give_up(&format!(
                    "no progress for {seconds} seconds; the file system is damaged, repair a copy"
                ));
            }
        }
    };
    // Without the thread there is no limit; the work itself can still be done.
    if let Err(error) = std::thread::Builder::new().name("watchdog".into()).spawn(watch) {
        program.warn(format_args!("no time limit: {}", crate::exit::reason(&error)));
    }
}

impl Limit {
    fn give_up(&self, why: &str) -> ! {
        (self.clean_up)();
        eprintln!("{}: {}: {why}", self.program.name, self.subject);
        std::process::exit(i32::from(Exit::Timeout as u8));
    }
}
