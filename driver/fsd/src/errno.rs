//! Linux errors and what NT programs are told instead: one table, one row an error, one column a context.
//!
//! The same `ENOENT` is "name not found" for the last component of a path, "path not found" on the way to it, "not a
//! volume of mine" at mount. Errors that the table does not name become the column's last resort, which is total:
//! every `Errno` has a status in every context.

use lklfs_nt::NtStatus;

/// A Linux error number, positive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Errno(pub i32);

/// Where an error was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    /// At the last component of a path, or at an object that is already open.
    FinalName,
    /// On the way to the last component.
    Walking,
    /// While mounting or recognising a volume.
    Mounting,
    /// While reading data, a directory, a link or an attribute.
    Reading,
}

macro_rules! errnos {
    (
        $( $name:ident = $number:literal : $final:ident, $walk:ident, $mount:ident, $read:ident; )*
        @else $e_final:ident, $e_walk:ident, $e_mount:ident, $e_read:ident;
    ) => {
        impl Errno {
            $( #[doc = concat!("Linux's `", stringify!($name), "`.")] pub const $name: Self = Self($number); )*

            /// Every error that the table names.
            pub const NAMED: &'static [(Self, &'static str)] = &[$( (Self::$name, stringify!($name)) ),*];

            /// What NT calls this error when it is met in `context`.
            pub const fn to_status(self, context: Context) -> NtStatus {
                let (at_final, walking, mounting, reading) = match self {
                    $( Self::$name =>
                        (NtStatus::$final, NtStatus::$walk, NtStatus::$mount, NtStatus::$read), )*
                    _ => (NtStatus::$e_final, NtStatus::$e_walk, NtStatus::$e_mount, NtStatus::$e_read),
                };
                match context {
                    Context::FinalName => at_final,
                    Context::Walking => walking,
                    Context::Mounting => mounting,
                    Context::Reading => reading,
                }
            }
        }
    };
}

