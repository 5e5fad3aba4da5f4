//! Which tasks go before others, where a program has Linux do thousands of things one after the other.

// UNSAFETY: passes an address to a system call.

#![allow(unsafe_code)]

use lkl::{EntryTask, Errno, Kernel};

/// Has what is called in the name of a task go before everything that Linux does by itself, or no longer.
///
/// Much of what is asked of Linux leaves it something to do later, for which it has threads; they take turns with the caller. Some of it grows with
/// what is there: after each new IPv4 address one of them looks at all addresses of all networks. With precedence they wait
/// until the caller does, and do it once.
///
/// # Errors
/// ENODEV when Linux is dead.
pub fn take_precedence(task: &mut EntryTask, first: bool) -> Result<(), Errno> {
    // SAFETY: `set` passes a call whose pointer Linux reads one number from, which outlives it.
    set(first, |number, arguments| unsafe {
        task.syscall(number, &arguments)
    })
}

/// The same of what is called in the name of no task in particular, by a program's only thread that calls.
///
/// # Errors
/// ENODEV when Linux is dead.
pub fn take_precedence_for_all(kernel: &Kernel, first: bool) -> Result<(), Errno> {
    // SAFETY: `set` passes a call whose pointer Linux reads one number from, which outlives it.
    set(first, |number, arguments| unsafe {
        kernel.syscall(number, arguments)
    })
}

fn set(first: bool, call: impl FnOnce(i64, [i64; 6]) -> Result<u64, Errno>) -> Result<(), Errno> {
    const SCHED_SETSCHEDULER: i64 = 144;
    const SCHED_OTHER: i64 = 0;
    const SCHED_FIFO: i64 = 1;
    // struct sched_param
    let priority = [i32::from(first)];
    let policy = if first { SCHED_FIFO } else { SCHED_OTHER };
    let pointer = priority.as_ptr().expose_provenance() as i64;
    call(SCHED_SETSCHEDULER, [0, policy, pointer, 0, 0, 0]).map(drop)
}
