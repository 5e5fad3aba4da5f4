//! Asks the driver: the control interface of `lklfs_control`, as calls; and the files of its volumes, as any program does.
//!
//! [`Driver::open`] opens one of the two control devices and asks for the versions first, so that a driver of another
//! version is told before anything is done. Every call encodes a request, sends it over a [`Transport`] and reads the
//! reply; an NTSTATUS that the driver gives arrives as it is ([`CallError::Refused`]), since what it means depends on what
//! was asked.
//!
//! | module | what |
//! |---|---|
//! | `calls` | [`Driver`]: one call for each code |
//! | [`answer`] | what the calls answer with |
//! | `settings` | how a volume is mounted and shown, once or by its policy |
//! | `error` | what can go wrong, and what to do about it |
//! | [`files`] | [`files::File`]: an open file of a mounted volume |
//! | `ntdll` | on Windows: devices and files, opened and asked by ntdll's functions, which translate no status |
//! | [`service`] | the driver, started as a service of Windows |
//! | `socket`, [`wire`] | elsewhere: a socket, behind which the NT double answers |
//!
//! # Without Windows
//!
//! The driver runs on Windows only. For tests, `double serve --socket PATH` (in `tests/ntos`) loads the driver in the NT
//! kernel double and passes requests on; with the environment variable [`SOCKET_VARIABLE`] set to that path, everything
//! here works on Linux as it does on Windows.

pub mod answer;
mod calls;
mod error;
pub mod files;
#[cfg(windows)]
mod ntdll;
#[cfg(windows)]
mod ntfile;
pub mod service;
mod settings;
#[cfg(unix)]
mod socket;
#[cfg(unix)]
pub mod wire;

pub use calls::{Driver, Mount, Source};
pub use error::{CallError, OpenError};
pub use lklfs_control::{Format, Interface, LogSource, VERSION};
pub use lklfs_nt::NtStatus;
pub use settings::{Letter, Policy, Settings};

/// The environment variable that names the socket of the NT double. Windows does not look at it.
pub const SOCKET_VARIABLE: &str = "LKLFS_CONTROL";

/// Whether there can be a driver here at all: on Windows; elsewhere for tests, which name a double.
#[cfg(windows)]
pub fn can_be_here() -> bool {
    true
}

/// Whether there can be a driver here at all: on Windows; elsewhere for tests, which name a double.
#[cfg(unix)]
pub fn can_be_here() -> bool {
    socket::is_named()
}

/// Something that takes control requests: a handle on a control device, or what stands for one.
pub trait Transport {
    /// Sends `input` with the control code `code`, and gives the reply, of at most `room` bytes.
    ///
    /// # Errors
    /// The status that the request ended with, when that was no success.
    fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus>;
}

/// Opens a control device.
#[cfg(windows)]
fn connect(interface: Interface) -> Result<Box<dyn Transport>, OpenError> {
    Ok(Box::new(ntdll::Device::open(interface)?))
}

/// Opens a control device of the double.
#[cfg(unix)]
fn connect(interface: Interface) -> Result<Box<dyn Transport>, OpenError> {
    Ok(Box::new(socket::Device::open(interface)?))
}

/// What a handle has to be allowed on the device: reading, on the device for administrators writing as well, and
/// waiting.
#[cfg(any(unix, windows))]
const fn access(interface: Interface) -> u32 {
    const SYNCHRONIZE: u32 = 0x0010_0000;
    const FILE_READ_DATA: u32 = 1;
    const FILE_WRITE_DATA: u32 = 2;
    match interface {
        Interface::Control => SYNCHRONIZE | FILE_READ_DATA | FILE_WRITE_DATA,
        Interface::Status => SYNCHRONIZE | FILE_READ_DATA,
    }
}

#[cfg(test)]
mod tests;
