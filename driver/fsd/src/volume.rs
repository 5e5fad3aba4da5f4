//! What the core needs from a mounted file system: the [`Volume`] trait and the values that cross it.
//!
//! Nouns here are Linux's. All text is bytes, all errors are [`Errno`], all times count from 1970, all sizes are bytes.
//! Contents never change while mounted, so answers may be kept for as long as the volume lives.
//!
//! Real Linux implements it in `driver/lkl-vfs`, a tree in memory in `fsd::memory` (feature `memory`).

use alloc::{string::String, vec::Vec};
use core::ops::{ControlFlow, Range};

use crate::{Errno, FileKey};

/// A mounted Linux file system, read only.
///
/// # IRQL
///
/// PASSIVE_LEVEL, [`Volume::read`] <= APC_LEVEL; every method may block. Methods are called from many threads at the same
/// time.
///
/// Three never wait for the disk, however it hangs, and serve a thread that may not wait: [`Volume::root`] once it was
/// asked before, [`Volume::lookup_cached`], and [`Volume::metadata`] of anything but a symbolic link, since a node holds
/// its inode in memory. Dropping what they found does not wait either.
pub trait Volume: Send + Sync {
    /// A file, directory, link or special file, held so that it stays reachable. Dropping it lets go.
    ///
    /// It costs little until data is read: an implementation opens its data descriptor lazily, and never opens FIFOs,
    /// sockets or device nodes at all.
    type Node: Send + Sync;

    /// The root directory.
    fn root(&self) -> Result<Self::Node, Errno>;

    /// The entry `name` of `directory`: one component, never empty, `.` or `..`, without `/` and NUL. A symbolic link is
    /// returned itself, never followed. No mount is crossed.
    ///
    /// `ENOENT` when there is none, `ENOTDIR` when `directory` is none, `ENAMETOOLONG` beyond the file system's limit.
    fn lookup(&self, directory: &Self::Node, name: &[u8]) -> Result<Self::Node, Errno>;

    /// As [`Self::lookup`], from memory alone: `EAGAIN` when that does not have the answer, and for every symbolic link,
    /// since no more could be told of it: its target has to be read.
    ///
    /// An answer in memory need not stay there.
    fn lookup_cached(&self, _directory: &Self::Node, _name: &[u8]) -> Result<Self::Node, Errno> {
        Err(Errno::EAGAIN)
    }

    /// What `statx` says. Of a symbolic link it may wait: some file systems read the target to tell its length.
    fn metadata(&self, node: &Self::Node) -> Result<Metadata, Errno>;

    /// What `statx` says of an entry, as [`Self::lookup`] and [`Self::metadata`] would, for listings: an implementation
    /// that can ask by name saves an open and a close for each entry.
    fn entry_metadata(&self, directory: &Self::Node, name: &[u8]) -> Result<Metadata, Errno> {
        self.metadata(&self.lookup(directory, name)?)
    }

    /// The target of a symbolic link, as stored. `EINVAL` for anything else.
    fn read_link(&self, node: &Self::Node) -> Result<Vec<u8>, Errno>;

    /// Reads a regular file from `offset` into `out` and says how many bytes; less than `out` holds only at the end of
    /// the file (0 at or after it).
    fn read(&self, node: &Self::Node, offset: u64, out: &mut [u8]) -> Result<usize, Errno>;

    /// The first stretch of a regular file at or after `offset` that may hold something else than zeros: what
    /// `lseek(SEEK_DATA)` and then `lseek(SEEK_HOLE)` find. `None` when there is only a hole, or nothing, up to the
    /// file's end.
    fn next_data(&self, node: &Self::Node, offset: u64) -> Result<Option<Range<u64>>, Errno>;

