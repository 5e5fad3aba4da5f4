//! Making, naming and removing the entries of a folder.
//!
//! A folder is an [`OwnedFd`], opened in any mode: [`crate::Volume::root`], or what [`OwnedFd::open_at`] finds below. A name is one
//! component, as there: EINVAL with a slash or a NUL inside, EXDEV for `..`. No link is followed. Modes are as given: there is
//! no mask ([`crate::Volume::mount`]), though a folder's default access list counts.
//!
//! What is made belongs to root, or to the group of a folder that says so; a [`crate::User`] makes entries of its own.

use crate::calls::{self, At, Caller};
use crate::file::OpenOptions;
use lkl::{DeviceNumber, Errno, FileType, OwnedFd};

/// What becomes of an entry that has the new name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rename {
    /// It is replaced: a file by a file, an empty folder by a folder.
    Replace,
    /// EEXIST.
    New,
    /// It gets the old name.
    Exchange,
    /// As `Replace`, and a whiteout (a character device 0:0) gets the old name, as layers of overlayfs have it.
    Whiteout,
}

impl Rename {
    /// What the flags of renameat2 ask for; EINVAL for what they do not say together.
    pub fn from_flags(flags: u32) -> Result<Rename, Errno> {
        match flags {
            0 => Ok(Rename::Replace),
            1 => Ok(Rename::New),
            2 => Ok(Rename::Exchange),
            4 => Ok(Rename::Whiteout),
            _ => Err(Errno::EINVAL),
        }
    }

    fn flags(self) -> u32 {
        match self {
            Rename::Replace => 0,
            Rename::New => 1,
            Rename::Exchange => 2,
            Rename::Whiteout => 4,
        }
    }
}

/// What changes the entries of a folder.
pub trait FolderChanges {
    /// Makes a regular file, or opens the one that is there, as the options say. ELOOP for a link; a device is not opened
    /// (EACCES).
    fn create_at(&self, name: &[u8], options: OpenOptions, mode: u32) -> Result<OwnedFd, Errno>;

    /// Makes a regular file without a name, for reading and writing; [`FolderChanges::link_at`] gives it one. EOPNOTSUPP
    /// where the file system has no such files.
    fn create_unnamed(&self, mode: u32) -> Result<OwnedFd, Errno>;

    /// Makes a folder. Linux takes its set-id bits from the folder around it, not from the mode.
    fn mkdir_at(&self, name: &[u8], mode: u32) -> Result<(), Errno>;

    /// Makes a device node, a FIFO, a socket's node or an empty file; `device` counts for devices.
    fn mknod_at(&self, name: &[u8], kind: FileType, mode: u32, device: DeviceNumber) -> Result<(), Errno>;

    /// Makes a symbolic link.
    fn symlink_at(&self, name: &[u8], target: &[u8]) -> Result<(), Errno>;

    /// Gives a file, whatever it is and in whatever mode it was opened, one more name.
    fn link_at(&self, name: &[u8], file: &OwnedFd) -> Result<(), Errno>;

    /// Gives an entry another name, in another folder of the same volume.
    fn rename_at(&self, from: &[u8], to_folder: &OwnedFd, to: &[u8], how: Rename) -> Result<(), Errno>;

    /// Removes an entry that is no folder.
    fn unlink_at(&self, name: &[u8]) -> Result<(), Errno>;

    /// Removes an empty folder.
    fn rmdir_at(&self, name: &[u8]) -> Result<(), Errno>;
}

impl FolderChanges for OwnedFd {
    fn create_at(&self, name: &[u8], options: OpenOptions, mode: u32) -> Result<OwnedFd, Errno> {
        create(self.kernel(), self, name, options, mode)
    }

    fn create_unnamed(&self, mode: u32) -> Result<OwnedFd, Errno> {
        create_unnamed(self.kernel(), self, mode)
    }

    fn mkdir_at(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        mkdir(self.kernel(), self, name, mode)
    }

    fn mknod_at(&self, name: &[u8], kind: FileType, mode: u32, device: DeviceNumber) -> Result<(), Errno> {
        mknod(self.kernel(), self, name, kind, mode, device)
    }

