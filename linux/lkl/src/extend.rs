//! The door for crates that add a part to the contract: disks that are announced to Linux by another call than
//! `linux_disk_add`, what Linux has that is no disk, and descriptors for system calls that this crate does not make.
//!
//! Crate `lkl-write` is one, for kernels that can write to disks, and `lkl-netdev` is another, for network interfaces. This crate
//! knows nothing of either, and neither does any program that it alone is in: it lends the added call an entry task, keeps what
//! Linux has for as long as Linux may use it, and has [`Kernel::halt`] wait for requests that the other crate has let in through
//! the [`RequestGate`].

// UNSAFETY: a call of the added part's takes Linux's pointers.

#![allow(unsafe_code)]

use crate::disk::{BlockDevice, Disk, DiskOptions};
use crate::errno::Errno;
use crate::fd::OwnedFd;
use crate::kernel::{Kernel, Shared};
use crate::sys::{Long, lkl_disk_info, lkl_disk_params, lkl_task};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use spin::Mutex;

/// A call that announces a disk to Linux.
pub trait Announce: Send + Sync + 'static {
    /// Makes the call; Linux's result. `gate` is for the requests that Linux will send by the added part.
    ///
    /// # Safety
    /// `task` is lent to this thread, `params` is right for a disk that stays until it is removed or Linux was halted, and
    /// both structures live through the call.
    unsafe fn announce(
        &self,
        task: *mut lkl_task,
        params: *const lkl_disk_params,
        info: *mut lkl_disk_info,
        gate: RequestGate,
    ) -> Long;
}

/// Counts the requests that Linux has sent by the added part. The disk may hold it: it keeps nothing.
#[derive(Clone)]
pub struct RequestGate(Weak<Shared>);

impl RequestGate {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        RequestGate(Arc::downgrade(shared))
    }

    /// Counts a request in. `None` when Linux is being halted: the request is to be answered with an error, at once.
    pub fn enter(&self) -> Option<RequestTicket> {
        let shared = self.0.upgrade()?;
        shared.reads.enter().then(|| RequestTicket(shared))
    }
}

/// A request that was counted in. Dropping it, after the request was answered, counts it out. It does not keep the disk.
pub struct RequestTicket(Arc<Shared>);

impl RequestTicket {
    /// Lets `tell` tell Linux that the request is answered, unless Linux was abandoned. Any context, if `tell` is for any.
    pub fn answer(&self, tell: impl FnOnce()) {
        self.0.answer(tell);
    }

    /// The request could not be served for want of memory: the system call that this fails ends with ENOMEM.
    pub fn note_shortage(&self) {
        self.0.note_shortage();
    }
}

impl Drop for RequestTicket {
    fn drop(&mut self) {
        self.0.reads.leave();
    }
}

/// What Linux has by an added part, and is no disk. The kernel keeps it until [`Kernel::let_go`], or until Linux was halted.
pub trait Attachment: Send + Sync + 'static {
    /// Linux is being halted: requests that were let in are to be answered soon, and Linux's further ones are not answered. Does
    /// not wait.
    fn ending(&self);
}

impl Kernel {
    /// For requests that Linux will send by an added part.
    pub fn request_gate(&self) -> RequestGate {
        RequestGate::new(&self.inner.shared)
    }

    /// Keeps what Linux gets a pointer to. ENFILE when it keeps as many as it can.
    pub fn keep(&self, attachment: Arc<dyn Attachment>) -> Result<(), Errno> {
        self.inner.attachments.keep(attachment)
    }

    /// Linux does not have it any more.
    pub fn let_go(&self, attachment: &Arc<dyn Attachment>) {
        self.inner.attachments.let_go(attachment);
    }

    /// Makes a call of the added part's, in the name of an entry task; Linux's result. Blocks as the call does.
    ///
    /// # Safety
    /// `act` does nothing with the task but to make one call of Linux's.
    pub unsafe fn call_by(&self, act: impl FnOnce(*mut lkl_task) -> Long) -> Result<u64, Errno> {
        crate::call::by_task(self, act)
    }

    /// Runs `act`, which tells Linux something, while Linux cannot be halted. Whether Linux is there still. Any context, if `act`
    /// is for any.
    pub fn tell(&self, act: impl FnOnce()) -> bool {
        let calls = &self.inner.shared.calls;
        let there = calls.enter();
        if there {
            act();
            calls.leave();
        }
        there
    }
}

impl crate::EntryTask {
    /// As [`Kernel::call_by`], in the name of this task: in its name space, for instance.
    ///
    /// # Safety
    /// That of [`Kernel::call_by`].
    pub unsafe fn call_by(&mut self, act: impl FnOnce(*mut lkl_task) -> Long) -> Result<u64, Errno> {
        let task = self.raw();
        crate::call::by_this(self.kernel(), task, act)
    }
}

/// At most so many attachments at a time.
const MOST: usize = 16384;

/// All of a kernel's.
pub(crate) struct Attachments(Mutex<Vec<Arc<dyn Attachment>>>);

impl Attachments {
    pub(crate) fn new() -> Self {
        Attachments(Mutex::new(Vec::new()))
    }

    fn keep(&self, attachment: Arc<dyn Attachment>) -> Result<(), Errno> {
        let mut all = self.0.lock();
        if all.len() >= MOST {
            return Err(Errno::ENFILE);
        }
        all.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        all.push(attachment);
        Ok(())
    }

    fn let_go(&self, attachment: &Arc<dyn Attachment>) {
        let mut all = self.0.lock();
        let found = all.iter().position(|kept| Arc::ptr_eq(kept, attachment));
        let gone = found.map(|place| all.swap_remove(place));
        drop(all);
        drop(gone);
    }

    /// All are told that Linux is being halted.
    pub(crate) fn end(&self) {
        let mut place = 0usize;
        loop {
            let attachment = self.0.lock().get(place).map(Arc::clone);
            let Some(attachment) = attachment else { return };
            attachment.ending();
            place = place.saturating_add(1);
        }
    }

    /// Linux has gone.
    pub(crate) fn drop_all(&self) {
        let all = core::mem::take(&mut *self.0.lock());
        drop(all);
    }
}

impl Kernel {
    /// As [`Kernel::add_disk`], by another call of Linux's.
    pub fn add_disk_by(
        &self,
        disk: Arc<dyn Disk>,
        options: DiskOptions,
        call: Arc<dyn Announce>,
    ) -> Result<BlockDevice, Errno> {
        BlockDevice::attach(self.clone(), disk, options, Some(call))
    }
}

impl OwnedFd {
    /// Its number in Linux, for a system call of the other crate's. It is open for as long as `self` is there.
    pub fn raw(&self) -> i32 {
        self.number()
    }

    /// Takes over a descriptor that a system call of the other crate's has opened.
    ///
    /// # Safety
    /// `number` is an open descriptor of this kernel's that nothing else closes.
    pub unsafe fn from_raw(kernel: &Kernel, number: i32) -> OwnedFd {
        OwnedFd::adopt(kernel.clone(), number)
    }
}

impl fmt::Debug for RequestGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestGate").finish_non_exhaustive()
    }
}

impl fmt::Debug for RequestTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestTicket").finish_non_exhaustive()
    }
}
