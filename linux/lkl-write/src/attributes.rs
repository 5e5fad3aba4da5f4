//! Changing what a file is besides its contents: mode, owner, times, extended attributes, flags.
//!
//! Each works on any type of file that was opened in any mode, symbolic links opened as [`lkl::OpenMode::Path`] among them.
//! [`OwnedFd::statx`], [`OwnedFd::list_xattr`] and [`OwnedFd::get_xattr`] read the same.

use crate::calls;
use lkl::{Errno, OwnedFd, Timestamp};

/// What becomes of one of a file's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// It stays.
    Keep,
    /// What Linux's clock says.
    Now,
    /// This.
    At(Timestamp),
}

impl SetTime {
    /// A `struct timespec`.
    fn words(self) -> [i64; 2] {
        const UTIME_NOW: i64 = (1 << 30) - 1;
        const UTIME_OMIT: i64 = (1 << 30) - 2;
        match self {
            SetTime::Keep => [0, UTIME_OMIT],
            SetTime::Now => [0, UTIME_NOW],
            SetTime::At(time) => [time.sec, time.nsec.into()],
        }
    }
}

/// Whether an extended attribute may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetXattr {
    /// Either way.
    #[default]
    Put,
    /// EEXIST if it is.
    New,
    /// ENODATA if it is not.
    Replace,
}

/// What changes a file's attributes.
pub trait AttributeChanges {
    /// Sets permissions with set-id and sticky bits, 0..=07777. EOPNOTSUPP for a symbolic link, which has none.
    fn chmod(&self, mode: u32) -> Result<(), Errno>;

    /// Sets owner and group; `None` keeps one. Linux takes the set-id bits and capabilities of a file away by this: set those
    /// afterwards.
    fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno>;

    /// Sets the times of the last access and of the last change of the contents.
    fn set_times(&self, accessed: SetTime, modified: SetTime) -> Result<(), Errno>;

    /// Sets an extended attribute, by its full name, as in `user.comment`. Access lists are
    /// `system.posix_acl_access` and `system.posix_acl_default`.
    fn set_xattr(&self, name: &[u8], value: &[u8], how: SetXattr) -> Result<(), Errno>;

    /// Removes one. ENODATA when there is none of that name.
    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno>;
}

impl AttributeChanges for OwnedFd {
    fn chmod(&self, mode: u32) -> Result<(), Errno> {
        calls::chmod(self, mode & 0o7777)
    }

    fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        calls::chown(self, uid.map_or(-1, i64::from), gid.map_or(-1, i64::from))
    }

    fn set_times(&self, accessed: SetTime, modified: SetTime) -> Result<(), Errno> {
        calls::utimens(self, &[accessed.words(), modified.words()])
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], how: SetXattr) -> Result<(), Errno> {
        let flags = match how {
            SetXattr::Put => 0,
            SetXattr::New => 1,
            SetXattr::Replace => 2,
        };
        calls::setxattr(self, &calls::path(name)?, value, flags)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        calls::removexattr(self, &calls::path(name)?)
    }
}

/// `struct fsxattr`: flags, extent size, number of extents, project, copy-on-write extent size, padding.
pub type ExtendedFlags = [u8; 28];

/// The flags of a file that chattr(1) changes, in the two forms that Linux has. Files and folders only, opened in any mode but
/// [`lkl::OpenMode::Path`]. ENOTTY where the file system has none, EOPNOTSUPP for those that it has not.
pub trait FileFlags {
    /// Those of `FS_IOC_GETFLAGS`.
    fn flags(&self) -> Result<u32, Errno>;

    /// Sets them, as `FS_IOC_SETFLAGS` does.
    fn set_flags(&self, flags: u32) -> Result<(), Errno>;

    /// Those of `FS_IOC_FSGETXATTR`, and what belongs to them.
    fn extended_flags(&self) -> Result<ExtendedFlags, Errno>;

    /// Sets them, as `FS_IOC_FSSETXATTR` does.
    fn set_extended_flags(&self, flags: &ExtendedFlags) -> Result<(), Errno>;

    /// The generation of its inode (`FS_IOC_GETVERSION`).
    fn generation(&self) -> Result<u32, Errno>;
}

/// Of these records Linux uses the first half, though they are said to be a `long`.
fn word(file: &OwnedFd, request: u32) -> Result<u32, Errno> {
    let mut record = [0; 8];
    calls::record(file, request, &mut record)?;
    let [a, b, c, d, ..] = record;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

impl FileFlags for OwnedFd {
    fn flags(&self) -> Result<u32, Errno> {
        const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
        word(self, FS_IOC_GETFLAGS)
    }

    fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
        let mut record = u64::from(flags).to_le_bytes();
        calls::record(self, FS_IOC_SETFLAGS, &mut record)
    }

    fn extended_flags(&self) -> Result<ExtendedFlags, Errno> {
        const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
        let mut record = [0; 28];
        calls::record(self, FS_IOC_FSGETXATTR, &mut record)?;
        Ok(record)
    }

    fn set_extended_flags(&self, flags: &ExtendedFlags) -> Result<(), Errno> {
        const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
        calls::record(self, FS_IOC_FSSETXATTR, &mut { *flags })
    }

    fn generation(&self) -> Result<u32, Errno> {
        const FS_IOC_GETVERSION: u32 = 0x8008_7601;
        word(self, FS_IOC_GETVERSION)
    }
}
