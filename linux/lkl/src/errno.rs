//! Linux's error numbers as a type.
//!
//! One list makes the constants, their names and their texts. Numbers are those of x86-64 Linux.

use core::fmt;

/// An error number of Linux: 1..=4095, never zero or negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

/// The largest number that a system call returns as an error.
const MAX_ERRNO: i64 = 4095;

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        #[allow(missing_docs)] // the text is the documentation
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno($number);)*
        }

        impl Errno {
            /// The symbol, as in `"ENOENT"`; `None` for a number that this list lacks.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }

            /// What it means, in a few words of lower case; `"unknown error"` for a number that this list lacks.
            pub const fn text(self) -> &'static str {
                match self.0 { $($number => $text,)* _ => "unknown error" }
            }
        }

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, Errno)] = &[$((stringify!($name), Errno::$name),)*];
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such file or directory";
    ESRCH = 3, "no such process";
    EINTR = 4, "interrupted system call";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "argument list too long";
    ENOEXEC = 8, "exec format error";
    EBADF = 9, "bad file descriptor";
    ECHILD = 10, "no child processes";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    ENOTBLK = 15, "block device required";
    EBUSY = 16, "device or resource busy";
    EEXIST = 17, "file exists";
    EXDEV = 18, "cross-device link";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "file table overflow";
    EMFILE = 24, "too many open files";
    ENOTTY = 25, "not a typewriter";
    ETXTBSY = 26, "text file busy";
    EFBIG = 27, "file too large";
    ENOSPC = 28, "no space left on device";
    ESPIPE = 29, "illegal seek";
    EROFS = 30, "read-only file system";
    EMLINK = 31, "too many links";
    EPIPE = 32, "broken pipe";
    EDOM = 33, "argument out of domain";
    ERANGE = 34, "result too large";
    EDEADLK = 35, "resource deadlock would occur";
    ENAMETOOLONG = 36, "file name too long";
    ENOLCK = 37, "no record locks available";
    ENOSYS = 38, "function not implemented";
    ENOTEMPTY = 39, "directory not empty";
    ELOOP = 40, "too many symbolic links encountered";
    ENODATA = 61, "no data available";
    ETIME = 62, "timer expired";
    ENOLINK = 67, "link has been severed";
    EPROTO = 71, "protocol error";
    EBADMSG = 74, "bad message (checksum failed)";
    EOVERFLOW = 75, "value too large for defined data type";
    EILSEQ = 84, "illegal byte sequence";
    EUSERS = 87, "too many users";
    ENOTSOCK = 88, "not a socket";
    EDESTADDRREQ = 89, "destination address required";
    EMSGSIZE = 90, "message too long";
    EPROTOTYPE = 91, "wrong protocol type for socket";
    ENOPROTOOPT = 92, "protocol not available";
    EPROTONOSUPPORT = 93, "protocol not supported";
    ESOCKTNOSUPPORT = 94, "socket type not supported";
    EOPNOTSUPP = 95, "operation not supported";
    EPFNOSUPPORT = 96, "protocol family not supported";
    EAFNOSUPPORT = 97, "address family not supported by protocol";
    EADDRINUSE = 98, "address already in use";
    EADDRNOTAVAIL = 99, "cannot assign requested address";
    ENETDOWN = 100, "network is down";
    ENETUNREACH = 101, "network is unreachable";
    ENETRESET = 102, "network dropped connection because of reset";
    ECONNABORTED = 103, "software caused connection abort";
    ECONNRESET = 104, "connection reset by peer";
    ENOBUFS = 105, "no buffer space available";
    EISCONN = 106, "transport endpoint is already connected";
    ENOTCONN = 107, "transport endpoint is not connected";
    ETIMEDOUT = 110, "timed out";
    ECONNREFUSED = 111, "connection refused";
    EHOSTDOWN = 112, "host is down";
    EHOSTUNREACH = 113, "no route to host";
    EALREADY = 114, "operation already in progress";
    EINPROGRESS = 115, "operation now in progress";
    ESTALE = 116, "stale file handle";
    EUCLEAN = 117, "structure needs cleaning (file system corrupted)";
    EREMOTEIO = 121, "remote input/output error";
    EDQUOT = 122, "quota exceeded";
    ENOMEDIUM = 123, "no medium found";
    EMEDIUMTYPE = 124, "wrong medium type";
    ECANCELED = 125, "operation canceled";
    ENOKEY = 126, "required key not available";
    EKEYEXPIRED = 127, "key has expired";
    EKEYREJECTED = 129, "key was rejected";
    EHWPOISON = 133, "memory page has hardware error";
}

impl Errno {
    /// The error of a number, which is positive; `None` when it is outside 1..=4095.
    pub const fn from_number(number: u16) -> Option<Errno> {
        if number == 0 || number > 4095 {
            None
        } else {
            Some(Errno(number))
        }
    }

    /// The number, positive.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Tells a system call's value from its error: -4095..=-1 are errors.
    pub(crate) fn check(value: i64) -> Result<u64, Errno> {
        match u64::try_from(value) {
            Ok(value) => Ok(value),
            // Beyond -4095 a value would be an address of the last page but half of the address space; Linux
            // returns none from the calls made here.
            Err(_) => match u16::try_from(value.saturating_neg().clamp(1, MAX_ERRNO)) {
                Ok(number) => Err(Errno(number)),
                Err(_) => Err(Errno::EIO),
            },
        }
    }

    /// The form that Linux wants back: negative.
    pub fn negated(self) -> i64 {
        i64::from(self.0).saturating_neg()
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.text()),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn values_and_errors_are_told_apart() {
        assert_eq!(Errno::check(0), Ok(0));
        assert_eq!(Errno::check(i64::MAX), Ok(i64::MAX as u64));
        assert_eq!(Errno::check(-2), Err(Errno::ENOENT));
        assert_eq!(Errno::check(-4095).map_err(Errno::number), Err(4095));
        assert_eq!(Errno::check(i64::MIN).map_err(Errno::number), Err(4095));
        assert_eq!(Errno::EIO.negated(), -5);
        assert_eq!(Errno::from_number(0), None);
        assert_eq!(Errno::from_number(4096), None);
    }

    #[test]
    fn names_come_from_the_list() {
        for (name, errno) in ALL {
            assert_eq!(errno.name(), Some(*name));
            assert!(errno.to_string().contains(name));
        }
        assert_eq!(Errno::from_number(300).unwrap().to_string(), "error 300");
    }
}
