//! Linux's errors as `std::io::Error`.
//!
//! On a Linux host the numbers are the host's own, so the error is what `std::net` would have given, number included. On
//! other hosts it has the same kind, and the number's meaning is inside: [`errno`] finds it on both.

use lkl::Errno;
use std::io::{Error, ErrorKind};

/// What std makes of the numbers that networks have and files have not.
const NETWORK: &[(u16, ErrorKind)] = &[
    (88, ErrorKind::InvalidInput),
    (89, ErrorKind::InvalidInput),
    (90, ErrorKind::InvalidInput),
    (91, ErrorKind::InvalidInput),
    (92, ErrorKind::Unsupported),
    (93, ErrorKind::Unsupported),
    (94, ErrorKind::Unsupported),
    (97, ErrorKind::Unsupported),
    (98, ErrorKind::AddrInUse),
    (99, ErrorKind::AddrNotAvailable),
    (100, ErrorKind::NetworkDown),
    (101, ErrorKind::NetworkUnreachable),
    (103, ErrorKind::ConnectionAborted),
    (104, ErrorKind::ConnectionReset),
    (105, ErrorKind::OutOfMemory),
    (106, ErrorKind::InvalidInput),
    (107, ErrorKind::NotConnected),
    (111, ErrorKind::ConnectionRefused),
    (112, ErrorKind::HostUnreachable),
    (113, ErrorKind::HostUnreachable),
];

fn kind(errno: Errno) -> ErrorKind {
    if let Some((_, kind)) = NETWORK.iter().find(|(number, _)| *number == errno.number()) {
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

#[derive(Debug)]
struct LinuxError(Errno);

impl std::fmt::Display for LinuxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.text())
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
        write!(f, "{}: {}", self.thing, self.errno.text())?;
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
        for (number, kind_of_ours) in NETWORK {
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
