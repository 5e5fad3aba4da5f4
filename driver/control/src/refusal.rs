//! Why a request is not even tried.

use core::fmt;

/// Why a request is refused before anything is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such code.
    UnknownCode,
    /// Not on this interface.
    Denied,
    /// The input is shorter than the request, or the output than the shortest reply.
    TooSmall,
    /// Another major version.
    Revision,
    /// A field has a value that it must not have.
    Invalid(&'static str),
    /// No memory (encoding only).
    NoMemory,
}

impl Refusal {
    /// The NTSTATUS.
    pub const fn status(self) -> u32 {
        match self {
            // STATUS_INVALID_DEVICE_REQUEST
            Refusal::UnknownCode => 0xc000_0010,
            // STATUS_ACCESS_DENIED
            Refusal::Denied => 0xc000_0022,
            // STATUS_BUFFER_TOO_SMALL
            Refusal::TooSmall => 0xc000_0023,
            // STATUS_REVISION_MISMATCH
            Refusal::Revision => 0xc000_0059,
            // STATUS_INVALID_PARAMETER
            Refusal::Invalid(_) => 0xc000_000d,
            // STATUS_INSUFFICIENT_RESOURCES
            Refusal::NoMemory => 0xc000_009a,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::UnknownCode => "there is no such control code",
            Refusal::Denied => "this needs administrator rights",
            Refusal::TooSmall => "a buffer is too small",
            Refusal::Revision => "the driver and this program are of different versions",
            Refusal::Invalid(what) => what,
            Refusal::NoMemory => "there is not enough memory",
        })
    }
}

impl core::error::Error for Refusal {}
