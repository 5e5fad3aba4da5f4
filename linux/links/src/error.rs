//! Why something could not be connected.

use std::fmt;
use std::io;

/// What it was, and what is wrong with it.
#[derive(Debug)]
pub struct LinkError {
    what: String,
    error: io::Error,
}

impl LinkError {
    pub(crate) fn new(what: &str, error: io::Error) -> LinkError {
        LinkError {
            what: what.to_owned(),
            error,
        }
    }

    /// The system's own word for it.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LinkError { what, error } = self;
        write!(f, "{what}: {error}")?;
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                f.write_str("; it takes root, or a device that was given to this user")
            }
            io::ErrorKind::NotFound => f.write_str("; look at what there is with `ip link`"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
