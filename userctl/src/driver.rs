//! The driver, as the commands use it: opened, and what it refuses turned into failures.
//!
//! What only looks is asked of the device for everybody, what changes or names files of the one for administrators.

use std::io::{self, Write};

use lklfs_client::service::{self, StartError};
use lklfs_client::{CallError, Driver, Interface, NtStatus, OpenError};
use serde::Serialize;

use crate::exit::{Exit, Failure, stdout_failure};

/// Opens the device for everybody.
pub fn look() -> Result<Driver, Failure> {
    open(Interface::Status)
}

/// Opens the device for administrators.
pub fn change() -> Result<Driver, Failure> {
    open(Interface::Control)
}

/// Opens the device for administrators. A driver that is installed and does not run is started for it.
pub fn start_and_change() -> Result<Driver, Failure> {
    match Driver::open(Interface::Control) {
        Err(OpenError::NotRunning) => {
            service::start().map_err(|error| {
                let exit = match &error {
                    StartError::Denied => Exit::Rights,
                    _ => Exit::Driver,
                };
                Failure::new(exit, error)
            })?;
            change()
        }
        other => other.map_err(not_opened),
    }
}

fn open(interface: Interface) -> Result<Driver, Failure> {
    Driver::open(interface).map_err(not_opened)
}

fn not_opened(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::Denied => Exit::Rights,
        _ => Exit::Driver,
    };
    Failure::new(exit, error)
}

/// What to say when a question, which nothing should make fail, was refused.
pub fn failed(error: CallError) -> Failure {
    refused("the driver", error)
}

/// What to say when `what` was not done, for reasons that every request may have.
pub fn refused(what: &str, error: CallError) -> Failure {
    let status = match error {
        CallError::Refused(status) => status,
        CallError::Versions => return Failure::new(Exit::Driver, error),
        CallError::Malformed(_) => return Failure::new(Exit::Other, format_args!("{what}: {error}")),
    };
    match status {
        NtStatus::ACCESS_DENIED => Failure::new(
            Exit::Rights,
            format_args!("{what}: this needs administrator rights; run it from an administrator's prompt"),
        ),
        NtStatus::INSUFFICIENT_RESOURCES | NtStatus::NO_MEMORY => Failure::new(
            Exit::Other,
            format_args!("{what}: memory is short; unmount a volume or close programs"),
        ),
        // STATUS_CONNECTION_DISCONNECTED and its like: the double, or the driver, has gone meanwhile.
        NtStatus(0xc000_020c) | NtStatus::DEVICE_NOT_READY | NtStatus::DEVICE_REMOVED => Failure::new(
            Exit::Driver,
            format_args!("{what}: the driver has stopped meanwhile; start it with: userctl start"),
        ),
        NtStatus::NOT_SUPPORTED => Failure::new(
            Exit::Driver,
            format_args!("{what}: this driver cannot do that; install the newest"),
        ),
        status => Failure::new(
            Exit::Other,
            format_args!("{what}: the driver answers {status}; see userctl log"),
        ),
    }
}

/// Writes `value` as one JSON object.
pub fn write_json(value: &impl Serialize, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, value)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush())
        .map_err(|error| stdout_failure(&error))
}

/// Writes text.
pub fn write_text(text: &str, out: &mut dyn Write) -> Result<(), Failure> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| stdout_failure(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_their_exit_codes() {
        for (error, exit) in [
            (CallError::Refused(NtStatus::ACCESS_DENIED), Exit::Rights),
            (CallError::Refused(NtStatus::NO_MEMORY), Exit::Other),
            (CallError::Refused(NtStatus::NOT_SUPPORTED), Exit::Driver),
            (CallError::Refused(NtStatus::UNSUCCESSFUL), Exit::Other),
            (CallError::Versions, Exit::Driver),
        ] {
            let failure = refused("x", error);
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(failure.message.contains("; "), "{failure}");
        }
    }
}
