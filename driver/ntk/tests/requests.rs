//! Requests as the I/O manager and the memory manager make them, where they differ from what a program sees: file objects that
//! nobody can reference, paging reads of a program's parts, positions that no check has seen, controls that are passed on,
//! buffers of any size, files of any size, and the system's worker threads, which are few.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::cc::segment::Role;
use ntos::disk::{Completion, DiskConfig, Fault, FaultKind};
use ntos::io::work;
use ntos::mm::mdl;
use ntos::mm::user::UserRegion;
use ntos::nt::*;
use ntos::user::OpenAs;
use std::sync::Arc;
use std::time::Duration;

const FILE_BASIC_INFORMATION: i32 = 4;
const FILE_NETWORK_OPEN_INFORMATION: i32 = 34;
const IOCTL_DISK_GET_LENGTH_INFO: u32 = 0x7405c;
/// A control that no disk knows, with METHOD_NEITHER: its pointers are the caller's own.
const UNKNOWN_NEITHER: u32 = 0x74fc3;
/// A control that nobody knows, with METHOD_IN_DIRECT: what is called its output is read only.
const UNKNOWN_IN_DIRECT: u32 = 0x91fc1;

#[test]
fn attributes_are_asked_for_by_name_with_a_file_object_that_nobody_can_reference() {
    on(1, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        for round in 0..3 {
            for name in ["hello.txt", "folder", "folder\\entry 003", "data.bin"] {
                let path = path(&disk, name);
                if round > 0 {
                    // The volume has to be verified first, which waits for the disk.
                    disk.suspect();
                }
                let basic = machine.query_attributes(&path);
                if round > 1 {
                    disk.suspect();
                }
                let full = machine.query_full_attributes(&path);
                let handle = machine.open(&path, OpenAs::look()).expect("opens");
                let wanted = handle.query_information(FILE_BASIC_INFORMATION, 40);
                assert_eq!(basic, Ok(wanted.bytes), "{name}, round {round}");
                let wanted = handle.query_information(FILE_NETWORK_OPEN_INFORMATION, 56);
                assert_eq!(full, Ok(wanted.bytes), "{name}, round {round}");
            }
            let nothing = machine.query_attributes(&path(&disk, "nothing"));
            assert_eq!(nothing, Err(STATUS_OBJECT_NAME_NOT_FOUND));
        }
    });
}

#[test]
fn a_program_is_read_in_parts_that_begin_at_any_512_bytes_whatever_the_sectors_are() {
    for (seed, sector) in [(1, 512), (2, 4096)] {
        on(seed, &[disk().sector(sector)], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            for role in [Role::Image, Role::Data] {
                let handle = machine
                    .open(&path(&disk, "mapped.bin"), OpenAs::read())
                    .expect("opens");
                let section = handle.map(role).expect("maps");
                drop(handle);
                for (offset, len) in [(0, 10), (4000, 200), (100_000, 70_000), (DATA - 5, 5), (0, DATA)] {
                    let mut bytes = vec![0; len];
                    section.read(offset as u64, &mut bytes).expect("faults in");
                    assert!(
                        bytes == data()[offset..offset + len],
                        "sectors of {sector}, {role:?}: other bytes at {offset}"
                    );
                }
            }
        });
    }
}

#[test]
fn a_copy_that_reads_past_the_cache_meets_the_end_of_the_file() {
    for sector in [512, 4096] {
        on(3, &[disk().sector(sector)], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let handle = machine
                .open(&path(&disk, "data.bin"), OpenAs::read().uncached())
                .expect("opens");
            let mut copied = Vec::new();
            // By the handle's position, which is no multiple of a sector in the end.
            let last = loop {
                let read = handle.read(None, 65536);
                if read.status != STATUS_SUCCESS {
                    break read.status;
                }
                copied.extend(read.bytes);
            };
            assert_eq!(last, STATUS_END_OF_FILE, "{}", name(last));
            assert!(copied == data(), "other bytes");
            // The I/O manager has these.
            assert_eq!(
                handle.read(Some(DATA as u64), 65536).status,
                STATUS_INVALID_PARAMETER
            );
        });
    }
}

#[test]
fn a_control_for_the_disk_is_passed_on_while_the_volume_wants_to_be_verified() {
    on(4, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let volume = machine
            .open(&disk.volumes()[0].path(), OpenAs::volume())
            .expect("opens");
        let wanted = volume.ioctl(IOCTL_DISK_GET_LENGTH_INFO, &[], 8);
        assert_eq!((wanted.status, wanted.information), (STATUS_SUCCESS, 8));
        disk.suspect();
        assert_eq!(volume.ioctl(IOCTL_DISK_GET_LENGTH_INFO, &[], 8), wanted);
        disk.suspect();
        let unknown = volume.ioctl(UNKNOWN_NEITHER, &[1; 16], 16);
        assert_eq!(
            unknown.status,
            STATUS_INVALID_DEVICE_REQUEST,
            "{}",
            name(unknown.status)
        );
        let unknown = volume.fsctl(UNKNOWN_IN_DIRECT, &[1; 16], 16);
        assert_eq!(
            unknown.status,
            STATUS_INVALID_DEVICE_REQUEST,
            "{}",
            name(unknown.status)
        );
    });
}

