//! A process that writes is killed, at a random moment between two lines that it says, many times.
//!
//! What a killed process has given to the system below is not lost with it: this is about Linux's end, and the host's, not
//! about the disk's cache. That is [`crate::power`].
//!
//! `LKLFS_CRASHES` says how many times in all file systems together; 40 without it.

use crate::kind;
use crate::workload::{IMAGE, KIND, WRITER, looked_at, wrong};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Kills of each file system.
pub fn times() -> usize {
    let all = std::env::var("LKLFS_CRASHES")
        .ok()
        .and_then(|text| text.parse().ok());
    all.unwrap_or(40usize).div_ceil(4)
}

/// Has a process write to the image until it is killed; the steps that it has said are durable.
fn write_and_kill(kind: &str, image: &Path, lines: usize, wait: Duration) -> usize {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .env(crate::processes::SCENARIO, WRITER)
        .env(IMAGE, image)
        .env(KIND, kind)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut last = None;
    for line in said.by_ref().take(lines) {
        last = Some(line.unwrap());
    }
    std::thread::sleep(wait);
    writer.kill().unwrap();
    let status = writer.wait().unwrap();
    // What it had said before it was killed is in the pipe still.
    last = said.map(Result::unwrap).last().or(last);
    let last = last.unwrap_or_else(|| panic!("the writer said nothing: {status}"));
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(status.signal(), Some(9), "the writer ended by itself");
    last.parse().unwrap()
}

pub fn killed(name: &str) {
    let kind = kind::named(name);
    let folder = tempfile::tempdir().unwrap();
    let (empty, image) = (folder.path().join("empty"), folder.path().join("image"));
    kind.make(&empty, 0, 0);
    let seed = u64::from(std::process::id());
    let mut random = seed | 1;
    let mut steps = Vec::new();
    for number in 0..times() {
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(1442695040888963407);
        let lines = 1 + (random >> 33) as usize % 90;
        let wait = Duration::from_micros((random >> 13) % 3000);
        sparse_copy(&empty, &image);
        let done = write_and_kill(name, &image, lines, wait);
        steps.push(done);
        // Every fifth is looked at by this machine's own Linux first, in a copy, since that replays the journal, too.
        if number.is_multiple_of(5) {
            let copy = folder.path().join("copy");
            sparse_copy(&image, &copy);
            kind.natively(&copy, |root| {
                let found = wrong(done, |path| std::fs::read(root.join(path)).ok());
                assert!(
                    found.is_empty(),
                    "this machine's own Linux, kill {number}, seed {seed}: {found:#?}"
                );
            });
        }
        if let Err(error) = looked_at(kind, &image, done) {
            panic!("kill {number}, seed {seed}: {error}");
        }
    }
    assert!(steps.iter().max() > Some(&10), "no writer got far: {steps:?}");
    eprintln!("{name}: {} kills after {steps:?} steps", steps.len());
}

/// Holes stay holes.
pub fn sparse_copy(from: &Path, to: &Path) {
    let from = from.to_str().unwrap();
    let copied = kind::run(&["cp", "--sparse=always", from], to);
    assert!(
        copied.status.success(),
        "cp: {}",
        String::from_utf8_lossy(&copied.stderr)
    );
}
