//! Any allocation of the driver's may fail (pool, IRPs, MDLs, mappings, threads, work items, stacks, cache maps) while a
//! volume is used: a request then says so or is answered all the same, and the next one works. Nothing is left behind.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::disk::Completion;
use ntos::nt::*;
use ntos::user::OpenAs;
use ntos::verifier::fault;
use ntos::verifier::hang;
use std::sync::Arc;

/// What a request that lacks something may end with. A page that cannot be had is an error of the mapped view's.
fn says_short(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_INSUFFICIENT_RESOURCES | STATUS_NO_MEMORY | STATUS_IN_PAGE_ERROR | STATUS_IO_DEVICE_ERROR
    )
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
        count = fault::disarm().0;
        if let Err((what, status)) = outcome {
            assert!(
                number != 0 && (says_short(status) || !mounted && says_unmounted(status)),
                "{what} with allocation {number} failing: {}",
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

/// What an open of a volume that could not be mounted ends with.
fn says_unmounted(status: NTSTATUS) -> bool {
    says_short(status) || status == STATUS_UNRECOGNIZED_VOLUME
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
