//! The real `lklfs.sys` in the NT kernel double, on an ext4 image: what programs see of this edge, and that nothing is
//! left behind. Which bytes and names are right is the business of the volume tests; here it is how they are asked for.
//!
//! `LKLFS_SYS` names the driver; `cargo xtask test` sets it. Every scenario starts a machine of its own, which loads the
//! driver afresh, and ends with an unload that must leave no pool, thread, handle, IRP or write behind.

#![cfg(target_os = "linux")]

use lklfs_control::{Code, Request, reply};
use ntos::cc::segment::Role;
use ntos::disk::{Completion, DiskConfig, Fault, FaultKind};
use ntos::imports::Since;
use ntos::loader::Options;
use ntos::mm::space::Protection;
use ntos::mm::user::UserRegion;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use rustix::fs::SeekFrom;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const FSCTL_LOCK_VOLUME: u32 = 0x0009_0018;
const FSCTL_UNLOCK_VOLUME: u32 = 0x0009_001c;
const FSCTL_DISMOUNT_VOLUME: u32 = 0x0009_0020;
const FSCTL_QUERY_ALLOCATED_RANGES: u32 = 0x0009_40cf;
const FILE_INTERNAL_INFORMATION: i32 = 6;
const FILE_OPEN_BY_FILE_ID: u32 = 0x2000;

/// The length of `data.bin`: not a multiple of anything.
const DATA: usize = 1_234_567;

fn driver() -> PathBuf {
    let path =
        std::env::var_os("LKLFS_SYS").expect("LKLFS_SYS names lklfs.sys: run this by `cargo xtask test`");
    PathBuf::from(path)
}

/// The bytes of `data.bin`: a position decides each, so that a wrong place shows.
fn data() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(DATA + 8);
        while bytes.len() < DATA {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&(state >> 16).to_le_bytes());
        }
        bytes.truncate(DATA);
        bytes
    })
}

/// An ext4 image with a few files, made once.
fn image() -> &'static Path {
    static IMAGE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &IMAGE
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let tree = folder.path().join("tree");
            std::fs::create_dir_all(tree.join("folder/deep")).expect("writable");
            std::fs::write(tree.join("data.bin"), data()).expect("writable");
            std::fs::write(tree.join("hello.txt"), "hello\n").expect("writable");
            std::fs::write(tree.join("empty"), "").expect("writable");
            sparse(&tree.join("sparse.bin"));
            for number in 0..300 {
                std::fs::write(tree.join(format!("folder/entry {number:03}")), number.to_string())
                    .expect("writable");
            }
            let image = folder.path().join("ext4.img");
            let made = Command::new("mkfs.ext4")
                .args(["-q", "-F", "-b", "4096", "-L", "Double", "-d"])
                .arg(&tree)
                .arg(&image)
                .arg("24M")
                .status()
                .expect("mkfs.ext4 is installed");
            assert!(made.success());
            (folder, image)
        })
        .1
}

/// A file of 3 MiB and a bit, with holes between and behind its data.
fn sparse(path: &Path) {
    let file = std::fs::File::create(path).expect("writable");
    for (offset, length) in [(0, 70_000), (1 << 20, 4096), ((1 << 20) + 8192, 10_000)] {
        file.write_all_at(&data()[..length], offset).expect("writable");
    }
    file.set_len((3 << 20) + 5).expect("writable");
}

/// What the file system of this machine says that the stretches of data in `path` are: offset and length.
fn native_ranges(path: &Path) -> Vec<(u64, u64)> {
    let file = std::fs::File::open(path).expect("readable");
    let mut found = Vec::new();
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).expect("there is a hole at the end");
        found.push((start, end - start));
        at = end;
    }
    found
}

fn disk() -> DiskConfig {
    DiskConfig::image(image())
}

