//! What goes wrong when a server is set up.

use std::fmt;

use lkl::Errno;

/// What Linux refused, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The thing that was to be done, or the file that was to be written.
    pub what: String,
    /// Linux's answer.
    pub errno: Errno,
}

impl Error {
    /// For `map_err`: the thing that Linux's answer is about.
    pub(crate) fn about(what: impl fmt::Display) -> impl FnOnce(Errno) -> Error {
        move |errno| Error {
            what: what.to_string(),
            errno,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.errno)
    }
}

impl std::error::Error for Error {}
