//! Disks of the double: device stacks over image files, owned by a modelled disk driver.
//!
//! A [`Disk`] has a device `\Device\HarddiskN\DR0` for the whole disk and a `\Device\HarddiskVolumeM` for
//! each partition, or one volume for the whole disk when there is no partition table. Their requests end in
//! [`queue`], which completes them at once or later, in order or not, at DISPATCH_LEVEL as a disk's DPC
//! would. There is no way to write: a write request is counted, reported and refused.
//!
//! | module | what |
//! |---|---|
//! | [`image`] | the bytes, read-only |
//! | [`layout`] | partition tables |
//! | [`driver`] | the dispatch routines |
//! | [`ioctl`] | answers to controls |
//! | [`queue`] | reads on their way |
//! | [`faults`] | what goes wrong on demand |

pub mod driver;
pub mod faults;
pub mod image;
pub mod ioctl;
pub mod layout;
pub mod queue;

pub use driver::{devices, find, present};
pub use faults::{Fault, FaultKind};
pub use image::{Image, ImageError};
pub use layout::{Layout, Partition, PartitionKind};

use crate::nt::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When reads complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Before the dispatch routine returns.
    Inline,
    /// On a thread of the disk's, in order of arrival.
    Queued,
    /// Either, by the seed, and queued ones out of order.
    Seeded,
}

/// What a disk is made from and how it behaves.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// The image file.
    pub image: PathBuf,
    /// Bytes in a sector: a power of two from 512 on.
    pub sector: u32,
    /// When reads complete.
    pub completion: Completion,
    /// The least time that a queued read takes.
    pub delay: Duration,
    /// Removable media.
    pub removable: bool,
    /// STORAGE_BUS_TYPE: 7 is USB, 11 SATA.
    pub bus: u32,
    /// Without a partition table it has no volume, as Windows has it with fixed disks.
    pub bare: bool,
    /// The volume's device is on another one, the port's, which does the work and wants to be verified.
    pub layered: bool,
}

impl DiskConfig {
    /// A fixed disk with sectors of 512 bytes and completions by the seed.
    pub fn image(path: impl Into<PathBuf>) -> DiskConfig {
        DiskConfig {
            image: path.into(),
            sector: 512,
            completion: Completion::Seeded,
            delay: Duration::ZERO,
            removable: false,
            bus: 11,
            bare: false,
            layered: false,
        }
    }

    /// With a device of the port's below each volume's: its driver reads, and notices that the medium was changed; it is its
    /// device that has DO_VERIFY_VOLUME then, and refuses reads.
    pub fn layered(mut self) -> DiskConfig {
        self.layered = true;
        self
    }

    /// On this bus (STORAGE_BUS_TYPE).
    pub fn bus(mut self, bus: u32) -> DiskConfig {
        self.bus = bus;
        self
    }

    /// With sectors of `bytes`.
    pub fn sector(mut self, bytes: u32) -> DiskConfig {
        self.sector = bytes;
        self
    }

    /// With reads completing as said.
    pub fn completion(mut self, completion: Completion) -> DiskConfig {
        self.completion = completion;
        self
    }

    /// Without a volume for the whole disk where there is no partition table: Windows makes one only on media that can be
    /// taken out, which is what all other disks without a table are here.
    pub fn bare(mut self) -> DiskConfig {
        self.bare = true;
        self
    }

    /// With queued reads taking at least `delay`.
    pub fn delay(mut self, delay: Duration) -> DiskConfig {
        self.delay = delay;
        self
    }
}

/// What came to a disk so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Read requests.
    pub reads: AtomicU64,
    /// Bytes asked for by them.
    pub bytes: AtomicU64,
    /// Write requests: each is a failure of the driver's.
    pub writes: AtomicU64,
    /// Device controls.
    pub controls: AtomicU64,
    /// The most reads that were under way at a time.
    pub deepest: AtomicU64,
    /// Reads under way.
    pub under_way: AtomicU64,
}

