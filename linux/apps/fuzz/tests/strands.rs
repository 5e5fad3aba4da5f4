//! Calls side by side, as inputs: a race is found within so many executions, and its input finds it again, by the same interruptions.

#![cfg(target_os = "linux")]

use lkl_fuzz::campaign::{Campaign, Limit};
use lkl_fuzz::records::Records;
use lkl_fuzz::target::Target;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fuzz-linux");
/// Executions until the race is found, at most.
const MOST: u64 = 20_000;

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

/// Each of the strands opens a new file and writes to it, four times.
fn program(seed: u8) -> Vec<u8> {
    let call = |kind: u8, name: u8, length: u32, strand: u8| {
        let mut record = vec![kind, 0, name, 3];
        record.extend(0u32.to_le_bytes());
        record.extend(length.to_le_bytes());
        record.extend([0, 0, strand]);
        record
    };
    let records = (1..=2).flat_map(|strand| {
        let open = call(0, 11 + strand, 0, strand);
        [vec![open], vec![call(7, 0, 5000, strand); 4]].concat()
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
