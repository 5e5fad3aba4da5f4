//! `userctl stop` and `userctl start`: the driver's service, and the driver itself.
//!
//! Windows does not unload a file system that serves; asked to, it shuts the driver's devices and leaves it loaded. So the driver
//! is asked to let go of everything first, and only then the service is stopped. If the driver cannot let go, it serves on.

use std::io::Write;

use lklfs_client::service::{self, StartError, StopError};
use lklfs_client::{CallError, Driver, Interface, NtStatus, OpenError};

use crate::driver::{change, refused, write_text};
use crate::exit::{Exit, Failure};

/// Stops the driver.
pub fn stop(force: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let driver = match Driver::open(Interface::Control) {
        Err(OpenError::NotRunning) => return write_text("the driver does not run\n", out),
        Err(OpenError::Denied) => {
            return Err(Failure::new(
                Exit::Rights,
                "stopping the driver needs administrator rights; run it from an administrator's prompt",
            ));
        }
        // It cannot be asked, so it would stay loaded; change() says what is wrong with it.
        Err(_) => change()?,
        Ok(driver) => driver,
    };
    driver.stop(force).map_err(|error| not_stopped(error, force))?;
    // Each handle keeps the driver.
    drop(driver);
    match service::stop() {
        Ok(_) => write_text("the driver is stopped\n", out),
        Err(error) => {
            // It is not left half dead: if it can be reached, it serves again.
            let serves = Driver::open(Interface::Control).is_ok_and(|driver| driver.resume().is_ok());
            let exit = match &error {
                StopError::Denied => Exit::Rights,
                StopError::Pending => Exit::Restart,
                StopError::NotHere | StopError::Other(_) => Exit::Driver,
            };
            Err(match serves {
                true => Failure::new(exit, format_args!("{error} (it serves on)")),
                false => Failure::new(exit, error),
            })
        }
    }
}

/// What keeps the driver.
fn not_stopped(error: CallError, force: bool) -> Failure {
    match error {
        CallError::Refused(NtStatus::ACCESS_DENIED) if force => Failure::new(
            Exit::Restart,
            "the driver serves on: its volumes were dismounted, but programs keep their files open; close them, or restart Windows",
        ),
        CallError::Refused(NtStatus::ACCESS_DENIED) => Failure::new(
            Exit::InUse,
            "the driver serves on: files on its volumes are open; close the programs that use them, or stop with --force",
        ),
        CallError::Refused(NtStatus::SHARING_VIOLATION) => Failure::new(
            Exit::InUse,
            "the driver serves on: another program talks to it; end that one, such as userctl log --follow",
        ),
        CallError::Refused(NtStatus::DEVICE_BUSY) => Failure::new(
            Exit::Restart,
            "the driver serves on: it waits for a disk or server that does not answer; let it answer, or restart Windows",
        ),
        other => refused("the driver", other),
    }
}

/// Starts the driver, or has one that let go of everything serve again.
pub fn start(out: &mut dyn Write) -> Result<(), Failure> {
    match Driver::open(Interface::Control) {
        Ok(driver) => driver.resume().map_err(|error| refused("the driver", error))?,
        Err(OpenError::NotRunning) => service::start().map_err(|error| {
            let exit = match &error {
                StartError::Denied => Exit::Rights,
                _ => Exit::Driver,
            };
            Failure::new(exit, error)
        })?,
        Err(_) => drop(change()?),
    }
    write_text("the driver runs\n", out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_driver_has_its_exit_code() {
        for (status, force, exit) in [
            (NtStatus::ACCESS_DENIED, false, Exit::InUse),
            (NtStatus::ACCESS_DENIED, true, Exit::Restart),
            (NtStatus::SHARING_VIOLATION, false, Exit::InUse),
            (NtStatus::DEVICE_BUSY, true, Exit::Restart),
        ] {
            let failure = not_stopped(CallError::Refused(status), force);
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(failure.message.contains("serves on"), "{failure}");
        }
    }
}
