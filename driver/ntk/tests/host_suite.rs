//! The NTK host passes the suite that every host passes, inside the driver, on the NT kernel double.
//!
//! `LKLFS_SELFTEST_SYS` names an image with the feature `selftest`, which `cargo xtask test` builds beside the shipped one.
//! It is loaded once; its control device runs the suite and answers with a line for each scenario, and each becomes a test
//! here. The last two tests are that all scenarios were there, and that the unload left nothing behind.

use std::process::ExitCode;

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::SUCCESS
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use conformance::host::SCENARIOS;
    use libtest_mimic::{Arguments, Failed, Trial};
    use ntos::loader::Options;
    use ntos::nt::*;
    use ntos::user::{Machine, OpenAs};
    use ntos::verifier::hang;
    use std::path::Path;
    use std::process::ExitCode;
    use std::time::Duration;

    /// `lklfs_ntk::control::selftest::IOCTL`; that crate is empty on this system.
    const IOCTL: u32 = (0x9c4b << 16) | (2 << 14) | (0x8f0 << 2);
    /// How long the suite may take before it is a hang.
    const LIMIT: Duration = Duration::from_secs(180);

    /// What the driver said, and what it left.
    struct Run {
        answer: Result<String, String>,
        left: Result<(), String>,
    }

    fn run(driver: &Path) -> Result<Run, String> {
        let mut machine = Machine::builder()
            .options(Options::default())
            .start()
            .map_err(|error| error.to_string())?;
        machine.load_driver(driver).map_err(|error| error.to_string())?;
        let answer = ask(&machine);
        let report = machine.unload();
        let left = if report.is_clean() {
            Ok(())
        } else {
            Err(report.to_string())
        };
        Ok(Run { answer, left })
    }

    fn ask(machine: &Machine) -> Result<String, String> {
        let _watch = hang::watch("the suite for hosts", LIMIT);
        let how = OpenAs::read().access(FILE_GENERIC_READ | FILE_GENERIC_WRITE);
        let control = machine
            .open("\\??\\Lklfs", how)
            .map_err(|status| format!("the control device does not open: {}", name(status)))?;
        let outcome = control.ioctl(IOCTL, &[], 64 * 1024);
        if outcome.status != STATUS_SUCCESS {
            return Err(format!("the control device says {}", name(outcome.status)));
        }
        Ok(String::from_utf8_lossy(&outcome.bytes).into_owned())
    }

    /// One line of the answer as a test that is over. A skip is a failure: this host has everything.
    fn trial(line: &str) -> Trial {
        let (title, failure) = match line.strip_prefix("ok ") {
            Some(passed) => (passed, None),
            None => (line.split(':').next().unwrap_or(line), Some(line.to_owned())),
        };
        Trial::test(format!("NTK host: {title}"), move || {
            failure.map_or(Ok(()), |failure| Err(Failed::from(failure)))
        })
    }

    pub fn main() -> ExitCode {
        let arguments = Arguments::from_args();
        let run = match std::env::var_os("LKLFS_SELFTEST_SYS") {
            Some(path) => run(Path::new(&path)),
            None => Err("LKLFS_SELFTEST_SYS names no driver: run this by `cargo xtask test`".to_owned()),
        };
        let mut trials = Vec::new();
        match run {
            Err(error) => trials.push(Trial::test("NTK host: loads", move || Err(error.into()))),
            Ok(Run { answer, left }) => {
                let answer = answer.map_err(Failed::from);
                trials.extend(answer.iter().flat_map(|text| text.lines()).map(trial));
                trials.push(Trial::test(
                    "NTK host: every scenario was run",
                    || match answer?.lines().count() {
                        SCENARIOS => Ok(()),
                        count => Err(format!("{count} of {SCENARIOS}").into()),
                    },
                ));
                trials.push(Trial::test("NTK host: nothing is left behind", || {
                    left.map_err(Failed::from)
                }));
            }
        }
        libtest_mimic::run(&arguments, trials).exit_code()
    }
}
