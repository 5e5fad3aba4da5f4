//! Runs each scenario of a table in a process of its own: what one leaves behind, or hangs in, is none of the next.
//!
//! The process is this program, started again with the scenario's name in the environment. A scenario that hangs is ended
//! after its time, and fails by name.

use libtest_mimic::Failed;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names the scenario that this process is to run.
pub const SCENARIO: &str = "LKLFS_CONFORMANCE_SCENARIO";

/// The scenario that this process was started for, if it was.
pub fn wanted() -> Option<String> {
    std::env::var(SCENARIO).ok()
}

/// Runs the scenario of that name.
pub fn run(table: &[(&str, fn())], wanted: &str) {
    let (_, scenario) = table
        .iter()
        .find(|(name, _)| *name == wanted)
        .expect("a scenario of the table");
    scenario();
}

/// Starts a process for a scenario and waits for it. What it has said comes with a failure.
pub fn in_a_process(name: &str, limit: Duration) -> Result<(), Failed> {
    let log = tempfile::NamedTempFile::new()?;
    let mut child = Command::new(std::env::current_exe()?)
        .env(SCENARIO, name)
        .env("RUST_BACKTRACE", "1")
        // glibc reserves 64 MiB for a thread that finds its heaps busy. How often that happens is chance, and scenarios count
        // what is mapped.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::null())
        .stdout(log.reopen()?)
        .stderr(log.reopen()?)
        .spawn()?;
    let start = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = || String::from_utf8_lossy(&std::fs::read(log.path()).unwrap_or_default()).into_owned();
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}\n{}", said()).into()),
        None => Err(format!("still running after {limit:?}\n{}", said()).into()),
    }
}
