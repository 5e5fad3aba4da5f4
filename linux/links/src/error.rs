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
#[cfg_attr(
    not(unix),
    allow(dead_code, reason = "some are of ends that other systems do not have")
)]
pub(crate) enum Kind {
    /// An interface of this machine's, or what belongs to one.
    Interface,
    /// The device of one, by its path.
    Device,
    /// What a program listens at, by its path.
    Listener,
    /// Addresses and ports, of this machine or another one.
    Address,
    /// A socket that is made, by its path.
    Name,
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

    /// What to do, where that follows from what is wrong. Its text ends with it.
    pub fn advice(&self) -> Option<&'static str> {
        use io::ErrorKind::{
            AddrInUse, AddrNotAvailable, ConnectionRefused, InvalidInput, NotFound, PermissionDenied,
            ResourceBusy,
        };
        Some(match (self.error.kind(), self.kind) {
            (PermissionDenied, Kind::File | Kind::Name) => "look at the rights of its folder",
            (PermissionDenied, _) => "it takes root, or a device that was given to this user",
            (NotFound, Kind::Interface) => "look at what there is with `ip link`",
            (NotFound, Kind::Device) => {
                "it is /dev/tapN, where N is the number that `ip link` shows before the macvtap"
            }
            (NotFound | ConnectionRefused, Kind::Listener | Kind::Address) => {
                "start the program at the other end first, or look at the path or address"
            }
            (NotFound, Kind::File | Kind::Name) => "look at the path",
            (InvalidInput, Kind::Address) => "write each address as ADDRESS:PORT",
            (AddrNotAvailable, Kind::Address) => "the first address must be one of this machine's",
            (AddrInUse, Kind::Name) => "remove that file if no program uses it, or name another",
            (AddrInUse | ResourceBusy, _) => "another program has it: end that, or name another",
            _ => return None,
        })
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LinkError { what, error, .. } = self;
        write!(f, "{what}: {error}")?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
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
        assert!(said(Kind::Device).contains("/dev/tapN"));
        assert!(said(Kind::Listener).contains("start the program"));
        assert!(said(Kind::File).ends_with("look at the path"));
    }

    #[test]
    fn what_is_taken_or_of_another_machine_says_what_to_do() {
        let said = |kind, error: io::ErrorKind| LinkError::new(kind, "it", error.into()).to_string();
        assert!(said(Kind::Interface, io::ErrorKind::ResourceBusy).contains("another program"));
        assert!(said(Kind::Name, io::ErrorKind::AddrInUse).contains("remove that file"));
        assert!(said(Kind::Address, io::ErrorKind::AddrNotAvailable).contains("this machine's"));
        assert!(said(Kind::Address, io::ErrorKind::InvalidInput).ends_with("ADDRESS:PORT"));
        let other = LinkError::new(Kind::Interface, "it", io::ErrorKind::Other.into());
        assert_eq!(other.advice(), None);
    }
}