    /// Hands the entries of a directory to `sink` in the file system's own order, `.` and `..` among them or not,
    /// beginning with the one after the entry whose [`DirEntry::cookie`] is given (0: from the start), until the end or
    /// until `sink` breaks.
    ///
    /// The position belongs to the call, not to the node: calls with different cookies may interleave. `sink` does not
    /// call the volume.
    fn read_dir(
        &self,
        directory: &Self::Node,
        cookie: u64,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno>;

    /// The names of a node's extended attributes, each ended by NUL, as `listxattr` gives them.
    fn list_xattrs(&self, node: &Self::Node) -> Result<Vec<u8>, Errno>;

    /// The value of one extended attribute; `ENODATA` when there is none.
    fn xattr(&self, node: &Self::Node, name: &[u8]) -> Result<Vec<u8>, Errno>;

    /// Sizes and names of the file system. Called at mount and for each query of free space.
    fn info(&self) -> Result<VolumeInfo, Errno>;
}

/// What kind of thing an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// From the `S_IFMT` bits of a mode.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0o020_000 => Self::CharacterDevice,
            0o060_000 => Self::BlockDevice,
            _ => return None,
        })
    }

    /// The `S_IFMT` bits of a mode.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
            Self::Fifo => 0o010_000,
            Self::Socket => 0o140_000,
            Self::CharacterDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
        }
    }
}

/// A Linux time stamp: seconds since 1970, and nanoseconds (below 10^9) after that second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixTime {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// Inode flags, as `statx` reports them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct InodeFlags {
    /// Stored compressed (`STATX_ATTR_COMPRESSED`).
    pub compressed: bool,
    /// Stored encrypted (`STATX_ATTR_ENCRYPTED`).
    pub encrypted: bool,
    /// Protected by fs-verity (`STATX_ATTR_VERITY`).
    pub verity: bool,
    /// The directory folds case itself (`FS_CASEFOLD_FL`), where known.
    pub casefold: bool,
}

/// What `statx` says about an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Inode number, unique within `dev`.
    pub ino: u64,
    /// The device (on btrfs: the subvolume), as major << 32 | minor.
    pub dev: u64,
    /// The kind of inode.
    pub kind: FileKind,
    /// Permission bits, 0o7777.
    pub permissions: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub nlink: u32,
    /// Size in bytes; for a symbolic link the length of its target.
    pub size: u64,
    /// Bytes taken on the disk (`stx_blocks` times 512).
    pub allocated: u64,
    /// Device number of a device node: (major, minor).
    pub rdev: (u32, u32),
    /// Last access.
    pub atime: UnixTime,
    /// Last change of the data.
    pub mtime: UnixTime,
    /// Last change of the inode.
    pub ctime: UnixTime,
    /// Birth, where the file system keeps it.
    pub btime: Option<UnixTime>,
    /// Flags.
    pub flags: InodeFlags,
}

impl Metadata {
    /// What makes two names the same file.
    pub const fn key(&self) -> FileKey {
        FileKey {
            dev: self.dev,
            ino: self.ino,
        }
    }
}

/// One entry of a directory, borrowed from the reader's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// Inode number.
    pub ino: u64,
    /// Where the entry after this one is read: Linux's `d_off`. Opaque, never 0 for a real position.
    pub cookie: u64,
    /// The kind, where the directory stores it (`DT_UNKNOWN` is `None`).
    pub kind: Option<FileKind>,
    /// The name's bytes: not empty, no `/`, no NUL.
    pub name: &'a [u8],
}

/// A file system as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeInfo {
    /// Linux's name of the file system: `ext4`, `btrfs`.
    pub fs_name: String,
    /// The volume's label as stored, empty if none.
    pub label: Vec<u8>,
    /// The volume's UUID in the order in which it is printed; all zero where the file system has none.
    pub uuid: [u8; 16],
    /// The UUID, or the serial number that a file system has instead, as it is printed; empty if none.
    pub uuid_text: String,
    /// Bytes in a block, the unit of the next three (`f_frsize`).
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for those who are not root.
    pub blocks_available: u64,
    /// The block that is good to read at once, in bytes (`f_bsize`).
    pub io_size: u64,
    /// Inodes, 0 where there is no limit.
    pub inodes: u64,
    /// Inodes that are not in use.
    pub inodes_free: u64,
    /// The longest name, in bytes.
    pub name_max: u32,
    /// When the file system was made, where known.
    pub created: Option<UnixTime>,
    /// It was dirty, and its journal was not replayed.
    pub stale: bool,
}
