//! What a subject has to do, and how long it takes.

use std::time::{Duration, Instant};

use anyhow::{Result as Anyhow, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::subject::{Started, Subject};

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Work {
    /// The big file from its beginning to its end in blocks of 4 KiB.
    #[value(name = "sequential-4k")]
    Sequential4K,
    /// In blocks of 64 KiB.
    #[value(name = "sequential-64k")]
    Sequential64K,
    /// In blocks of 1 MiB.
    #[value(name = "sequential-1m")]
    Sequential1M,
    /// Blocks of 4 KiB anywhere in the big file, by one thread.
    #[value(name = "random-4k-1")]
    Random1,
    /// By eight threads.
    #[value(name = "random-4k-8")]
    Random8,
    /// The names and attributes of a large folder.
    #[value(name = "list-stat")]
    List,
}

impl Work {
    /// All of them, in the order of the table.
    pub const ALL: [Work; 6] = [
        Work::Sequential4K,
        Work::Sequential64K,
        Work::Sequential1M,
        Work::Random1,
        Work::Random8,
        Work::List,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Work::Sequential4K => "sequential-4k",
            Work::Sequential64K => "sequential-64k",
            Work::Sequential1M => "sequential-1m",
            Work::Random1 => "random-4k-1",
            Work::Random8 => "random-4k-8",
            Work::List => "list-stat",
        }
    }

    /// What a second of it is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Work::Sequential4K | Work::Sequential64K | Work::Sequential1M => "MiB/s",
            Work::Random1 | Work::Random8 => "reads/s",
            Work::List => "entries/s",
        }
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Result {
    /// How the subject started.
    pub started: Started,
    /// Units a second, just mounted.
    pub cold: f64,
    /// Units a second, the second time.
    pub warm: f64,
}

/// The file and the folder that the image has.
const FILE: &str = "big";
const FOLDER: &str = "wide";

const MIB: f64 = (1 << 20) as f64;
const BLOCK: usize = 4096;
/// How long a listing may take: some look each name up by a search through the whole folder.
const ENOUGH: Duration = Duration::from_secs(15);
/// Random reads in all, whatever the number of threads.
const READS: u64 = 32_768;

/// Does `work` twice.
pub fn measure(subject: &dyn Subject, work: Work, started: Started) -> Anyhow<Result> {
    let cold = once(subject, work)?;
    let warm = once(subject, work)?;
    Ok(Result { started, cold, warm })
}

/// Units a second.
fn once(subject: &dyn Subject, work: Work) -> Anyhow<f64> {
    match work {
        Work::Sequential4K => sequential(subject, BLOCK),
        Work::Sequential64K => sequential(subject, 64 << 10),
        Work::Sequential1M => sequential(subject, 1 << 20),
        Work::Random1 => random(subject, 1),
        Work::Random8 => random(subject, 8),
        Work::List => list(subject),
    }
}

/// Reads the file to its end.
fn sequential(subject: &dyn Subject, block: usize) -> Anyhow<f64> {
    let mut reader = subject.open(FILE, block)?;
    let start = Instant::now();
    let mut offset = 0;
    loop {
        match reader.read(offset)? {
            0 => break,
            len => offset += len as u64,
        }
    }
    ensure!(offset > 0, "/{FILE} is empty");
    Ok(offset as f64 / MIB / seconds(start.elapsed()))
}

/// Reads blocks here and there. The places are the same for everyone.
fn random(subject: &dyn Subject, threads: u64) -> Anyhow<f64> {
    let blocks = subject.size(FILE)? / BLOCK as u64;
    ensure!(blocks > 0, "/{FILE} is smaller than a block");
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || -> Anyhow<()> {
                    let mut reader = subject.open(FILE, BLOCK)?;
                    let mut state = thread + 1;
                    for _ in 0..READS / threads {
                        let offset = next(&mut state) % blocks * BLOCK as u64;
                        ensure!(reader.read(offset)? == BLOCK, "a short read at {offset}");
                    }
                    Ok(())
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread panicked"),
            }
        }
        Ok(())
    })?;
    Ok(READS as f64 / seconds(start.elapsed()))
}

/// Lists the folder and looks at each entry, or at as many as [`ENOUGH`] allows.
fn list(subject: &dyn Subject) -> Anyhow<f64> {
    let start = Instant::now();
    let entries = subject.list(FOLDER, start + ENOUGH)?;
    ensure!(entries > 0, "/{FOLDER} is empty");
    Ok(entries as f64 / seconds(start.elapsed()))
}

/// Never 0.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64().max(1e-9)
}

/// splitmix64: evenly spread, the same everywhere.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
