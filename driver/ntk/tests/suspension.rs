//! A program's threads may be suspended by another program at any moment, and what they are about may be what all wait for:
//! Linux has one CPU. A thread that is suspended in the middle of a request keeps no other program from reading.

#![cfg(target_os = "linux")]

mod moments;
mod support;

use lklfs_control::{LogSource, Request};
use moments::{data, disk, list, on, path};
use ntos::nt::*;
use ntos::ps::suspend::{self, Came};
use ntos::user::{Handle, OpenAs};
use ntos::verifier::hang;
use std::sync::Arc;
use std::time::Duration;
use support::Control;

/// How long another program's reads may take while a thread is suspended.
const LIMIT: Duration = Duration::from_secs(5);
const PIECE: usize = 4096;

/// Suspends a thread that does `act` at its first call of an import, at the second, and so on up to the last, and wants
/// `handle`, another program's, readable meanwhile, past the cache and thus through Linux. How often it was suspended.
fn at_each_call(handle: &Handle, act: impl Fn() + Sync) -> u64 {
    for number in 1.. {
        let came = suspend::within(number, &act, || {
            let _watch = hang::watch("another program's read", LIMIT);
            for at in 0..3 {
                let from = ((number as usize * 3 + at) * PIECE) % (data().len() - PIECE) / PIECE * PIECE;
                let read = handle.read(Some(from as u64), PIECE);
                assert_eq!((read.status, read.information), (STATUS_SUCCESS, PIECE));
                assert!(read.bytes == data()[from..from + PIECE], "at {from}");
            }
        });
        if came == Came::Never {
            return number - 1;
        }
    }
    unreachable!("a request has an end")
}

#[test]
fn a_thread_that_is_suspended_in_a_control_request_keeps_nobody_from_reading() {
    on(1, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let how = || OpenAs::read().uncached();
        let handle = machine.open(&path(&disk, "data.bin"), how()).expect("opens");
        let control = Control::status(machine);
        let administrator = Control::open(machine);
        let suspended = at_each_call(&handle, || {
            let status = control.ask(Request::Status);
            assert!(status.is_ok(), "{status:?}");
        });
        assert!(suspended > 3, "{suspended}");
        let source = LogSource::Driver;
        let suspended = at_each_call(&handle, || {
            let log = administrator.ask(Request::Log { source, position: 0 });
            assert!(log.is_ok(), "{log:?}");
        });
        assert!(suspended > 3, "{suspended}");
    });
}

#[test]
fn a_thread_that_is_suspended_in_a_file_request_keeps_nobody_from_reading() {
    on(2, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let how = || OpenAs::read().uncached();
        let handle = machine.open(&path(&disk, "data.bin"), how()).expect("opens");
        for uncached in [false, true] {
            let suspended = at_each_call(&handle, || {
                let how = if uncached { how() } else { OpenAs::read() };
                let file = machine.open(&path(&disk, "mapped.bin"), how).expect("opens");
                let read = file.read(Some(0), 8192);
                assert_eq!(read.status, STATUS_SUCCESS);
                assert!(read.bytes == data()[..8192]);
            });
            assert!(suspended > 0);
        }
        let suspended = at_each_call(&handle, || {
            assert_eq!(list(machine, &disk), Ok(()));
        });
        assert!(suspended > 0);
    });
}