/// A disk.
pub struct Disk {
    /// N of `\Device\HarddiskN`.
    pub number: u32,
    /// Its bytes.
    pub image: Image,
    /// Its partitions.
    pub layout: Layout,
    /// What came to it.
    pub counts: Counts,
    config: DiskConfig,
    removed: AtomicBool,
    /// There is no medium in the drive.
    empty: AtomicBool,
    /// How often the medium was changed.
    changes: AtomicU64,
    faults: Mutex<Vec<Fault>>,
    volumes: Mutex<Vec<Volume>>,
    queue: queue::Queue,
}

/// A device that can carry a volume.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// Partition number, or 0 for the whole disk.
    pub partition: u32,
    /// M of `\Device\HarddiskVolumeM`.
    pub number: u32,
    device: usize,
    /// The device that notices changes of the medium.
    notices: usize,
}

impl Volume {
    /// Its device object.
    pub fn device(&self) -> PDEVICE_OBJECT {
        self.device as PDEVICE_OBJECT
    }

    /// Its path in the name space.
    pub fn path(&self) -> String {
        format!("\\Device\\HarddiskVolume{}", self.number)
    }
}

impl Disk {
    /// The devices that can carry a volume: the partitions' by number, or the whole disk's.
    pub fn volumes(&self) -> Vec<Volume> {
        self.volumes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The whole disk's device, by path and object.
    pub fn whole(&self) -> (String, PDEVICE_OBJECT) {
        let path = format!("\\Device\\Harddisk{}\\DR0", self.number);
        let object = match crate::io::names::get(&crate::io::names::wide(&path)) {
            Some(crate::io::names::Node::Device(device)) => device as PDEVICE_OBJECT,
            _ => std::ptr::null_mut(),
        };
        (path, object)
    }

    /// Arms a fault.
    pub fn fail(&self, fault: Fault) {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fault);
    }

    /// Takes every armed fault back.
    pub fn heal(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// It has nothing to do, or does not do it.
    pub fn is_quiet(&self) -> bool {
        let hangs = self
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|fault| fault.kind == FaultKind::Hang);
        hangs || self.counts.under_way.load(Ordering::SeqCst) == 0
    }

    /// A disk that hung answers again: what it was asked meanwhile, and what comes.
    pub fn answer(self: &Arc<Self>) {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|fault| fault.kind != FaultKind::Hang);
        queue::serve_held(self);
    }

    /// The disk is pulled: requests under way and all later ones fail with STATUS_NO_SUCH_DEVICE.
    pub fn remove(self: &Arc<Self>) {
        self.removed.store(true, Ordering::SeqCst);
        self.queue.release_held();
    }

    /// Another medium is put into the drive, or none. What is mounted on it is to be verified (DO_VERIFY_VOLUME): until
    /// then reads fail with STATUS_VERIFY_REQUIRED, unless they say that they are to verify.
    pub fn change_medium(&self, image: Option<&Path>) -> Result<(), ImageError> {
        // The drive is empty for a moment in any case, and notices.
        self.empty.store(true, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.suspect();
        if let Some(image) = image {
            self.image.swap(image)?;
            self.empty.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    /// What is mounted on the disk, or about to be, is to be verified, as after a sleep during which somebody may have
    /// written to it.
    pub fn suspect(&self) {
        for volume in self.volumes() {
            // SAFETY: disks' devices are live while the machine is.
            unsafe { (*(volume.notices as PDEVICE_OBJECT)).Flags |= DO_VERIFY_VOLUME };
        }
    }

    /// Somebody has been asked to verify and has not answered yet.
    pub fn is_suspect(&self) -> bool {
        // SAFETY: as above.
        self.volumes()
            .iter()
            .any(|volume| unsafe { (*(volume.notices as PDEVICE_OBJECT)).Flags } & DO_VERIFY_VOLUME != 0)
    }

    /// It was pulled.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    /// How it behaves.
    pub fn config(&self) -> &DiskConfig {
        &self.config
    }
}
