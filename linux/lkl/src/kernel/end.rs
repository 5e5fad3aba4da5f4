//! How Linux ends: a halt, and what requests under way leave of it.

// UNSAFETY: Linux's data are made what they were.

use super::{Inner, Kernel};
use crate::call;
use crate::disk::DiskLink;
use crate::image::Image;
use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroU64;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

/// How a halt has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Linux is gone, and what it had is given back.
    Whole,
    /// A thread is in a loop inside Linux that does not end and cannot be stopped. What it may use stays: Linux's memory and
    /// threads, the host, the disks. The program or driver that Linux is a part of must not be unloaded.
    Stuck,
}

/// Linux is not there: its data are made what they were.
#[allow(unsafe_code)]
pub(super) fn restored(image: Image) {
    // SAFETY: callers have booted no Linux, or linux_halt has said that it is gone; the gates keep all others out, and they are
    // empty.
    unsafe { image.restore() }
}

impl Kernel {
    /// Stops Linux for all holders of this kernel: waits for system calls and disk reads under way, ends all of its
    /// threads, gives the pool back. What was mounted is gone; what was open answers ENODEV. Disks are told that they
    /// are gone first, so a call that waits for a device ends as soon as the [`Disk`] answers; a call that waits for
    /// something else (a pipe) is waited for. Works after a panic of Linux, too. Calling it again does nothing, unless it
    /// ended with [`Halt::Stuck`]: then it looks whether the thread has left its loop meanwhile.
    ///
    /// A call that loops inside Linux is waited for until the watchdog finds it (30 s of running time, as a rule).
    pub fn halt(self) -> Halt {
        self.inner.halt(true)
    }

    /// Stops Linux as [`Kernel::halt`] does, but does not wait for disks: requests that they have not answered stay theirs. `None`
    /// when a thread is in a loop inside Linux, as with [`Halt::Stuck`].
    ///
    /// Another Linux may be booted at once. What the requests use (the memory that they read into, the disks, the host) is given back
    /// with what this returns.
    pub fn abandon(self) -> Option<Remains> {
        match self.inner.halt(false) {
            Halt::Whole => Some(Remains(self.inner)),
            Halt::Stuck => None,
        }
    }
}

impl Inner {
    /// `whole`: waits for requests under way.
    fn halt(&self, whole: bool) -> Halt {
        if self.halted.swap(true, Ordering::AcqRel) {
            return self.halt_again();
        }
        for slot in &self.disks {
            if let Some((major, minor)) = call::peek_link(&slot.link) {
                call::disk_gone(major, minor);
            }
        }
        self.attachments.end();
        self.marks().enter_linux();
        let out = self.shared.calls.close();
        self.shared.reads.shut();
        if whole {
            // A request that Linux has sent is answered by its disk, whatever Linux does.
            self.shared.reads.wait();
        }
        // From here on Linux hears of no answer. Who is on the way to tell it does not wait for anything.
        self.shared.answers.close();
        let halt = self.end(out);
        self.marks().leave_linux();
        halt
    }

    /// After a halt that was the first: whether what kept it has gone meanwhile.
    fn halt_again(&self) -> Halt {
        if !self.stuck.swap(false, Ordering::AcqRel) {
            return Halt::Whole;
        }
        self.marks().enter_linux();
        let halt = self.end(self.shared.calls.is_empty());
        self.marks().leave_linux();
        halt
    }

    /// The last of a halt. `out`: no thread of the host's is inside Linux.
    fn end(&self, out: bool) -> Halt {
        if !out || !call::halt() {
            self.stuck.store(true, Ordering::Release);
            return Halt::Stuck;
        }
        let image = self.image.lock().take();
        self.remains.store(true, Ordering::Release);
        if let Some(image) = image {
            restored(image);
        }
        self.gone.store(true, Ordering::Release);
        self.bury();
        Halt::Whole
    }

    /// The account of whose work Linux has died, as long as it has its disks.
    pub(super) fn account_of_death(&self) -> Option<NonZeroU64> {
        let (task, disk) = self.shared.death()?;
        if !task.is_null() {
            return NonZeroU64::new(self.tasks.account_of(task));
        }
        let disk = disk.cast::<DiskLink>().cast_mut();
        let mut disks = self.disks.iter();
        let slot = disks.find(|slot| !disk.is_null() && slot.link.load(Ordering::Acquire) == disk)?;
        NonZeroU64::new(slot.account.load(Ordering::Acquire))
    }

    /// Gives back what requests under way may use, if none is. Whether it is given back.
    fn bury(&self) -> bool {
        if !self.shared.reads.has_drained() {
            return false;
        }
        if self.remains.swap(false, Ordering::AcqRel) {
            if let Some(account) = self.account_of_death() {
                self.shared.dead_account.store(account.get(), Ordering::Release);
            }
            for slot in &self.disks {
                call::drop_link(slot.link.swap(null_mut(), Ordering::AcqRel));
            }
            self.attachments.drop_all();
            drop(self.shared.pool.lock().take());
        }
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.halt(true) == Halt::Whole
            && let Some(seam) = self.seam.take()
        {
            seam.give_back();
        }
    }
}

/// What is left of a Linux that was abandoned while disks had requests of its. It is given back when they have answered; dropping
/// this waits for that.
#[must_use = "dropping it waits for the disks"]
pub struct Remains(Arc<Inner>);

impl Remains {
    /// Whether the disks have answered, and all is given back. Does not wait for them.
    pub fn is_over(&self) -> bool {
        self.0.bury()
    }

    /// Waits until the disks have answered, and gives all back.
    pub fn wait(self) {
        drop(self);
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        if !self.0.bury() {
            self.0.shared.reads.wait();
            self.0.bury();
        }
    }
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains").finish_non_exhaustive()
    }
}
