//! What a client sends, on its way into a file.
//!
//! A file that is made, or takes another's place, is a [`Draft`]: the old one is whole until all of the new one is on the disk. What is
//! appended is written where it belongs, and cut off again if it does not become complete. So whatever ends an upload before
//! [`Upload::publish`] leaves no trace.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use lkl::{Errno, OwnedFd};
use lkl_volume::{Draft, Publish};
use lkl_write::{AttributeChanges, ContentChanges, OpenOptions, SetXattr};

use crate::place::Place;
use crate::tree::{Node, Stat};

/// Permissions of new files.
const MODE: u32 = 0o644;

/// Files that are appended to: by one client each, so that it can be taken back.
#[derive(Default)]
pub struct Growing(Mutex<HashSet<(u64, u64)>>);

/// One of them.
struct Growth {
    growing: Arc<Growing>,
    file: (u64, u64),
}

impl Growing {
    fn claim(self: &Arc<Growing>, file: (u64, u64)) -> Option<Growth> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(file).then(|| Growth {
            growing: Arc::clone(self),
            file,
        })
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        let mut files = self.growing.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.remove(&self.file);
    }
}

/// A file that takes what comes.
pub struct Upload {
    target: Target,
    /// Where the next byte goes.
    at: u64,
}

enum Target {
    New {
        draft: Draft,
        name: Vec<u8>,
        how: Publish,
        /// Whose the file is to be, and how.
        dress: Dress,
    },
    Tail {
        file: OwnedFd,
        /// The length to return to; nothing once that is not wanted.
        before: Option<u64>,
        _growth: Growth,
    },
}

struct Dress {
    uid: u32,
    gid: u32,
    mode: u32,
    /// A file that is replaced.
    old: Option<OwnedFd>,
}

/// EROFS for what is not to be changed.
pub fn writable(node: &dyn Node) -> Result<&OwnedFd, Errno> {
    node.writable().ok_or(Errno::EROFS)
}

impl Upload {
    /// Into a file of this name, which takes the place of `old`, or of none.
    pub fn into_name(
        folder: &Place,
        name: &[u8],
        old: Option<(&Place, &Stat)>,
        how: Publish,
    ) -> Result<Upload, Errno> {
        let around = writable(folder.node())?;
        let dress = match old {
            Some((_, stat)) if !stat.writable => return Err(Errno::EPERM),
            Some((place, stat)) => Dress {
                uid: stat.uid,
                gid: stat.gid,
                mode: stat.permissions.into(),
                old: Some(writable(place.node())?.reopen(lkl::OpenMode::Read)?),
            },
            None => {
                let stat = folder.node().stat()?;
                Dress {
                    uid: stat.uid,
                    gid: stat.gid,
                    mode: MODE,
                    old: None,
                }
            }
        };
        Ok(Upload {
            target: Target::New {
                draft: Draft::new(around)?,
                name: name.to_vec(),
                how,
                dress,
            },
            at: 0,
        })
    }

    /// As [`Upload::into_name`], and the first bytes are those of the old file.
    pub fn from(folder: &Place, name: &[u8], old: (&Place, &Stat), start: u64) -> Result<Upload, Errno> {
        let mut upload = Upload::into_name(folder, name, Some(old), Publish::Replacing)?;
        if let Target::New { draft, dress, .. } = &upload.target
            && let Some(old) = &dress.old
        {
            while upload.at < start {
                let want = usize::try_from(start - upload.at)
                    .unwrap_or(usize::MAX)
                    .min(1 << 30);
                match old.copy_file_range(upload.at, draft.file(), upload.at, want)? {
                    0 => return Err(Errno::EIO),
                    len => upload.at += len as u64,
                }
            }
        }
        Ok(upload)
    }

    /// To the end of a file. EBUSY: another client's goes there.
    pub fn appending(growing: &Arc<Growing>, file: &Place) -> Result<Upload, Errno> {
        let found = writable(file.node())?;
        let stat = file.node().stat()?;
        if !stat.writable {
            return Err(Errno::EPERM);
        }
        let growth = growing.claim((stat.device, stat.inode)).ok_or(Errno::EBUSY)?;
        let file = found.reopen_with(OpenOptions::WRITE)?;
        // Only now is it this client's alone.
        let before = file.statx()?.size;
        Ok(Upload {
            target: Target::Tail {
                file,
                before: Some(before),
                _growth: growth,
            },
            at: before,
        })
    }

    fn file(&self) -> &OwnedFd {
        match &self.target {
            Target::New { draft, .. } => draft.file(),
            Target::Tail { file, .. } => file,
        }
    }

    /// Takes bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.file().pwrite_all(bytes, self.at)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Has on the disk what was taken. It is not the file's yet.
    pub fn sync(&self) -> Result<(), Errno> {
        if let Target::New { draft, dress, .. } = &self.target {
            dress.put_on(draft.file())?;
        }
        self.file().fsync()
    }

    /// Makes it the file's. When this has returned, that is on the disk.
    pub fn publish(mut self) -> Result<(), Errno> {
        match &mut self.target {
            Target::New { draft, name, how, .. } => draft.publish(name, *how),
            Target::Tail { before, .. } => {
                *before = None;
                Ok(())
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Target::Tail {
            file,
            before: Some(before),
            _growth: _,
        } = &self.target
        {
            // A volume that cannot be written any more keeps what it has.
            let _ = file.truncate(*before);
        }
    }
}

impl Dress {
    fn put_on(&self, file: &OwnedFd) -> Result<(), Errno> {
        let stat = file.statx()?;
        if (stat.uid, stat.gid) != (self.uid, self.gid) {
            lenient(file.chown(Some(self.uid), Some(self.gid)))?;
        }
        lenient(file.chmod(self.mode))?;
        let Some(old) = &self.old else { return Ok(()) };
        let mut names = Vec::new();
        lenient(old.list_xattr(&mut |name| names.push(name.to_vec())))?;
        for name in names {
            lenient(file.set_xattr(&name, &old.get_xattr(&name)?, SetXattr::Put))?;
        }
        Ok(())
    }
}

/// A file system without owners, modes or attributes has none to set.
fn lenient(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EINVAL) => Ok(()),
        done => done,
    }
}
