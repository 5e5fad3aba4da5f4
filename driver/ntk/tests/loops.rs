//! A loop inside Linux, in the NT kernel double: the watchdog finds it. If the thread leaves its loop, every other request goes on in
//! the next Linux; if it does not, all end, and the driver cannot be unloaded.
//!
//! `LKLFS_SELFTEST_SYS` names an image with the feature `selftest`, which loops on request.

#![cfg(target_os = "linux")]

mod moments;
mod support;

use lklfs_control::reply::status_flags;
use moments::*;
use ntos::nt::*;
use ntos::user::OpenAs;
use ntos::verifier::hang;
use std::time::{Duration, Instant};
use support::in_a_process;
use support::selftest::{self, DEAF, RESTLESS, THREAD};

const FOR_EVER: u64 = u64::MAX >> 8;

/// Has a thread loop for so long after Linux's death. If it ends, all others go on in the next Linux, else they end. Then the machine's
/// unload; its troubles in words.
fn others_go_on(what: u64, milliseconds: u64, ends: bool) -> String {
    let machine = selftest::machine(disk());
    let hello = path(&machine.disks()[0], "hello.txt");
    let open = machine.open(&hello, OpenAs::read()).expect("mounts");
    assert_eq!(open.read(Some(0), 100).into_result().expect("reads"), b"hello\n");
    let control = selftest::control(&machine);
    // Two seconds of running time.
    assert_eq!(selftest::ask(&control, selftest::LIMIT, 2000), STATUS_SUCCESS);
    // A thread of Linux's may be the one that is found in the loop, and the volume is on the disk that was answered last.
    let may_end = !ends || what == RESTLESS;
    let start = Instant::now();
    let looping = std::thread::spawn(move || selftest::ask(&control, what, milliseconds));
    std::thread::sleep(Duration::from_millis(100));
    {
        let _watch = hang::watch("requests beside a loop", Duration::from_secs(60));
        std::thread::scope(|scope| {
            for number in 0..3 {
                let name = path(&machine.disks()[0], &format!("folder\\entry 00{number}"));
                let machine = &machine;
                scope.spawn(move || {
                    let opened = machine.open(&name, OpenAs::read()).map(drop);
                    match opened {
                        Ok(()) => assert!(ends),
                        Err(status) => assert!(may_end && says_gone(status), "{opened:?}"),
                    }
                });
            }
            let file = path(&machine.disks()[0], "data.bin");
            let machine = &machine;
            scope.spawn(move || {
                let read = machine
                    .open(&file, OpenAs::read().uncached())
                    .and_then(|file| file.read(Some(0), 4096).into_result());
                match read {
                    Ok(read) => assert!(ends && read == data()[..4096]),
                    Err(status) => assert!(may_end && says_gone(status), "{}", name(status)),
                }
            });
        });
    }
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "dead after {:?}",
        start.elapsed()
    );
    let expected = if ends {
        status_flags::LINUX_RUNNING
    } else {
        status_flags::LINUX_DEAD
    };
    assert_eq!(support::status(&machine).flags.get(), expected);
    if ends {
        let expected = if what == THREAD {
            STATUS_SUCCESS
        } else {
            STATUS_NO_SUCH_DEVICE
        };
        assert_eq!(looping.join().expect("ends"), expected);
    } else {
        // The thread that watches gives it two seconds.
        std::thread::sleep(Duration::from_millis(4000));
    }
    drop(open);
    let watch = hang::watch("the unload", Duration::from_secs(60));
    let report = machine.unload();
    drop(watch);
    if report.is_clean() {
        String::new()
    } else {
        report.to_string()
    }
}

#[test]
#[ignore = "runs only as a child"]
fn child_deaf() {
    assert_eq!(others_go_on(DEAF, 100, true), "");
}

#[test]
#[ignore = "runs only as a child"]
fn child_restless() {
    assert_eq!(others_go_on(RESTLESS, 0, true), "");
}

#[test]
#[ignore = "runs only as a child"]
fn child_stuck() {
    let troubles = others_go_on(DEAF, FOR_EVER, false);
    assert!(troubles.contains("has no DriverUnload"), "{troubles}");
}

#[test]
#[ignore = "runs only as a child"]
fn child_stuck_thread() {
    let troubles = others_go_on(THREAD, FOR_EVER, false);
    assert!(troubles.contains("has no DriverUnload"), "{troubles}");
}

#[test]
fn beside_a_loop_that_sees_linux_dead_all_others_go_on_in_the_next_linux() {
    in_a_process("child_deaf", &[]);
}

#[test]
fn two_tasks_that_pass_the_processor_to_each_other_are_a_loop() {
    in_a_process("child_restless", &[]);
}

#[test]
fn a_loop_that_cannot_be_stopped_keeps_the_driver_and_nothing_else() {
    in_a_process("child_stuck", &[]);
}

#[test]
fn a_loop_of_a_thread_of_linux_that_cannot_be_stopped_keeps_the_driver_and_nothing_else() {
    in_a_process("child_stuck_thread", &[]);
}
