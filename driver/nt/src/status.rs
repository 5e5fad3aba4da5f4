//! `NTSTATUS`: what every request ends with.
//!
//! Names are those of `ntstatus.h` without the `STATUS_` prefix; a test compares each value with that header.

use crate::number::named_numbers;

named_numbers! {
    /// An NT status code. The two top bits are the severity: 0 success, 1 informational, 2 warning, 3 error.
    NtStatus(u32);
    /// The request did what it was asked.
    SUCCESS = 0x0000_0000;
    /// The request will be completed later.
    PENDING = 0x0000_0103;
    /// The name must be parsed again: a reparse point is on the way.
    REPARSE = 0x0000_0104;
    /// A directory notification that cannot name what changed.
    NOTIFY_ENUM_DIR = 0x0000_010C;
    /// A notification ended since its handle is closed.
    NOTIFY_CLEANUP = 0x0000_010B;
    /// A callback has done the whole operation: FsRtl does no more.
    FSFILTER_OP_COMPLETED_SUCCESSFULLY = 0x0000_0126;
    /// The file is acquired for a section, and nothing that uses it can write.
    FILE_LOCKED_WITH_ONLY_READERS = 0x0000_012A;
    /// Not all locks could be had; an informational answer of some controls.
    OPLOCK_BREAK_IN_PROGRESS = 0x0000_0108;
    /// The buffer holds the beginning of a longer answer.
    BUFFER_OVERFLOW = 0x8000_0005;
    /// A listing is at its end.
    NO_MORE_FILES = 0x8000_0006;
    /// An extended-attribute list is malformed.
    INVALID_EA_NAME = 0x8000_0013;
    /// An extended-attribute list is inconsistent.
    EA_LIST_INCONSISTENT = 0x8000_0014;
    /// A list of entries is at its end.
    NO_MORE_ENTRIES = 0x8000_001A;
    /// The list of extended attributes is at its end.
    NO_MORE_EAS = 0x8000_0012;
    /// A volume must be verified before use.
    VERIFY_REQUIRED = 0x8000_0016;
    /// A path goes on below something that ends it (used between a file system and its filters).
    STOPPED_ON_SYMLINK = 0x8000_002D;
    /// The request failed, and no other code says why.
    UNSUCCESSFUL = 0xC000_0001;
    /// The operation does not exist here.
    NOT_IMPLEMENTED = 0xC000_0002;
    /// The information class does not exist here.
    INVALID_INFO_CLASS = 0xC000_0003;
    /// The buffer's length does not fit the information class.
    INFO_LENGTH_MISMATCH = 0xC000_0004;
    /// The file object cannot do this.
    INVALID_HANDLE = 0xC000_0008;
    /// A parameter is not valid.
    INVALID_PARAMETER = 0xC000_000D;
    /// The device does not exist.
    NO_SUCH_DEVICE = 0xC000_000E;
    /// No name in the directory fits.
    NO_SUCH_FILE = 0xC000_000F;
    /// The device does not know the request.
    INVALID_DEVICE_REQUEST = 0xC000_0010;
    /// The read begins at or after the end of the file.
    END_OF_FILE = 0xC000_0011;
    /// The medium in the device is another one.
    WRONG_VOLUME = 0xC000_0012;
    /// No medium is in the device.
    NO_MEDIA_IN_DEVICE = 0xC000_0013;
    /// No file system knows the volume.
    UNRECOGNIZED_VOLUME = 0xC000_014F;
    /// Memory is short.
    NO_MEMORY = 0xC000_0017;
    /// Access is denied.
    ACCESS_DENIED = 0xC000_0022;
    /// The buffer cannot hold even the fixed part of the answer.
    BUFFER_TOO_SMALL = 0xC000_0023;
    /// The object is of another kind.
    OBJECT_TYPE_MISMATCH = 0xC000_0024;
    /// The name cannot be a name.
    OBJECT_NAME_INVALID = 0xC000_0033;
    /// The last component does not exist.
    OBJECT_NAME_NOT_FOUND = 0xC000_0034;
    /// The name exists already.
    OBJECT_NAME_COLLISION = 0xC000_0035;
    /// A component before the last is no directory, or the path is malformed.
    OBJECT_PATH_INVALID = 0xC000_0039;
    /// A component before the last does not exist.
    OBJECT_PATH_NOT_FOUND = 0xC000_003A;
    /// The path is not well formed.
    OBJECT_PATH_SYNTAX_BAD = 0xC000_003B;
    /// The data is damaged.
    DATA_ERROR = 0xC000_003E;
    /// A checksum does not fit.
    CRC_ERROR = 0xC000_003F;
    /// Other opens do not share what is asked.
    SHARING_VIOLATION = 0xC000_0043;
    /// Quota is used up.
    QUOTA_EXCEEDED = 0xC000_0044;
    /// The list of extended attributes has no such index.
    NONEXISTENT_EA_ENTRY = 0xC000_0051;
    /// Extended attributes are not there.
    NO_EAS_ON_FILE = 0xC000_0052;
    /// Extended attributes are not supported.
    EAS_NOT_SUPPORTED = 0xC000_004F;
    /// A byte range is locked by someone else.
    FILE_LOCK_CONFLICT = 0xC000_0054;
    /// The lock cannot be had.
    LOCK_NOT_GRANTED = 0xC000_0055;
    /// The file is going away.
    DELETE_PENDING = 0xC000_0056;
    /// A link count is at its limit.
    TOO_MANY_LINKS = 0xC000_0265;
    /// A resource is short.
    INSUFFICIENT_RESOURCES = 0xC000_009A;
    /// The device has failed.
    IO_DEVICE_ERROR = 0xC000_0185;
    /// The device did not answer in time.
    IO_TIMEOUT = 0xC000_00B5;
    /// The medium cannot be written.
    MEDIA_WRITE_PROTECTED = 0xC000_00A2;
    /// The device is not ready.
    DEVICE_NOT_READY = 0xC000_00A3;
    /// The device is not connected.
    DEVICE_NOT_CONNECTED = 0xC000_009D;
    /// The device is full.
    DISK_FULL = 0xC000_007F;
    /// The open asked for a file and met a directory.
    FILE_IS_A_DIRECTORY = 0xC000_00BA;
    /// The request is not supported.
    NOT_SUPPORTED = 0xC000_00BB;
    /// The open asked for a directory and met a file.
    NOT_A_DIRECTORY = 0xC000_0103;
    /// The request was cancelled.
    CANCELLED = 0xC000_0120;
    /// The file must not be deleted.
    CANNOT_DELETE = 0xC000_0121;
    /// The file has been closed.
    FILE_CLOSED = 0xC000_0128;
    /// The file system's structures are damaged.
    DISK_CORRUPT_ERROR = 0xC000_0032;
    /// A revision is not known: a file system has features that Linux does not have.
    UNKNOWN_REVISION = 0xC000_0058;
    /// A file's structures are damaged.
    FILE_CORRUPT_ERROR = 0xC000_0102;
    /// The directory has entries.
    DIRECTORY_NOT_EMPTY = 0xC000_0101;
    /// The volume is dismounted.
    VOLUME_DISMOUNTED = 0xC000_026E;
    /// The device is gone.
    DEVICE_DOES_NOT_EXIST = 0xC000_00C0;
    /// The device has been removed.
    DEVICE_REMOVED = 0xC000_02B6;
    /// Too many files are open.
    TOO_MANY_OPENED_FILES = 0xC000_011F;
    /// The name is too long.
    NAME_TOO_LONG = 0xC000_0106;
    /// A required privilege is missing.
    PRIVILEGE_NOT_HELD = 0xC000_0061;
    /// A reparse point's data is malformed.
    IO_REPARSE_DATA_INVALID = 0xC000_0278;
    /// Nobody handles a reparse point's tag.
    IO_REPARSE_TAG_NOT_HANDLED = 0xC000_0279;
    /// The file is no reparse point.
    NOT_A_REPARSE_POINT = 0xC000_0275;
    /// A reparse point leads nowhere.
    REPARSE_POINT_NOT_RESOLVED = 0xC000_0280;
    /// Reparse points lead in a circle.
    REPARSE_OBJECT = 0x0000_0118;
    /// The volume is no longer what it was when this was opened.
    FILE_INVALID = 0xC000_0098;
    /// The device is busy.
    DEVICE_BUSY = 0x8000_0011;
    /// The file's data is used by a running program or a mapping.
    USER_MAPPED_FILE = 0xC000_0243;
    /// The caller's buffer is not valid memory.
    INVALID_USER_BUFFER = 0xC000_00E8;
    /// An address is not valid.
    ACCESS_VIOLATION = 0xC000_0005;
    /// The request's post must be done by the caller.
    CANT_WAIT = 0xC000_00D8;
    /// The volume holds no object ID for this.
    OBJECTID_NOT_FOUND = 0xC000_02F0;
    /// A compression or encryption that this system cannot undo.
    UNSUPPORTED_COMPRESSION = 0xC000_025F;
    /// The data is encrypted and the key is missing.
    FILE_ENCRYPTED = 0xC000_0293;
    /// The volume is not locked.
    NOT_LOCKED = 0xC000_002A;
    /// The oplock cannot be had.
    OPLOCK_NOT_GRANTED = 0xC000_00E2;
    /// The number does not fit its field.
    INTEGER_OVERFLOW = 0xC000_0095;
    /// A driver-internal inconsistency, turned into a failed request.
    INTERNAL_ERROR = 0xC000_00E5;
}

impl NtStatus {
    /// Success or informational: what `NT_SUCCESS` asks.
    pub const fn is_success(self) -> bool {
        self.0 < 0x8000_0000
    }

    /// Severity "warning": data may have been returned nevertheless.
    pub const fn is_warning(self) -> bool {
        self.0 >= 0x8000_0000 && self.0 < 0xC000_0000
    }

    /// Severity "error": what `NT_ERROR` asks.
    pub const fn is_error(self) -> bool {
        self.0 >= 0xC000_0000
    }

    /// The same 32 bits as C's signed `NTSTATUS`.
    pub const fn to_c(self) -> i32 {
        self.0.cast_signed()
    }

    /// From C's signed `NTSTATUS`.
    pub const fn from_c(status: i32) -> Self {
        Self(status.cast_unsigned())
    }
}
