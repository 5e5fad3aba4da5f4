//! A folder of this machine as a volume: what the servers are compared with, and tested on.
//!
//! Not for users: a path here is one of this machine's, so what another program puts into the folder meanwhile (a link in the
//! place of a folder) would be followed by this machine's Linux.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lkl::Errno;

use crate::tree::{Content, Kind, Node, Space, Stat, Time};

/// A file or folder of this machine's.
pub struct Folder {
    path: PathBuf,
    root: bool,
}

impl Folder {
    /// The folder at `path`, as a volume.
    pub fn volume(path: &Path) -> io::Result<Arc<dyn Node>> {
        let path = path.canonicalize()?;
        if !path.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Arc::new(Folder { path, root: true }))
    }
}

fn errno(error: &io::Error) -> Errno {
    let number = error.raw_os_error().and_then(|number| u16::try_from(number).ok());
    number.and_then(Errno::from_number).unwrap_or(Errno::EIO)
}

fn stat(metadata: &Metadata) -> Result<Stat, Errno> {
    let created = metadata.created().ok();
    let created = created.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    Ok(Stat {
        kind: Kind::from_mode(metadata.mode()).ok_or(Errno::EUCLEAN)?,
        permissions: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        links: u32::try_from(metadata.nlink()).unwrap_or(u32::MAX),
        size: metadata.size(),
        inode: metadata.ino(),
        device: metadata.dev(),
        modified: Time {
            seconds: metadata.mtime(),
            nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        },
        created: created.map(|at| Time {
            seconds: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: at.subsec_nanos(),
        }),
        writable: false,
    })
}

impl Node for Folder {
    fn stat(&self) -> Result<Stat, Errno> {
        stat(&self.path.symlink_metadata().map_err(|error| errno(&error))?)
    }

    fn child(&self, name: &[u8]) -> Result<Arc<dyn Node>, Errno> {
        if self.stat()?.kind != Kind::Folder {
            return Err(Errno::ENOTDIR);
        }
        let path = self.path.join(OsStr::from_bytes(name));
        path.symlink_metadata().map_err(|error| errno(&error))?;
        Ok(Arc::new(Folder { path, root: false }))
    }

    fn stat_of(&self, name: &[u8]) -> Result<Stat, Errno> {
        let metadata = self.path.join(OsStr::from_bytes(name)).symlink_metadata();
        stat(&metadata.map_err(|error| errno(&error))?)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        let target = self.path.read_link().map_err(|error| errno(&error))?;
        Ok(target.into_os_string().into_vec())
    }

    fn list(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Errno> {
        for entry in self.path.read_dir().map_err(|error| errno(&error))? {
            let entry = entry.map_err(|error| errno(&error))?;
            if sink(entry.file_name().as_bytes()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, Errno> {
        match self.stat()?.kind {
            Kind::File => {}
            Kind::Folder => return Err(Errno::EISDIR),
            _ => return Err(Errno::EACCES),
        }
        let file = File::open(&self.path).map_err(|error| errno(&error))?;
        Ok(Box::new(Bytes(file)))
    }

    fn space(&self) -> Result<Space, Errno> {
        Ok(Space::default())
    }

    fn is_volume(&self) -> bool {
        self.root
    }
}

struct Bytes(File);

impl Content for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut done = 0;
        while done < buffer.len() {
            match self
                .0
                .read_at(&mut buffer[done..], offset.saturating_add(done as u64))
            {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if done == 0 => return Err(errno(&error)),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}
