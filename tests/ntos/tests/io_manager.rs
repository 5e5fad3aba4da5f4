//! The I/O side of the double with a driver that is known to work: each rule that a file system relies on,
//! once.
//!
//! Every scenario ends with an unload that leaves nothing behind.

mod testfs;

use ntos::cc::segment::Role;
use ntos::disk::{Completion, DiskConfig, Fault, FaultKind};
use ntos::mm::user::UserRegion;
use ntos::nt::*;
use ntos::user::volume::Volume;
use ntos::user::{Machine, OpenAs, Report};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

fn driver() -> &'static PathBuf {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| testfs::driver("NO_BUG"))
}

/// Runs `act` on a machine whose one disk holds the test volume, and unloads.
fn on(name: &str, seed: u64, completion: Completion, act: impl FnOnce(&Machine)) -> Report {
    let disk = DiskConfig::image(testfs::image(name)).completion(completion);
    let mut machine = Machine::builder()
        .seed(seed)
        .disk(disk)
        .start()
        .expect("the image is good");
    machine.load_driver(driver()).expect("the driver loads");
    act(&machine);
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
    report
}

fn path(name: &str) -> String {
    format!("\\Device\\HarddiskVolume1\\{name}")
}

#[test]
fn data_is_the_same_by_every_way_of_reading() {
    for (seed, completion) in [
        (0, Completion::Inline),
        (1, Completion::Queued),
        (2, Completion::Seeded),
    ] {
        let report = on("ways.img", seed, completion, |machine| {
            for (name, data) in testfs::files() {
                let cached = machine.open(&path(name), OpenAs::read()).expect("opens");
                let read = cached.read(Some(0), data.len() + 10);
                if data.is_empty() {
                    assert_eq!(read.status, STATUS_END_OF_FILE);
                    continue;
                }
                assert_eq!(
                    (read.status, read.bytes == data),
                    (STATUS_SUCCESS, true),
                    "{name}, cached"
                );
                let uncached = machine
                    .open(&path(name), OpenAs::read().uncached())
                    .expect("opens");
                let whole = data.len().next_multiple_of(512);
                assert_eq!(uncached.read(Some(0), whole).bytes, data, "{name}, uncached");
                assert_eq!(uncached.read(Some(1), 512).status, STATUS_INVALID_PARAMETER);
                let section = cached.map(Role::Data).expect("maps");
                let mut bytes = vec![0; data.len()];
                section.read(0, &mut bytes).expect("faults in");
                assert_eq!(bytes, data, "{name}, mapped");
                assert_eq!(
                    section.read(data.len() as u64, &mut [0]),
                    Err(STATUS_ACCESS_VIOLATION)
                );
            }
        });
        assert!(report.paging_reads > 0);
    }
}

#[test]
fn the_position_of_a_synchronous_handle_moves() {
    on("position.img", 3, Completion::Seeded, |machine| {
        let handle = machine.open(&path("big"), OpenAs::read()).expect("opens");
        let data = testfs::pattern(700_001);
        let mut at = 0;
        for len in [1, 4095, 4096, 70_000, 1] {
            assert_eq!(handle.read(None, len).bytes, &data[at..at + len]);
            at += len;
        }
        let position = handle.query_information(14, 8);
        assert_eq!(position.bytes, (at as u64).to_le_bytes());
        assert_eq!(handle.read(Some(700_001), 1).status, STATUS_END_OF_FILE);
    });
}

