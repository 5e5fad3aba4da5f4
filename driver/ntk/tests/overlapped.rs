//! Overlapped requests of programs with a completion port: another thread takes the completion and closes the handle at once,
//! at every step of the sender's in the dispatch routine. File object and open are unmapped memory then, so the driver is
//! stopped by name if it touches anything that they keep alive.
//!
//! What is sent may have to wait for the disk, and so is a worker's.
//
// UNSAFETY: fills IRPs and their stack locations, as the I/O manager does.

#![cfg(target_os = "linux")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each block fills one stack location"
)]

mod moments;

use moments::*;
use ntos::disk::Disk;
use ntos::io::request::{self, Control, Method};
use ntos::mm::user::UserRegion;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs, port};
use std::sync::Arc;

/// Steps of one dispatch routine that are tried at most; none has as many.
const MOST_STEPS: u64 = 400;

/// A request: the file that it is about (the volume itself if its name is empty), how that is opened, function and length.
struct Kind {
    what: &'static str,
    file: &'static str,
    how: fn() -> OpenAs,
    function: (u32, u32),
    length: usize,
    /// Fills in what the buffer does not say.
    fill: fn(PIRP, PIO_STACK_LOCATION, *mut u8) -> bool,
    wanted: NTSTATUS,
}

const LENGTH: usize = 8192;
const FSCTL_QUERY_ALLOCATED_RANGES: u32 = 0x940cf;
const IOCTL_DISK_GET_LENGTH_INFO: u32 = 0x7405c;
const NAMES: i32 = 12;

fn read(packet: PIRP, location: PIO_STACK_LOCATION, buffer: *mut u8) -> bool {
    // SAFETY: the IRP is being built; the buffer lives until its end.
    unsafe {
        (*packet).Flags |= IRP_READ_OPERATION;
        (*location).Parameters.Read.Length = LENGTH as u32;
        (*location).Parameters.Read.ByteOffset.QuadPart = 4096;
        request::transfer(packet, Method::Neither, buffer, LENGTH, true)
    }
}

fn read_uncached(packet: PIRP, location: PIO_STACK_LOCATION, buffer: *mut u8) -> bool {
    // SAFETY: as above.
    unsafe { (*packet).Flags |= IRP_NOCACHE };
    read(packet, location, buffer)
}

fn list(packet: PIRP, location: PIO_STACK_LOCATION, buffer: *mut u8) -> bool {
    // SAFETY: as above.
    unsafe {
        (*location).Parameters.QueryDirectory.Length = LENGTH as u32;
        (*location).Parameters.QueryDirectory.FileInformationClass = NAMES as FILE_INFORMATION_CLASS;
        request::transfer(packet, Method::Neither, buffer, LENGTH, true)
    }
}

fn attributes(packet: PIRP, location: PIO_STACK_LOCATION, buffer: *mut u8) -> bool {
    // SAFETY: as above.
    unsafe {
        (*location).Flags = SL_RESTART_SCAN as u8;
        (*location).Parameters.QueryEa.Length = LENGTH as u32;
        request::transfer(packet, Method::Neither, buffer, LENGTH, true)
    }
}

/// Input and output in one: the range that is asked about, and those that are allocated.
fn ranges(packet: PIRP, _: PIO_STACK_LOCATION, buffer: *mut u8) -> bool {
    let control = Control {
        code: FSCTL_QUERY_ALLOCATED_RANGES,
        input: (buffer, 16),
        output: (buffer, LENGTH),
    };
    // SAFETY: as above.
    unsafe { request::control(packet, &control) }
}

fn length(packet: PIRP, _: PIO_STACK_LOCATION, buffer: *mut u8) -> bool {
    let control = Control {
        code: IOCTL_DISK_GET_LENGTH_INFO,
        input: (std::ptr::null_mut(), 0),
        output: (buffer, 8),
    };
    // SAFETY: as above.
    unsafe { request::control(packet, &control) }
}

fn lock(packet: PIRP, location: PIO_STACK_LOCATION, _: *mut u8) -> bool {
    // SAFETY: the IRP is being built; the length is in a block that goes with it.
    unsafe {
        (*location).Flags = SL_EXCLUSIVE_LOCK as u8;
        (*location).Parameters.LockControl.Length = request::length_block(packet, 100);
        (*location).Parameters.LockControl.ByteOffset.QuadPart = 0;
    }
    true
}

