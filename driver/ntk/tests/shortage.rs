//! Any allocation of the driver's may fail (pool, IRPs, MDLs, mappings, threads, work items, stacks, devices, cache maps) while a
//! volume is used: a request then says so or is answered all the same, and the next one works. Nothing is left behind.
//!
//! What says so says INSUFFICIENT_RESOURCES, and never that the disk is broken: a page fault that ends so is tried again by the
//! memory manager, and one that ends with a disk's error is an exception in a program.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::cc::segment::{self, Role};
use ntos::disk::{Completion, Disk, DiskConfig, Fault, FaultKind};
use ntos::io::mount;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
use ntos::verifier::fault::{self, Site};
use ntos::verifier::hang;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a request that lacks something may end with.
fn says_short(status: NTSTATUS) -> bool {
    matches!(status, STATUS_INSUFFICIENT_RESOURCES | STATUS_NO_MEMORY)
}

/// Has a program use a disk's volume while allocation `number` fails, 0 for none; counts them. With `mounted` the volume is
/// mounted before; Linux has been booted by another one's mount in any case.
fn run_short(number: u64, mounted: bool) -> u64 {
    let mut count = 0;
    let disks = [disk().completion(Completion::Inline), disk()];
    on(7, &disks, |machine| {
        let [disk, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        for wanted in [Some(&other), Some(&disk).filter(|_| mounted)]
            .into_iter()
            .flatten()
        {
            let hello = path(wanted, "hello.txt");
            drop(machine.open(&hello, OpenAs::read()).expect("mounts"));
        }
        machine.settle();
        match number {
            0 => fault::count(None),
            number => fault::arm(None, number),
        }
        let limit = hang::watch("a request that lacks memory", LIMIT);
        let outcome = use_all(machine, &disk);
        drop(limit);
        let (asked, failed) = fault::disarm();
        count = asked;
        if let Err((what, status)) = outcome {
            assert!(
                number != 0 && (says_short(status) || !mounted && says_unmounted(&disk, status)),
                "{what} with allocation {number} failing: {}; {failed:?}",
                name(status)
            );
        }
        for wanted in [&disk, &other] {
            assert_eq!(
                use_all(machine, wanted),
                Ok(()),
                "after allocation {number} failed"
            );
        }
    });
    count
}

/// What an open of a volume that could not be mounted ends with: what the driver has said last of it, which is that it does
/// not know the volume, or what it lacks once it knows it.
fn says_unmounted(disk: &Disk, status: NTSTATUS) -> bool {
    let refusals = mount::refusals(disk.volumes()[0].device());
    refusals.last() == Some(&status)
        && matches!(status, STATUS_UNRECOGNIZED_VOLUME | STATUS_INSUFFICIENT_RESOURCES)
}

fn each_fails(mounted: bool, at_least: u64, few: u64) {
    let total = run_short(0, mounted);
    assert!(total > at_least, "{total} allocations");
    for number in chosen(total, few) {
        run_short(number, mounted);
    }
}

#[test]
fn any_allocation_may_fail_while_a_volume_is_used() {
    each_fails(true, 200, 25);
}

#[test]
fn any_allocation_may_fail_while_a_volume_is_mounted() {
    each_fails(false, 250, 25);
}

/// A journal wants a thread of Linux's.
#[test]
fn a_mount_without_a_thread_to_be_had_says_that_memory_is_short() {
    on(9, &[disk(), disk()], |machine| {
        let [disk, other] = [0, 1].map(|at| Arc::clone(&machine.disks()[at]));
        assert_eq!(use_all(machine, &other), Ok(()));
        machine.settle();
        fault::fail_from(&[Site::Thread], 0, None);
        let _watch = hang::watch("a mount that gets no thread", LIMIT);
        let opened = machine.open(&path(&disk, "hello.txt"), OpenAs::read()).map(drop);
        let (_, hits) = fault::disarm();
        assert!(!hits.is_empty(), "no thread was wanted");
        assert_eq!(opened, Err(STATUS_INSUFFICIENT_RESOURCES));
        for wanted in [&disk, &other] {
            assert_eq!(use_all(machine, wanted), Ok(()));
        }
    });
}

/// What is done while memory is short. What has opened a file before is not asked to open it again.
type Act = fn(&Machine, &Disk) -> Outcome;

const ACTS: [(&str, Act); 4] = [
    ("list", list),
    ("read through the cache", read_cached),
    ("read past the cache", read_uncached),
    ("read a mapped file", read_mapped),
];

/// Runs `act` on a volume of which nothing has been read yet but its root and `hello.txt`, after `arm`; looks at all of it
/// afterwards. How `act` ended, and how often what was armed has failed.
fn run_cold(seed: u64, act: Act, arm: impl FnOnce(&Disk)) -> (Outcome, u64, Vec<(u64, Site, String)>) {
    let mut ended = (Ok(()), 0, Vec::new());
    on(seed, &[disk()], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        drop(
            machine
                .open(&path(&disk, "hello.txt"), OpenAs::read())
                .expect("mounts"),
        );
        machine.settle();
        arm(&disk);
        let limit = hang::watch("a request that lacks memory", LIMIT);
        let outcome = act(machine, &disk);
        drop(limit);
        let (count, hits) = fault::disarm();
        disk.heal();
        ended = (outcome, count, hits);
        assert_eq!(use_all(machine, &disk), Ok(()), "after memory was short");
    });
    ended
}