#[test]
fn names_dispositions_and_sharing_are_enforced() {
    on("names.img", 4, Completion::Seeded, |machine| {
        let open = |name: &str, how: OpenAs| machine.open(&path(name), how).map(|_| ());
        assert_eq!(open("nothing", OpenAs::read()), Err(STATUS_OBJECT_NAME_NOT_FOUND));
        assert_eq!(
            open("hello", OpenAs::read().with(FILE_DIRECTORY_FILE)),
            Err(STATUS_NOT_A_DIRECTORY)
        );
        assert_eq!(
            open("", OpenAs::read().with(FILE_NON_DIRECTORY_FILE)),
            Err(STATUS_FILE_IS_A_DIRECTORY)
        );
        assert_eq!(
            open("hello", OpenAs::read().disposition(FILE_OVERWRITE)),
            Err(STATUS_MEDIA_WRITE_PROTECTED)
        );
        let writing = OpenAs::read().access(FILE_GENERIC_WRITE);
        assert_eq!(open("hello", writing), Err(STATUS_MEDIA_WRITE_PROTECTED));
        let alone = machine
            .open(&path("hello"), OpenAs::read().share(0))
            .expect("opens");
        assert_eq!(open("hello", OpenAs::read()), Err(STATUS_SHARING_VIOLATION));
        alone.close();
        assert_eq!(open("hello", OpenAs::read()), Ok(()));
        let root = machine.open(&path(""), OpenAs::read()).expect("opens");
        let name: Vec<u16> = "hello".encode_utf16().collect();
        assert_eq!(
            root.open_at(&name, OpenAs::read())
                .expect("relative")
                .read(Some(0), 5)
                .bytes,
            b"hello"
        );
        machine.assign_letter('Q', "\\Device\\HarddiskVolume1");
        let lettered = machine.open("\\??\\Q:\\hello", OpenAs::read()).expect("opens");
        assert_eq!(lettered.read(Some(6), 5).bytes, b"world");
        let attributes = machine.open(&path("hello"), OpenAs::look()).expect("opens");
        assert_eq!(attributes.read(Some(0), 1).status, STATUS_ACCESS_DENIED);
        ntos::io::names::remove_link(&ntos::io::names::wide("\\??\\Q:"));
    });
}

#[test]
fn locks_bind_readers_and_wait() {
    on("locks.img", 5, Completion::Seeded, |machine| {
        let one = machine.open(&path("big"), OpenAs::read()).expect("opens");
        let other = machine
            .open(&path("big"), OpenAs::read().asynchronous())
            .expect("opens");
        assert_eq!(
            one.lock(100, 50, true, true).expect("sent").wait().status,
            STATUS_SUCCESS
        );
        assert_eq!(other.read(Some(120), 4).status, STATUS_FILE_LOCK_CONFLICT);
        assert_eq!(other.read(Some(150), 4).status, STATUS_SUCCESS);
        assert_eq!(one.read(Some(120), 4).status, STATUS_SUCCESS, "the owner reads");
        assert_eq!(
            other.lock(149, 1, false, true).expect("sent").wait().status,
            STATUS_LOCK_NOT_GRANTED
        );
        let waiting = other.lock(120, 1, true, false).expect("sent");
        assert_eq!((waiting.returned(), waiting.is_done()), (STATUS_PENDING, false));
        assert_eq!(one.unlock(100, 50), STATUS_SUCCESS);
        assert_eq!(waiting.wait().status, STATUS_SUCCESS, "granted by the unlock");
        assert_eq!(one.unlock(100, 50), STATUS_RANGE_NOT_LOCKED);
        let waiting = one.lock(120, 1, true, false).expect("sent");
        assert!(waiting.cancel());
        assert_eq!(waiting.wait().status, STATUS_CANCELLED);
        let waiting = one.lock(120, 1, true, false).expect("sent");
        other.close();
        assert_eq!(waiting.wait().status, STATUS_SUCCESS, "cleanup gives locks up");
    });
}

#[test]
fn a_failing_disk_fails_the_read_and_nothing_else() {
    on("faults.img", 6, Completion::Seeded, |machine| {
        let disk = &machine.disks()[0];
        let handle = machine
            .open(&path("big"), OpenAs::read().uncached())
            .expect("opens");
        let next = disk.counts.reads.load(std::sync::atomic::Ordering::Relaxed) + 1;
        disk.fail(Fault::once(next, FaultKind::Error(STATUS_DEVICE_DATA_ERROR)));
        assert_eq!(handle.read(Some(0), 512).status, STATUS_DEVICE_DATA_ERROR);
        assert_eq!(handle.read(Some(0), 512).bytes, testfs::pattern(512));
        disk.fail(Fault::once(next + 2, FaultKind::Corrupt(0)));
        assert_ne!(handle.read(Some(0), 512).bytes, testfs::pattern(512));
    });
}

