//! Requests that wait are cancelled (IoCancelIrp, CancelSynchronousIo): notifications, locks, and whatever waits for a disk
//! that hangs, in Linux, in the cache or for a worker. And a disk that hangs does not take the workers away from others.
//!
//! What cannot be cancelled is a page of a mapped file: nobody asks for that by an IRP of his own.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::disk::{Completion, Disk, DiskConfig, Fault, FaultKind};
use ntos::mm::user::UserRegion;
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs, Pending, cancel_synchronous};
use ntos::verifier::hang;
use ntos::verifier::moments::{self as numbered, Kind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
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
        // Some are with Linux, the others wait for a worker.
        for waiting in pending.drain(..) {
            cancel(waiting);
        }
        // The handle goes at once; what is left of its reads keeps nobody from reading when the disk answers again.
        drop(handle);
        hung.answer();
        assert_eq!(use_all(machine, &hung), Ok(()));
    });
}

/// `ext4.img` with an extended attribute of `hello.txt` that has a block of its own.
fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let folder = folder();
        std::fs::copy(folder.join("ext4.img"), folder.join("attributes.img")).expect("writable");
        std::fs::write(folder.join("value"), [b'v'; 700]).expect("writable");
        let set = "ea_set -f value hello.txt user.large";
        run("debugfs", &["-w", "-R", set, "attributes.img"], folder);
        folder.join("attributes.img")
    })
}

fn status_of<T>(result: Result<T, NTSTATUS>) -> NTSTATUS {
    result.map_or_else(|status| status, |_| STATUS_SUCCESS)
}

/// A request on a file (the volume itself if its name is empty) that was open before its disk hung.
type Act = fn(&Machine, &Disk, &Handle) -> NTSTATUS;

const FILE_EA_INFORMATION: i32 = 7;
const FILE_ALL_INFORMATION: i32 = 18;
const NAMES: u32 = 12;

/// Requests that no memory can answer: none of what they ask for was read yet.
const WAITING: &[(&str, &str, Act)] = &[
    ("a cached read", "data.bin", |_, _, file| {
        file.read(Some(0), 50_001).status
    }),
    (
        "an open of a name that nobody has asked for",
        "hello.txt",
        |machine, disk, _| status_of(machine.open(&path(disk, "folder\\entry 050"), OpenAs::read())),
    ),
    (
        "an open of a name in another case",
        "hello.txt",
        |machine, disk, _| status_of(machine.open(&path(disk, "FOLDER\\ENTRY 050"), OpenAs::read())),
    ),
    ("an open to look at", "hello.txt", |machine, disk, _| {
        status_of(machine.open(&path(disk, "folder\\entry 051"), OpenAs::look()))
    }),
    ("an open relative to a folder", "folder", |_, _, folder| {
        let name: Vec<u16> = "entry 052".encode_utf16().collect();
        status_of(folder.open_at(&name, OpenAs::read()))
    }),
    ("a listing", "folder", |_, _, folder| {
        folder.query_directory(NAMES, 900, None, 0).status
    }),
    ("a listing with a pattern", "folder", |_, _, folder| {
        folder.query_directory(NAMES, 900, Some("entry 1*"), 0).status
    }),
    ("extended attributes", "hello.txt", |_, _, file| {
        file.query_ea(4096).status
    }),
    ("the size of extended attributes", "hello.txt", |_, _, file| {
        file.query_information(FILE_EA_INFORMATION, 64).status
    }),
    ("all information about a file", "hello.txt", |_, _, file| {
        file.query_information(FILE_ALL_INFORMATION, 600).status
    }),
    ("a read of the volume itself", "", |_, _, volume| {
        volume.read(Some(1 << 20), 4096).status
    }),
];

fn opened(machine: &Machine, disk: &Disk, name: &str, how: OpenAs) -> Handle {
    let path = match name {
        "" => disk.volumes()[0].path(),
        name => path(disk, name),
    };
    machine.open(&path, how).expect("opens")
}

