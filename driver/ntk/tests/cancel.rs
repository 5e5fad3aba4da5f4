//! Requests that wait are cancelled (IoCancelIrp): notifications, locks, and reads that wait for a worker while the disk
//! hangs. And a disk that hangs does not take the system's workers away from others.
//!
//! A read that Linux has begun is not cancelled: driver/README.md says why. It ends when the disk answers or is pulled.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::disk::{Completion, Fault, FaultKind};
use ntos::mm::user::UserRegion;
use ntos::nt::*;
use ntos::user::{OpenAs, Pending};
use ntos::verifier::hang;
use ntos::verifier::moments::{self as numbered, Kind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How soon a request ends after it was cancelled, by the wall clock.
const SOON: Duration = Duration::from_secs(1);
const PIECE: usize = 8192;

fn cancel(pending: Pending) {
    let started = Instant::now();
    assert!(pending.cancel(), "it had ended already");
    assert!(pending.wait_for(SOON), "it is pended still");
    assert_eq!(pending.wait().status, STATUS_CANCELLED);
    assert!(started.elapsed() < SOON);
}

#[test]
fn what_waits_on_a_volume_is_cancelled() {
    on(1, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let open = |name| {
            machine
                .open(&path(&disk, name), OpenAs::read().asynchronous())
                .expect("opens")
        };
        let folder = open("folder");
        cancel(folder.notify(0x17, true, 1024).expect("is sent"));
        let (holder, waiter) = (open("locked.bin"), open("locked.bin"));
        assert_eq!(
            holder.lock(0, 100, true, true).expect("is sent").wait().status,
            STATUS_SUCCESS
        );
        cancel(waiter.lock(50, 100, true, false).expect("is sent"));
        // The lock was not granted, so it keeps nobody out.
        assert_eq!(holder.unlock(0, 100), STATUS_SUCCESS);
        assert_eq!(holder.read(Some(120), 10).bytes, data()[120..130]);
        // All of a handle's requests at once.
        let first = folder.notify(0x17, false, 1024).expect("is sent");
        let second = folder.notify(0x17, false, 1024).expect("is sent");
        assert_eq!(folder.cancel(), 2);
        assert!(first.wait_for(SOON) && second.wait_for(SOON));
    });
}

#[test]
fn reads_that_wait_for_a_worker_are_cancelled_and_others_go_on() {
    on(2, &[disk(), disk().completion(Completion::Queued)], |machine| {
        let [hung, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        let how = || OpenAs::read().asynchronous().uncached();
        let handle = machine.open(&path(&hung, "data.bin"), how()).expect("opens");
        let fine = machine.open(&path(&other, "data.bin"), how()).expect("opens");
        let reads = hung.counts.reads.load(Ordering::SeqCst);
        hung.fail(Fault::from(reads + 1, FaultKind::Hang));
        // As many as the system has workers, and more.
        let buffers: Vec<_> = (0..60).map(|_| UserRegion::new(PIECE)).collect();
        let start = |handle: &ntos::user::Handle, at: usize| {
            let offset = (at * PIECE) as u64;
            handle
                .start_read(&buffers[at], Some(offset), PIECE)
                .expect("is sent")
        };
        let mut pending: Vec<Pending> = (0..48).map(|at| start(&handle, at)).collect();
        std::thread::sleep(Duration::from_millis(50));
        // Another volume has workers still.
        let limit = hang::watch("another disk's volume while one hangs", LIMIT);
        for (at, buffer) in buffers.iter().enumerate().skip(48) {
            assert_eq!(start(&fine, at).wait().status, STATUS_SUCCESS);
            assert!(buffer.read() == data()[at * PIECE..(at + 1) * PIECE]);
        }
        drop(limit);
        // A few are with Linux; the others are cancelled.
        let begun = pending.drain(..4).collect::<Vec<_>>();
        for waiting in pending {
            cancel(waiting);
        }
        for read in &begun {
            assert!(
                read.cancel() && !read.is_done(),
                "a read that was begun is cancelled"
            );
        }
        let limit = hang::watch("reads of a disk that hangs and is pulled", LIMIT);
        machine.pull(&hung);
        for read in begun {
            assert_eq!(read.wait().status, STATUS_NO_SUCH_DEVICE);
        }
        drop(limit);
    });
}

#[test]
fn reads_that_wait_for_a_worker_end_with_their_disk() {
    on(3, &[disk()], |machine| {
        let hung = Arc::clone(&machine.disks()[0]);
        let handle = machine
            .open(&path(&hung, "data.bin"), OpenAs::read().asynchronous())
            .expect("opens");
        let reads = hung.counts.reads.load(Ordering::SeqCst);
        hung.fail(Fault::from(reads + 1, FaultKind::Hang));
        let buffers: Vec<_> = (0..20).map(|_| UserRegion::new(PIECE)).collect();
        let pending: Vec<Pending> = buffers
            .iter()
            .enumerate()
            .map(|(at, buffer)| {
                let offset = (at * PIECE) as u64;
                handle.start_read(buffer, Some(offset), PIECE).expect("is sent")
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20));
        let limit = hang::watch("reads of a disk that is pulled", LIMIT);
        machine.pull(&hung);
        for read in pending {
            let status = read.wait().status;
            assert!(says_gone(status), "{}", name(status));
        }
        drop(limit);
    });
}

/// Asynchronous reads, all of them cancelled at one moment: each is true or cancelled.
fn cancel_at(number: u64) {
    on(number, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        for how in [
            OpenAs::read().asynchronous(),
            OpenAs::read().asynchronous().uncached(),
        ] {
            let handle = machine.open(&path(&disk, "data.bin"), how).expect("opens");
            let buffers: Vec<_> = (0..24).map(|_| UserRegion::new(PIECE)).collect();
            let armed = numbered::arm(Kind::Import, number);
            std::thread::scope(|scope| {
                let (handle, buffers) = (&handle, &buffers);
                let reading = scope.spawn(move || {
                    let sent: Vec<Pending> = buffers
                        .iter()
                        .enumerate()
                        .map(|(at, buffer)| {
                            handle
                                .start_read(buffer, Some((at * PIECE) as u64), PIECE)
                                .expect("is sent")
                        })
                        .collect();
                    for (at, read) in sent.into_iter().enumerate() {
                        match read.wait().status {
                            STATUS_SUCCESS => {
                                assert!(
                                    buffers[at].read() == data()[at * PIECE..(at + 1) * PIECE],
                                    "read {at}"
                                );
                            }
                            status => assert_eq!(status, STATUS_CANCELLED, "read {at}"),
                        }
                    }
                });
                assert!(
                    armed.wait(Duration::from_secs(20)),
                    "the moment never came: call {number}"
                );
                let limit = hang::watch("cancelled reads", LIMIT);
                handle.cancel();
                armed.release();
                reading.join().expect("what it read was true");
                drop(limit);
            });
        }
    });
}

#[test]
fn reads_are_cancelled_at_any_call_of_the_driver() {
    for number in chosen(250, 10) {
        cancel_at(number);
    }
}
