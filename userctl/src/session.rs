//! A file system that the Linux in this program has mounted, as the commands see it.

use std::ops::ControlFlow;

use lkl::{OpenMode, OwnedFd};
use lkl_session::image::Sharing;
use lkl_session::program::Program;
use lkl_session::session::Options;

use crate::cli::Source;
use crate::entries::{MOST_BYTES, Names};
use crate::exit::Failure;
use crate::volume::{Errno, Kind, Space, Stat, Time, Volume};
use crate::watchdog;

pub use lkl_session::session::{Mounted, Refusal, Session};

/// What messages call this program and its options.
pub const PROGRAM: Program = Program::new("userctl");

/// Opens the image that `source` names, and boots Linux.
pub fn open(source: &Source) -> Result<Session, Failure> {
    Session::open(&Options {
        program: PROGRAM,
        image: source.image.clone(),
        sharing: Sharing::Any,
        fs: source.fs.clone(),
        options: source.options.clone(),
        recovery: !source.no_recovery,
        memory: source.memory,
        print_log: source.linux_log,
    })
}

/// The subvolumes at the top of a btrfs of which only the default subvolume is shown; `None` when the top itself is
/// shown, or it cannot be told.
///
/// Each subvolume is a device of its own to `stat`, and its root has the same number everywhere.
pub fn hidden_subvolumes(mounted: &Mounted) -> Option<Vec<Vec<u8>>> {
    const ROOT: u64 = 256;
    if mounted.fs_name() != "btrfs" {
        return None;
    }
    let top = mounted.view("subvolid=5").ok()?;
    let (shown, all) = (mounted.root().ok()?.statx().ok()?, top.statx().ok()?);
    if shown.dev == all.dev {
        return None;
    }
    let (names, _) = Names::of(mounted, &top, MOST_BYTES);
    let subvolumes = names.iter().filter(|name| {
        let found = mounted.child(&top, name).and_then(|node| node.statx());
        found.is_ok_and(|stat| stat.ino == ROOT && stat.dev != all.dev)
    });
    Some(subvolumes.map(<[u8]>::to_vec).collect())
}

/// Space and names.
pub fn space(mounted: &Mounted) -> Result<Space, Failure> {
    let space = mounted.statfs().map_err(|errno| mounted.failure(b"/", errno))?;
    let unit = if space.fragment_size == 0 {
        space.block_size
    } else {
        space.fragment_size
    };
    Ok(Space {
        total: space.blocks.saturating_mul(unit),
        free: space.blocks_free.saturating_mul(unit),
        block_size: space.block_size,
        inodes: space.files,
        inodes_free: space.files_free,
        name_max: space.name_max,
    })
}

impl Volume for Mounted {
    type Node = OwnedFd;
    type File = OwnedFd;

    fn root(&self) -> Result<OwnedFd, Errno> {
        Mounted::root(self)
    }

    fn child(&self, directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        directory.open_at(name, OpenMode::Path)
    }

    fn stat(&self, node: &OwnedFd) -> Result<Stat, Errno> {
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

    fn read_link(&self, node: &OwnedFd) -> Result<Vec<u8>, Errno> {
        node.read_link()
    }

    fn list(
        &self,
        directory: &OwnedFd,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let open = directory.reopen(OpenMode::Directory)?;
        open.read_dir(0, &mut |entry| sink(entry.name, entry.cookie))?;
        Ok(())
    }

    fn open(&self, node: &OwnedFd) -> Result<OwnedFd, Errno> {
        node.reopen(OpenMode::Read)
    }

    fn read(&self, file: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = file.pread(buffer, offset);
        watchdog::progress();
        count
    }

    fn is_dead(&self) -> bool {
        self.kernel().is_dead()
    }
}