/// Runs `act` on a machine with one disk, then unloads and looks at what is left.
fn on(seed: u64, disk: DiskConfig, options: Options, act: impl FnOnce(&Machine)) {
    let mut machine = Machine::builder()
        .seed(seed)
        .disk(disk)
        .options(options)
        .start()
        .expect("the image is good");
    machine.load_driver(&driver()).expect("the driver loads");
    act(&machine);
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

fn on_ext4(act: impl FnOnce(&Machine)) {
    on(0, disk(), Options::default(), act);
}

fn path(name: &str) -> String {
    format!("\\Device\\HarddiskVolume1\\{name}")
}

/// Everything of `data.bin` through a handle, in pieces of an odd length.
fn read_all(machine: &Machine, how: OpenAs, piece: usize) -> Vec<u8> {
    let handle = machine.open(&path("data.bin"), how).expect("opens");
    let mut bytes = Vec::new();
    while bytes.len() < DATA {
        let outcome = handle.read(Some(bytes.len() as u64), piece);
        assert_eq!(outcome.status, STATUS_SUCCESS, "at {}", bytes.len());
        assert!(!outcome.bytes.is_empty());
        bytes.extend_from_slice(&outcome.bytes);
    }
    bytes
}

#[test]
fn every_way_of_reading_gives_the_same_bytes() {
    for (seed, completion) in [
        (0, Completion::Inline),
        (1, Completion::Queued),
        (2, Completion::Seeded),
    ] {
        on(
            seed,
            disk().completion(completion),
            Options::default(),
            |machine| {
                assert!(
                    read_all(machine, OpenAs::read().uncached(), 64 * 512) == data(),
                    "uncached"
                );
                assert!(read_all(machine, OpenAs::read(), 77_777) == data(), "cached");
                let handle = machine.open(&path("data.bin"), OpenAs::read()).expect("opens");
                let section = handle.map(Role::Data).expect("maps");
                let mut bytes = vec![0; DATA];
                section.read(0, &mut bytes).expect("faults in");
                assert!(bytes == data(), "mapped");
            },
        );
    }
}

#[test]
fn disks_with_large_sectors_work() {
    on(3, disk().sector(4096), Options::default(), |machine| {
        assert!(read_all(machine, OpenAs::read(), 100_000) == data());
        let handle = machine
            .open(&path("data.bin"), OpenAs::read().uncached())
            .expect("opens");
        assert_eq!(handle.read(Some(512), 4096).status, STATUS_INVALID_PARAMETER);
        assert!(handle.read(Some(4096), 8192).bytes == data()[4096..4096 + 8192]);
    });
}

#[test]
fn the_ends_of_a_file() {
    on_ext4(|machine| {
        for how in [OpenAs::read(), OpenAs::read().uncached()] {
            let handle = machine.open(&path("data.bin"), how).expect("opens");
            let last = DATA as u64 / 512 * 512;
            let tail = handle.read(Some(last), 512);
            assert_eq!(
                (tail.status, tail.bytes.as_slice()),
                (STATUS_SUCCESS, &data()[last as usize..])
            );
            assert_eq!(
                handle.read(Some(DATA.next_multiple_of(512) as u64), 512).status,
                STATUS_END_OF_FILE
            );
            assert_eq!(handle.read(Some(0), 0).status, STATUS_SUCCESS);
        }
        let empty = machine.open(&path("empty"), OpenAs::read()).expect("opens");
        assert_eq!(empty.read(Some(0), 1).status, STATUS_END_OF_FILE);
        // A synchronous handle goes on where it stopped.
        let handle = machine.open(&path("data.bin"), OpenAs::read()).expect("opens");
        assert_eq!(handle.read(None, 1000).bytes, data()[..1000]);
        assert_eq!(handle.read(None, 1000).bytes, data()[1000..2000]);
    });
}

#[test]
fn many_reads_at_once_are_posted_and_end() {
    on(
        4,
        disk().completion(Completion::Queued),
        Options::default(),
        |machine| {
            for how in [
                OpenAs::read().asynchronous(),
                OpenAs::read().asynchronous().uncached(),
            ] {
                let handle = machine.open(&path("data.bin"), how).expect("opens");
                let buffers: Vec<_> = (0..48).map(|_| UserRegion::new(16 * 1024)).collect();
                let pending: Vec<_> = buffers
                    .iter()
                    .enumerate()
                    .map(|(index, buffer)| {
                        let offset = (index * 20 * 1024) as u64;
                        handle
                            .start_read(buffer, Some(offset), 16 * 1024)
                            .expect("is sent")
                    })
                    .collect();
                for (index, request) in pending.into_iter().enumerate() {
                    let outcome = request.wait();
                    assert_eq!((outcome.status, outcome.information), (STATUS_SUCCESS, 16 * 1024));
                    let at = index * 20 * 1024;
                    assert!(
                        buffers[index].read() == data()[at..at + 16 * 1024],
                        "read {index}"
                    );
                }
            }
        },
    );
}

#[test]
fn threads_read_and_list_at_the_same_time() {
    on(5, disk(), Options::default(), |machine| {
        std::thread::scope(|scope| {
            for thread in 0..6_usize {
                scope.spawn(move || {
                    if thread % 2 == 0 {
                        assert!(read_all(machine, OpenAs::read(), 40_000 + thread) == data());
                    } else {
                        let folder = machine.open(&path("folder"), OpenAs::read()).expect("opens");
                        assert_eq!(count_entries(&folder), 303);
                    }
                });
            }
        });
    });
}

/// Entries of a directory, asked for in small pieces.
fn count_entries(folder: &ntos::user::Handle) -> usize {
    let mut count = 0;
    loop {
        let outcome = folder.query_directory(12, 700, None, 0);
        if outcome.status == STATUS_NO_MORE_FILES {
            return count;
        }
        assert_eq!(outcome.status, STATUS_SUCCESS);
        let mut at = 0;
        loop {
            count += 1;
            let next = u32::from_le_bytes(outcome.bytes[at..at + 4].try_into().expect("four bytes")) as usize;
            if next == 0 {
                break;
            }
            at += next;
        }
    }
}

#[test]
fn a_bad_buffer_is_an_error_and_nothing_else() {
    on_ext4(|machine| {
        for how in [OpenAs::read(), OpenAs::read().uncached()] {
            let handle = machine.open(&path("data.bin"), how).expect("opens");
            let buffer = UserRegion::new(64 * 1024);
            buffer.protect(Protection::None);
            let (status, _) = handle.read_into(&buffer, Some(0), 64 * 1024);
            assert!(status < 0, "a read into nowhere ended with {status:#x}");
            buffer.protect(Protection::ReadWrite);
            let (status, count) = handle.read_into(&buffer, Some(0), 64 * 1024);
            assert_eq!((status, count), (STATUS_SUCCESS, 64 * 1024));
            assert!(buffer.read() == data()[..64 * 1024]);
        }
    });
}

#[test]
fn sharing_is_kept() {
    on_ext4(|machine| {
        let alone = machine
            .open(&path("hello.txt"), OpenAs::read().share(0))
            .expect("opens");
        let second = machine.open(&path("hello.txt"), OpenAs::read()).map(drop);
        assert_eq!(second, Err(STATUS_SHARING_VIOLATION));
        // Attributes may be looked at all the same.
        machine
            .open(&path("hello.txt"), OpenAs::look().access(FILE_READ_ATTRIBUTES))
            .map(drop)
            .expect("looks");
        drop(alone);
        machine
            .open(&path("hello.txt"), OpenAs::read())
            .map(drop)
            .expect("opens");
    });
}

#[test]
fn locked_ranges_bind_readers() {
    on_ext4(|machine| {
        let holder = machine.open(&path("data.bin"), OpenAs::read()).expect("opens");
        let other = machine.open(&path("data.bin"), OpenAs::read()).expect("opens");
        let lock = holder.lock(100, 100, true, true).expect("is sent").wait();
        assert_eq!(lock.status, STATUS_SUCCESS);
        assert_eq!(holder.read(Some(150), 10).bytes, data()[150..160]);
        assert_eq!(other.read(Some(150), 10).status, STATUS_FILE_LOCK_CONFLICT);
        assert_eq!(other.read(Some(200), 10).bytes, data()[200..210]);
        assert_eq!(holder.unlock(100, 100), STATUS_SUCCESS);
        assert_eq!(other.read(Some(150), 10).bytes, data()[150..160]);
        // A lock that is left is released by the handle's end.
        assert_eq!(
            holder.lock(0, 10, true, true).expect("is sent").wait().status,
            STATUS_SUCCESS
        );
        drop(holder);
        assert_eq!(other.read(Some(0), 10).bytes, data()[..10]);
    });
}

#[test]
fn a_notification_waits_until_its_handle_goes() {
    on_ext4(|machine| {
        let folder = machine
            .open(&path("folder"), OpenAs::read().asynchronous())
            .expect("opens");
        let pending = folder.notify(0x17, true, 1024).expect("is sent");
        assert!(!pending.wait_for(Duration::from_millis(50)));
        assert!(pending.cancel());
        assert_eq!(pending.wait().status, STATUS_CANCELLED);
        let pending = folder.notify(0x17, false, 1024).expect("is sent");
        drop(folder);
        assert_eq!(pending.wait().status, STATUS_NOTIFY_CLEANUP);
    });
}

#[test]
fn a_volume_is_locked_only_when_nothing_is_open() {
    on_ext4(|machine| {
        let file = machine.open(&path("hello.txt"), OpenAs::read()).expect("opens");
        assert_eq!(file.read(Some(0), 6).bytes, b"hello\n");
        let volume = machine
            .open("\\Device\\HarddiskVolume1", OpenAs::volume())
            .expect("opens");
        assert_eq!(
            volume.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status,
            STATUS_ACCESS_DENIED
        );
        drop(file);
        assert_eq!(volume.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
        let open = machine.open(&path("hello.txt"), OpenAs::read()).map(drop);
        assert_eq!(open, Err(STATUS_ACCESS_DENIED));
        assert_eq!(volume.fsctl(FSCTL_UNLOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
        machine
            .open(&path("hello.txt"), OpenAs::read())
            .map(drop)
            .expect("opens again");
    });
}

#[test]
fn a_dismounted_volume_is_mounted_again() {
    on_ext4(|machine| {
        for _ in 0..3 {
            let file = machine.open(&path("hello.txt"), OpenAs::read()).expect("opens");
            assert_eq!(file.read(Some(0), 6).bytes, b"hello\n");
            drop(file);
            let volume = machine
                .open("\\Device\\HarddiskVolume1", OpenAs::volume())
                .expect("opens");
            assert_eq!(volume.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
            assert_eq!(volume.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
            drop(volume);
            machine.settle();
        }
    });
}

#[test]
fn a_sparse_files_ranges_are_those_that_the_machine_tells_of_the_source() {
    on_ext4(|machine| {
        let expected = native_ranges(&image().with_file_name("tree").join("sparse.bin"));
        assert_eq!(expected.len(), 3, "this machine keeps no holes: {expected:?}");
        let file = machine.open(&path("sparse.bin"), OpenAs::read()).expect("opens");
        let ask = |offset: u64, length: u64, room| {
            let input = [offset.to_le_bytes(), length.to_le_bytes()].concat();
            file.fsctl(FSCTL_QUERY_ALLOCATED_RANGES, &input, room)
        };
        let ranges = |bytes: &[u8]| -> Vec<(u64, u64)> {
            let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            bytes
                .chunks_exact(16)
                .map(|range| (word(&range[..8]), word(&range[8..])))
                .collect()
        };
        let all = ask(0, 1 << 30, 4096);
        assert_eq!(
            (all.status, ranges(&all.bytes)),
            (STATUS_SUCCESS, expected.clone())
        );
        let first = ask(0, 1 << 30, 16);
        assert_eq!(
            (first.status, ranges(&first.bytes)),
            (STATUS_BUFFER_OVERFLOW, expected[..1].to_vec())
        );
        let hole = ask(2 << 20, 4096, 4096);
        assert_eq!((hole.status, hole.bytes.len()), (STATUS_SUCCESS, 0));
    });
}

#[test]
fn what_was_told_its_identity_opens_by_it() {
    on_ext4(|machine| {
        let file = machine.open(&path("hello.txt"), OpenAs::read()).expect("opens");
        let id = file.query_information(FILE_INTERNAL_INFORMATION, 8);
        assert_eq!(id.status, STATUS_SUCCESS);
        let id: Vec<u16> = id
            .bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        drop(file);
        let root = machine.open(&path(""), OpenAs::read()).expect("opens");
        let how = || OpenAs::read().with(FILE_OPEN_BY_FILE_ID);
        let again = root.open_at(&id, how()).expect("opens by its identity");
        assert_eq!(again.read(Some(0), 6).bytes, b"hello\n");
        assert_eq!(
            again.query_information(FILE_INTERNAL_INFORMATION, 8).status,
            STATUS_SUCCESS
        );
        let unknown = root.open_at(&[0x7fff, 0, 0, 0], how()).map(drop);
        assert_eq!(unknown, Err(STATUS_INVALID_PARAMETER));
        let short = root.open_at(&id[..3], how()).map(drop);
        assert_eq!(short, Err(STATUS_INVALID_PARAMETER));
    });
}

#[test]
fn the_volume_itself_reads_as_the_disk() {
    on_ext4(|machine| {
        let volume = machine
            .open("\\Device\\HarddiskVolume1", OpenAs::volume())
            .expect("opens");
        let bytes = std::fs::read(image()).expect("readable");
        let outcome = volume.read(Some(1024), 200 * 512);
        assert_eq!(outcome.status, STATUS_SUCCESS);
        assert!(outcome.bytes == bytes[1024..1024 + 200 * 512]);
        assert_eq!(volume.read(Some(1), 512).status, STATUS_INVALID_PARAMETER);
    });
}

#[test]
fn writes_are_refused_by_name() {
    on_ext4(|machine| {
        let write = OpenAs::read().access(FILE_GENERIC_READ | FILE_GENERIC_WRITE);
        let opened = machine.open(&path("hello.txt"), write).map(drop);
        assert_eq!(opened, Err(STATUS_MEDIA_WRITE_PROTECTED));
        let handle = machine.open(&path("hello.txt"), OpenAs::read()).expect("opens");
        assert_eq!(handle.bare(IRP_MJ_WRITE, 0), STATUS_MEDIA_WRITE_PROTECTED);
        assert_eq!(handle.bare(IRP_MJ_SET_EA, 0), STATUS_MEDIA_WRITE_PROTECTED);
        assert_eq!(handle.bare(IRP_MJ_SET_SECURITY, 0), STATUS_MEDIA_WRITE_PROTECTED);
        assert_eq!(
            handle.bare(IRP_MJ_CREATE_MAILSLOT, 0),
            STATUS_INVALID_DEVICE_REQUEST
        );
        assert_eq!(handle.flush(), STATUS_SUCCESS);
    });
}

#[test]
fn an_old_kernel_will_do() {
    for nt in [Since::Nt52, Since::Nt60, Since::Nt61] {
        let options = Options {
            nt,
            hvci: false,
            ..Options::default()
        };
        on(6, disk(), options, |machine| {
            assert!(read_all(machine, OpenAs::read(), 65_536) == data(), "on {nt:?}");
        });
    }
}

#[test]
fn a_failing_disk_is_an_error_in_bounded_time() {
    for at in [1, 3, 5, 8, 12, 20, 30] {
        on(8, disk(), Options::default(), |machine| {
            let fault = Fault::from(at, FaultKind::Error(STATUS_IO_DEVICE_ERROR));
            machine.disks()[0].fail(fault);
            let opened = machine.open(&path("data.bin"), OpenAs::read().uncached());
            assert!(at > 1 || opened.is_err());
            if let Ok(handle) = opened {
                let outcome = handle.read(Some(0), DATA.next_multiple_of(512));
                // What was read before the disk failed is right; nothing else is taken for data.
                assert!(outcome.status < 0 || outcome.bytes == data(), "from read {at} on");
            }
        });
    }
}

#[test]
fn a_disk_that_is_pulled_out_lets_go() {
    on(
        9,
        disk().completion(Completion::Queued),
        Options::default(),
        |machine| {
            let handle = machine
                .open(&path("data.bin"), OpenAs::read().uncached())
                .expect("opens");
            assert_eq!(handle.read(Some(0), 4096).status, STATUS_SUCCESS);
            machine.disks()[0].remove();
            let outcome = handle.read(Some(512 * 1024), 256 * 1024);
            assert!(
                outcome.status < 0,
                "a read of a disk that is gone ended with {:#x}",
                outcome.status
            );
        },
    );
}

#[test]
fn what_is_no_volume_of_ours_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blank = folder.path().join("blank.img");
    std::fs::write(&blank, vec![0x5a_u8; 1 << 20]).expect("writable");
    on(10, DiskConfig::image(&blank), Options::default(), |machine| {
        let opened = machine.open(&path("hello.txt"), OpenAs::read()).map(drop);
        assert!(opened.is_err());
    });
}

#[test]
fn the_control_device_answers() {
    on_ext4(|machine| {
        let control = machine.open("\\??\\Lklfs", OpenAs::read()).expect("opens");
        let (code, request) = (Code::Status.number(), Request::Status.encode().expect("encodes"));
        let flags = |bytes: &[u8]| {
            reply::read::<reply::Status>(bytes)
                .expect("a status")
                .0
                .flags
                .get()
        };
        let before = control.ioctl(code, &request, 256);
        assert_eq!(before.status, STATUS_SUCCESS);
        assert_eq!(flags(&before.bytes), 0);
        machine
            .open(&path("hello.txt"), OpenAs::read())
            .map(drop)
            .expect("opens");
        let after = control.ioctl(code, &request, 256);
        assert_eq!(flags(&after.bytes), reply::status_flags::LINUX_RUNNING);
        assert_eq!(control.ioctl(code, &request, 8).status, STATUS_BUFFER_TOO_SMALL);
        assert_eq!(
            control.ioctl(0x0022_2222, &[], 8).status,
            STATUS_INVALID_DEVICE_REQUEST
        );
    });
}