/// IRPs, MDLs, or both: nothing is to be had of them, for a while or for as long as the program looks.
#[test]
fn a_shortage_of_irps_and_mdls_never_reaches_a_program() {
    for sites in [&[Site::Irp][..], &[Site::Mdl], &[Site::Irp, Site::Mdl]] {
        for lasting in [Some(Duration::from_millis(200)), None] {
            for (what, act) in ACTS {
                // The program's own buffer is described by an MDL, and past the cache there is none of the disk's that is not
                // copied to it.
                let own = sites.contains(&Site::Mdl) && !matches!(what, "read a mapped file");
                let (outcome, _, hits) = run_cold(11, act, |_| fault::fail_from(sites, 0, lasting));
                assert!(!hits.is_empty(), "{what} needs none of {sites:?}");
                match outcome {
                    Ok(()) => {}
                    Err((_, status)) if own && says_short(status) => {}
                    Err((failed, status)) => panic!(
                        "{what} without {sites:?} for {lasting:?}: {failed} says {}",
                        name(status)
                    ),
                }
            }
        }
    }
}

#[test]
fn a_mapped_program_never_sees_a_shortage_of_irps() {
    for seed in 1..=4 {
        let (outcome, _, hits) = run_cold(seed, read_mapped, |_| {
            fault::fail_from(&[Site::Irp, Site::Mdl], 0, None)
        });
        assert_eq!(outcome, Ok(()), "seed {seed}");
        assert!(hits.len() > 4, "seed {seed}: the volume was cold: {hits:?}");
    }
}

/// One allocation fails at a time, and later ones as well for a while.
#[test]
fn any_allocation_may_fail_while_a_cold_file_is_read() {
    for (what, act) in ACTS {
        let (outcome, total, _) = run_cold(12, act, |_| fault::count(None));
        assert_eq!(outcome, Ok(()));
        for number in chosen(total, 6) {
            let number = number - 1;
            for lasting in [None, Some(Duration::from_millis(200))] {
                let (outcome, _, hits) = run_cold(12, act, |_| match lasting {
                    None => fault::arm(None, number),
                    lasting => fault::fail_from(&[], number, lasting),
                });
                let Err((failed, status)) = outcome else { continue };
                assert!(
                    says_short(status),
                    "{what}, allocation {number} of {total} for {lasting:?}: {failed} says {}: {hits:?}",
                    name(status)
                );
            }
        }
    }
}

/// A thread that has to end something, and has no stack for it, waits. It does not spin.
#[test]
fn a_lack_of_stacks_is_waited_for_and_not_spun_on() {
    let lasting = Duration::from_millis(200);
    for (what, act) in ACTS {
        let (_, count, _) = run_cold(15, act, |_| fault::fail_from(&[Site::Stack], 3, Some(lasting)));
        assert!(count < 2000, "{what}: {count} stacks were asked for");
    }
}

