//! The program, with inputs that are given to it: what it says of a fault, and that an input does by itself what it does after others.

#![cfg(target_os = "linux")]

use lkl_fuzz::patches::{MEND, Patch, Patches};
use lkl_fuzz::planted::BUGS;
use lkl_fuzz::records::Records;
use lkl_fuzz::rng::Rng;
use lkl_fuzz::target::Target;
use lkl_fuzz::verdict::Verdict;
use std::collections::BTreeSet;
use std::process::Command;

/// How a program ended, and the edges that its last input has reached.
struct End {
    verdict: Option<Verdict>,
    text: String,
    edges: BTreeSet<u32>,
}

fn run(target: Target, volume: &str, bug: u32, inputs: &[Vec<u8>]) -> End {
    let scratch = tempfile::tempdir().unwrap();
    let last = scratch.path().join("edges");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz-linux"));
    command
        .env("LKLFS_FUZZ_TARGET", target.name())
        .env("LKLFS_FUZZ_VOLUME", volume)
        .env("LKLFS_FUZZ_BUG", bug.to_string())
        .env("LKLFS_FUZZ_LAST", &last)
        .current_dir(scratch.path())
        .arg("-rss_limit_mb=4096");
    for (number, input) in inputs.iter().enumerate() {
        let path = scratch.path().join(number.to_string());
        std::fs::write(&path, input).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let verdict = Verdict::read(&text);
    assert_eq!(output.status.success(), verdict.is_none(), "{text}");
    let edges = std::fs::read(&last).unwrap_or_default();
    let edges = edges
        .chunks_exact(4)
        .map(|four| u32::from_le_bytes(four.try_into().unwrap()));
    End {
        verdict,
        text,
        edges: edges.collect(),
    }
}

fn call(kind: u8, a: u8, b: u8, c: u8, offset: u32, length: u32) -> Vec<u8> {
    let mut record = vec![kind, a, b, c];
    record.extend(offset.to_le_bytes());
    record.extend(length.to_le_bytes());
    record.extend([0, 0]);
    record
}

/// Opens a file of the seed, and punches a hole at an odd place that goes beyond its end.
fn odd_hole() -> Vec<u8> {
    Records(vec![call(0, 0, 1, 1, 0, 0), call(15, 0, 0, 2, 1001, 400_000)]).write(usize::MAX)
}

#[test]
fn a_stack_of_linuxs_that_has_run_out_is_a_finding_with_a_place() {
    let quiet = run(Target::Calls, "ext4", 0, &[odd_hole()]);
    assert_eq!(quiet.verdict, None, "{}", quiet.text);
    let end = run(Target::Calls, "ext4", BUGS[5].number, &[odd_hole()]);
    let verdict = end.verdict.expect("a finding");
    assert!(verdict.what.contains("a stack that has run out"), "{}", end.text);
    assert!(verdict.is_planted(), "{verdict:?}");
    assert!(verdict.kind().starts_with("deeper"), "{}", verdict.kind());
}

/// An input of some changes, and so many others.
fn inputs(target: Target) -> (Vec<u8>, Vec<Vec<u8>>) {
    let grown = |first: u32| {
        let mut rng = Rng::new(first);
        match target.grammar() {
            Some(grammar) => (first..first + 8).fold(Vec::new(), |input, seed| {
                Records::mutate(&input, 2048, seed, grammar)
            }),
            None => {
                let list = (0..24).map(|_| Patch {
                    at: 2048 + rng.below(60_000) as u64,
                    bytes: vec![rng.bits() as u8],
                });
                let (switches, list) = (MEND, list.collect());
                Patches { switches, list }.write(2048)
            }
        }
    };
    (
        grown(77),
        (0..100).map(|number| grown(1000 + 10 * number)).collect(),
    )
}

/// The share of the edges of both that both have reached.
fn alike(one: &BTreeSet<u32>, other: &BTreeSet<u32>) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let [both, all] = [one.intersection(other).count(), one.union(other).count()].map(|count| count as f64);
    both / all
}

fn does_the_same_after_others(target: Target, volume: &str) {
    let (input, mut others) = inputs(target);
    let alone = run(target, volume, 0, std::slice::from_ref(&input));
    let again = run(target, volume, 0, std::slice::from_ref(&input));
    assert_eq!(alone.verdict, None, "{}", alone.text);
    assert!(alone.edges.len() > 500, "{}", alone.edges.len());
    assert_eq!(alone.edges, again.edges, "the same from the start");
    let other = run(target, volume, 0, &others[..1]);
    others.push(input);
    let after = run(target, volume, 0, &others);
    assert_eq!(after.verdict, None, "{}", after.text);
    let (same, different) = (
        alike(&alone.edges, &after.edges),
        alike(&alone.edges, &other.edges),
    );
    println!(
        "{}: {same:.3} after others, {different:.3} of another",
        target.name()
    );
    // What inputs before it have left in Linux's caches is the rest.
    assert!(same > 0.9, "{same}");
    assert!(different < same, "{different}");
}

#[test]
fn a_changed_volume_does_the_same_after_others() {
    does_the_same_after_others(Target::Image, "ext4");
}

#[test]
fn calls_do_the_same_after_others() {
    does_the_same_after_others(Target::Calls, "ext4");
}

#[test]
fn frames_do_the_same_after_others() {
    does_the_same_after_others(Target::Packets, "");
}

#[test]
fn messages_do_the_same_after_others() {
    does_the_same_after_others(Target::Netlink, "");
}
