//! A disk that Linux has and may write to.

use crate::disk::WritableDisk;
use lkl::{BlockDevice, DevPath, DiskStats, Errno};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The block device that Linux has made of a [`crate::WritableDisk`]. Dropping it takes it away as
/// [`WritableDevice::remove`] does.
///
/// It is another type than [`BlockDevice`] because [`lkl::Kernel::mount`], which promises to change nothing, must not be
/// given one: Linux replays a journal on such a disk.
pub struct WritableDevice {
    device: Option<BlockDevice>,
    disk: Option<Arc<dyn WritableDisk>>,
    in_use: Arc<InUse>,
}

/// Whether the requests of a disk, or Linux, have it yet.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    over: Mutex<bool>,
    changed: Condvar,
}

/// Goes with the last of them.
#[derive(Debug)]
pub(crate) struct LastUse(pub(crate) Arc<InUse>);

impl Drop for LastUse {
    fn drop(&mut self) {
        *self.0.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

impl InUse {
    /// Waits for threads that have given their answers and are about to let go of the disk.
    fn wait(&self) {
        /// Such a thread has nothing left to do. One that does not come to it in this time is stopped.
        const MOST: Duration = Duration::from_secs(10);
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(over, MOST, |over| !*over);
        drop(waited);
    }
}

impl WritableDevice {
    pub(crate) fn new(device: BlockDevice, disk: Arc<dyn WritableDisk>, in_use: Arc<InUse>) -> Self {
        WritableDevice {
            device: Some(device),
            disk: Some(disk),
            in_use,
        }
    }

    fn device(&self) -> Result<&BlockDevice, Errno> {
        self.device.as_ref().ok_or(Errno::ENODEV)
    }

    /// The path of the device node inside Linux.
    pub fn dev_path(&self) -> Result<DevPath, Errno> {
        self.device()?.dev_path()
    }

    /// Major and minor number.
    pub fn numbers(&self) -> Result<(u32, u32), Errno> {
        self.device()?.numbers()
    }

    /// Its counters; of reads only.
    pub fn stats(&self) -> Result<DiskStats, Errno> {
        self.device()?.stats()
    }

    /// The disk is gone (surprise removal): all requests fail from now on. Does not wait. Any context.
    pub fn gone(&self) {
        if let Some(device) = &self.device {
            device.gone();
        }
    }

    /// Takes the disk away from Linux and waits until Linux has let go of the requests under way. What is mounted loses
    /// what was not synced: unmount it first. May block.
    ///
    /// Afterwards the [`WritableDisk`] is the caller's alone; if the caller kept none it is dropped, and what it had
    /// locked is free.
    pub fn remove(mut self) -> Result<(), Errno> {
        self.take_away()
    }

    fn take_away(&mut self) -> Result<(), Errno> {
        let Some(device) = self.device.take() else {
            return Ok(());
        };
        // When this fails Linux is dead or halted, and has the disk until the kernel goes.
        device.remove()?;
        self.in_use.wait();
        self.disk = None;
        Ok(())
    }
}

impl Drop for WritableDevice {
    fn drop(&mut self) {
        let _ = self.take_away();
    }
}

impl fmt::Debug for WritableDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WritableDevice").field(&self.device).finish()
    }
}
