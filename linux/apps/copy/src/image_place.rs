//! An image that is mounted for writing, as a place for copies.

use lkl::{DeviceNumber, FileType, OpenMode, OwnedFd, Timestamp};
use lkl_tree::volume::{Errno, Kind};
use lkl_write::{AttributeChanges, ContentChanges, FolderChanges, OpenOptions, Rename, SetTime, SetXattr};

use crate::destination::Destination;

/// The volume that a descriptor is of.
#[derive(Clone, Copy, Debug)]
pub struct ImagePlace;

impl Destination for ImagePlace {
    type Node = OwnedFd;

    fn child(&self, folder: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        folder.open_at(name, OpenMode::Path)
    }

    fn kind(&self, node: &OwnedFd) -> Result<(Kind, u64), Errno> {
        let stat = node.statx()?;
        let kind = Kind::from_mode(stat.mode.into()).ok_or(Errno::EUCLEAN)?;
        Ok((kind, stat.ino))
    }

    fn make_folder(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        folder.mkdir_at(name, 0o700)
    }

    fn create(&self, folder: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        folder.create_at(name, OpenOptions::NEW, 0o600)
    }

    fn create_unnamed(&self, _folder: &OwnedFd) -> Option<OwnedFd> {
        // Each would be noted on the disk as one that goes with a crash, and crossed out again.
        None
    }

    fn make_link(&self, folder: &OwnedFd, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        folder.symlink_at(name, target)
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
            Kind::Character => FileType::CharDevice,
            Kind::Socket => FileType::Socket,
            Kind::File | Kind::Directory | Kind::Link => return Err(Errno::EINVAL),
        };
        folder.mknod_at(name, kind, 0o600, device)
    }

    fn link(&self, folder: &OwnedFd, name: &[u8], node: &OwnedFd) -> Result<(), Errno> {
        folder.link_at(name, node)
    }

    fn rename(&self, folder: &OwnedFd, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        folder.rename_at(from, folder, to, Rename::Replace)
    }

    fn remove(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        folder.unlink_at(name)
    }

    fn write(&self, file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        file.pwrite_all(bytes, offset)
    }

    fn set_len(&self, file: &OwnedFd, len: u64) -> Result<(), Errno> {
        file.truncate(len)
    }

    fn may_give(&self) -> bool {
        true
    }

    fn set_owner(&self, node: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
        node.chown(Some(uid), Some(gid))
    }

    fn set_mode(&self, node: &OwnedFd, mode: u32) -> Result<(), Errno> {
        node.chmod(mode)
    }

    fn set_times(&self, node: &OwnedFd, accessed: Timestamp, modified: Timestamp) -> Result<(), Errno> {
        node.set_times(SetTime::At(accessed), SetTime::At(modified))
    }

    fn has_xattr(&self, node: &OwnedFd, name: &[u8]) -> bool {
        node.get_xattr(name).is_ok()
    }

    fn set_xattr(&self, node: &OwnedFd, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        AttributeChanges::set_xattr(node, name, value, SetXattr::Put)
    }

    fn remove_xattr(&self, node: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        AttributeChanges::remove_xattr(node, name)
    }
}