#[test]
fn a_pulled_disk_ends_what_hangs() {
    let disk = DiskConfig::image(testfs::image("pulled.img"));
    let mut machine = Machine::builder()
        .seed(7)
        .disk(disk)
        .start()
        .expect("the image is good");
    machine.load_driver(driver()).expect("the driver loads");
    let disk = machine.disks()[0].clone();
    let handle = machine
        .open(&path("big"), OpenAs::read().uncached())
        .expect("opens");
    let next = disk.counts.reads.load(std::sync::atomic::Ordering::Relaxed) + 1;
    disk.fail(Fault::from(next, FaultKind::Hang));
    let puller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        disk.remove();
    });
    assert_eq!(handle.read(Some(0), 512).status, STATUS_NO_SUCH_DEVICE);
    puller.join().expect("the disk was pulled");
    handle.close();
    assert!(machine.unload().is_clean());
}

#[test]
fn closing_waits_for_the_last_user_of_the_data() {
    on("close.img", 8, Completion::Seeded, |machine| {
        let handle = machine.open(&path("page"), OpenAs::read()).expect("opens");
        assert_eq!(handle.read(Some(0), 4096).bytes, testfs::pattern(4096));
        let section = handle.map(Role::Data).expect("maps");
        handle.close();
        let mut bytes = [0; 4096];
        section.read(0, &mut bytes).expect("the file is still there");
        assert_eq!(bytes[..], testfs::pattern(4096));
        assert_eq!(machine.trim(), 0, "the view keeps it");
        drop(section);
        assert_eq!(machine.trim(), 1, "the data was all that kept it");
    });
}

#[test]
fn buffers_that_are_not_there_fail_the_request_only() {
    on("buffers.img", 9, Completion::Seeded, |machine| {
        let handle = machine.open(&path("hello"), OpenAs::look()).expect("opens");
        assert_eq!(
            handle.query_information(4, 39).status,
            STATUS_INFO_LENGTH_MISMATCH
        );
        assert_eq!(handle.query_information(4, 40).status, STATUS_SUCCESS);
        assert_eq!(
            handle.query_information(8, 4).bytes,
            handle.granted().to_le_bytes()
        );
        let geometry = machine
            .open(&path(""), OpenAs::read())
            .expect("opens")
            .ioctl(0x0007_0000, &[], 24);
        assert_eq!(
            geometry.bytes[20..24],
            512_u32.to_le_bytes(),
            "passed down to the disk"
        );
    });
}

#[test]
fn what_nobody_recognises_is_not_mounted() {
    let image = testfs::scratch().join("nothing.img");
    std::fs::write(&image, vec![0; 1 << 16]).expect("writable");
    let disk = DiskConfig::image(image);
    let mut machine = Machine::builder().disk(disk).start().expect("the image is good");
    machine.load_driver(driver()).expect("the driver loads");
    let refusals = Volume::first(&machine, &machine.disks()[0])
        .map(|_| ())
        .expect_err("not recognised");
    assert_eq!(refusals, [STATUS_UNRECOGNIZED_VOLUME]);
    assert!(machine.unload().is_clean());
}

#[test]
fn many_threads_read_at_once() {
    on("threads.img", 10, Completion::Seeded, |machine| {
        let data = testfs::pattern(700_001);
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let data = &data;
                scope.spawn(move || {
                    let how = if thread % 2 == 0 {
                        OpenAs::read()
                    } else {
                        OpenAs::read().uncached()
                    };
                    let handle = machine.open(&path("big"), how).expect("opens");
                    let buffer = UserRegion::new(8192);
                    for turn in 0..40_usize {
                        let at = (turn * 37 + thread * 11) * 512 % (700_001 - 8192) / 512 * 512;
                        let (status, len) = handle.read_into(&buffer, Some(at as u64), 8192);
                        assert_eq!((status, len), (STATUS_SUCCESS, 8192));
                        assert_eq!(buffer.read(), &data[at..at + 8192], "thread {thread} at {at}");
                    }
                });
            }
        });
    });
}
