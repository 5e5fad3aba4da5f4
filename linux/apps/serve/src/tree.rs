//! Files as a server sees them: [`Node`], its facts ([`Stat`]) and its bytes ([`Content`]).
//!
//! Names are bytes, without a slash or NUL, and never `.` or `..`. An implementation of [`Node`] never follows a symbolic link;
//! that is [`crate::place`]'s business alone.

use std::ops::ControlFlow;
use std::sync::Arc;

use lkl::{Errno, OwnedFd};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl Kind {
    /// From the type in a mode of Linux's; `None` for a type that Linux has not got.
    pub fn from_mode(mode: u32) -> Option<Kind> {
        Some(match mode & 0o170_000 {
            0o010_000 => Kind::Fifo,
            0o020_000 => Kind::CharDevice,
            0o040_000 => Kind::Folder,
            0o060_000 => Kind::BlockDevice,
            0o100_000 => Kind::File,
            0o120_000 => Kind::Link,
            0o140_000 => Kind::Socket,
            _ => return None,
        })
    }

    /// The letter that `ls -l` has for it.
    pub fn letter(self) -> char {
        match self {
            Kind::File => '-',
            Kind::Folder => 'd',
            Kind::Link => 'l',
            Kind::Fifo => 'p',
            Kind::Socket => 's',
            Kind::CharDevice => 'c',
            Kind::BlockDevice => 'b',
        }
    }
}

/// A point in time, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds after that.
    pub nanoseconds: u32,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permissions: 0..=07777.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Hard links.
    pub links: u32,
    /// Bytes.
    pub size: u64,
    /// The number of the file.
    pub inode: u64,
    /// The device that it is on.
    pub device: u64,
    /// Last change of the bytes.
    pub modified: Time,
    /// When it was made, if the file system says.
    pub created: Option<Time>,
    /// Whether it can be changed here: a file's bytes, a folder's entries.
    pub writable: bool,
}

impl Stat {
    /// A folder that is on no file system.
    pub fn of_menu(started: Time) -> Stat {
        Stat {
            kind: Kind::Folder,
            permissions: 0o555,
            uid: 0,
            gid: 0,
            links: 2,
            size: 0,
            inode: 0,
            device: 0,
            modified: started,
            created: None,
            writable: false,
        }
    }
}

/// Room on a volume, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Used.
    pub used: u64,
    /// Left for ordinary users.
    pub available: u64,
}

/// A file, folder, link or whatever else there is.
pub trait Node: Send + Sync {
    /// What is known of it.
    fn stat(&self) -> Result<Stat, Errno>;

    /// The entry of this folder that has this name. ENOTDIR if this is no folder.
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Node>, Errno>;

    /// What is known of the entry that has this name.
    fn stat_of(&self, name: &[u8]) -> Result<Stat, Errno> {
        self.child(name)?.stat()
    }

    /// The target of this symbolic link.
    fn read_link(&self) -> Result<Vec<u8>, Errno>;

    /// The names in this folder, without `.` and `..`, in the file system's order.
    fn list(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Errno>;

    /// Opens this file for reading. An error for what is not a regular file.
    fn open(&self) -> Result<Box<dyn Content>, Errno>;

    /// Room on the volume that it is on.
    fn space(&self) -> Result<Space, Errno>;

    /// What it is changed by, if it is on a volume that is mounted for writing.
    fn writable(&self) -> Option<&OwnedFd> {
        None
    }

    /// Whether its volume goes on without it, so that it is to be looked up again.
    fn is_left_behind(&self) -> bool {
        false
    }

    /// Whether it is the root of a volume: what a link's target begins at, and where its `..` ends.
    fn is_volume(&self) -> bool {
        false
    }
}

/// The bytes of an open file.
pub trait Content: Send {
    /// Reads at `offset`: as many bytes as the buffer takes, fewer at the end only, none behind it.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;
}

/// All names of a folder.
pub fn names(folder: &dyn Node) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    folder.list(&mut |name| {
        names.push(name.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}
