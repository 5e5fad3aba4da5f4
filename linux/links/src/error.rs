//! Why something could not be connected.

use std::fmt;
use std::io;

/// What it was, and what is wrong with it.
#[derive(Debug)]
pub struct LinkError {
    what: String,
    kind: Kind,
    error: io::Error,
}

/// What it is, which says where to look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An interface of this machine's, or what belongs to one.
    Interface,
    /// What a program listens at.
    Listener,
    /// Files, which are there or can be made.
    File,
}

impl LinkError {
    pub(crate) fn new(kind: Kind, what: &str, error: io::Error) -> LinkError {
        LinkError {
            what: what.to_owned(),
            kind,
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
        let LinkError { what, kind, error } = self;
        write!(f, "{what}: {error}")?;
        match (error.kind(), kind) {
            (io::ErrorKind::PermissionDenied, Kind::File) => {
                f.write_str("; look at the rights of its folder")
            }
            (io::ErrorKind::PermissionDenied, _) => {
                f.write_str("; it takes root, or a device that was given to this user")
            }
            (io::ErrorKind::NotFound, Kind::Interface) => {
                f.write_str("; look at what there is with `ip link`")
            }
            (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, Kind::Listener) => {
                f.write_str("; start the program at the other end first, or look at the path or address")
            }
            (io::ErrorKind::NotFound, Kind::File) => f.write_str("; look at the path"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_says_where_to_look() {
        let said = |kind| LinkError::new(kind, "it", io::ErrorKind::NotFound.into()).to_string();
        assert!(said(Kind::Interface).ends_with("`ip link`"));
        assert!(said(Kind::Listener).contains("start the program"));
        assert!(said(Kind::File).ends_with("look at the path"));
    }
}
