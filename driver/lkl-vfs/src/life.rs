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
use lkl::{BlockDevice, DeviceNumber, Errno, Kernel, MOST_DEATHS, Mount, Statx};
use once_cell::race::OnceBox;
use spin::Mutex;

/// What mounts a volume again when the Linux that it was mounted in has died.
pub trait Origin: Send + Sync + 'static {
    /// Runs `act` while no other thread is in this method of this volume's. It may block for as long as a boot and a mount take.
    fn alone(&self, act: &mut dyn FnMut());

    /// Whether a request that was under way when `dead` died is done again in the next one. It is not to be when Linux died of that
    /// request. Blocks.
    fn does_again(&self, dead: &Kernel) -> bool {
        let _ = dead;
        true
    }

    /// Mounts the volume once more, as it was mounted first, in a Linux that came after `dead`. Blocks.
    ///
    /// # Errors
    /// When it is not to live on: ENODEV, or why it could not be mounted.
    fn mount_again(&self, dead: &Kernel) -> Result<(Mount, BlockDevice), Errno>;

    /// The volume's Linux has died, and its files cannot be told again in another: it is over. Called by requests that find that
    /// out, in any number; does not block.
    fn is_over(&self) {}
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

    /// Whether files of another life can be told here.
    pub(crate) fn tells_files(&self) -> bool {
        keeps_inode_numbers(self.mount.fs_name())
    }
}

/// All lives of a volume.
pub(crate) struct Lives {
    first: Life,
    origin: Option<Box<dyn Origin>>,
    /// There is another life after each.
    lasts: bool,
    devices: Devices,
}

impl Lives {
    pub(crate) fn new(first: Life) -> Lives {
        Lives {
            devices: Devices::new(first.root),
            first,
            origin: None,
            lasts: false,
        }
    }

    /// Lets the volume live on when its Linux dies; if it does not last, `origin` is told then that it is over.
    pub(crate) fn set_origin(&mut self, origin: Box<dyn Origin>, lasts: bool) {
        self.origin = Some(origin);
        self.lasts = lasts;
    }

    /// Whether its files can be told again in another life.
    pub(crate) fn tells_files(&self) -> bool {
        self.first.tells_files()
    }

    /// Whether a request that was under way when its Linux died is done again.
    pub(crate) fn does_again(&self, dead: &Life) -> bool {
        self.origin
            .as_ref()
            .is_some_and(|origin| origin.does_again(&dead.kernel))
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
        if !self.lasts {
            origin.is_over();
            return Err(Errno::ENODEV);
        }
        let mut result = Ok(());
        origin.alone(&mut || {
            if dead.next.get().is_none() {
                result = begin_after(dead, &**origin);
            }
        });
        result?;
        dead.next.get().ok_or(Errno::ENODEV)
    }

    /// The device that a file is on, by the numbers of the first life: major << 32 | minor.
    pub(crate) fn device_of(&self, life: &Life, statx: &Statx) -> u64 {
        self.devices.of(life.number, life.root, statx)
    }
}

/// Begins the life after one whose Linux has died, and once more if the next Linux dies meanwhile, of another volume.
fn begin_after(dead: &Life, origin: &dyn Origin) -> Result<(), Errno> {
    for _ in 0..MOST_DEATHS {
        let (mount, device) = origin.mount_again(&dead.kernel)?;
        let kernel = mount.kernel().clone();
        match Life::new(dead.number.saturating_add(1), kernel.clone(), mount, device) {
            Ok(life) => {
                // Alone, it is the first.
                drop(dead.next.set(fallible::try_box(life).ok_or(Errno::ENOMEM)?));
                return Ok(());
            }
            Err(_) if kernel.is_dead() && origin.does_again(&kernel) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::ENODEV)
}

/// Whether an inode has the same number in each mount of a file system, by Linux's name for it. FAT and exFAT have no numbers, and Linux counts as inodes come up.
pub fn keeps_inode_numbers(fs_name: &str) -> bool {
    !matches!(fs_name, "vfat" | "msdos" | "exfat")
}

fn word(device: DeviceNumber) -> u64 {
    (u64::from(device.major) << 32) | u64::from(device.minor)
}

/// The devices that a volume's files are on, by the numbers of its first life. Besides the root's there are some on btrfs, which has one
/// for each subvolume, with whichever number is free.
#[derive(Debug)]
pub struct Devices {
    root: DeviceNumber,
    /// Numbers of subvolumes, and the devices that they were seen on first.
    subvolumes: Mutex<Vec<(u64, u64)>>,
}

impl Devices {
    /// Those of a volume whose root is on this one.
    pub fn new(root: DeviceNumber) -> Devices {
        Devices {
            root,
            subvolumes: Mutex::new(Vec::new()),
        }
    }

    /// The device that a file is on, as major << 32 | minor, in the life of that number, in which the root is on `root`.
    pub fn of(&self, life: u32, root: DeviceNumber, statx: &Statx) -> u64 {
        if statx.dev == root {
            return word(self.root);
        }
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