const KINDS: &[Kind] = &[
    Kind {
        what: "a read past the cache",
        file: "data.bin",
        how: || OpenAs::read().asynchronous().uncached(),
        function: (IRP_MJ_READ, 0),
        length: LENGTH,
        fill: read_uncached,
        wanted: STATUS_SUCCESS,
    },
    Kind {
        what: "a cached read",
        file: "data.bin",
        how: || OpenAs::read().asynchronous(),
        function: (IRP_MJ_READ, 0),
        length: LENGTH,
        fill: read,
        wanted: STATUS_SUCCESS,
    },
    Kind {
        what: "a read of the volume itself",
        file: "",
        how: || OpenAs::volume().asynchronous(),
        function: (IRP_MJ_READ, 0),
        length: LENGTH,
        fill: read,
        wanted: STATUS_SUCCESS,
    },
    Kind {
        what: "a listing",
        file: "folder",
        how: || OpenAs::read().asynchronous(),
        function: (IRP_MJ_DIRECTORY_CONTROL, IRP_MN_QUERY_DIRECTORY),
        length: LENGTH,
        fill: list,
        wanted: STATUS_SUCCESS,
    },
    Kind {
        what: "extended attributes",
        file: "hello.txt",
        how: || OpenAs::read().asynchronous(),
        function: (IRP_MJ_QUERY_EA, 0),
        length: LENGTH,
        fill: attributes,
        wanted: STATUS_NO_EAS_ON_FILE,
    },
    Kind {
        what: "allocated ranges",
        file: "hello.txt",
        how: || OpenAs::read().asynchronous(),
        function: (IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MN_USER_FS_REQUEST),
        length: LENGTH,
        fill: ranges,
        wanted: STATUS_SUCCESS,
    },
    Kind {
        what: "a control that the disk answers",
        file: "",
        how: || OpenAs::volume().asynchronous(),
        function: (IRP_MJ_DEVICE_CONTROL, 0),
        length: LENGTH,
        fill: length,
        wanted: STATUS_SUCCESS,
    },
    Kind {
        what: "a lock",
        file: "locked.bin",
        how: || OpenAs::read().asynchronous(),
        function: (IRP_MJ_LOCK_CONTROL, IRP_MN_LOCK),
        length: 8,
        fill: lock,
        wanted: STATUS_SUCCESS,
    },
];

/// Sends a request; the handle is closed by the thread that takes its completion. The steps that the sender made, and whether
/// the handle was closed before it was back.
fn send(machine: &Machine, disk: &Disk, kind: &Kind, pause: u64) -> (u64, bool) {
    let path = match kind.file {
        "" => disk.volumes()[0].path(),
        name => path(disk, name),
    };
    let handle = machine.open(&path, (kind.how)()).expect("opens");
    let buffer = UserRegion::new(kind.length);
    if kind.what == "allocated ranges" {
        buffer.write(&[[0; 8], 4096u64.to_le_bytes()].concat());
    }
    let sent = port::send(handle, kind.function, &buffer, pause, None, kind.fill).expect("is sent");
    let status = sent.outcome.status;
    assert_eq!(
        status,
        kind.wanted,
        "{}, step {pause}: {}",
        kind.what,
        name(status)
    );
    if kind.file == "data.bin" {
        assert!(
            sent.outcome.bytes == data()[4096..4096 + LENGTH],
            "{}, step {pause}: other bytes",
            kind.what
        );
    }
    (sent.steps, sent.closed_inside)
}

#[test]
fn a_handle_is_closed_as_soon_as_its_request_completes_at_any_step_of_the_sender() {
    for (seed, kind) in (1..).zip(KINDS) {
        on(seed, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let (steps, _) = send(machine, &disk, kind, 0);
            assert!((1..MOST_STEPS).contains(&steps), "{}: {steps} steps", kind.what);
            let mut inside = 0;
            // A few more than there were: what waits in one run need not wait in another.
            for pause in 1..=steps + 4 {
                machine.trim();
                inside += u64::from(send(machine, &disk, kind, pause).1);
            }
            assert!(
                inside > 0,
                "{}: no handle was ever closed before the dispatch routine returned",
                kind.what
            );
        });
    }
}

/// As [`send`], and the disk is pulled out while the sender stands still, so that the volume ends with the request and goes
/// with the handle. Whether all of that came before the dispatch routine returned.
fn send_and_pull(machine: &Machine, disk: &Arc<Disk>, kind: &Kind, pause: u64) -> bool {
    let path = match kind.file {
        "" => disk.volumes()[0].path(),
        name => path(disk, name),
    };
    let handle = machine.open(&path, (kind.how)()).expect("opens");
    let buffer = UserRegion::new(kind.length);
    let meanwhile = port::Meanwhile {
        first: &|| machine.pull(disk),
        last: &|| machine.settle(),
    };
    let sent = port::send(handle, kind.function, &buffer, pause, Some(meanwhile), kind.fill);
    let sent = sent.expect("is sent");
    let status = sent.outcome.status;
    assert!(
        status == kind.wanted || says_gone(status) || status == STATUS_INVALID_PARAMETER,
        "{}, step {pause}: {}",
        kind.what,
        name(status)
    );
    sent.closed_inside
}

#[test]
fn a_volume_goes_with_the_handle_that_is_closed_at_any_step_of_the_sender() {
    for (seed, kind) in (20..).zip(KINDS.iter().filter(|kind| !kind.file.is_empty())) {
        on(seed, &[], |machine| {
            let steps = {
                let disk = machine.attach(disk()).expect("plugs in");
                machine.settle();
                let (steps, _) = send(machine, &disk, kind, 0);
                machine.pull(&disk);
                steps
            };
            let mut inside = 0;
            // The last steps are those behind the posting.
            for pause in chosen(steps, 4)
                .into_iter()
                .chain(steps.saturating_sub(6)..=steps)
            {
                let disk = machine.attach(disk()).expect("plugs in");
                machine.settle();
                inside += u64::from(send_and_pull(machine, &disk, kind, pause));
            }
            assert!(
                inside > 0,
                "{}: no volume went before the dispatch routine returned",
                kind.what
            );
        });
    }
}
