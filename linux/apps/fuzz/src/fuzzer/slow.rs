//! Ends the program when an execution has run for too long: that is the end of this input, and no finding.
//!
//! What counts is what the program's threads have run, not the clock, so that a busy machine ends no input. Nothing takes the processor from
//! Linux's code, and its own clock stands still while it runs, so that the program ends with it, and another one goes on. The input is
//! kept in the folder that `LKLFS_FUZZ_SLOW` names; without that variable, as when one input is run once, there is no limit.
//
// UNSAFETY: the clock of the process is read.

use crate::death;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Names the folder.
const SLOW: &str = "LKLFS_FUZZ_SLOW";
/// What an execution may take. An ordinary one takes a hundredth of a second at most.
const MOST: Duration = Duration::from_secs(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// The input that is run, and when it was begun.
static RUNNING: Mutex<Option<(Vec<u8>, Duration)>> = Mutex::new(None);

/// What the process has run.
fn spent() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it fills the structure.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let (seconds, rest) = (time.tv_sec.try_into(), time.tv_nsec.try_into());
    Duration::new(seconds.unwrap_or(0), rest.unwrap_or(0))
}

fn running() -> std::sync::MutexGuard<'static, Option<(Vec<u8>, Duration)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a thread look, if there is a folder.
pub fn watch() {
    let Some(folder) = std::env::var_os(SLOW).map(PathBuf::from) else {
        return;
    };
    let look = move || {
        loop {
            std::thread::sleep(LOOK);
            let Some((input, begun)) = &*running() else {
                continue;
            };
            if spent().saturating_sub(*begun) > MOST {
                let place = folder.join(format!("slow-{}", std::process::id()));
                let _ = std::fs::create_dir_all(&folder);
                let _ = std::fs::write(&place, input);
                death::leave(&format!("an input was too slow: {}", place.display()));
            }
        }
    };
    std::thread::Builder::new().spawn(look).expect("a thread");
}

/// An input begins.
pub fn begin(input: &[u8]) {
    *running() = Some((input.to_vec(), spent()));
}

/// It has ended.
pub fn end() {
    *running() = None;
}
