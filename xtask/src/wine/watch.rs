//! Waits for a program that may hang, on a machine that may have little time for it.
//!
//! A limit in seconds is too short on a starved machine or too long to wait for on an idle one. So a program is taken for
//! hung when, for some time, none of the processes that belong to it has used the processor: on a starved machine they are
//! slow, but they get on. One that runs in a circle does use the processor; for that there is a last moment.
//!
//! Which processes belong to it is told by a variable in their environment ([`Mark`]), which only what we have started
//! has: Wine's server and services leave their parents and their process groups, but keep that. They are ended one by one,
//! by their numbers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How often it is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How often it is looked what the processes have done.
const MEASURE: Duration = Duration::from_secs(1);
/// Less processor time than this (in 1/100 s) between two measurements is what idle services use, and no progress: however
/// long they go on with that.
const IDLE_TICKS: u64 = 5;

/// Why a program was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It stood still for so long.
    Still(Duration),
    /// It still ran at the last moment.
    Late,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Still(time) => write!(f, "stood still for {} s and was ended", time.as_secs()),
            Cut::Late => f.write_str("still ran when all the time was over, and was ended"),
        }
    }
}

/// Tells processes by a variable of their environment.
pub struct Mark(OsString);

/// The processes with a mark: their numbers, and the processor time of each, in 1/100 s.
type Processes = BTreeMap<u32, u64>;

impl Mark {
    /// The variable `name` with the value `path`.
    pub fn new(name: &str, path: &Path) -> Mark {
        let mut mark = OsString::from(name);
        mark.push("=");
        mark.push(path);
        Mark(mark)
    }

    /// Those that have it.
    fn processes(&self) -> Result<Processes> {
        let mut found = Processes::new();
        for entry in fs::read_dir("/proc").context("this needs /proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // Others' processes are not readable, and ours may end meanwhile.
            if self.is_on(pid)
                && let Some(ticks) = ticks(pid)
            {
                found.insert(pid, ticks);
            }
        }
        Ok(found)
    }

    /// The names of those that have it.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.processes()?.into_keys().filter_map(name).collect())
    }

    fn is_on(&self, pid: u32) -> bool {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|variables| {
            variables
                .split(|byte| *byte == 0)
                .any(|variable| variable == self.0.as_encoded_bytes())
        })
    }

    /// Waits until there are none; those that are still there after `time` are ended. Their names.
    pub fn end_all(&self, time: Duration) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        let mut start = Instant::now();
        loop {
            let left = self.processes()?;
            if left.is_empty() {
                return Ok(ended);
            }
            if start.elapsed() > time {
                ensure!(
                    ended.len() < 1000,
                    "processes come faster than they can be ended: {}",
                    ended.join(", ")
                );
                for pid in left.into_keys() {
                    ended.extend(self.end(pid));
                }
                start = Instant::now();
            }
            thread::sleep(LOOK);
        }
    }

    /// Ends one, if it is still what it was. Its name.
    fn end(&self, pid: u32) -> Option<String> {
        let name = name(pid)?;
        // A number may be another process's by now.
        if !self.is_on(pid) {
            return None;
        }
        let ended = Command::new("sh")
            .args(["-c", "kill -KILL \"$1\"", "sh", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ended
            .is_ok_and(|status| status.success())
            .then(|| format!("{name} ({pid})"))
    }
}

/// The name of a process, its first 15 bytes.
fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// The processor time of a process, in 1/100 s; `None` when it has ended.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything. Then: state, and ten numbers before the time as a user and in the kernel.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next() == Some("Z") {
        return None;
    }
    let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
    Some(number(10)? + number(0)?)
}

/// Whether anything has got on between two looks: a process came or went, or time was used.
fn got_on(before: &Processes, now: &Processes) -> bool {
    let used: u64 = now
        .iter()
        .filter_map(|(pid, ticks)| ticks.checked_sub(*before.get(pid)?))
        .sum();
    used >= IDLE_TICKS || !before.keys().eq(now.keys())
}