    fn symlink_at(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        symlink(self.kernel(), self, name, target)
    }

    fn link_at(&self, name: &[u8], file: &OwnedFd) -> Result<(), Errno> {
        let name = calls::name(name)?;
        calls::link(self.kernel(), At::file(file), At::entry(self, &name))
    }

    fn rename_at(&self, from: &[u8], to_folder: &OwnedFd, to: &[u8], how: Rename) -> Result<(), Errno> {
        let (from, to) = (calls::name(from)?, calls::name(to)?);
        let (from, to) = (At::entry(self, &from), At::entry(to_folder, &to));
        calls::rename(self.kernel(), from, to, how.flags())
    }

    fn unlink_at(&self, name: &[u8]) -> Result<(), Errno> {
        let name = calls::name(name)?;
        calls::unlink(self.kernel(), At::entry(self, &name), false)
    }

    fn rmdir_at(&self, name: &[u8]) -> Result<(), Errno> {
        let name = calls::name(name)?;
        calls::unlink(self.kernel(), At::entry(self, &name), true)
    }
}

pub(crate) fn create(
    by: &dyn Caller,
    folder: &OwnedFd,
    name: &[u8],
    options: OpenOptions,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    let name = calls::name(name)?;
    // Linux refuses a mode where no file may be made.
    let mode = if options.creates() { mode & 0o7777 } else { 0 };
    calls::open_entry(by, At::entry(folder, &name), options.flags_for_entry(), mode)
}

pub(crate) fn create_unnamed(by: &dyn Caller, folder: &OwnedFd, mode: u32) -> Result<OwnedFd, Errno> {
    const O_RDWR: i64 = 0o2;
    const O_TMPFILE: i64 = 0o20_200_000;
    const O_CLOEXEC: i64 = 0o2_000_000;
    let flags = O_TMPFILE | O_RDWR | O_CLOEXEC;
    calls::open_entry(by, At::entry(folder, c"."), flags, mode & 0o7777)
}

pub(crate) fn mkdir(by: &dyn Caller, folder: &OwnedFd, name: &[u8], mode: u32) -> Result<(), Errno> {
    let name = calls::name(name)?;
    calls::mkdir(by, At::entry(folder, &name), mode & 0o7777)
}

pub(crate) fn mknod(
    by: &dyn Caller,
    folder: &OwnedFd,
    name: &[u8],
    kind: FileType,
    mode: u32,
    device: DeviceNumber,
) -> Result<(), Errno> {
    let name = calls::name(name)?;
    let (kind, has_device) = match kind {
        FileType::Fifo => (0o010_000, false),
        FileType::CharDevice => (0o020_000, true),
        FileType::BlockDevice => (0o060_000, true),
        FileType::Regular => (0o100_000, false),
        FileType::Socket => (0o140_000, false),
        FileType::Directory | FileType::Symlink | FileType::Unknown => return Err(Errno::EINVAL),
    };
    let device = if has_device { encoded(device)? } else { 0 };
    calls::mknod(by, At::entry(folder, &name), kind | mode & 0o7777, device)
}

pub(crate) fn symlink(by: &dyn Caller, folder: &OwnedFd, name: &[u8], target: &[u8]) -> Result<(), Errno> {
    let (name, target) = (calls::name(name)?, calls::path(target)?);
    calls::symlink(by, &target, At::entry(folder, &name))
}

/// A device's numbers as system calls take them (new_encode_dev): 12 bits and 20.
fn encoded(device: DeviceNumber) -> Result<u32, Errno> {
    let DeviceNumber { major, minor } = device;
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(Errno::EINVAL);
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_encoded_as_linux_does() {
        let encoded = |major, minor| encoded(DeviceNumber { major, minor });
        assert_eq!(encoded(8, 1), Ok(0x801));
        assert_eq!(encoded(259, 0x12345), Ok(0x1231_0345));
        assert_eq!(encoded(4096, 0), Err(Errno::EINVAL));
        assert_eq!(encoded(0, 1 << 20), Err(Errno::EINVAL));
    }
}
