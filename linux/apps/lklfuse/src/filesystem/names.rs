//! Finding, making, moving and removing entries.

use std::sync::Arc;

use fuser::{FileAttr, Request};
use lkl::{Errno, OwnedFd};
use lkl_write::{FolderChanges, OpenOptions, Rename};

use super::is_missing;
use super::values::DEFAULT_LIST;
use crate::attributes::{device, kind_of_mode};
use crate::nodes::{Node, Pin};
use crate::served::Served;

const O_ACCMODE: i32 = 3;
const O_EXCL: i32 = 0o200;
const O_TRUNC: i32 = 0o1000;

/// Who makes an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct By {
    uid: u32,
    gid: u32,
}

impl By {
    pub(super) fn of(request: &Request) -> By {
        By {
            uid: request.uid(),
            gid: request.gid(),
        }
    }
}

/// What is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum New<'a> {
    Folder { mode: u32, umask: u32 },
    Node { mode: u32, umask: u32, rdev: u32 },
    Link(&'a [u8]),
}

impl Served {
    /// An entry of a folder, if it is there.
    pub(super) fn lookup(&self, folder: u64, name: &[u8]) -> Result<Option<FileAttr>, Errno> {
        let (folder, open) = self.node(folder)?;
        let stat = is_missing(open.statx_at(name))?;
        Ok(stat.map(|stat| self.entry(&folder, name, &stat)))
    }

    pub(super) fn make(&self, by: By, folder: u64, name: &[u8], new: New<'_>) -> Result<FileAttr, Errno> {
        let (folder, open) = self.node(folder)?;
        let user = self.users.user(by.uid, by.gid)?;
        match new {
            New::Folder { mode, umask } => user.mkdir_at(&open, name, masked(&folder, &open, mode, umask))?,
            New::Node { mode, umask, rdev } => {
                let kind = kind_of_mode(mode);
                user.mknod_at(
                    &open,
                    name,
                    kind,
                    masked(&folder, &open, mode, umask),
                    device(rdev),
                )?;
            }
            New::Link(target) => user.symlink_at(&open, name, target)?,
        }
        drop(user);
        Ok(self.entry(&folder, name, &open.statx_at(name)?))
    }

    /// Makes a file and opens it, or opens the one that is there.
    pub(super) fn create(
        &self,
        by: By,
        folder: u64,
        name: &[u8],
        (mode, umask): (u32, u32),
        flags: i32,
    ) -> Result<(FileAttr, u64), Errno> {
        let (folder, open) = self.node(folder)?;
        let options = OpenOptions {
            write: flags & O_ACCMODE != 0,
            create: true,
            new: flags & O_EXCL != 0,
            truncate: flags & O_TRUNC != 0,
            durable: false,
        };
        let user = self.users.user(by.uid, by.gid)?;
        let mode = masked(&folder, &open, mode, umask);
        // The kernel asks for this when it knows of no such file, so it is new as a rule.
        let new = OpenOptions { new: true, ..options };
        let (file, is_new) = match user.create_at(&open, name, new, mode) {
            Err(Errno::EEXIST) if !options.new => (user.create_at(&open, name, options, mode)?, false),
            file => (file?, true),
        };
        drop(user);
        let file = Arc::new(file);
        let found = self.entry(&folder, name, &file.statx()?);
        let node = self.nodes.get(found.ino.0)?;
        if options.write {
            node.is_open_as(&file);
        }
        if is_new {
            // No file is born with capabilities.
            node.capabilities.born();
        }
        Ok((found, self.files.add(node, file)))
    }

    pub(super) fn link(&self, file: u64, folder: u64, name: &[u8]) -> Result<FileAttr, Errno> {
        let ((_, file), (folder, open)) = (self.node(file)?, self.node(folder)?);
        open.link_at(name, &file)?;
        Ok(self.entry(&folder, name, &open.statx_at(name)?))
    }

    pub(super) fn remove(&self, folder: u64, name: &[u8], is_folder: bool) -> Result<(), Errno> {
        let (folder, open) = self.node(folder)?;
        let pin = self.nodes.pin_entry(&folder, &open, name)?;
        match is_folder {
            true => open.rmdir_at(name)?,
            false => open.unlink_at(name)?,
        }
        if let Some(pin) = &pin {
            self.nodes.removed(&folder, name, pin);
        }
        Ok(())
    }

    pub(super) fn rename(
        &self,
        (from_folder, from): (u64, &[u8]),
        (to_folder, to): (u64, &[u8]),
        flags: u32,
    ) -> Result<(), Errno> {
        let how = Rename::from_flags(flags)?;
        let ((from_folder, from_open), (to_folder, to_open)) =
            (self.node(from_folder)?, self.node(to_folder)?);
        let moved = from_open.statx_at(from)?;
        let replaced = is_missing(to_open.statx_at(to))?;
        let is_same = replaced.is_some_and(|there| (there.dev, there.ino) == (moved.dev, moved.ino));
        let moved: Option<Pin> = self.nodes.pin_entry(&from_folder, &from_open, from)?;
        let replaced: Option<Pin> = match replaced {
            Some(_) => self.nodes.pin_entry(&to_folder, &to_open, to)?,
            None => None,
        };
        from_open.rename_at(from, &to_open, to, how)?;
        // Of two names of one file both stay, unless they are spellings of one name.
        if is_same && is_missing(from_open.statx_at(from))?.is_some() {
            return Ok(());
        }
        self.nodes.renamed(
            (&from_folder, from),
            (&to_folder, to),
            (moved.as_ref(), replaced.as_ref()),
            how == Rename::Exchange,
        );
        Ok(())
    }
}

/// The mode of a new entry. A folder's default access list takes the place of the mask.
fn masked(folder: &Node, open: &OwnedFd, mode: u32, umask: u32) -> u32 {
    let list = || match open.get_xattr(DEFAULT_LIST) {
        Err(Errno::EOPNOTSUPP) => Err(Errno::ENODATA),
        list => list,
    };
    let masked = mode & !umask;
    if masked == mode || folder.default_list.or_ask(list).is_ok() {
        return mode;
    }
    masked
}
