//! Linux's workers at rest, while a program has Linux do thousands of things one after the other.

// UNSAFETY: passes an address to a system call.

#![allow(unsafe_code)]

use lkl::{Errno, Kernel};

const SCHED_SETATTR: i64 = 314;
const SCHED_OTHER: u32 = 0;
const SCHED_DEADLINE: u32 = 6;

/// The least that Linux gives a thread with a deadline, in nanoseconds.
const LEAST: u64 = 1024;
/// How long it then waits, in nanoseconds: almost the most that Linux accepts.
const PERIOD: u64 = 4_000_000_000;

/// `struct sched_attr`, as of Linux 3.14.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Has one of Linux's workers, the thread of that number, rest, or work as usual again.
///
/// Much of what is asked of Linux leaves it something to do later, for which it has workers. When a call returns they run, whatever the caller's
/// priority, since the caller is outside of Linux then. Some of that work grows with what is there: after each new IPv4 address a worker looks at
/// all addresses of all networks. A worker at rest is one with a deadline: of four seconds Linux gives it about a microsecond. What is queued for it
/// meanwhile it does once.
///
/// # Errors
/// ENODEV when Linux is dead, ESRCH when there is no such thread.
pub fn rest(kernel: &Kernel, worker: u32, rests: bool) -> Result<(), Errno> {
    let attributes = match rests {
        true => Attributes {
            policy: SCHED_DEADLINE,
            runtime: LEAST,
            deadline: LEAST,
            period: PERIOD,
            ..USUAL
        },
        false => USUAL,
    };
    let pointer = (&raw const attributes).expose_provenance() as i64;
    let arguments = [i64::from(worker), pointer, 0, 0, 0, 0];
    // SAFETY: Linux reads as many bytes from the pointer as the structure has, which outlives the call.
    unsafe { kernel.syscall(SCHED_SETATTR, arguments) }.map(drop)
}

const USUAL: Attributes = Attributes {
    size: size_of::<Attributes>() as u32,
    policy: SCHED_OTHER,
    flags: 0,
    nice: 0,
    priority: 0,
    runtime: 0,
    deadline: 0,
    period: 0,
};
