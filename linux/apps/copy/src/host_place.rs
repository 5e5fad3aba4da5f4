//! This machine's own files, as a place for copies.
//!
//! A file has no name until it is complete, where the file system can do that, so not even a power cut leaves a part of one
//! behind.

use std::os::fd::OwnedFd;
use std::path::Path;

use lkl::{DeviceNumber, Timestamp};
use lkl_tree::volume::{Errno, Kind};
use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, StatxFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io;

use crate::destination::Destination;
use crate::host_tree::{errno, path_of};

/// What is not kept: nothing, but for what each file's file system has no room for.
pub const NOT_KEPT: Option<&str> = None;

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct HostPlace {
    is_root: bool,
}

impl HostPlace {
    /// As the user who runs this.
    pub fn new() -> HostPlace {
        HostPlace {
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// A folder that is there.
    pub fn folder(path: &Path) -> std::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fs::open(path, flags, Mode::empty())?)
    }
}

impl Default for HostPlace {
    fn default() -> Self {
        HostPlace::new()
    }
}

/// Read and write for the owner.
const OWN: Mode = Mode::RUSR.union(Mode::WUSR);

impl Destination for HostPlace {
    type Node = OwnedFd;

    fn child(&self, folder: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(folder, name, flags, Mode::empty()).map_err(errno)
    }

    fn kind(&self, node: &OwnedFd) -> Result<(Kind, u64), Errno> {
        let wanted = StatxFlags::TYPE | StatxFlags::INO;
        let stat = fs::statx(node, "", AtFlags::EMPTY_PATH, wanted).map_err(errno)?;
        let kind = Kind::from_mode(stat.stx_mode.into()).ok_or(Errno::EUCLEAN)?;
        Ok((kind, stat.stx_ino))
    }

    fn make_folder(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        fs::mkdirat(folder, name, Mode::RWXU).map_err(errno)
    }

    fn create(&self, folder: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(folder, name, flags, OWN).map_err(errno)
    }

    fn create_unnamed(&self, folder: &OwnedFd) -> Option<OwnedFd> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        fs::openat(folder, ".", flags, OWN).ok()
    }

    fn make_link(&self, folder: &OwnedFd, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        fs::symlinkat(target, folder, name).map_err(errno)
    }

    fn make_node(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        kind: Kind,
        device: DeviceNumber,
    ) -> Result<(), Errno> {
        let kind = match kind {
            Kind::Fifo => FileType::Fifo,
            Kind::Block => FileType::BlockDevice,
            Kind::Character => FileType::CharacterDevice,
            Kind::Socket => FileType::Socket,
            Kind::File | Kind::Directory | Kind::Link => return Err(Errno::EINVAL),
        };
        let device = fs::makedev(device.major, device.minor);
        fs::mknodat(folder, name, kind, OWN, device).map_err(errno)
    }

    fn link(&self, folder: &OwnedFd, name: &[u8], node: &OwnedFd) -> Result<(), Errno> {
        // The link in /proc is followed to the object, even one without a name, and no further.
        fs::linkat(fs::CWD, path_of(node), folder, name, AtFlags::SYMLINK_FOLLOW).map_err(errno)
    }

    fn rename(&self, folder: &OwnedFd, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        fs::renameat(folder, from, folder, to).map_err(errno)
    }

    fn remove(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        fs::unlinkat(folder, name, AtFlags::empty()).map_err(errno)
    }

    fn write(&self, file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match io::pwrite(file, rest, offset + done as u64) {
                Ok(0) => return Err(Errno::EIO),
                Ok(more) => done += more,
                Err(io::Errno::INTR) => {}
                Err(error) => return Err(errno(error)),
            }
        }
        Ok(())
    }

    fn set_len(&self, file: &OwnedFd, len: u64) -> Result<(), Errno> {
        fs::ftruncate(file, len).map_err(errno)
    }

    fn may_give(&self) -> bool {
        self.is_root
    }

    fn set_owner(&self, node: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fs::chownat(node, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(errno)
    }

    fn set_mode(&self, node: &OwnedFd, mode: u32) -> Result<(), Errno> {
        fs::chmod(path_of(node), Mode::from_raw_mode(mode)).map_err(errno)
    }

    fn set_times(&self, node: &OwnedFd, accessed: Timestamp, modified: Timestamp) -> Result<(), Errno> {
        let time = |time: Timestamp| Timespec {
            tv_sec: time.sec,
            tv_nsec: time.nsec.into(),
        };
        let times = Timestamps {
            last_access: time(accessed),
            last_modification: time(modified),
        };
        fs::utimensat(node, "", &times, AtFlags::EMPTY_PATH).map_err(errno)
    }

    fn has_xattr(&self, node: &OwnedFd, name: &[u8]) -> bool {
        fs::getxattr_query(path_of(node), name).is_ok()
    }

    fn set_xattr(&self, node: &OwnedFd, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        fs::setxattr(path_of(node), name, value, XattrFlags::empty()).map_err(errno)
    }

    fn remove_xattr(&self, node: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        fs::removexattr(path_of(node), name).map_err(errno)
    }
}
