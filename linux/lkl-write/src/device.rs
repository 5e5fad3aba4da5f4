//! A disk that Linux has and may write to.

use lkl::{BlockDevice, DevPath, DiskStats, Errno};
use std::fmt;

/// The block device that Linux has made of a [`crate::WritableDisk`]. Dropping it takes it away as
/// [`WritableDevice::remove`] does.
///
/// It is another type than [`BlockDevice`] because [`lkl::Kernel::mount`], which promises to change nothing, must not be
/// given one: Linux replays a journal on such a disk.
pub struct WritableDevice(BlockDevice);

impl WritableDevice {
    pub(crate) fn new(device: BlockDevice) -> Self {
        WritableDevice(device)
    }

    /// The path of the device node inside Linux.
    pub fn dev_path(&self) -> Result<DevPath, Errno> {
        self.0.dev_path()
    }

    /// Major and minor number.
    pub fn numbers(&self) -> Result<(u32, u32), Errno> {
        self.0.numbers()
    }

    /// Its counters; of reads only.
    pub fn stats(&self) -> Result<DiskStats, Errno> {
        self.0.stats()
    }

    /// The disk is gone (surprise removal): all requests fail from now on. Does not wait. Any context.
    pub fn gone(&self) {
        self.0.gone();
    }

    /// Takes the disk away from Linux and waits until Linux has let go of the requests under way. What is mounted loses
    /// what was not synced: unmount it first. May block.
    ///
    /// Afterwards the disk is the caller's alone; if the caller kept none it is dropped, and what it had locked is free.
    pub fn remove(self) -> Result<(), Errno> {
        self.0.remove()
    }
}

impl fmt::Debug for WritableDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WritableDevice").field(&self.0).finish()
    }
}
