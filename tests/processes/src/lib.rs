//! Programs under test, as processes: they are started, waited for with a patience that ends, and judged by their exit code and what
//! they say.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// No end and no beginning takes so long.
pub const LONGEST: Duration = Duration::from_secs(120);

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none where a signal has ended it.
    pub code: Option<i32>,
    /// What it has written to standard output.
    pub out: String,
    /// What it has written to standard error.
    pub err: String,
}

impl Run {
    /// Waits for the end of what was started, whose outputs are pipes. What takes longer is killed, and fails.
    pub fn of(child: Child, longest: Duration) -> Run {
        let pid = child.id();
        let (ended, watch) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let late = watch.recv_timeout(longest) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                kill(pid, "KILL");
            }
            late
        });
        let output = child.wait_with_output().expect("waited for");
        drop(ended);
        let late = watchdog.join().expect("no panic");
        let run = Run {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!late, "it did not end: {run:?}");
        run
    }

    /// It went well.
    pub fn well(self) -> Run {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    /// It failed so, with these words.
    pub fn fails(self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(self.err.contains(words), "{}", self.err);
    }
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Server(pub Child);

impl Server {
    /// Ends it by SIGTERM: its exit code.
    pub fn end(mut self) -> Option<i32> {
        kill(self.0.id(), "TERM");
        ended(&mut self.0).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal.
pub fn kill(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status();
    assert!(sent.expect("kill").success());
}

/// Waits for the end of a process, which is killed after [`LONGEST`].
pub fn ended(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + LONGEST;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if Instant::now() > end {
            child.kill().expect("killed");
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until something holds, [`LONGEST`] at most.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + LONGEST;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The processes that there are: their numbers, and their arguments with a zero behind each.
pub fn command_lines() -> Vec<(u32, Vec<u8>)> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // It may be gone by now.
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            Some((pid, line))
        })
        .collect()
}

/// Whether a `sleep` with this argument is there.
pub fn sleeps(argument: &str) -> bool {
    command_lines().iter().any(|(_, line)| {
        let mut words = line.split(|byte| *byte == 0);
        line.starts_with(b"sleep") && words.any(|word| word == argument.as_bytes())
    })
}
