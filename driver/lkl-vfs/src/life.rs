//! The lives of a volume: the mount in the Linux that it was mounted in first, and, when that Linux has died, one in each after it.
//!
//! A volume is never written to, so that it is the same in each life, and what was open in one is found again in the next by its
//! path ([`crate::Node`]). Two numbers that Linux gives are not the same: the numbers of devices, which count up as disks come. They
//! are translated to those of the first life ([`Devices`]).
//!
//! Lives are a list that only grows, since others may be using the earlier ones; a dead one costs a few hundred bytes and answers
//! ENODEV.

use alloc::boxed::Box;
use alloc::vec::Vec;
use lkl::{BlockDevice, DeviceNumber, Errno, Kernel, Mount, Statx};
use once_cell::race::OnceBox;
use spin::Mutex;

/// What mounts a volume again when the Linux that it was mounted in has died.
pub trait Origin: Send + Sync + 'static {
    /// Runs `act` while no other thread is in this method of this volume's. It may block for as long as a boot and a mount take.
    fn alone(&self, act: &mut dyn FnMut());

    /// Mounts the volume once more, as it was mounted first, in a Linux that came after `dead`. Blocks.
    ///
    /// # Errors
    /// When it is not to live on: ENODEV, or why it could not be mounted.
    fn mount_again(&self, dead: &Kernel) -> Result<(Mount, BlockDevice), Errno>;
}

/// One life.
pub(crate) struct Life {
    /// The first is 0.
    pub(crate) number: u32,
    // Dropped in this order.
    pub(crate) mount: Mount,
    pub(crate) device: BlockDevice,
    pub(crate) kernel: Kernel,
    /// The device that its root is on.
    root: DeviceNumber,
    next: OnceBox<Life>,
}

impl Life {
    pub(crate) fn new(number: u32, kernel: Kernel, mount: Mount, device: BlockDevice) -> Result<Life, Errno> {
        let root = mount.root()?.statx()?.dev;
        Ok(Life {
            number,
            mount,
            device,
            kernel,
            root,
            next: OnceBox::new(),
        })
    }
}

/// All lives of a volume.
pub(crate) struct Lives {
    first: Life,
    origin: Option<Box<dyn Origin>>,
    devices: Devices,
}

impl Lives {
    pub(crate) fn new(first: Life) -> Lives {
        Lives {
            devices: Devices::new(first.root),
            first,
            origin: None,
        }
    }

    /// Lets the volume live on when its Linux dies, if it is of a kind whose files can be told again.
    pub(crate) fn set_origin(&mut self, origin: Box<dyn Origin>) {
        if keeps_inode_numbers(self.first.mount.fs_name()) {
            self.origin = Some(origin);
        }
    }

    pub(crate) fn first(&self) -> &Life {
        &self.first
    }

    /// The latest.
    pub(crate) fn current(&self) -> &Life {
        let mut life = &self.first;
        while let Some(next) = life.next.get() {
            life = next;
        }
        life
    }

    /// The life after one whose Linux has died. Blocks.
    ///
    /// # Errors
    /// ENODEV when there is none.
    pub(crate) fn after<'a>(&self, dead: &'a Life) -> Result<&'a Life, Errno> {
        if let Some(next) = dead.next.get() {
            return Ok(next);
        }
        let origin = self.origin.as_ref().ok_or(Errno::ENODEV)?;
        let mut result = Ok(());
        origin.alone(&mut || {
            if dead.next.get().is_none() {
                result = origin.mount_again(&dead.kernel).and_then(|(mount, device)| {
                    let kernel = mount.kernel().clone();
                    let life = Life::new(dead.number.saturating_add(1), kernel, mount, device)?;
                    // Alone, it is the first.
                    drop(dead.next.set(lkl::try_box(life).ok_or(Errno::ENOMEM)?));
                    Ok(())
                });
            }
        });
        result?;
        dead.next.get().ok_or(Errno::ENODEV)
    }

    /// The device that a file is on, by the numbers of the first life: major << 32 | minor.
    pub(crate) fn device_of(&self, life: &Life, statx: &Statx) -> u64 {
        if statx.dev == life.root {
            return word(self.first.root);
        }
        self.devices.of(life.number, statx)
    }
}

/// Whether an inode has the same number in each mount. FAT and exFAT have no numbers, and Linux counts as inodes come up.
fn keeps_inode_numbers(fs_name: &str) -> bool {
    !matches!(fs_name, "vfat" | "msdos" | "exfat")
}

fn word(device: DeviceNumber) -> u64 {
    (u64::from(device.major) << 32) | u64::from(device.minor)
}

/// Devices besides the root's: a btrfs has one for each subvolume, with whichever number is free.
struct Devices {
    root: DeviceNumber,
    /// Numbers of subvolumes, and the devices that they were seen on first.
    subvolumes: Mutex<Vec<(u64, u64)>>,
}

impl Devices {
    fn new(root: DeviceNumber) -> Devices {
        Devices {
            root,
            subvolumes: Mutex::new(Vec::new()),
        }
    }

    fn of(&self, life: u32, statx: &Statx) -> u64 {
        let now = word(statx.dev);
        let Some(subvolume) = statx.subvol else {
            // It cannot be told again: in another life it is another device.
            return now ^ (u64::from(life) << 52);
        };
        let mut known = self.subvolumes.lock();
        if let Some((_, device)) = known.iter().find(|(number, _)| *number == subvolume) {
            return *device;
        }
        let is_taken = |device| device == word(self.root) || known.iter().any(|(_, other)| *other == device);
        let mut device = now;
        // One of an earlier life may have it.
        while is_taken(device) {
            device = device.wrapping_add(1 << 52);
        }
        if known.try_reserve(1).is_ok() {
            known.push((subvolume, device));
        }
        device
    }
}
