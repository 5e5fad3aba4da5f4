//! A loop inside Linux, in the NT kernel double: the watchdog finds it, every other request ends, and the driver is unloaded
//! if the thread leaves its loop, and cannot be if it does not.
//!
//! `LKLFS_SELFTEST_SYS` names an image with the feature `selftest`, which loops on request.

#![cfg(target_os = "linux")]

mod moments;
mod support;

use lklfs_control::reply::{self, status_flags};
use lklfs_control::{Code, Interface, Request};
use moments::*;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::hang;
use std::time::{Duration, Instant};
use support::in_a_process;
use support::selftest::{self, DEAF, RESTLESS, THREAD};

const FOR_EVER: u64 = u64::MAX >> 8;

fn flags(machine: &Machine) -> u32 {
    let device = machine
        .open(Interface::Status.device_name(), OpenAs::read())
        .expect("everybody may read");
    let request = Request::Status.encode().expect("encodes");
    let bytes = device
        .ioctl(Code::Status.number(), &request, 256)
        .into_result()
        .expect("tells");
    reply::read::<reply::Status>(&bytes)
        .expect("a status")
        .0
        .flags
        .get()
}

/// Has a thread loop for so long after Linux's death, and all others end. Then the machine's unload; its troubles in words.
fn others_end(what: u64, milliseconds: u64, ends: bool) -> String {
    let machine = selftest::machine(disk());
    let hello = path(&machine.disks()[0], "hello.txt");
    let open = machine.open(&hello, OpenAs::read()).expect("mounts");
    assert_eq!(open.read(Some(0), 100).into_result().expect("reads"), b"hello\n");
    let control = selftest::control(&machine);
    // Two seconds of running time.
    assert_eq!(selftest::ask(&control, selftest::LIMIT, 2000), STATUS_SUCCESS);
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
                    assert!(opened.is_err_and(says_gone), "{opened:?}");
                });
            }
            let data = path(&machine.disks()[0], "data.bin");
            let machine = &machine;
            scope.spawn(move || {
                let read = machine
                    .open(&data, OpenAs::read().uncached())
                    .and_then(|file| file.read(Some(0), 4096).into_result());
                assert!(read.as_ref().is_err_and(|status| says_gone(*status)), "{read:?}");
            });
        });
    }
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "dead after {:?}",
        start.elapsed()
    );
    assert!(flags(&machine) & status_flags::LINUX_DEAD != 0);
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
    assert_eq!(others_end(DEAF, 100, true), "");
}

#[test]
#[ignore = "runs only as a child"]
fn child_restless() {
    assert_eq!(others_end(RESTLESS, 0, true), "");
}

#[test]
#[ignore = "runs only as a child"]
fn child_stuck() {
    let troubles = others_end(DEAF, FOR_EVER, false);
    assert!(troubles.contains("has no DriverUnload"), "{troubles}");
}

#[test]
#[ignore = "runs only as a child"]
fn child_stuck_thread() {
    let troubles = others_end(THREAD, FOR_EVER, false);
    assert!(troubles.contains("has no DriverUnload"), "{troubles}");
}

#[test]
fn a_loop_that_sees_linux_dead_ends_with_all_others_and_the_driver_is_unloaded() {
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
