//! Calls side by side, as inputs: a race is found within so many executions, and its input finds it again, by the same interruptions.

#![cfg(target_os = "linux")]

use lkl_fuzz::campaign::{Campaign, Limit};
use lkl_fuzz::records::Records;
use lkl_fuzz::target::Target;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fuzz-linux");
/// Executions until the race is found, at most.
const MOST: u64 = 2_000;

/// How the strands of an input met, and the edges that it has reached, in a program of its own.
fn once(volume: &str, input: &Path) -> (String, Vec<u8>) {
    let scratch = tempfile::tempdir().unwrap();
    let [trace, edges] = ["trace", "edges"].map(|name| scratch.path().join(name));
    let output = Command::new(PROGRAM)
        .env("LKLFS_FUZZ_TARGET", Target::Schedules.name())
        .env("LKLFS_FUZZ_VOLUME", volume)
        .env("LKLFS_FUZZ_TRACE", &trace)
        .env("LKLFS_FUZZ_LAST", &edges)
        .current_dir(scratch.path())
        .arg("-rss_limit_mb=4096")
        .arg(input)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{error}: {text}"));
    (String::from_utf8(read(&trace)).unwrap(), read(&edges))
}

/// Kinds of calls, as records have them.
const OPEN: u8 = 0;
const WRITE: u8 = 7;
const UNLINK: u8 = 28;

/// Each of the strands opens a new file, writes to it four times, and takes its name away: its blocks are free when the program ends.
fn program(seed: u8) -> Vec<u8> {
    let call = |kind: u8, name: u8, (offset, length): (u32, u32), strand: u8| {
        let mut record = vec![kind, 0, name, 3];
        record.extend(offset.to_le_bytes());
        record.extend(length.to_le_bytes());
        record.extend([0, 0, strand]);
        record
    };
    let records = (1..=2).flat_map(|strand| {
        let named = |kind| call(kind, 11 + strand, (0, 0), strand);
        let writes = (0..4).map(|piece| call(WRITE, 0, (piece * 5000, 5000), strand));
        [vec![named(OPEN)], writes.collect(), vec![named(UNLINK)]].concat()
    });
    [vec![seed, 0, 0, 0, 1, 0], Records(records.collect()).write(2000)].concat()
}

#[test]
fn the_same_input_is_the_same_run_and_another_seed_is_another_one() {
    let scratch = tempfile::tempdir().unwrap();
    let runs = [1, 1, 2].map(|seed| {
        let path = scratch.path().join("input");
        std::fs::write(&path, program(seed)).unwrap();
        once("ext4", &path)
    });
    assert!(
        runs[0].0.contains("Switch {"),
        "nothing was interrupted: {}",
        runs[0].0
    );
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].0, runs[2].0);
}

#[test]
fn a_file_system_without_its_lock_is_caught_and_the_input_catches_it_again() {
    let scratch = tempfile::tempdir().unwrap();
    // What a corpus has after a while: two strands that take and give back blocks. How they meet is the fuzzer's to find.
    let learned = scratch.path().join("learned");
    std::fs::create_dir(&learned).unwrap();
    std::fs::write(learned.join("writers"), program(0)).unwrap();
    let campaign = Campaign {
        program: PathBuf::from(PROGRAM),
        target: Target::Schedules,
        volume: "racy".to_owned(),
        bug: 0,
        processor: None,
        place: scratch.path().to_owned(),
        seed: 1,
    };
    let outcome = campaign.run(Limit::Search(MOST)).unwrap();
    let finding = outcome.findings.values().next();
    let finding = finding.unwrap_or_else(|| panic!("not within {} executions", outcome.runs));
    println!("after {} executions: {}", outcome.runs, finding.verdict.what);
    assert!(
        finding.verdict.what.contains("bit already"),
        "{:?}",
        finding.verdict
    );
    assert!(finding.alone, "{:?}", finding.verdict);
    let again = campaign.once(&finding.input).unwrap().expect("the finding again");
    assert_eq!(again.kind(), finding.verdict.kind());
}
