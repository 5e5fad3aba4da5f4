//! A file that is being written, and is seen under its name when it is complete.
//!
//! Where the file system has files without names, a [`Draft`] is one: whatever ends the program, it is gone. Elsewhere (FAT) it has a
//! temporary name beside the final one, which goes with it. [`Draft::publish`] has its bytes on the disk first, and its name
//! there before it returns; an old file of that name is whole until the new one is in its place.

use std::sync::atomic::{AtomicU64, Ordering};

use lkl::{Errno, OpenMode, OwnedFd};
use lkl_write::{ContentChanges, FolderChanges, OpenOptions, Rename};

/// A file without its name.
pub struct Draft {
    folder: OwnedFd,
    file: OwnedFd,
    /// Where it had to have one.
    temporary: Option<Vec<u8>>,
}

/// What becomes of a file that has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// It goes; of a folder EISDIR.
    Replacing,
    /// It stays: EEXIST.
    New,
}

impl Draft {
    /// Makes one in a folder, for reading and writing, its owner's alone.
    pub fn new(folder: &OwnedFd) -> Result<Draft, Errno> {
        // A descriptor of its own, to have the folder for as long as this takes.
        let folder = folder.reopen(OpenMode::Directory)?;
        match folder.create_unnamed(0o600) {
            Ok(file) => Ok(Draft {
                folder,
                file,
                temporary: None,
            }),
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOSYS) => {
                let name = temporary_name();
                let file = folder.create_at(&name, OpenOptions::NEW, 0o600)?;
                Ok(Draft {
                    folder,
                    file,
                    temporary: Some(name),
                })
            }
            Err(errno) => Err(errno),
        }
    }

    /// The file.
    pub fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Has its bytes on the disk, whatever its name.
    pub fn sync(&self) -> Result<(), Errno> {
        self.file.fsync()
    }

    /// Gives it its name. When this has returned, both are on the disk.
    pub fn publish(&mut self, name: &[u8], how: Publish) -> Result<(), Errno> {
        self.file.fsync()?;
        self.name(name, how)?;
        self.temporary = None;
        // btrfs does not log a file without names, so it is synced with one.
        self.file.fsync()?;
        sync_folder(&self.folder)
    }

    fn name(&mut self, name: &[u8], how: Publish) -> Result<(), Errno> {
        let rename = match how {
            Publish::Replacing => Rename::Replace,
            Publish::New => Rename::New,
        };
        if self.temporary.is_none() {
            match self.folder.link_at(name, &self.file) {
                Err(Errno::EEXIST) if how == Publish::Replacing => {
                    let temporary = temporary_name();
                    self.folder.link_at(&temporary, &self.file)?;
                    self.temporary = Some(temporary);
                }
                linked => return linked,
            }
        }
        let temporary = self.temporary.as_deref().unwrap_or_default();
        self.folder.rename_at(temporary, &self.folder, name, rename)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = self.temporary.take() {
            // A volume that cannot be written any more keeps it.
            let _ = self.folder.unlink_at(&name);
        }
    }
}

/// Has on the disk what was made, named and removed in a folder, however that was opened.
pub fn sync_folder(folder: &OwnedFd) -> Result<(), Errno> {
    match folder.reopen(OpenMode::Directory)?.fsync() {
        // Not every file system syncs a folder alone.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => folder.reopen(OpenMode::Directory)?.syncfs(),
        synced => synced,
    }
}

/// One that no earlier run has left behind.
fn temporary_name() -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
    format!(".lkl-{now:x}-{count}.part").into_bytes()
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = self.temporary.is_some();
        f.debug_struct("Draft")
            .field("named", &named)
            .finish_non_exhaustive()
    }
}