/// `ext4.img` with one more file, whose inode says a size.
fn image_with(name: &str, size: u64) -> DiskConfig {
    let folder = folder();
    let image = format!("{name}.img");
    std::fs::copy(folder.join("ext4.img"), folder.join(&image)).expect("writable");
    let set = format!("set_inode_field hello.txt size {size}");
    run("debugfs", &["-w", "-R", &set, &image], folder);
    DiskConfig::image(folder.join(image))
}

#[test]
fn a_read_of_300_megabytes_locks_a_few_at_a_time() {
    const SIZE: usize = 300 << 20;
    /// Pages that may be locked: 32 MiB.
    const LIMIT_PAGES: usize = 8192;
    on(5, &[image_with("large", SIZE as u64 + 1)], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        let handle = machine
            .open(&path(&disk, "hello.txt"), OpenAs::read().uncached())
            .expect("opens");
        let buffer = UserRegion::new(SIZE);
        mdl::limit_locked(LIMIT_PAGES);
        let (status, information) = handle.read_into(&buffer, Some(0), SIZE);
        mdl::limit_locked(usize::MAX);
        assert_eq!((status, information), (STATUS_SUCCESS, SIZE), "{}", name(status));
        let bytes = buffer.read();
        assert!(bytes.starts_with(b"hello\n"));
        assert!(bytes[6..].iter().all(|byte| *byte == 0));
    });
}

/// XFS with a file whose inode says a size.
fn huge(size: u64) -> DiskConfig {
    let folder = folder();
    std::fs::write(folder.join("hello"), "hello\n").expect("writable");
    let source = folder.join("hello");
    let proto = format!(
        "/\n0 0\nd--755 0 0\nhello.txt ---644 0 0 {}\n$\n",
        source.display()
    );
    std::fs::write(folder.join("proto"), proto).expect("writable");
    let image = folder.join("huge.img");
    let _ = std::fs::remove_file(&image);
    let file = std::fs::File::create(&image).expect("writable");
    file.set_len(320 << 20).expect("writable");
    run("mkfs.xfs", &["-q", "-p", "proto", "huge.img"], folder);
    let write = format!("write core.size {size}");
    run(
        "xfs_db",
        &["-x", "-c", "path /hello.txt", "-c", &write, "huge.img"],
        folder,
    );
    DiskConfig::image(image)
}

#[test]
fn a_file_that_is_too_large_for_any_section_is_read_past_the_cache() {
    for size in [i64::MAX as u64, 1 << 55] {
        on(6, &[huge(size)], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            let handle = machine
                .open(&path(&disk, "hello.txt"), OpenAs::read())
                .expect("opens");
            for (offset, wanted) in [(0, &b"hello\n"[..]), (3, b"lo\n\0\0\0"), (1 << 40, &[0; 7])] {
                let read = handle.read(Some(offset), wanted.len());
                assert_eq!(
                    (read.status, read.bytes.as_slice()),
                    (STATUS_SUCCESS, wanted),
                    "{offset}"
                );
            }
            let behind = handle.read(Some(size), 1);
            let status = if size == i64::MAX as u64 {
                // The sum is no offset any more.
                STATUS_INVALID_PARAMETER
            } else {
                STATUS_END_OF_FILE
            };
            assert_eq!(behind.status, status, "{}", name(behind.status));
            assert_eq!(handle.map(Role::Data).err(), Some(STATUS_SECTION_TOO_BIG));
        });
    }
}

#[test]
fn disks_that_hang_as_they_come_leave_the_systems_worker_threads_to_others() {
    on(7, &[], |machine| {
        let mut hung = Vec::new();
        for _ in 0..8 {
            let config = disk()
                .completion(Completion::Queued)
                .delay(Duration::from_millis(300));
            let disk = machine.attach(config).expect("plugs in");
            // Before its first read is served.
            disk.fail(Fault::from(0, FaultKind::Hang));
            hung.push(disk);
        }
        std::thread::sleep(Duration::from_millis(500));
        assert!(
            work::another_drivers_item(Duration::from_secs(5)),
            "another driver's work item waits for a system worker thread"
        );
        // Another disk that comes has its letter meanwhile.
        let fine = machine.attach(disk()).expect("plugs in");
        let letter = || ntos::mountmgr::letter_of(&fine.volumes()[0].path());
        for _ in 0..500 {
            if letter().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(letter().is_some(), "it has no letter");
        for disk in &hung {
            machine.pull(disk);
        }
    });
}
