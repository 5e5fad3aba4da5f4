//! Damaged images from the test suites of e2fsprogs and btrfs-progs, run through `userctl` in bounded time.
//!
//! The images come in the distribution's source packages, which its own package manager fetches: a list of sources is
//! derived from this machine's, so no address is written down here. They are unpacked into the cache once (`sources`). Each is then
//! read by `userctl manifest` in a process of its own. What comes of it is one of:
//!
//! - `ok`: every entry was read; many of the images are damaged in ways that only a repair program sees.
//! - `refused`: one clear line and a documented exit code.
//! - `panic`: Linux panicked; `userctl` contained it and said so.
//! - `timeout`: `userctl` gave up at its own time limit.
//! - `crash` (a signal) and `hang` (not even the time limit worked), and output that breaks the rules: these fail.
//!
//! No image from here ever meets this machine's kernel.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[path = "corpora_sources.rs"]
mod sources;

/// What to run, over what, for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The userctl to test [default: the one beside this program]
    #[arg(long)]
    pub userctl: Option<PathBuf>,
    /// Stop starting new images after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 160)]
    pub budget: u64,
    /// The time limit of one image
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub limit: u64,
    /// Only images whose name contains this
    #[arg(long, default_value = "")]
    pub only: String,
    /// How many at a time
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// Print a line for each image
    #[arg(long)]
    pub verbose: bool,
}

/// Images of everything that util-linux' `blkid` has a name for, by their names in its test suite.
pub fn named_images() -> io::Result<Vec<(String, PathBuf)>> {
    sources::images(sources::NAMED)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Refused,
    Panic,
    Timeout,
    Crash,
    Hang,
    /// No documented exit code, or not one line for a failure.
    Unruly,
}

/// Runs `userctl` over the images; fails if any crashed, hung or broke the rules, or if there was none.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let program = match &options.userctl {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("userctl"),
    };
    if !program.is_file() {
        return Err(io::Error::other(format!(
            "{}: no userctl there; build it or use --userctl",
            program.display()
        )));
    }
    let mut images = sources::images(sources::DAMAGED)?;
    images.retain(|(name, _)| name.contains(&options.only));
    // A fixed order in which neighbours differ, so that a run that is cut short has seen something of everything.
    images.sort_by_key(|(name, _)| {
        name.bytes()
            .fold(7, |sum, byte| crate::content::mix(sum ^ u64::from(byte)))
    });
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while started.elapsed() < Duration::from_secs(options.budget) {
                    let Some((name, image)) = images.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    let began = Instant::now();
                    let (outcome, said) = match try_one(&program, image, Duration::from_secs(options.limit)) {
                        Ok(result) => result,
                        Err(error) => (Outcome::Unruly, error.to_string()),
                    };
                    if options.verbose {
                        println!("{outcome:?} {name} ({} ms): {said}", began.elapsed().as_millis());
                    }
                    results
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((outcome, name, said));
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(_, name, _)| (*name).clone());
    report(&results, images.len(), started.elapsed())
}

fn report(results: &[(Outcome, &String, String)], all: usize, time: Duration) -> io::Result<ExitCode> {
    use Outcome::{Crash, Hang, Ok, Panic, Refused, Timeout, Unruly};
    for (outcome, name, said) in results
        .iter()
        .filter(|(outcome, ..)| !matches!(outcome, Ok | Refused))
    {
        println!("{outcome:?}: {name}: {said}");
    }
    let count = |wanted| results.iter().filter(|(outcome, ..)| *outcome == wanted).count();
    let bad = count(Crash) + count(Hang) + count(Unruly);
    println!(
        "damaged images: {} of {all} run in {} s: {} ok, {} refused, {} panics contained, {} timeouts, {} crashes, \
         {} hangs, {} unruly",
        results.len(),
        time.as_secs(),
        count(Ok),
        count(Refused),
        count(Panic),
        count(Timeout),
        count(Crash),
        count(Hang),
        count(Unruly)
    );
    Result::Ok(if bad == 0 && !results.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn try_one(program: &Path, image: &Path, limit: Duration) -> io::Result<(Outcome, String)> {
    let mut child = Command::new(program)
        .arg("manifest")
        .arg(image)
        .arg("--timeout")
        .arg(limit.as_secs().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = child.stderr.take().ok_or_else(|| io::Error::other("no stderr"))?;
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    // Its own limit, and as much again as a loaded machine may need to act on it.
    let status = wait(&mut child, limit * 2 + Duration::from_secs(10))?;
    let said = reader.join().unwrap_or_default();
    let last = said.lines().last().unwrap_or_default().to_string();
    let orderly = said.lines().all(|line| line.starts_with("userctl: "));
    let outcome = match status.map(|status| status.code()) {
        None => Outcome::Hang,
        Some(None) => Outcome::Crash,
        Some(Some(0)) if said.is_empty() || orderly => Outcome::Ok,
        _ if !orderly || said.is_empty() => Outcome::Unruly,
        Some(Some(4..=6)) => Outcome::Refused,
        Some(Some(7)) => Outcome::Panic,
        Some(Some(9)) => Outcome::Timeout,
        _ => Outcome::Unruly,
    };
    let status = status.map_or_else(|| "killed".to_string(), |status| status.to_string());
    Ok((outcome, if last.is_empty() { status } else { last }))
}

/// Waits for the end of a child until `limit`, and ends it then. `None`: it had to be ended.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
