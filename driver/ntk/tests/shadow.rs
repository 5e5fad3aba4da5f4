//! Kernel shadow stacks, in the NT kernel double: Linux's jumps (out of its scheduler, out of a dead Linux) and the end of its
//! threads take the return addresses that they leave off the shadow stack.
//!
//! `LKLFS_SELFTEST_SYS` names an image with the feature `selftest`, which panics on request. The scenario runs in a process of
//! its own, in which the double keeps shadow stacks (`NTOS_SHADOW`).

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// `lklfs_ntk::selftest::IOCTL_OF`; that crate is empty on this system.
const SELF_TEST: u32 = (0x9c4b << 16) | (2 << 14) | (0x8f1 << 2);
/// LKL_SELFTEST_PANIC of host_ops.h.
const PANIC: u64 = 5;

fn self_test_driver() -> PathBuf {
    let path = std::env::var_os("LKLFS_SELFTEST_SYS");
    PathBuf::from(path.expect("LKLFS_SELFTEST_SYS names a driver: run this by `cargo xtask test`"))
}

/// Mounts, and has threads read different files past the cache at the same time, so that tasks wait and are switched.
fn use_it(machine: &Machine) {
    std::thread::scope(|scope| {
        for name in ["data.bin", "mapped.bin", "locked.bin"] {
            let name = path(&machine.disks()[0], name);
            scope.spawn(move || {
                let file = machine.open(&name, OpenAs::read().uncached()).expect("opens");
                let mut whole = Vec::new();
                for at in (0..DATA).step_by(1 << 16) {
                    whole.extend(file.read(Some(at as u64), 1 << 16).into_result().expect("reads"));
                }
                assert!(whole == data(), "other bytes");
            });
        }
    });
}

fn on_a_machine(act: impl FnOnce(&Machine)) {
    let mut machine = Machine::builder()
        .disk(disk())
        .start()
        .expect("the image is good");
    let watch = hang::watch("the scenario", Duration::from_secs(300));
    machine
        .load_driver(&self_test_driver())
        .expect("the driver loads");
    machine.settle();
    act(&machine);
    let report = machine.unload();
    drop(watch);
    assert!(report.is_clean(), "left behind:\n{report}");
}

#[test]
#[ignore = "runs only as a child"]
fn child_halt() {
    on_a_machine(use_it);
}

#[test]
#[ignore = "runs only as a child"]
fn child_panic() {
    on_a_machine(|machine| {
        use_it(machine);
        let how = OpenAs::read().access(FILE_GENERIC_READ | FILE_GENERIC_WRITE);
        let control = machine
            .open("\\??\\Lklfs", how)
            .expect("the control device opens");
        let died = control.ioctl(SELF_TEST, &PANIC.to_le_bytes(), 0).status;
        assert_eq!(died, STATUS_NO_SUCH_DEVICE);
    });
}

fn in_a_process(name: &str) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("NTOS_SHADOW", "1")
        .output()
        .expect("it starts");
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}",
        output.status
    );
}

#[test]
fn switches_and_ends_of_threads_keep_the_shadow_stack() {
    in_a_process("child_halt");
}

#[test]
fn a_panic_keeps_the_shadow_stack_of_each_thread_that_it_sends_away() {
    in_a_process("child_panic");
}
