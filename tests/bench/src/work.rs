//! What a subject has to do, and how long it takes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result as Anyhow, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::changes;
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
    /// A file of 64 MiB is made in blocks of 1 MiB and synced.
    #[value(name = "write-1m")]
    Write1M,
    /// In blocks of 64 KiB.
    #[value(name = "write-64k")]
    Write64K,
    /// Blocks of 4 KiB anywhere in a file of 16 MiB, each synced.
    #[value(name = "write-4k-sync")]
    WriteSynced,
    /// A tree of small files is made as tar makes one.
    #[value(name = "unpack")]
    Unpack,
    /// Such a tree is removed.
    #[value(name = "remove")]
    Remove,
}

impl Work {
    /// What readers do, in the order of the table.
    pub const READING: &[Work] = &[
        Work::Sequential4K,
        Work::Sequential64K,
        Work::Sequential1M,
        Work::Random1,
        Work::Random8,
        Work::List,
    ];

    /// What mounts do.
    pub const MOUNTED: &[Work] = &[
        Work::Sequential64K,
        Work::Sequential1M,
        Work::Random1,
        Work::Random8,
        Work::List,
        Work::Write64K,
        Work::Write1M,
        Work::WriteSynced,
        Work::Unpack,
        Work::Remove,
    ];

    /// Whether it changes the volume.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Work::Write64K | Work::Write1M | Work::WriteSynced | Work::Unpack | Work::Remove
        )
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Work::Sequential4K => "sequential-4k",
            Work::Sequential64K => "sequential-64k",
            Work::Sequential1M => "sequential-1m",
            Work::Random1 => "random-4k-1",
            Work::Random8 => "random-4k-8",
            Work::List => "list-stat",
            Work::Write64K => "write-64k",
            Work::Write1M => "write-1m",
            Work::WriteSynced => "write-4k-sync",
            Work::Unpack => "unpack",
            Work::Remove => "remove",
        }
    }

    /// What a second of it is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Work::Sequential4K | Work::Sequential64K | Work::Sequential1M => "MiB/s",
            Work::Write64K | Work::Write1M => "MiB/s",
            Work::Random1 | Work::Random8 => "reads/s",
            Work::WriteSynced => "writes/s",
            Work::List => "entries/s",
            Work::Unpack | Work::Remove => "files/s",
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
/// Units a second of what changes the volume that is mounted on a folder: the first time and the second.
pub fn measure_changes(root: &Path, work: Work) -> Anyhow<Result> {
    let started = Started::default();
    if work == Work::Remove {
        for round in ["1", "2"] {
            changes::unpack(&root.join(round))?;
        }
    }
    let once = |round: &str| -> Anyhow<f64> {
        let place = root.join(round);
        let start = Instant::now();
        let units = match work {
            Work::Write64K => changes::write(&place, 64 << 10)?,
            Work::Write1M => changes::write(&place, 1 << 20)?,
            Work::WriteSynced => return changes::write_synced(&place, next),
            Work::Unpack => changes::unpack(&place)?,
            Work::Remove => changes::remove(&place)?,
            _ => bail!("{} changes nothing", work.name()),
        };
        Ok(units / seconds(start.elapsed()))
    };
    Ok(Result {
        started,
        cold: once("1")?,
        warm: once("2")?,
    })
}

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
        _ => bail!("{} is for mounts", work.name()),
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
