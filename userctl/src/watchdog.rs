//! The time limit: a damaged image must not make `userctl` hang.
//!
//! Two bounds are watched by one thread. `--timeout` bounds the whole run. And always, a run that makes no progress at
//! all for [`STALL`] — no call into Linux has returned and no read of the image has ended — is given up. Linux may be
//! looping on the thread that called it and cannot be stopped from outside, so the end is the end of the process: first
//! what `cp` has half written is removed (`scratch`), then one line is printed, then the process exits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::exit::Exit;
use crate::scratch;

/// How long nothing at all may happen.
pub const STALL: Duration = Duration::from_secs(120);

/// How often the thread looks.
const TICK: Duration = Duration::from_millis(100);

static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// Tells that something has been done.
pub fn progress() {
    PROGRESS.fetch_add(1, Ordering::Relaxed);
}

/// Starts the thread that ends the process when `timeout` passes or nothing happens for [`STALL`]. `subject` names
/// what is being read, for the message.
pub fn start(timeout: Option<Duration>, subject: String) {
    let started = Instant::now();
    let watch = move || {
        let mut last = (PROGRESS.load(Ordering::Relaxed), Instant::now());
        loop {
            let rest = timeout.map_or(TICK, |timeout| {
                timeout.saturating_sub(started.elapsed()).min(TICK)
            });
            std::thread::sleep(rest);
            if scratch::is_finished() {
                return;
            }
            if let Some(timeout) = timeout.filter(|&timeout| started.elapsed() >= timeout) {
                let seconds = timeout.as_secs_f64();
                give_up(
                    &subject,
                    &format!("the time limit of {seconds} seconds passed; allow more with --timeout"),
                );
            }
            let now = PROGRESS.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() >= STALL {
                let seconds = STALL.as_secs();
                give_up(
                    &subject,
                    &format!("no progress for {seconds} seconds; the file system is damaged, repair a copy"),
                );
            }
        }
    };
    // Without the thread there is no limit; the work itself can still be done.
    if let Err(error) = std::thread::Builder::new().name("watchdog".into()).spawn(watch) {
        eprintln!("userctl: warning: no time limit: {}", crate::exit::reason(&error));
    }
}

fn give_up(subject: &str, why: &str) -> ! {
    scratch::remove_all();
    eprintln!("userctl: {subject}: {why}");
    std::process::exit(i32::from(Exit::Timeout as u8));
}