/// Sends a request to a disk that hangs, from a thread of its own, and cancels all that the thread waits for.
fn cancel_what_waits(what: &str, disk: &Arc<Disk>, act: impl FnOnce() -> NTSTATUS + Send) {
    std::thread::scope(|scope| {
        let sender = scope.spawn(act);
        let before = Instant::now();
        while disk.counts.under_way.load(Ordering::SeqCst) == 0 {
            assert!(!sender.is_finished(), "{what}: ended without the disk");
            assert!(before.elapsed() < LIMIT, "{what}: never asked the disk");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(20));
        assert!(!sender.is_finished(), "{what}: did not wait");
        let started = Instant::now();
        assert_eq!(cancel_synchronous(sender.thread().id()), 1, "{what}");
        let status = sender.join().expect("ends");
        assert!(started.elapsed() < SOON, "{what}: took {:?}", started.elapsed());
        assert_eq!(status, STATUS_CANCELLED, "{what}: {}", name(status));
    });
}

#[test]
fn whatever_waits_for_a_disk_that_hangs_is_cancelled() {
    for (number, (what, file, act)) in (10..).zip(WAITING) {
        for pulled in [false, true] {
            let config = DiskConfig::image(image()).completion(Completion::Queued);
            on(number, &[config], |machine| {
                let disk = Arc::clone(&machine.disks()[0]);
                let how = if file.is_empty() {
                    OpenAs::volume()
                } else {
                    OpenAs::read()
                };
                let handle = opened(machine, &disk, file, how);
                machine.settle();
                disk.fail(Fault::from(0, FaultKind::Hang));
                cancel_what_waits(what, &disk, || act(machine, &disk, &handle));
                // The handle goes at once, whatever its disk does.
                let started = Instant::now();
                drop(handle);
                assert!(
                    started.elapsed() < SOON,
                    "{what}: the handle was closed in {:?}",
                    started.elapsed()
                );
                if pulled {
                    machine.pull(&disk);
                } else {
                    disk.answer();
                    assert_eq!(use_all(machine, &disk), Ok(()), "after {what}");
                }
            });
        }
    }
}

#[test]
fn a_read_past_the_cache_is_cancelled() {
    on(4, &[disk().completion(Completion::Queued)], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let handle = opened(machine, &disk, "data.bin", OpenAs::read().uncached());
        disk.fail(Fault::from(0, FaultKind::Hang));
        cancel_what_waits("an uncached read", &disk, || {
            handle.read(Some(0), 64 * 1024).status
        });
        disk.answer();
        assert_eq!(read_through(&handle, 64 * 1024, "the same handle"), Ok(()));
    });
}

#[test]
fn of_two_that_wait_for_the_same_page_one_is_cancelled_and_the_other_gets_it() {
    on(5, &[disk().completion(Completion::Queued)], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let [first, second] = [0, 1].map(|_| opened(machine, &disk, "data.bin", OpenAs::read()));
        disk.fail(Fault::from(0, FaultKind::Hang));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| first.read(Some(0), 4096));
            cancel_what_waits("one of two reads", &disk, || second.read(Some(0), 4096).status);
            assert!(!other.is_finished(), "the other read ended as well");
            disk.answer();
            assert_eq!(other.join().expect("ends").bytes, data()[..4096]);
        });
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

/// Everything that a program does, and all that waits in it is cancelled at one moment: what it gets is true, or cancelled.
fn cancel_all_at(number: u64) {
    on(number, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        // Mounted, so that the moments are those of requests.
        drop(opened(machine, &disk, "hello.txt", OpenAs::read()));
        let armed = numbered::arm(Kind::Import, number);
        let outcome = std::thread::scope(|scope| {
            let machine = &*machine;
            let user = scope.spawn(|| {
                list(machine, &disk)?;
                read_cached(machine, &disk)?;
                read_uncached(machine, &disk)
            });
            assert!(
                armed.wait(Duration::from_secs(20)),
                "the moment never came: call {number}"
            );
            let limit = hang::watch("cancelled requests", LIMIT);
            cancel_synchronous(user.thread().id());
            armed.release();
            let outcome = user.join().expect("what it got was true");
            drop(limit);
            outcome
        });
        if let Err((what, status)) = outcome {
            assert_eq!(status, STATUS_CANCELLED, "{what}: {}", name(status));
        }
        drop(armed);
        assert_eq!(use_all(machine, &disk), Ok(()), "after a cancel at call {number}");
    });
}

#[test]
fn anything_is_cancelled_at_any_call_of_the_driver() {
    for number in chosen(600, 25) {
        cancel_all_at(number);
    }
}