/// A page fault that lacked memory comes again; after one failure it has what it wants.
#[test]
fn a_page_fault_that_lacks_memory_is_tried_again() {
    let (_, total, _) = run_cold(13, read_mapped, |_| fault::count(Some(Site::Stack)));
    let before = segment::retried_faults();
    for number in chosen(total, 6) {
        let (outcome, _, _) = run_cold(13, read_mapped, |_| fault::arm(Some(Site::Stack), number - 1));
        if let Err((failed, status)) = outcome {
            assert!(
                failed != "mapped read" && says_short(status),
                "{failed}: {}",
                name(status)
            );
        }
    }
    assert!(segment::retried_faults() > before, "no fault was tried again");
}

/// The drivers below lack memory themselves: for one read, or for good.
#[test]
fn a_disk_that_lacks_memory_is_not_called_broken() {
    let short = FaultKind::Error(STATUS_INSUFFICIENT_RESOURCES);
    for (what, act) in ACTS {
        let mut read = 0;
        let (outcome, _, _) = run_cold(14, act, |disk| {
            read = disk.counts.reads.load(Ordering::Relaxed);
            disk.fail(Fault::once(read + 1, short));
        });
        assert_eq!(outcome, Ok(()), "{what} after one read that lacked memory");
        let (outcome, _, _) = run_cold(14, act, |disk| {
            read = disk.counts.reads.load(Ordering::Relaxed);
            disk.fail(Fault::from(read + 1, short));
        });
        match outcome {
            Err((_, STATUS_IN_PAGE_ERROR)) if what == "read a mapped file" => {}
            Err((failed, status)) => assert!(says_short(status), "{what}: {failed}: {}", name(status)),
            Ok(()) => panic!("{what} did not read the disk"),
        }
    }
}

/// Text that packs well, and in which a wrong place shows.
fn text() -> Vec<u8> {
    (0..40_000)
        .flat_map(|line| format!("line {line} of a file that packs well\n").into_bytes())
        .collect()
}

/// A verification that memory was too short for would leave the cache of a volume over a disk that another system has written to.
#[test]
fn a_sleep_while_memory_is_short_loses_no_verification() {
    for seed in 1..=8 {
        on(seed, &[disk()], |machine| {
            let disk = Arc::clone(&machine.disks()[0]);
            assert_eq!(use_all(machine, &disk), Ok(()));
            fault::fail_from(&[], 0, Some(Duration::from_millis(60)));
            machine.sleep(|| ());
            fault::disarm();
            assert!(disk.is_suspect(), "seed {seed}: nothing would be looked at");
            assert_eq!(use_all(machine, &disk), Ok(()));
            assert!(!disk.is_suspect(), "seed {seed}: nothing was looked at");
        });
    }
}

/// Linux unpacks into pages that it has mapped side by side, and keeps some of those mappings for good: they go when it goes.
#[test]
fn a_compressed_file_is_read_while_mappings_are_short_and_none_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("tree")).expect("writable");
    std::fs::write(folder.path().join("tree/text"), text()).expect("writable");
    let make = ["-zlz4hc", "-C65536", "packed.img", "tree"];
    run("mkfs.erofs", &make, folder.path());
    for site in [Site::Mdl, Site::Mapping] {
        on(
            16,
            &[DiskConfig::image(folder.path().join("packed.img"))],
            |machine| {
                let disk = Arc::clone(&machine.disks()[0]);
                let handle = machine
                    .open(&path(&disk, "text"), OpenAs::read())
                    .expect("mounts");
                let view = handle.map(Role::Data).expect("maps");
                machine.settle();
                fault::fail_from(&[site], 0, Some(Duration::from_millis(60)));
                let mut bytes = vec![0; text().len()];
                let read = view.read(0, &mut bytes);
                let (_, hits) = fault::disarm();
                assert_eq!(read.map_err(name), Ok(()), "{site:?}: {hits:?}");
                assert!(!hits.is_empty(), "nothing needed a {site:?}");
                assert!(bytes == text(), "invented bytes");
            },
        );
    }
}
