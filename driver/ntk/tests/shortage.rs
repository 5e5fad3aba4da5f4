//! Any allocation of the driver's may fail (pool, IRPs, MDLs, mappings, threads, work items, stacks, cache maps) while a
//! volume is used: a request then says so or is answered all the same, and the next one works. Nothing is left behind.

#![cfg(target_os = "linux")]

mod moments;

use moments::*;
use ntos::disk::Completion;
use ntos::nt::*;
use ntos::user::{Machine, OpenAs};
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

/// Uses a mounted volume from an own thread, as a program.
fn use_mounted(machine: &Machine, disk: &ntos::disk::Disk) -> Outcome {
    list(machine, disk)?;
    read_cached(machine, disk)?;
    read_uncached(machine, disk)?;
    read_mapped(machine, disk)
}

/// Runs `use_mounted` on a volume that was just mounted; `number` is the allocation that fails, 0 for none. Counts them.
fn run_short(number: u64) -> u64 {
    let mut count = 0;
    on(7, &[disk().completion(Completion::Inline)], |machine| {
        let disk = Arc::clone(&machine.disks()[0]);
        drop(
            machine
                .open(&path(&disk, "hello.txt"), OpenAs::read())
                .expect("mounts"),
        );
        machine.settle();
        match number {
            0 => fault::count(None),
            number => {
                eprintln!("N {number}");
                fault::arm(None, number)
            }
        }
        let limit = hang::watch("a request that lacks memory", LIMIT);
        let outcome = use_mounted(machine, &disk);
        drop(limit);
        count = fault::disarm().0;
        if let Err((what, status)) = outcome {
            assert!(
                number != 0 && says_short(status),
                "{what} with allocation {number} failing: {}",
                name(status)
            );
        }
        assert_eq!(
            use_mounted(machine, &disk),
            Ok(()),
            "after allocation {number} failed"
        );
    });
    count
}

#[test]
fn any_allocation_may_fail_while_a_volume_is_used() {
    let total = run_short(0);
    assert!(total > 200, "{total} allocations");
    for number in chosen(total, 25) {
        run_short(number);
    }
}
