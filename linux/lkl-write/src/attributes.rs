//! Changing what a file is besides its contents: mode, owner, times, extended attributes.
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
