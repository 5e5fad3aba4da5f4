//! Linux's errors as `std::io::Error`.
//!
//! On a Linux host the numbers are the host's own, so the error is what `std::net` would have given, number included. On
//! other hosts it has the same kind, and the number's meaning is inside: [`errno`] finds it on both.

use lkl::Errno;
use std::io::{Error, ErrorKind};

/// The numbers that networks have and files have not.
const NETWORK: &[(u16, ErrorKind, &str)] = &[
    (88, ErrorKind::InvalidInput, "not a socket"),
    (89, ErrorKind::InvalidInput, "destination address required"),
    (90, ErrorKind::InvalidInput, "message too long"),
    (91, ErrorKind::InvalidInput, "wrong protocol for this socket"),
    (92, ErrorKind::Unsupported, "no such option of the protocol"),
    (93, ErrorKind::Unsupported, "protocol not supported"),
    (94, ErrorKind::Unsupported, "kind of socket not supported"),
    (97, ErrorKind::Unsupported, "address family not supported"),
    (98, ErrorKind::AddrInUse, "address in use"),
    (99, ErrorKind::AddrNotAvailable, "address not available"),
    (100, ErrorKind::NetworkDown, "network is down"),
    (101, ErrorKind::NetworkUnreachable, "network is unreachable"),
    (103, ErrorKind::ConnectionAborted, "connection aborted"),
    (104, ErrorKind::ConnectionReset, "connection reset by the peer"),
    (105, ErrorKind::OutOfMemory, "no buffer space"),
    (106, ErrorKind::InvalidInput, "already connected"),
    (107, ErrorKind::NotConnected, "not connected"),
    (111, ErrorKind::ConnectionRefused, "connection refused"),
    (112, ErrorKind::HostUnreachable, "host is down"),
    (113, ErrorKind::HostUnreachable, "no route to the host"),
];

/// `EISCONN`, `EINPROGRESS` and what else of [`NETWORK`] this crate looks at itself.
pub(crate) fn is(errno: Errno, number: u16) -> bool {
    errno.number() == number
}

pub(crate) const EISCONN: u16 = 106;
pub(crate) const EINPROGRESS: u16 = 115;

fn kind(errno: Errno) -> ErrorKind {
    if let Some((_, kind, _)) = NETWORK.iter().find(|(number, ..)| *number == errno.number()) {
        return *kind;
    }
    match errno {
        Errno::EAGAIN => ErrorKind::WouldBlock,
        Errno::EINTR => ErrorKind::Interrupted,
        Errno::ENOENT => ErrorKind::NotFound,
        Errno::EEXIST => ErrorKind::AlreadyExists,
        Errno::EPERM | Errno::EACCES => ErrorKind::PermissionDenied,
        Errno::EINVAL => ErrorKind::InvalidInput,
        Errno::ENOMEM => ErrorKind::OutOfMemory,
        Errno::EPIPE => ErrorKind::BrokenPipe,
        Errno::ETIMEDOUT => ErrorKind::TimedOut,
        Errno::EOPNOTSUPP | Errno::ENOSYS => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    }
}

/// What an error of Linux's is for a caller of `std::io`.
pub fn io_error(errno: Errno) -> Error {
    if cfg!(target_os = "linux") {
        Error::from_raw_os_error(i32::from(errno.number()))
    } else if errno == Errno::EAGAIN {
        // Frequent, and made without memory.
        ErrorKind::WouldBlock.into()
    } else {
        Error::new(kind(errno), LinuxError(errno))
    }
}

/// An error that says which thing it is about, and why: `"eth0: no such device"`.
pub(crate) fn about(thing: impl std::fmt::Display, errno: Errno) -> Error {
    about_because(thing, errno, "")
}

/// The same with what Linux says in words, if it does.
pub(crate) fn about_because(thing: impl std::fmt::Display, errno: Errno, words: &str) -> Error {
    Error::new(
        kind(errno),
        AboutError {
            thing: thing.to_string(),
            errno,
            words: words.trim_end_matches('.').to_owned(),
        },
    )
}

/// The number of Linux's in an error of this crate's.
pub fn errno(error: &Error) -> Option<Errno> {
    if let Some(inner) = error.get_ref() {
        let plain = inner.downcast_ref::<LinuxError>().map(|error| error.0);
        return plain.or_else(|| inner.downcast_ref::<AboutError>().map(|error| error.errno));
    }
    if error.kind() == ErrorKind::WouldBlock {
        return Some(Errno::EAGAIN);
    }
    let number = u16::try_from(error.raw_os_error()?).ok()?;
    Errno::from_number(number).filter(|_| cfg!(target_os = "linux"))
}

/// What a number means.
fn text(errno: Errno) -> &'static str {
    match NETWORK.iter().find(|(number, ..)| *number == errno.number()) {
        Some((_, _, text)) => text,
        None => errno.text(),
    }
}

#[derive(Debug)]
struct LinuxError(Errno);

impl std::fmt::Display for LinuxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(text(self.0))
    }
}

impl std::error::Error for LinuxError {}

#[derive(Debug)]
struct AboutError {
    thing: String,
    errno: Errno,
    words: String,
}

impl std::fmt::Display for AboutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.thing, text(self.errno))?;
        match self.words.as_str() {
            "" => Ok(()),
            words => write!(f, " ({words})"),
        }
    }
}

impl std::error::Error for AboutError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_number_and_has_the_kind_that_std_gives() {
        for (number, kind_of_ours, _) in NETWORK {
            let errno_before = Errno::from_number(*number).expect("in range");
            let error = io_error(errno_before);
            assert_eq!(errno(&error), Some(errno_before));
            assert_eq!(kind(errno_before), *kind_of_ours);
            let named = about("eth0", errno_before);
            assert_eq!(errno(&named), Some(errno_before));
            assert!(named.to_string().starts_with("eth0: "), "{named}");
            if cfg!(target_os = "linux") && !matches!(number, 88..=97 | 105 | 106 | 112) {
                assert_eq!(error.kind(), *kind_of_ours, "{number}");
            }
        }
        assert_eq!(io_error(Errno::EAGAIN).kind(), ErrorKind::WouldBlock);
    }
}
