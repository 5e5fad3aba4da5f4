//! What the Linux in this program shows, as a [`Volume`]: a mounted file system, or all that is below one of its folders.

use std::ops::{ControlFlow, Range};

use lkl::{Kernel, OpenMode, OwnedFd};
use lkl_session::session::Mounted;

use crate::volume::{Errno, Kind, Stat, Time, Volume, Xattr};
use crate::watchdog;

/// All that is below a folder.
#[derive(Debug)]
pub struct Below {
    folder: OwnedFd,
}

impl Below {
    /// Below this one, opened in any mode.
    pub fn new(folder: OwnedFd) -> Below {
        Below { folder }
    }
}

/// A tree of the Linux in this program, which shows all of them alike.
pub trait LinuxTree {
    /// Its top, as [`OpenMode::Path`].
    fn top(&self) -> Result<OwnedFd, Errno>;
    /// The Linux that shows it.
    fn linux(&self) -> &Kernel;
}

impl LinuxTree for Mounted {
    fn top(&self) -> Result<OwnedFd, Errno> {
        self.root()
    }

    fn linux(&self) -> &Kernel {
        self.kernel()
    }
}

impl LinuxTree for Below {
    fn top(&self) -> Result<OwnedFd, Errno> {
        self.folder.open_at(b".", OpenMode::Path)
    }

    fn linux(&self) -> &Kernel {
        self.folder.kernel()
    }
}

impl<T: LinuxTree> Volume for T {
    type Node = OwnedFd;
    type File = OwnedFd;

    fn root(&self) -> Result<OwnedFd, Errno> {
        self.top()
    }

    fn child(&self, directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        directory.open_at(name, OpenMode::Path)
    }

    fn stat(&self, node: &OwnedFd) -> Result<Stat, Errno> {
        stat(node)
    }

    fn read_link(&self, node: &OwnedFd) -> Result<Vec<u8>, Errno> {
        node.read_link()
    }

    fn list(
        &self,
        directory: &OwnedFd,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        list(directory, sink)
    }

    fn open(&self, node: &OwnedFd) -> Result<OwnedFd, Errno> {
        node.reopen(OpenMode::Read)
    }

    fn read(&self, file: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        read(file, offset, buffer)
    }

    fn next_data(&self, file: &OwnedFd, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        file.next_data(offset)
    }

    fn xattrs(&self, node: &OwnedFd) -> Result<Vec<Xattr>, Errno> {
        xattrs(node)
    }

    fn is_dead(&self) -> bool {
        self.linux().is_dead()
    }
}

fn stat(node: &OwnedFd) -> Result<Stat, Errno> {
    let stat = node.statx()?;
    watchdog::progress();
    let time = |time: lkl::Timestamp| Time {
        seconds: time.sec,
        nanoseconds: time.nsec,
    };
    Ok(Stat {
        // A damaged inode may have a type that Linux does not know.
        kind: Kind::from_mode(u32::from(stat.mode)).ok_or(Errno::EUCLEAN)?,
        mode: u32::from(stat.permissions()),
        uid: stat.uid,
        gid: stat.gid,
        links: u64::from(stat.nlink),
        size: stat.size,
        blocks: stat.blocks,
        modified: time(stat.mtime),
        accessed: time(stat.atime),
        inode: stat.ino,
        device: u64::from(stat.dev.major) << 32 | u64::from(stat.dev.minor),
        node_device: (stat.rdev.major, stat.rdev.minor),
    })
}

fn list(directory: &OwnedFd, sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>) -> Result<(), Errno> {
    let open = directory.reopen(OpenMode::Directory)?;
    open.read_dir(0, &mut |entry| sink(entry.name, entry.cookie))?;
    Ok(())
}

fn read(file: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let count = file.pread(buffer, offset);
    watchdog::progress();
    count
}

/// Of a file system that has none, none.
fn xattrs(node: &OwnedFd) -> Result<Vec<Xattr>, Errno> {
    let mut names = Vec::new();
    match node.list_xattr(&mut |name| names.push(name.to_vec())) {
        Ok(()) => {}
        Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match node.get_xattr(&name) {
            Ok(value) => found.push(Xattr { name, value }),
            // Some file systems list what they do not give.
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}
