//! Kernel shadow stacks, in the NT kernel double: Linux's jumps (out of its scheduler, out of a dead Linux) and the end of its
//! threads take the return addresses that they leave off the shadow stack.
//!
//! `LKLFS_SELFTEST_SYS` names an image with the feature `selftest`, which panics on request. The scenario runs in a process of
//! its own, in which the double keeps shadow stacks (`NTOS_SHADOW`).

#![cfg(target_os = "linux")]

mod moments;
mod support;

use moments::*;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use std::time::Duration;
use support::{in_a_process, selftest};

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
    let watch = hang::watch("the scenario", Duration::from_secs(300));
    let machine = selftest::machine(disk());
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
        let died = selftest::ask(&selftest::control(machine), selftest::PANIC, 0);
        assert_eq!(died, STATUS_NO_SUCH_DEVICE);
    });
}

#[test]
fn switches_and_ends_of_threads_keep_the_shadow_stack() {
    in_a_process("child_halt", &[("NTOS_SHADOW", "1")]);
}

#[test]
fn a_panic_keeps_the_shadow_stack_of_each_thread_that_it_sends_away() {
    in_a_process("child_panic", &[("NTOS_SHADOW", "1")]);
}
