//! The double finds faults that show in requests which reading a whole volume does not make: the test driver is built with one
//! fault at a time, and a process of its own sends the request.

mod testfs;

use ntos::disk::DiskConfig;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use std::process::Command;
use std::time::Duration;

/// The double's exit code when a driver breaks a rule.
const RULE: i32 = ntos::verifier::EXIT_CODE;

/// What the child does with a driver that has a fault.
type Act = fn(&Machine);

const VOLUME: &str = "\\Device\\HarddiskVolume1";

fn volume(machine: &Machine) -> ntos::user::Handle {
    machine.open(VOLUME, OpenAs::volume()).expect("opens")
}

/// Faults that show in requests which reading a whole volume does not make: the fault, the rule, words, and the request.
const IN_REQUESTS: &[(&str, &str, &str, Act)] = &[
    (
        "REFERENCES_ANY_FILE_OBJECT",
        "Reference",
        "is no object",
        |machine| _ = machine.query_attributes(&format!("{VOLUME}\\hello")),
    ),
    (
        "SKIPS_A_MARKED_LOCATION",
        "Irp",
        "its stack location was skipped",
        |machine| _ = volume(machine).ioctl(0x7405c, &[], 8),
    ),
    (
        "FORWARDS_USER_POINTERS",
        "Irp",
        "METHOD_NEITHER is passed on by a thread of the system's",
        |machine| _ = volume(machine).ioctl(0x74fc3, &[1; 8], 8),
    ),
    (
        "KEEPS_A_NAME_ON_THE_STACK",
        "FsRtl",
        "on the caller's stack",
        |machine| {
            let root = machine
                .open(&format!("{VOLUME}\\"), OpenAs::read())
                .expect("opens");
            drop(root.notify(1, false, 100));
        },
    ),
    ("WRITES_TO_AN_INPUT", "AccessViolation", "write to", |machine| {
        _ = volume(machine).fsctl(0x91fc1, &[1; 8], 8)
    }),
    (
        "TAKES_THE_SYSTEMS_WORKERS",
        "Hang",
        "has waited for a system worker thread",
        |machine| {
            volume(machine).fsctl(0x91fc0, &[], 0);
            std::thread::sleep(Duration::from_secs(20));
        },
    ),
    (
        "WAITS_IN_A_NESTED_CLOSE",
        "LockOrder",
        "a CLOSE that comes inside a call of the driver's",
        |machine| {
            let file = machine
                .open(&format!("{VOLUME}\\hello"), OpenAs::read())
                .expect("opens");
            assert_eq!(file.read(Some(0), 5).status, STATUS_SUCCESS);
            drop(file);
            machine.settle();
            volume(machine).fsctl(0x91fc0, &[], 0);
        },
    ),
];

#[test]
fn each_fault_in_a_request_is_found_and_named() {
    let mut missed = Vec::new();
    for (bug, rule, words, _) in IN_REQUESTS {
        let mut child = Command::new(std::env::current_exe().expect("the test program has a path"));
        child.args(["--ignored", "--exact", "child", "--nocapture", "--test-threads=1"]);
        child.env("NTOS_CHILD_BUG", bug);
        let output = child.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let named = text.contains(&format!("*** {rule}:")) && text.contains(words);
        if output.status.code() != Some(RULE) || !named {
            missed.push(format!(
                "{bug}: {:?}, {rule} and {words:?} wanted in:\n{text}",
                output.status.code()
            ));
        }
    }
    assert!(
        missed.is_empty(),
        "{} of {} not found:\n{}",
        missed.len(),
        IN_REQUESTS.len(),
        missed.join("\n")
    );
}

/// Run by the test above in a process of its own.
#[test]
#[ignore = "runs only as a child"]
fn child() {
    let Ok(bug) = std::env::var("NTOS_CHILD_BUG") else {
        return;
    };
    let (.., act) = IN_REQUESTS
        .iter()
        .find(|(name, ..)| *name == bug)
        .expect("a known fault");
    let image = testfs::image(&format!("{bug}-request.img"));
    let mut machine = Machine::builder()
        .disk(DiskConfig::image(image))
        .start()
        .expect("the image is good");
    machine
        .load_driver(&testfs::driver(&bug))
        .expect("the driver loads");
    act(&machine);
}
