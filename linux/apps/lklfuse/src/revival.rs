//! A mount that is only read goes on when Linux has died.
//!
//! The request that finds out has the volume mounted in the next Linux, and with it everything that the kernel knows or has open:
//! nodes are found again by their places, open files by their nodes. When Linux died of this volume, the requests that were under
//! way fail, and the volume is offline until one comes later; which one, [`Lasting`] decides, and when it is never mounted again.

use std::sync::{Arc, Mutex, PoisonError};

use lkl::{BlockDevice, Errno, Kernel, Mount, OwnedFd};
use lkl_volume::Lasting;

/// What a mount goes on by.
#[derive(Debug)]
pub struct Revival {
    lasting: Arc<Lasting>,
    // In the order in which they must go.
    mounted: Mutex<Option<(Mount, BlockDevice)>>,
    tells_files: bool,
}

impl Revival {
    /// For what was mounted so.
    pub fn new(lasting: Arc<Lasting>, mount: Mount, device: BlockDevice) -> Revival {
        Revival {
            lasting,
            tells_files: lkl_vfs::keeps_inode_numbers(mount.fs_name()),
            mounted: Mutex::new(Some((mount, device))),
        }
    }

    /// Whether it can: files of FAT and exFAT cannot be told again.
    pub fn is_possible(&self) -> bool {
        self.tells_files
    }

    /// Whether a request that was under way when `dead` died is done again in the next Linux. Blocks.
    pub fn does_again(&self, dead: &Kernel) -> bool {
        self.lasting.does_again(dead)
    }

    /// Mounts it again; its root. Blocks.
    pub fn mount(&self) -> Result<OwnedFd, Errno> {
        let (mount, device) = self.lasting.mount_again()?;
        let root = mount.root()?;
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mounted.replace((mount, device));
        drop(mounted);
        drop(before);
        Ok(root)
    }

    /// Whether it will not be mounted any more.
    pub fn is_over(&self) -> bool {
        self.lasting.is_over()
    }

    /// Unmounts it.
    pub fn unmount(&self) {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        drop(mounted.take());
    }
}
