//! An entry task of a thread's own, for calls with numbers: what the C interface is made of.
//!
//! The calls of this crate borrow a task of the pool each ([`crate::tasks`]), which is right as long as a task keeps nothing
//! between calls. Programs that call Linux by number expect otherwise: what `unshare()`, `setfsuid()` or `sched_setscheduler()`
//! changes is the calling thread's. Such a thread has a task of its own, which ends with it.

// UNSAFETY: passes on what a caller says of its arguments.

#![allow(unsafe_code)]

use crate::call;
use crate::errno::Errno;
use crate::kernel::Kernel;
use crate::sys::{Long, lkl_task};
use core::ptr::NonNull;

/// A task of Linux's in whose name one thread at a time calls. All of them are threads of the process 1 and share its files,
/// its current directory and its mounts until they say otherwise.
pub struct EntryTask {
    kernel: Kernel,
    task: NonNull<lkl_task>,
}

// SAFETY: any thread may call with a task; that one at a time does is what `&mut self` says.
unsafe impl Send for EntryTask {}

impl Kernel {
    /// A new one.
    ///
    /// # Errors
    /// ENODEV when Linux is dead; ENOMEM or EAGAIN when it has no room for another.
    pub fn entry_task(&self) -> Result<EntryTask, Errno> {
        let task = call::task_new(self)?;
        Ok(EntryTask {
            kernel: self.clone(),
            task,
        })
    }
}

impl EntryTask {
    /// A system call, by its number on x86-64. What it returns when it is no error.
    ///
    /// # Errors
    /// Those of the call; ENOSYS for a number that the port does not have; ENODEV when Linux is dead.
    ///
    /// # Safety
    /// The arguments are right for the call: its pointers are valid for what Linux does with them.
    pub unsafe fn syscall(&mut self, number: Long, args: &[Long; 6]) -> Result<u64, Errno> {
        // SAFETY: the caller's promise; `&mut self` is the only user of the task.
        unsafe { call::as_task(&self.kernel, self.task, number, args) }
    }

    /// For calls of other parts, in its name.
    pub(crate) fn raw(&mut self) -> NonNull<lkl_task> {
        self.task
    }

    /// The Linux that it belongs to.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }
}

impl Drop for EntryTask {
    fn drop(&mut self) {
        call::task_free(&self.kernel, self.task);
    }
}
