//! What can go wrong between a program and the driver. The words say what to do; they are for the end of a line that
//! begins with what was wanted.

use std::fmt;

use lklfs_control::{Refusal, VERSION};
use lklfs_nt::NtStatus;

/// Why a control device was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The driver is not installed.
    NotInstalled,
    /// It is installed and not started, or still starting.
    NotRunning,
    /// The device is for administrators.
    Denied,
    /// The driver speaks another major version of the interface (major << 16 | minor), `None` if it cannot even say which.
    Versions(Option<u32>),
    /// This is no Windows, and no double is named.
    NotHere,
    /// The double does not answer; why.
    NoDouble(String),
    /// The device was opened, or not, with this status.
    Other(NtStatus),
    /// The driver's first answer makes no sense.
    Answer(&'static str),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NotInstalled => f.write_str(
                "the driver is not installed; run the set-up program, or read images without it: info, ls, cat, cp",
            ),
            OpenError::NotRunning => f.write_str(
                "the driver is not running; start it from an administrator's prompt: userctl start",
            ),
            OpenError::Denied => {
                f.write_str("this needs administrator rights; run it from an administrator's prompt")
            }
            OpenError::Versions(driver) => differ(f, *driver),
            OpenError::NotHere => f.write_str(
                "the driver runs on Windows only; here images are read without it: info, ls, cat, cp, manifest",
            ),
            OpenError::NoDouble(why) => {
                write!(
                    f,
                    "the NT double does not answer: {why}; start one with: double serve --socket PATH"
                )
            }
            OpenError::Other(status) => write!(
                f,
                "the driver cannot be opened: {status}; look at it with: sc query lklfs"
            ),
            OpenError::Answer(what) => {
                write!(f, "{what}; install the driver and this program from one package")
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// That driver and program are of different versions.
fn differ(f: &mut fmt::Formatter<'_>, driver: Option<u32>) -> fmt::Result {
    let (major, minor) = (VERSION >> 16, VERSION & 0xffff);
    match driver {
        Some(version) => write!(
            f,
            "the driver speaks version {}.{} of the control interface and this program {major}.{minor}",
            version >> 16,
            version & 0xffff
        )?,
        None => write!(
            f,
            "the driver does not know version {major}.{minor} of the control interface, which this program speaks"
        )?,
    }
    f.write_str("; install both from one package, and restart Windows if the old driver is still loaded")
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The driver, or the system on the way to it, ended the request so.
    Refused(NtStatus),
    /// Driver and program are of different versions.
    Versions,
    /// The request cannot be written, or the answer not be read; why.
    Malformed(Refusal),
}

impl CallError {
    /// The status, if there was one.
    pub fn status(self) -> Option<NtStatus> {
        match self {
            CallError::Refused(status) => Some(status),
            CallError::Versions | CallError::Malformed(_) => None,
        }
    }
}

impl From<NtStatus> for CallError {
    fn from(status: NtStatus) -> CallError {
        match status.0 == Refusal::Revision.status() {
            true => CallError::Versions,
            false => CallError::Refused(status),
        }
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> CallError {
        match refusal {
            Refusal::Revision => CallError::Versions,
            other => CallError::Malformed(other),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused(status) => write!(f, "the driver answers {status}"),
            CallError::Versions => differ(f, None),
            CallError::Malformed(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}
