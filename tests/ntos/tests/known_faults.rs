//! The double finds known faults: the test driver is built with one fault at a time and run in a process of
//! its own.
//!
//! The same run without a fault ends well, so a find is the fault's and not the double's.

mod testfs;

use std::process::{Command, Output};

/// The double's exit code when a driver breaks a rule, and when it leaves something behind.
const RULE: i32 = 86;
const LEFT: i32 = 10;

fn run(bug: &str, seed: u32) -> Output {
    let image = testfs::image(&format!("{bug}-{seed}.img"));
    Command::new(env!("CARGO_BIN_EXE_double"))
        .args(["manifest", "--seed", &seed.to_string(), "--driver"])
        .arg(testfs::driver(bug))
        .arg(image)
        .output()
        .expect("the double runs")
}

#[test]
fn a_correct_driver_passes_with_every_seed() {
    for seed in 0..8 {
        let output = run("NO_BUG", seed);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), text.as_ref()),
            (Some(0), ""),
            "seed {seed}"
        );
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).lines().count(),
            1 + testfs::files().len()
        );
    }
}

#[test]
fn each_known_fault_is_found_and_named() {
    let expected = [
        ("COMPLETES_TWICE", RULE, "tag Irp."),
        ("PENDS_UNMARKED", RULE, "never marked"),
        ("MARKS_AND_RETURNS", RULE, "marked the IRP pending but returned"),
        ("RETURNS_OTHER_STATUS", RULE, "was completed with"),
        ("LEAKS_POOL", LEFT, "tag Tsfs"),
        ("LEAKS_CACHE_MAP", LEFT, "cache map"),
        ("TOUCHES_COMPLETED_IRP", RULE, "UseAfterFree"),
        ("KEEPS_CRITICAL_REGION", RULE, "CriticalRegion"),
        ("FORGETS_TOP_LEVEL", RULE, "top-level"),
        ("LEAKS_IRP", LEFT, "IRP"),
        ("OVERRUNS_POOL", RULE, "GuardPage"),
        ("WRITES_TO_DISK", LEFT, "write request"),
        ("KEEPS_SPIN_LOCK", RULE, "IRQL"),
        ("USES_FREED_POOL", RULE, "UseAfterFree"),
        ("INFORMATION_TOO_LARGE", RULE, "system buffer"),
    ];
    let mut missed = Vec::new();
    for (bug, code, words) in expected {
        let output = run(bug, 1);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(code) || !text.contains(words) {
            missed.push(format!(
                "{bug}: {:?} instead of {code}, {words:?} wanted in:\n{text}",
                output.status.code()
            ));
        }
    }
    assert!(
        missed.is_empty(),
        "{} of {} not found:\n{}",
        missed.len(),
        expected.len(),
        missed.join("\n")
    );
}
