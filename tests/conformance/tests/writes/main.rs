//! The third table: a kernel that writes, through the `lkl-write` crate and the POSIX host.
//!
//! [`trees`] has a tree made on each file system by path and looks at it with other eyes, [`descriptors`] all that there is besides
//! contents through descriptors; [`faults`] are disks that fail; [`power`] cuts
//! the power of a disk with a cache, and [`kill`] kills the whole process. Each scenario runs in a process of its own
//! ([`processes`]).
//!
//! Root rights and loop devices, where they are there, let this machine's own Linux look, too.

#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod kill;
#[cfg(target_os = "linux")]
mod kind;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
#[path = "../processes/mod.rs"]
mod processes;
#[cfg(target_os = "linux")]
mod raw;
#[cfg(target_os = "linux")]
mod trees;
#[cfg(target_os = "linux")]
mod workload;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    use libtest_mimic::{Arguments, Trial};
    use power::Lie;
    use std::time::Duration;

    const TIME_LIMIT: Duration = Duration::from_secs(300);

    const TABLE: &[(&str, fn())] = &[
        ("a tree is written: ext4", || trees::written("ext4")),
        ("a tree is written: btrfs", || trees::written("btrfs")),
        ("a tree is written: xfs", || trees::written("xfs")),
        ("a tree is written: f2fs", || trees::written("f2fs")),
        ("a tree is written: vfat", || trees::written("vfat")),
        ("what descriptors change is as asked for: ext4", || {
            descriptors::changed("ext4")
        }),
        ("what descriptors change is as asked for: btrfs", || {
            descriptors::changed("btrfs")
        }),
        ("what descriptors change is as asked for: xfs", || {
            descriptors::changed("xfs")
        }),
        ("what descriptors change is as asked for: f2fs", || {
            descriptors::changed("f2fs")
        }),
        ("a partition is written, and nothing else", trees::partition),
        ("what is not to be written is not", raw::refused),
        ("zeros, discards and flushes reach the disk", raw::operations),
        ("a commit is durable", raw::durable),
        ("a direct transfer is refused", raw::direct),
        ("a discard gives room back", raw::trim),
        ("writes overlap, in many pieces", faults::overlap),
        ("a write that fails is an error", faults::writes),
        ("a flush that fails is an error", faults::flushes),
        ("a disk vanishes under a writer", faults::vanishes),
        ("halt waits for a write", faults::halt_waits),
        ("the power is cut: ext4", || power::cut("ext4")),
        ("the power is cut: btrfs", || power::cut("btrfs")),
        ("the power is cut: xfs", || power::cut("xfs")),
        ("the power is cut: f2fs", || power::cut("f2fs")),
        ("a disk that ignores flushes is found out: ext4", || {
            power::found_out("ext4", Lie::Flush)
        }),
        ("a disk that ignores flushes is found out: btrfs", || {
            power::found_out("btrfs", Lie::Flush)
        }),
        ("a disk that ignores flushes is found out: xfs", || {
            power::found_out("xfs", Lie::Flush)
        }),
        ("a disk that ignores flushes is found out: f2fs", || {
            power::found_out("f2fs", Lie::Flush)
        }),
        ("a disk that ignores FUA is found out: ext4", || {
            power::found_out("ext4", Lie::Fua)
        }),
        ("a disk that ignores FUA is found out: xfs", || {
            power::found_out("xfs", Lie::Fua)
        }),
        ("a writer is killed: ext4", || kill::killed("ext4")),
        ("a writer is killed: btrfs", || kill::killed("btrfs")),
        ("a writer is killed: xfs", || kill::killed("xfs")),
        ("a writer is killed: f2fs", || kill::killed("f2fs")),
    ];

    if let Some(wanted) = processes::wanted() {
        return match wanted.as_str() {
            workload::WRITER => workload::write_until_killed(),
            workload::VERIFIER => workload::verify(),
            wanted => processes::run(TABLE, wanted),
        };
    }
    let mut arguments = Arguments::from_args();
    // Two at a time are as many as small machines have processors for.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let limit = TIME_LIMIT * u32::try_from(kill::times()).unwrap_or(1).div_ceil(10);
    let trials = TABLE
        .iter()
        .map(|(name, _)| Trial::test(*name, move || processes::in_a_process(name, limit)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
