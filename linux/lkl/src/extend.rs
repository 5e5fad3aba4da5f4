//! The door for crates that add a part to the contract: disks that are announced to Linux by another call than
//! `linux_disk_add`, and descriptors for system calls that this crate does not make.
//!
//! Crate `lkl-write` is one, for kernels that can write to disks. This crate knows nothing of writes, and neither does any
//! program that it alone is in: it lends the added call an entry task, keeps the disk for as long as Linux may use it, and
//! has [`Kernel::halt`] wait for requests that the other crate has let in through the [`RequestGate`].

// UNSAFETY: a call of the added part's takes Linux's pointers.

#![allow(unsafe_code)]

use crate::disk::{BlockDevice, Disk, DiskOptions};
use crate::errno::Errno;
use crate::fd::OwnedFd;
use crate::kernel::{Kernel, Shared};
use crate::sys::{Long, lkl_disk_info, lkl_disk_params, lkl_task};
use alloc::sync::{Arc, Weak};
use core::fmt;

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
