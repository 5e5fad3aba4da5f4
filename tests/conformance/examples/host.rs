//! Runs the suite over the host of this system, as a program: for systems where tests cannot be run but programs can
//! (NT, under Wine). Exit code 0 when nothing failed.

use conformance::{Outcome, Report, host};
use linux_driver as _;

struct Print;

impl Report for Print {
    fn begin(&mut self, name: &'static str) {
        print!("{name} ... ");
    }
    fn end(&mut self, _name: &'static str, outcome: &Outcome) {
        println!("{outcome:?}");
    }
}

#[cfg(windows)]
fn subject() -> std::sync::Arc<impl lkl::Host> {
    lkl_host_nt::NtHost::new(lkl_host_nt::Hooks::default()).expect("a host")
}

#[cfg(target_os = "linux")]
fn subject() -> std::sync::Arc<impl lkl::Host> {
    lkl_host_posix::PosixHost::new(lkl_host_posix::Hooks::default())
}

fn main() -> std::process::ExitCode {
    let summary = host::run(&subject(), &mut Print);
    println!("{summary:?}");
    if summary.failed == 0 {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}
