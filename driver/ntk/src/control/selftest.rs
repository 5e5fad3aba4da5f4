//! The conformance suite for hosts, run by this driver on the NT kernel that it is loaded in. Only in images that are
//! built with the feature `selftest`, which are never shipped.
//!
//! The control code [`IOCTL`] runs it and answers with one line a scenario: `ok NAME FIGURE`, `skip NAME: WHY` or
//! `not ok NAME: WHY`. Linux must not run meanwhile. [`IOCTL_OF`] runs one of the port's own tests in the Linux that runs.

use crate::state::Driver;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use conformance::{Outcome as Ending, Report, host};
use core::num::NonZeroU64;
use lkl_host_ntk::NtkHost;
use lklfs_fsd::Outcome;
use lklfs_kernel::stack;
use lklfs_nt::NtStatus;

/// `CTL_CODE(0x9C4B, 0x8F0, METHOD_BUFFERED, FILE_WRITE_ACCESS)`: beyond what the shipped interface uses.
pub const IOCTL: u32 = (0x9c4b << 16) | (2 << 14) | (0x8f0 << 2);

/// The next code: runs the test of the port whose number (`LKL_SELFTEST_*` of host_ops.h) the input is, eight bytes. Eight more
/// are the number of the volume for whose work that is.
pub const IOCTL_OF: u32 = IOCTL + (1 << 2);

/// Runs one test of the port's.
///
/// IRQL: PASSIVE_LEVEL, on a large stack; blocks as long as the test does.
pub fn one(driver: &Driver, input: &[u8]) -> Result<usize, NtStatus> {
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
    let (what, volume) = match input.split_at_checked(8) {
        Some((what, [])) => (word(what), None),
        Some((what, volume)) => (word(what), NonZeroU64::new(word(volume).unwrap_or(0))),
        None => return Err(NtStatus::INVALID_PARAMETER),
    };
    let what = what.map_err(|_| NtStatus::INVALID_PARAMETER)?;
    let mut kernel = driver.linux.booted().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    if let Some(volume) = volume {
        kernel = kernel.on_account(volume);
    }
    match kernel.self_test_of(what) {
        Ok(0) => Ok(0),
        Ok(_) => Err(NtStatus::UNSUCCESSFUL),
        Err(lkl::Errno::ENODEV) => Err(NtStatus::NO_SUCH_DEVICE),
        Err(_) => Err(NtStatus::INVALID_PARAMETER),
    }
}

struct Lines(String);

impl Report for Lines {
    fn begin(&mut self, name: &'static str) {
        crate::log::line(format_args!("selftest: {name}"));
    }

    fn end(&mut self, name: &'static str, ending: &Ending) {
        let line = match ending {
            Ending::Passed(figure) => format!("ok {name} {figure}\n"),
            Ending::Skipped(why) => format!("skip {name}: {why}\n"),
            Ending::Failed(why) => format!("not ok {name}: {why}\n"),
        };
        self.0.push_str(&line);
    }
}

/// Runs all scenarios and writes their lines to `out`, as far as they fit.
///
/// IRQL: PASSIVE_LEVEL; blocks for seconds.
pub fn run(out: &mut [u8]) -> Outcome {
    let done = stack::on_large_stack(|| {
        let subject = Arc::new(NtkHost::new());
        subject.init();
        let mut lines = Lines(String::new());
        let _ = host::run(&subject, &mut lines);
        lines.0
    });
    let Ok(text) = done else {
        return NtStatus::INSUFFICIENT_RESOURCES.into();
    };
    let mut written = 0usize;
    for (place, byte) in out.iter_mut().zip(text.bytes()) {
        *place = byte;
        written = written.saturating_add(1);
    }
    Outcome::success(written)
}
