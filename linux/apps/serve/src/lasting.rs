//! Files of volumes that are mounted for reading, which go on when Linux dies: see [`lkl_volume::Supervisor`].

use std::ops::ControlFlow;
use std::sync::Arc;

use lkl::Errno;
use lkl_vfs::LklVolume;
use lklfs_fsd::{FileKind, Metadata, Volume};

use crate::tree::{Content, Kind, Node, Space, Stat, Time};

/// A file or folder.
pub struct File {
    volume: Arc<LklVolume>,
    node: Arc<lkl_vfs::Node>,
    is_root: bool,
}

impl File {
    /// The root of a volume.
    pub fn root(volume: LklVolume) -> Result<File, Errno> {
        let node = volume.root().map_err(errno)?;
        Ok(File {
            volume: Arc::new(volume),
            node: Arc::new(node),
            is_root: true,
        })
    }
}

/// An error for a client. That Linux, or a volume, is gone is one of reading.
fn errno(error: lklfs_fsd::Errno) -> Errno {
    let number = u16::try_from(error.0).ok();
    match number.and_then(Errno::from_number) {
        None | Some(Errno::ENODEV | Errno::ESTALE) => Errno::EIO,
        Some(errno) => errno,
    }
}

fn stat(found: &Metadata) -> Stat {
    let time = |time: lklfs_fsd::UnixTime| Time {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    };
    Stat {
        kind: match found.kind {
            FileKind::File => Kind::File,
            FileKind::Directory => Kind::Folder,
            FileKind::Symlink => Kind::Link,
            FileKind::Fifo => Kind::Fifo,
            FileKind::Socket => Kind::Socket,
            FileKind::CharacterDevice => Kind::CharDevice,
            FileKind::BlockDevice => Kind::BlockDevice,
        },
        // Twelve bits.
        permissions: u16::try_from(found.permissions).unwrap_or(0),
        uid: found.uid,
        gid: found.gid,
        links: found.nlink,
        size: found.size,
        inode: found.ino,
        device: found.dev,
        modified: time(found.mtime),
        created: found.btime.map(time),
        writable: false,
    }
}

impl Node for File {
    fn stat(&self) -> Result<Stat, Errno> {
        Ok(stat(&self.volume.metadata(&self.node).map_err(errno)?))
    }

    fn stat_of(&self, name: &[u8]) -> Result<Stat, Errno> {
        let found = self.volume.entry_metadata(&self.node, name);
        Ok(stat(&found.map_err(errno)?))
    }

    fn child(&self, name: &[u8]) -> Result<Arc<dyn Node>, Errno> {
        let node = self.volume.lookup(&self.node, name).map_err(errno)?;
        Ok(Arc::new(File {
            volume: Arc::clone(&self.volume),
            node: Arc::new(node),
            is_root: false,
        }))
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.volume.read_link(&self.node).map_err(errno)
    }

    fn list(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Errno> {
        let listed = self
            .volume
            .read_dir(&self.node, 0, &mut |entry| match entry.name {
                b"." | b".." => ControlFlow::Continue(()),
                name => sink(name),
            });
        listed.map_err(errno)
    }

    fn open(&self) -> Result<Box<dyn Content>, Errno> {
        // It is opened by the first read, even of nothing.
        match self.volume.read(&self.node, 0, &mut []).map_err(errno) {
            Ok(_) => Ok(Box::new(Bytes {
                volume: Arc::clone(&self.volume),
                node: Arc::clone(&self.node),
            })),
            // No regular file, and no folder either.
            Err(Errno::EINVAL) => Err(Errno::EACCES),
            Err(errno) => Err(errno),
        }
    }

    fn space(&self) -> Result<Space, Errno> {
        let found = self.volume.info().map_err(errno)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.block_size.into());
        Ok(Space {
            used: bytes(found.blocks.saturating_sub(found.blocks_free)),
            available: bytes(found.blocks_available),
        })
    }

    fn is_volume(&self) -> bool {
        self.is_root
    }

    fn is_left_behind(&self) -> bool {
        self.volume.is_left_behind(&self.node)
    }
}

struct Bytes {
    volume: Arc<LklVolume>,
    node: Arc<lkl_vfs::Node>,
}

impl Content for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.volume.read(&self.node, offset, buffer).map_err(errno)
    }
}
