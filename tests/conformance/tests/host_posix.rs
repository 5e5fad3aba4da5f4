//! The POSIX host passes the suite.

#![cfg(target_os = "linux")]

use conformance::{Outcome, Report, host};
use linux_driver as _;
use lkl_host_posix::{Hooks, PosixHost};

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

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter(|line| line.contains("lkl-pool"))
        .count()
}

#[test]
fn the_posix_host_conforms() {
    let before = threads();
    let subject = PosixHost::new(Hooks::default());
    let summary = host::run(&subject, &mut Print);
    assert_eq!((summary.failed, summary.skipped), (0, 0), "see the lines above");
    assert_eq!(summary.passed as usize, host::scenarios::<PosixHost>().count());
    drop(subject);
    assert_eq!(threads(), before, "threads are left");
    assert_eq!(mappings(), 0, "mappings of the pool are left");
}
