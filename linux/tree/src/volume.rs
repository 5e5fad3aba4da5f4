//! What a program sees of a volume: a small trait and the plain values that it yields.
//!
//! A `Node` is an open object of the volume that has been found but not opened for its data (Linux: O_PATH), so a
//! FIFO or a device node on the volume is never started. Names are single components, bytes, never `.` or `..`.

use std::ops::{ControlFlow, Range};

use crate::exit::Failure;

pub use lkl::Errno;

/// What kind of object a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    Block,
    /// A character device.
    Character,
}

impl Kind {
    /// The kind in the top bits of a Linux `st_mode`; `None` for a value that no file has.
    pub fn from_mode(mode: u32) -> Option<Kind> {
        Some(match mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Link,
            0o010_000 => Kind::Fifo,
            0o140_000 => Kind::Socket,
            0o060_000 => Kind::Block,
            0o020_000 => Kind::Character,
            _ => return None,
        })
    }

    /// The letter of the manifest: one of `f d l p s b c`.
    pub fn letter(self) -> char {
        match self {
            Kind::File => 'f',
            Kind::Directory => 'd',
            Kind::Link => 'l',
            Kind::Fifo => 'p',
            Kind::Socket => 's',
            Kind::Block => 'b',
            Kind::Character => 'c',
        }
    }

    /// The kind in words, with its article.
    pub fn words(self) -> &'static str {
        match self {
            Kind::File => "a file",
            Kind::Directory => "a directory",
            Kind::Link => "a symbolic link",
            Kind::Fifo => "a FIFO",
            Kind::Socket => "a socket",
            Kind::Block => "a block device",
            Kind::Character => "a character device",
        }
    }
}

/// A point in time: seconds since 1970 (negative before) and nanoseconds after that second, below 10^9.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded towards the past.
    pub seconds: i64,
    /// Nanoseconds to add.
    pub nanoseconds: u32,
}

impl Time {
    /// Nanoseconds since 1970, exact over the whole range.
    pub fn total_nanoseconds(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }
}

/// What a volume says about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The kind.
    pub kind: Kind,
    /// Permission bits, `07777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u64,
    /// Length in bytes.
    pub size: u64,
    /// Space in use, in units of 512 bytes.
    pub blocks: u64,
    /// Last change of the data.
    pub modified: Time,
    /// Last access.
    pub accessed: Time,
    /// Inode number, unique together with `device`.
    pub inode: u64,
    /// The device that the inode belongs to (a btrfs subvolume has one of its own).
    pub device: u64,
    /// Major and minor number of a device node.
    pub node_device: (u32, u32),
}

/// Space and names of a whole volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes not in use.
    pub free: u64,
    /// Size of a block in bytes.
    pub block_size: u64,
    /// Number of inodes, 0 where the file system has no such limit.
    pub inodes: u64,
    /// Inodes not in use.
    pub inodes_free: u64,
    /// Longest name in bytes.
    pub name_max: u64,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// Its full name, as in `user.comment`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A mounted volume.
pub trait Volume {
    /// An object that has been found.
    type Node;
    /// A regular file opened for reading.
    type File;

    /// The root directory.
    fn root(&self) -> Result<Self::Node, Errno>;
    /// The object called `name` in `directory`. A link is found itself, not what it points to.
    fn child(&self, directory: &Self::Node, name: &[u8]) -> Result<Self::Node, Errno>;
    /// What the volume says about `node`.
    fn stat(&self, node: &Self::Node) -> Result<Stat, Errno>;
    /// The target of a symbolic link.
    fn read_link(&self, node: &Self::Node) -> Result<Vec<u8>, Errno>;
    /// Gives `sink` each entry of a directory in the file system's order, until it breaks off: the name, `.` and `..` among
    /// them or not, and where the listing goes on after it (a count, where that is not told). [`crate::entries`] collects
    /// them within bounds.
    fn list(
        &self,
        directory: &Self::Node,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno>;
    /// Opens a regular file.
    fn open(&self, node: &Self::Node) -> Result<Self::File, Errno>;
    /// Reads at a byte offset; fewer bytes than asked only at the end of the file.
    fn read(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;
    /// The first stretch at or after a byte offset that is no hole; `None` when there is none up to the end of the file. It may
    /// reach beyond that. Where holes are not told apart, all is data.
    fn next_data(&self, _file: &Self::File, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        Ok(Some(offset..u64::MAX))
    }
    /// Its extended attributes, access lists among them (`system.posix_acl_access`); none where they are not told.
    fn xattrs(&self, _node: &Self::Node) -> Result<Vec<Xattr>, Errno> {
        Ok(Vec::new())
    }
    /// Whether Linux has stopped, or the volume is gone: nothing more can be read.
    fn is_dead(&self) -> bool {
        false
    }
    /// What to say when what lies at `path` was refused with `errno`.
    fn failure(&self, path: &[u8], errno: Errno) -> Failure {
        Failure::at(path, errno, self.is_dead())
    }
}
