//! One Linux after another in one process: each is as the first.

use crate::calls::{address, call};
use crate::disks::{Handle, Manner, Moody};
use crate::image::{self, Image, boot, content, host_threads, len_of};
use crate::tried::BootConfig;
use lkl::{BootError, Errno, FsKind, Halt, Kernel, OpenMode};
use std::sync::Arc;
use std::time::{Duration, Instant};

// LKL_SELFTEST_* of host_ops.h.
const PANIC: u64 = 5;
#[cfg(not(feature = "apr"))]
const FAULT: u64 = 7;

/// Mounts the volume and compares all of its files; `uname`, the log and the process' first descriptor are a new Linux's.
fn is_as_the_first(kernel: &Kernel, image: &Image) {
    assert!(!kernel.is_dead());
    let log = kernel.log();
    let log = String::from_utf8_lossy(&log);
    assert_eq!(log.matches("Linux version").count(), 1, "{log}");
    assert!(!log.contains("WARNING") && !log.contains("BUG"), "{log}");
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    assert_eq!(device.dev_path().unwrap().as_bytes(), b"/dev/hostblk0", "{log}");
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let root = mount.root().unwrap();
    for number in 0..image::FILES {
        let name = format!("f{number}");
        let file = root.open_at(name.as_bytes(), OpenMode::Read).unwrap();
        let mut bytes = vec![0; len_of(number)];
        assert_eq!(file.pread(&mut bytes, 0), Ok(len_of(number)));
        assert!(bytes == content(number, len_of(number)), "{name}");
    }
}

/// Mapped memory of this process, bytes, and how many mappings.
fn mapped() -> (u64, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let sizes = maps.lines().filter_map(|line| {
        let (from, rest) = line.split_once('-')?;
        let to = rest.split_once(' ')?.0;
        let parse = |text| u64::from_str_radix(text, 16).ok();
        parse(to)?.checked_sub(parse(from)?)
    });
    (sizes.sum(), maps.lines().count())
}

/// By a halt, by dropping the last handle, by a panic and by a fault, with another thread inside.
pub fn whatever_ended_it() {
    let image = image::ext4();
    let ends: &[fn(Kernel)] = &[
        |kernel| assert_eq!(kernel.halt(), Halt::Whole),
        drop,
        |kernel| drop(kernel.abandon().unwrap()),
        |kernel| {
            assert_eq!(kernel.self_test_of(PANIC), Err(Errno::ENODEV));
            kernel.halt();
        },
        |kernel| {
            std::thread::scope(|scope| {
                let blocked = scope.spawn(|| {
                    let mut time = [3600i64, 0];
                    call(&kernel, 35, &[address(&mut time), 0])
                });
                std::thread::sleep(Duration::from_millis(20));
                assert_eq!(kernel.self_test_of(PANIC), Err(Errno::ENODEV));
                assert_eq!(blocked.join().unwrap(), Err(Errno::ENODEV));
            });
        },
        #[cfg(not(feature = "apr"))]
        |kernel| {
            // A thread of Linux's faults; the call may come back before.
            let _ = kernel.self_test_of(FAULT);
            let start = Instant::now();
            while !kernel.is_dead() {
                assert!(start.elapsed() < Duration::from_secs(20), "it lives");
                std::thread::sleep(Duration::from_millis(1));
            }
        },
    ];
    let mut before = None;
    for round in 0..4 {
        for end in ends {
            let kernel = boot();
            is_as_the_first(&kernel, &image);
            end(kernel);
        }
        // What the first ones have left for good (thread stacks that the C library keeps, its heap) is there now.
        let now = (host_threads(), mapped());
        if round > 0 {
            let (threads, (bytes, mappings)) = *before.get_or_insert(now);
            assert_eq!(now.0, threads, "threads are left");
            assert!(now.1.0 <= bytes + (4 << 20), "{now:?}, before {before:?}");
            assert!(now.1.1 <= mappings + 8, "{now:?}, before {before:?}");
        }
    }
}

/// While one is there, or dead and not halted, no other boots.
pub fn one_at_a_time() {
    let refused = || {
        let again = crate::tried::boot(&BootConfig::default());
        assert_eq!(again.map(drop), Err(BootError::AlreadyBooted));
    };
    let kernel = boot();
    refused();
    assert_eq!(kernel.self_test_of(PANIC), Err(Errno::ENODEV));
    refused();
    kernel.clone().halt();
    let next = boot();
    refused();
    // What was the first one's stays dead beside the second, and does it no harm.
    assert!(kernel.is_dead() && kernel.release().is_err());
    drop(kernel);
    assert!(next.release().is_ok());
    next.halt();
    boot().halt();
}

/// A boot that has failed leaves nothing for the next to stumble over.
pub fn after_a_boot_that_failed() {
    let image = image::ext4();
    let threads = host_threads();
    for _ in 0..3 {
        let config = BootConfig {
            // Linux wants more.
            pool_size: 4 << 20,
            command_line: "",
        };
        let failed = crate::tried::boot(&config).map(drop);
        assert_eq!(failed, Err(BootError::Linux(Errno::EINVAL)));
        let config = BootConfig {
            pool_size: 64 << 20,
            // It panics at the end of the boot: there is no root to look for /sbin/init in.
            command_line: "rdinit=/nothing",
        };
        let failed = crate::tried::boot(&config).map(drop);
        assert_eq!(failed, Err(BootError::Linux(Errno::ENODEV)));
        assert_eq!(host_threads(), threads, "threads are left");
        let kernel = boot();
        is_as_the_first(&kernel, &image);
    }
}

/// A Linux dies while a disk keeps its requests. The next one boots at once; when the disk answers at last, that is of no
/// consequence, and the memory goes.
pub fn beside_requests_of_the_last() {
    let image = image::ext4();
    let hanging = [(); 3].map(|()| {
        let moody = Moody::new(&image);
        let kernel = boot();
        let disk = Arc::new(Handle(Arc::clone(&moody)));
        let device = kernel.add_disk(disk, Default::default()).unwrap();
        moody.be(Manner::Hanging);
        let reading = std::thread::spawn({
            let kernel = kernel.clone();
            move || {
                let mounted = kernel.mount(&device, FsKind::Probe, &Default::default());
                assert!(mounted.is_err());
            }
        });
        moody.wait_for_request();
        assert_eq!(kernel.self_test_of(PANIC), Err(Errno::ENODEV));
        let start = Instant::now();
        reading.join().unwrap();
        let remains = kernel.abandon().unwrap();
        assert!(!remains.is_over());
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the disk was waited for"
        );
        (moody, remains)
    });
    let kernel = boot();
    is_as_the_first(&kernel, &image);
    let mut others = Vec::new();
    for (moody, remains) in hanging {
        // Into the old Linux's memory, which is there still; the new one does not hear of it.
        let handle = std::thread::spawn(move || remains.wait());
        std::thread::sleep(Duration::from_millis(20));
        assert!(
            !handle.is_finished(),
            "the memory went before the disk had answered"
        );
        moody.release();
        handle.join().unwrap();
        others.push(moody);
    }
    is_as_the_first_still(&kernel, &image);
    kernel.halt();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("lkl-pool"), "a pool is left:\n{maps}");
}

/// Reads the volume once more, as another device.
fn is_as_the_first_still(kernel: &Kernel, image: &Image) {
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let file = mount.root().unwrap().open_at(b"f5", OpenMode::Read).unwrap();
    let mut bytes = vec![0; len_of(5)];
    assert_eq!(file.pread(&mut bytes, 0), Ok(len_of(5)));
    assert!(bytes == content(5, len_of(5)));
}
