//! The hosts of this system pass the suite: the POSIX host, and where the crate of the host of the Apache Portable Runtime compiles
//! this, that one.

#![cfg(target_os = "linux")]

use conformance::{Outcome, Report, host};
use linux_driver as _;
use std::sync::Arc;

#[cfg(not(feature = "apr"))]
fn subject() -> Arc<impl lkl::Host> {
    lkl_host_posix::PosixHost::new(lkl_host_posix::Hooks::default())
}

/// libapr cannot map pages side by side.
#[cfg(feature = "apr")]
const CANNOT: u32 = 1;
#[cfg(not(feature = "apr"))]
const CANNOT: u32 = 0;

#[cfg(feature = "apr")]
fn subject() -> Arc<impl lkl::Host> {
    lkl_host_apr::AprHost::new(lkl_host_apr::Hooks::default()).expect("a host")
}

struct Print;

impl Report for Print {
    fn begin(&mut self, name: &'static str) {
        print!("{name} ... ");
    }
    fn end(&mut self, _name: &'static str, outcome: &Outcome) {
        println!("{outcome:?}");
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Mappings of memory that is shared: the pool's.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter(|line| line.contains(" rw-s "))
        .count()
}

#[test]
fn the_host_conforms() {
    let before = threads();
    let subject = subject();
    let summary = host::run(&subject, &mut Print);
    assert_eq!(
        (summary.failed, summary.skipped),
        (0, CANNOT),
        "see the lines above"
    );
    assert_eq!(summary.passed + summary.skipped, host::SCENARIOS as u32);
    drop(subject);
    assert_eq!(threads(), before, "threads are left");
    assert_eq!(mappings(), 0, "mappings of the pool are left");
}
