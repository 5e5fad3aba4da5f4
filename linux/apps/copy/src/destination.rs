//! Where a copy goes: the calls that make and change files, relative to folders.
//!
//! The two implementations are this machine ([`crate::host_place`]) and an image ([`crate::image_place`]). Names are single
//! components, and no link is followed.

use lkl::{DeviceNumber, Timestamp};
use lkl_tree::volume::{Errno, Kind};

/// A file system that is written to.
pub trait Destination {
    /// An object of it: a file, folder, link or the rest, in whatever way it was opened.
    type Node;

    /// The entry of a folder, itself.
    fn child(&self, folder: &Self::Node, name: &[u8]) -> Result<Self::Node, Errno>;
    /// What it is, and a number that stands for it.
    fn kind(&self, node: &Self::Node) -> Result<(Kind, u64), Errno>;
    /// Makes a folder that is its owner's alone.
    fn make_folder(&self, folder: &Self::Node, name: &[u8]) -> Result<(), Errno>;
    /// Makes a file that is its owner's alone, for writing. EEXIST if the name is taken.
    fn create(&self, folder: &Self::Node, name: &[u8]) -> Result<Self::Node, Errno>;
    /// Makes such a file without a name. `None` where that cannot be, or is not wanted.
    fn create_unnamed(&self, folder: &Self::Node) -> Option<Self::Node>;
    /// Makes a symbolic link.
    fn make_link(&self, folder: &Self::Node, name: &[u8], target: &[u8]) -> Result<(), Errno>;
    /// Makes a device or a FIFO.
    fn make_node(
        &self,
        folder: &Self::Node,
        name: &[u8],
        kind: Kind,
        device: DeviceNumber,
    ) -> Result<(), Errno>;
    /// What to say of an object that could not be made, if that is as it should be here.
    fn left_out(&self, _kind: Kind, _errno: Errno) -> Option<&'static str> {
        None
    }
    /// Gives an object one more name.
    fn link(&self, folder: &Self::Node, name: &[u8], node: &Self::Node) -> Result<(), Errno>;
    /// Gives an entry another name, in place of what has it.
    fn rename(&self, folder: &Self::Node, from: &[u8], to: &[u8]) -> Result<(), Errno>;
    /// Removes an entry that is no folder.
    fn remove(&self, folder: &Self::Node, name: &[u8]) -> Result<(), Errno>;

    /// Writes all of the bytes at an offset of a file that was made here.
    fn write(&self, file: &Self::Node, bytes: &[u8], offset: u64) -> Result<(), Errno>;
    /// Makes the file so long, by a hole.
    fn set_len(&self, file: &Self::Node, len: u64) -> Result<(), Errno>;

    /// Whether files can be given to other users.
    fn may_give(&self) -> bool;
    /// Sets the owner and the group.
    fn set_owner(&self, node: &Self::Node, uid: u32, gid: u32) -> Result<(), Errno>;
    /// Sets permissions, set-id and sticky bits; not of a link.
    fn set_mode(&self, node: &Self::Node, mode: u32) -> Result<(), Errno>;
    /// Sets the times of the last access and change.
    fn set_times(&self, node: &Self::Node, accessed: Timestamp, modified: Timestamp) -> Result<(), Errno>;
    /// Whether it has an extended attribute.
    fn has_xattr(&self, node: &Self::Node, name: &[u8]) -> bool;
    /// Sets an extended attribute.
    fn set_xattr(&self, node: &Self::Node, name: &[u8], value: &[u8]) -> Result<(), Errno>;
    /// Removes one.
    fn remove_xattr(&self, node: &Self::Node, name: &[u8]) -> Result<(), Errno>;
}