/// Waits for `child`, whose processes have `mark`. Ends them all when none has got on for `still`, or at `end`.
pub fn wait(
    child: &mut Child,
    mark: &Mark,
    still: Duration,
    end: Instant,
) -> Result<Result<ExitStatus, Cut>> {
    let mut before = Processes::new();
    let mut since = Instant::now();
    let mut measured = since;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ok(status));
        }
        let now = Instant::now();
        let mut cut = (now >= end).then_some(Cut::Late);
        if now.duration_since(measured) >= MEASURE {
            measured = now;
            let processes = mark.processes()?;
            if got_on(&before, &processes) {
                since = now;
            } else if now.duration_since(since) >= still {
                cut = Some(Cut::Still(still));
            }
            before = processes;
        }
        if let Some(cut) = cut {
            child.kill()?;
            child.wait()?;
            mark.end_all(Duration::ZERO)?;
            return Ok(Err(cut));
        }
        thread::sleep(LOOK);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn started(script: &str, value: &Path) -> (Child, Mark) {
        let child = Command::new("sh")
            .args(["-c", script])
            .env("LKLFS_TEST_MARK", value)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        (child, Mark::new("LKLFS_TEST_MARK", value))
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_program_that_ends_is_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let (mut child, mark) = started("exit 7", place.path());
        let end = Instant::now() + seconds(60);
        let ended = wait(&mut child, &mark, seconds(60), end).unwrap();
        assert_eq!(ended.unwrap().code(), Some(7));
    }

    #[test]
    fn one_that_stands_still_is_ended_with_all_it_started() {
        let place = tempfile::tempdir().unwrap();
        // A child in a session of its own, as Wine's services are.
        let (mut child, mark) = started("setsid sleep 1000 & sleep 1000", place.path());
        let end = Instant::now() + seconds(60);
        let ended = wait(&mut child, &mark, seconds(2), end).unwrap();
        assert_eq!(ended, Err(Cut::Still(seconds(2))));
        assert!(mark.processes().unwrap().is_empty());
    }

    /// Wine's server, beside a program that hangs, now and then has something to do.
    #[test]
    fn services_that_use_little_for_long_do_not_hide_one_that_stands_still() {
        let place = tempfile::tempdir().unwrap();
        // One process, which makes no others: those would be progress.
        let trickle =
            "exec 3<> <(:); while :; do for ((i = 0; i < 2000; i++)); do :; done; read -t 0.5 -u 3; done";
        let trickle = format!("bash -c '{trickle}' & sleep 1000");
        let (mut child, mark) = started(&trickle, place.path());
        let end = Instant::now() + seconds(30);
        let ended = wait(&mut child, &mark, seconds(8), end).unwrap();
        assert_eq!(ended, Err(Cut::Still(seconds(8))));
    }

    #[test]
    fn one_that_gets_on_slowly_is_not_ended_before_the_last_moment() {
        let place = tempfile::tempdir().unwrap();
        let (mut child, mark) = started("while :; do :; done", place.path());
        let end = Instant::now() + seconds(5);
        let ended = wait(&mut child, &mark, seconds(2), end).unwrap();
        assert_eq!(ended, Err(Cut::Late));
        assert!(mark.processes().unwrap().is_empty());
    }

    #[test]
    fn what_is_ended_has_the_mark_and_is_named() {
        let place = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let (mut child, mark) = started("exec sleep 1000", place.path());
        let (mut bystander, its) = started("exec sleep 1000", other.path());
        let pid = child.id();
        // Its environment is there once the program has been started.
        while !mark.is_on(pid) || !its.is_on(bystander.id()) {
            thread::sleep(LOOK);
        }
        assert_eq!(mark.end_all(Duration::ZERO).unwrap(), [format!("sleep ({pid})")]);
        assert!(!child.wait().unwrap().success());
        assert!(its.is_on(bystander.id()), "a process without the mark was ended");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[test]
    fn idle_services_are_no_progress() {
        let before = Processes::from([(1, 10), (2, 20)]);
        assert!(!got_on(&before, &Processes::from([(1, 12), (2, 20)])));
        assert!(got_on(&before, &Processes::from([(1, 12), (2, 23)])));
        assert!(got_on(&before, &Processes::from([(1, 10)])));
        assert!(got_on(&before, &Processes::from([(1, 10), (3, 20)])));
    }
}