#[rustfmt::skip]
errnos! {
//  error              final name               walking the path         mounting                 reading
    EPERM = 1        : ACCESS_DENIED,           ACCESS_DENIED,           ACCESS_DENIED,           ACCESS_DENIED;
    ENOENT = 2       : OBJECT_NAME_NOT_FOUND,   OBJECT_PATH_NOT_FOUND,   UNRECOGNIZED_VOLUME,     FILE_INVALID;
    EINTR = 4        : CANCELLED,               CANCELLED,               CANCELLED,               CANCELLED;
    EIO = 5          : IO_DEVICE_ERROR,         IO_DEVICE_ERROR,         IO_DEVICE_ERROR,         IO_DEVICE_ERROR;
    ENXIO = 6        : DEVICE_DOES_NOT_EXIST,   DEVICE_DOES_NOT_EXIST,   DEVICE_DOES_NOT_EXIST,   DEVICE_DOES_NOT_EXIST;
    EBADF = 9        : FILE_CLOSED,             FILE_CLOSED,             INTERNAL_ERROR,          FILE_CLOSED;
    EAGAIN = 11      : DEVICE_BUSY,             DEVICE_BUSY,             DEVICE_BUSY,             DEVICE_BUSY;
    ENOMEM = 12      : INSUFFICIENT_RESOURCES,  INSUFFICIENT_RESOURCES,  INSUFFICIENT_RESOURCES,  INSUFFICIENT_RESOURCES;
    EACCES = 13      : ACCESS_DENIED,           ACCESS_DENIED,           ACCESS_DENIED,           ACCESS_DENIED;
    EFAULT = 14      : INTERNAL_ERROR,          INTERNAL_ERROR,          INTERNAL_ERROR,          INTERNAL_ERROR;
    EBUSY = 16       : SHARING_VIOLATION,       DEVICE_BUSY,             DEVICE_BUSY,             DEVICE_BUSY;
    EXDEV = 18       : NOT_SUPPORTED,           OBJECT_PATH_NOT_FOUND,   INTERNAL_ERROR,          NOT_SUPPORTED;
    ENODEV = 19      : NO_SUCH_DEVICE,          NO_SUCH_DEVICE,          UNRECOGNIZED_VOLUME,     NO_SUCH_DEVICE;
    ENOTDIR = 20     : NOT_A_DIRECTORY,         OBJECT_PATH_NOT_FOUND,   UNRECOGNIZED_VOLUME,     NOT_A_DIRECTORY;
    EISDIR = 21      : FILE_IS_A_DIRECTORY,     INTERNAL_ERROR,          INTERNAL_ERROR,          INVALID_DEVICE_REQUEST;
    EINVAL = 22      : INVALID_PARAMETER,       INVALID_PARAMETER,       UNRECOGNIZED_VOLUME,     INVALID_PARAMETER;
    ENFILE = 23      : TOO_MANY_OPENED_FILES,   TOO_MANY_OPENED_FILES,   INSUFFICIENT_RESOURCES,  INSUFFICIENT_RESOURCES;
    EMFILE = 24      : TOO_MANY_OPENED_FILES,   TOO_MANY_OPENED_FILES,   INSUFFICIENT_RESOURCES,  INSUFFICIENT_RESOURCES;
    EFBIG = 27       : INVALID_PARAMETER,       INTERNAL_ERROR,          UNRECOGNIZED_VOLUME,     INVALID_PARAMETER;
    ENOSPC = 28      : DISK_FULL,               DISK_FULL,               INSUFFICIENT_RESOURCES,  INSUFFICIENT_RESOURCES;
    EROFS = 30       : MEDIA_WRITE_PROTECTED,   MEDIA_WRITE_PROTECTED,   MEDIA_WRITE_PROTECTED,   MEDIA_WRITE_PROTECTED;
    ERANGE = 34      : INTERNAL_ERROR,          INTERNAL_ERROR,          UNRECOGNIZED_VOLUME,     INTERNAL_ERROR;
    ENAMETOOLONG = 36: OBJECT_NAME_INVALID,     OBJECT_PATH_NOT_FOUND,   INTERNAL_ERROR,          INTERNAL_ERROR;
    ENOSYS = 38      : NOT_SUPPORTED,           NOT_SUPPORTED,           UNRECOGNIZED_VOLUME,     NOT_SUPPORTED;
    ELOOP = 40       : REPARSE_POINT_NOT_RESOLVED, REPARSE_POINT_NOT_RESOLVED, INTERNAL_ERROR,    REPARSE_POINT_NOT_RESOLVED;
    ENODATA = 61     : OBJECT_NAME_NOT_FOUND,   OBJECT_PATH_NOT_FOUND,   UNRECOGNIZED_VOLUME,     OBJECT_NAME_NOT_FOUND;
    ENOPKG = 65      : NOT_SUPPORTED,           NOT_SUPPORTED,           UNRECOGNIZED_VOLUME,     UNSUPPORTED_COMPRESSION;
    EPROTO = 71      : FILE_CORRUPT_ERROR,      FILE_CORRUPT_ERROR,      DISK_CORRUPT_ERROR,      DATA_ERROR;
    EBADMSG = 74     : FILE_CORRUPT_ERROR,      FILE_CORRUPT_ERROR,      DISK_CORRUPT_ERROR,      CRC_ERROR;
    EOVERFLOW = 75   : INTEGER_OVERFLOW,        INTEGER_OVERFLOW,        DISK_CORRUPT_ERROR,      INTEGER_OVERFLOW;
    EILSEQ = 84      : OBJECT_NAME_INVALID,     OBJECT_NAME_INVALID,     DISK_CORRUPT_ERROR,      CRC_ERROR;
    EOPNOTSUPP = 95  : NOT_SUPPORTED,           NOT_SUPPORTED,           UNRECOGNIZED_VOLUME,     NOT_SUPPORTED;
    ETIMEDOUT = 110  : IO_TIMEOUT,              IO_TIMEOUT,              IO_TIMEOUT,              IO_TIMEOUT;
    ESTALE = 116     : FILE_INVALID,            FILE_INVALID,            INTERNAL_ERROR,          FILE_INVALID;
    EUCLEAN = 117    : FILE_CORRUPT_ERROR,      FILE_CORRUPT_ERROR,      DISK_CORRUPT_ERROR,      FILE_CORRUPT_ERROR;
    EREMOTEIO = 121  : IO_DEVICE_ERROR,         IO_DEVICE_ERROR,         IO_DEVICE_ERROR,         IO_DEVICE_ERROR;
    ENOMEDIUM = 123  : NO_MEDIA_IN_DEVICE,      NO_MEDIA_IN_DEVICE,      NO_MEDIA_IN_DEVICE,      NO_MEDIA_IN_DEVICE;
    ECANCELED = 125  : CANCELLED,               CANCELLED,               CANCELLED,               CANCELLED;
    ENOKEY = 126     : FILE_ENCRYPTED,          FILE_ENCRYPTED,          UNRECOGNIZED_VOLUME,     FILE_ENCRYPTED;
    @else              UNSUCCESSFUL,            UNSUCCESSFUL,            UNRECOGNIZED_VOLUME,     UNSUCCESSFUL;
}

impl Errno {
    /// Linux's name of the error, where the table has it.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED
            .iter()
            .find(|(errno, _)| *errno == self)
            .map(|(_, name)| *name)
    }
}

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}
