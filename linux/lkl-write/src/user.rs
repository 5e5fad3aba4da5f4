//! Making files that belong to a user.
//!
//! A file belongs to the user in whose name the task runs that makes it. The tasks of the kernel's pool are root's and are lent for
//! a call each, so a program that serves users, as a FUSE driver does, has tasks besides ([`Users`]): one for each request that is under
//! way. A [`User`] only makes what it makes its own. It is not refused anything: whether a user may do what it asks for is the
//! program's to say, or has been said by the host's kernel.

use crate::calls::{self, Caller, Task};
use crate::file::OpenOptions;
use crate::folder;
use lkl::{DeviceNumber, Errno, FileType, Kernel, OwnedFd};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Tasks that take users' names. Cheap to make: tasks are made when they are wanted, and kept.
pub struct Users {
    kernel: Kernel,
    /// With the IDs that each has.
    idle: Mutex<Vec<(Ids, Task)>>,
}

/// A user and a group.
type Ids = (u32, u32);

/// Makes entries of folders in the name of a user and a group.
pub struct User<'a> {
    users: &'a Users,
    ids: Ids,
    /// `None` only while it is dropped.
    task: Option<Task>,
}

impl Users {
    /// None yet.
    pub fn new(kernel: &Kernel) -> Users {
        Users {
            kernel: kernel.clone(),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// A task with these IDs. EINVAL for -1, which is no ID.
    pub fn user(&self, uid: u32, gid: u32) -> Result<User<'_>, Errno> {
        let ids = (uid, gid);
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        let task = match self.take(ids) {
            Some((had, task)) if had == ids => task,
            other => {
                let task = match other {
                    Some((_, task)) => task,
                    None => Task::new(&self.kernel)?,
                };
                calls::set_fs_ids(&task, uid, gid)?;
                calls::keep_rights(&task)?;
                task
            }
        };
        Ok(User {
            users: self,
            ids,
            task: Some(task),
        })
    }

    /// An idle task; one that has the IDs already, if there is one.
    fn take(&self, ids: Ids) -> Option<(Ids, Task)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.iter().position(|(had, _)| *had == ids) {
            Some(found) => Some(idle.swap_remove(found)),
            None => idle.pop(),
        }
    }
}

impl User<'_> {
    /// As [`crate::FolderChanges::create_at`].
    pub fn create_at(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        options: OpenOptions,
        mode: u32,
    ) -> Result<OwnedFd, Errno> {
        folder::create(self.task()?, folder, name, options, mode)
    }

    /// As [`crate::FolderChanges::create_unnamed`].
    pub fn create_unnamed(&self, folder: &OwnedFd, mode: u32) -> Result<OwnedFd, Errno> {
        folder::create_unnamed(self.task()?, folder, mode)
    }

    /// As [`crate::FolderChanges::mkdir_at`].
    pub fn mkdir_at(&self, folder: &OwnedFd, name: &[u8], mode: u32) -> Result<(), Errno> {
        folder::mkdir(self.task()?, folder, name, mode)
    }

    /// As [`crate::FolderChanges::mknod_at`].
    pub fn mknod_at(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        kind: FileType,
        mode: u32,
        device: DeviceNumber,
    ) -> Result<(), Errno> {
        folder::mknod(self.task()?, folder, name, kind, mode, device)
    }

    /// As [`crate::FolderChanges::symlink_at`].
    pub fn symlink_at(&self, folder: &OwnedFd, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        folder::symlink(self.task()?, folder, name, target)
    }

    fn task(&self) -> Result<&dyn Caller, Errno> {
        self.task
            .as_ref()
            .map(|task| task as &dyn Caller)
            .ok_or(Errno::ESRCH)
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            let mut idle = self.users.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((self.ids, task));
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl fmt::Debug for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}
