//! Threads and tasks that wait in Linux come back when it dies. One test: its Linux is the only one of the process.

// UNSAFETY: makes a system call with a wrong pointer, which is what Linux dies of.

#![cfg(target_os = "linux")]

mod waiting;
mod world;

use lkl::{Errno, Halt};
use lkl_net::{Namespace, errno};
use waiting::{Waiting, threads};
use world::{boot, network_of};

#[test]
fn every_thread_that_waits_ends_with_enodev_when_linux_dies() {
    const SYS_NANOSLEEP: i64 = 35;
    const NOWHERE: i64 = 1 << 20;
    let before = threads();
    let kernel = boot();
    let network = network_of(&kernel);
    let waiting = Waiting::new(&network);
    // SAFETY: it is not right: nothing is there. The host turns the fault into Linux's death.
    let died = unsafe { kernel.syscall(SYS_NANOSLEEP, [NOWHERE, 0, 0, 0, 0, 0]) };
    assert_eq!(died, Err(Errno::ENODEV));
    assert!(kernel.is_dead());
    waiting.end();
    let error = Namespace::new(&kernel).expect_err("dead");
    assert_eq!(errno(&error), Some(Errno::ENODEV));
    assert_eq!(kernel.clone().halt(), Halt::Whole);
    drop((network, kernel));
    assert_eq!(threads(), before, "threads are left");
}
