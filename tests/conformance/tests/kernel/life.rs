//! Boot and halt.

use crate::image::{boot, host_threads};
use crate::tried::BootConfig;
use lkl::{BootError, Errno, OpenMode};

pub fn boots_and_halts() {
    let before = host_threads();
    let kernel = boot();
    assert!(!kernel.is_dead());
    let log = String::from_utf8_lossy(&kernel.log()).into_owned();
    assert!(log.contains("Linux version"), "{log}");
    let other = kernel.clone();
    kernel.halt();
    assert!(other.is_dead());
    drop(other);
    assert_eq!(host_threads(), before, "threads are left");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("lkl-pool"), "the pool is left:\n{maps}");
}

pub fn bad_config() {
    let bad = [
        BootConfig {
            pool_size: 100,
            command_line: "",
        },
        BootConfig {
            pool_size: 64 << 20,
            command_line: "a\0b",
        },
    ];
    for config in bad {
        assert_eq!(crate::tried::boot(&config).map(drop), Err(BootError::BadConfig));
    }
    // And a boot is still possible.
    boot().halt();
}

pub fn dropped() {
    let before = host_threads();
    drop(boot());
    assert_eq!(host_threads(), before, "threads are left");
}

/// What the host cannot do.
#[cfg(feature = "apr")]
const CANNOT: &[&str] = &["scattered_pages_appear_side_by_side"];
#[cfg(not(feature = "apr"))]
const CANNOT: &[&str] = &[];

pub fn self_test() {
    let kernel = boot();
    match kernel.self_test() {
        Ok(failed) => {
            let log = kernel.log();
            let log = String::from_utf8_lossy(&log);
            let lines = log.lines().filter_map(|line| line.split_once("not ok "));
            let names: Vec<_> = lines
                .filter_map(|(_, test)| test.split_once(" - ").map(|(_, name)| name))
                .collect();
            assert_eq!(names, CANNOT, "{log}");
            assert_eq!(failed as usize, names.len());
        }
        // This configuration is built without them.
        Err(errno) => assert_eq!(errno, Errno::ENOSYS),
    }
    kernel.halt();
}

pub fn handles_outlive() {
    let kernel = boot();
    let image = crate::image::ext4();
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let mount = kernel
        .mount(&device, lkl::FsKind::Probe, &Default::default())
        .unwrap();
    let root = mount.root().unwrap();
    kernel.clone().halt();
    assert_eq!(root.statx().map(drop), Err(Errno::ENODEV));
    assert_eq!(root.open_at(b"x", OpenMode::Path).map(drop), Err(Errno::ENODEV));
    assert_eq!(mount.statfs().map(drop), Err(Errno::ENODEV));
    assert_eq!(device.stats().map(drop), Err(Errno::ENODEV));
    device.gone();
    assert!(
        kernel
            .mount(&device, lkl::FsKind::Probe, &Default::default())
            .is_err()
    );
    drop((root, mount, device));
    // A second halt does nothing.
    kernel.halt();
}
