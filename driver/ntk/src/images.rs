//! The image files that are disks: opened at a path, one volume of each mounted, a letter given, and taken away again.
//!
//! The way of a mount: the file is opened in the thread of whoever asks; its format, its partition table and the
//! signature of the file system are told in safe code; a disk device is made for the chosen window
//! ([`crate::imagedisk`]); opening that device makes the I/O manager offer it to every file system, so that an image of
//! a Windows file system is mounted by Windows' own. Whatever fails, all before is taken back.
//
// UNSAFETY: the controls that lock and dismount a volume.

use crate::backing::BackingFile;
use crate::entry::Driver;
use crate::imagedisk::{IDENTITY, ImageDisk, OpenImage, Part, Window};
use crate::letters::{self, Assigned, Opened};
use crate::name::Name;
use crate::nt::{
    self, FILE_READ_ATTRIBUTES, FILE_READ_DATA, IO_STATUS_BLOCK, PDEVICE_OBJECT, ZwFsControlFile,
};
use crate::sync::Guarded;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::null_mut;
use disk_images::Error;
use lkl::probe;
use lklfs_nt::{ControlCode, NtStatus};

/// An image that is mounted.
struct Mounted {
    disk: Arc<ImageDisk>,
    letter: Option<Assigned>,
}

/// All of them.
pub struct Images {
    list: Guarded<Vec<Mounted>>,
}

/// What became of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The image's number, for [`Images::unmount`].
    pub number: u32,
    /// `b'A'` to `b'Z'`; 0 when no letter is free.
    pub letter: u8,
}

/// The partition that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The whole image if a file system begins there, else the first partition with one.
    First,
    /// The partition of this number.
    Number(u32),
}

impl Images {
    /// None yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Images {
            list: Guarded::new(Vec::new())?,
        })
    }

    /// Mounts the image at an NT path, with the letter `wanted` or any.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn mount(
        &self,
        driver: &Driver,
        path: &[u16],
        choice: Choice,
        wanted: Option<u8>,
    ) -> Result<Outcome, NtStatus> {
        let image = open(path)?;
        let (window, identity) = choose(&image, choice)?;
        let link = match wanted {
            Some(letter) => copy(Name::letter(letter).units())?,
            None => Vec::new(),
        };
        {
            let mut list = self.list.lock();
            list.try_reserve(1)
                .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        }
        let disk = ImageDisk::create(driver.object(), image, window, identity, link)?;
        let letter = match mount_and_assign(&disk, wanted) {
            Ok(letter) => letter,
            Err(status) => {
                let _ = dismount(&disk, true);
                letters::release(disk.name(), None);
                disk.remove();
                return Err(status);
            }
        };
        let outcome = Outcome {
            number: disk.number,
            letter: letter.map_or(0, |assigned| assigned.letter),
        };
        self.list.lock().push(Mounted { disk, letter });
        Ok(outcome)
    }

    /// Unmounts the image with this number. Without `force`, ACCESS_DENIED when files on it are open.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn unmount(&self, number: u32, force: bool) -> Result<(), NtStatus> {
        let (disk, letter) = {
            let list = self.list.lock();
            let found = list.iter().find(|mounted| mounted.disk.number == number);
            found
                .map(|mounted| (Arc::clone(&mounted.disk), mounted.letter))
                .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?
        };
        dismount(&disk, force)?;
        letters::release(disk.name(), letter);
        disk.remove();
        self.list.lock().retain(|mounted| mounted.disk.number != number);
        Ok(())
    }

    /// Takes every image away, whatever is open on it: the driver is unloaded.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn clear(&self) {
        loop {
            let next = self.list.lock().pop();
            let Some(Mounted { disk, letter }) = next else {
                break;
            };
            letters::release(disk.name(), letter);
            disk.remove();
        }
    }

    /// The image whose device this is: its number, and its letter or 0.
    pub fn on(&self, device: PDEVICE_OBJECT) -> Option<(u32, u8)> {
        let list = self.list.lock();
        let found = list.iter().find(|mounted| mounted.disk.device() == device)?;
        Some((
            found.disk.number,
            found.letter.map_or(0, |assigned| assigned.letter),
        ))
    }
}

fn copy<T: Copy>(from: &[T]) -> Result<Vec<T>, NtStatus> {
    let mut to = Vec::new();
    to.try_reserve_exact(from.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    to.extend_from_slice(from);
    Ok(to)
}

/// Opens an image with all files that it needs.
fn open(path: &[u16]) -> Result<OpenImage, NtStatus> {
    let file = BackingFile::open(path)?;
    let mut paths = Vec::new();
    paths
        .try_reserve(1)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    paths.push(copy(file.path())?);
    let mut resolve = |reference: &disk_images::Reference| {
        let beside = paths.get(reference.file).ok_or(disk_images::Unresolved)?;
        let file = BackingFile::resolve(beside, reference)?;
        paths.try_reserve(1).map_err(|_| disk_images::Unresolved)?;
        let path = copy(file.path()).map_err(|_| disk_images::Unresolved)?;
        paths.push(path);
        Ok(file)
    };
    let image = disk_images::open(file, &mut resolve).map_err(|error| {
        nt::debug_line(format_args!("lklfs: the image {error}"));
        match error {
            Error::NoMemory => NtStatus::INSUFFICIENT_RESOURCES,
            Error::Read { .. } => NtStatus::IO_DEVICE_ERROR,
            Error::Unresolved { .. } => NtStatus::OBJECT_NAME_NOT_FOUND,
            Error::Unsupported { .. } | Error::UnknownFeature { .. } => NtStatus::NOT_SUPPORTED,
            _ => NtStatus::DISK_CORRUPT_ERROR,
        }
    })?;
    OpenImage::new(image).ok_or(NtStatus::INSUFFICIENT_RESOURCES)
}

/// The window that is to be mounted, and the identity of what is there. UNRECOGNIZED_VOLUME when nothing is known
/// there, NO_SUCH_DEVICE when there is no such partition.
fn choose(image: &OpenImage, choice: Choice) -> Result<(Window, Vec<u8>), NtStatus> {
    let sector = u64::from(image.sector());
    let whole = Window {
        start: 0,
        bytes: image
            .bytes()
            .saturating_sub(image.bytes().checked_rem(sector).unwrap_or(0)),
        partition: 0,
    };
    let table = disk_partitions::find(image, whole.bytes, image.sector());
    let partitions = table.map(|table| table.partitions).unwrap_or_default();
    let windows = partitions.iter().map(|partition| Window {
        start: partition.offset,
        bytes: partition.size_bytes,
        partition: partition.index,
    });
    let look = |window: Window| probe::probe(&Part(image, window)).map(|found| (window, found));
    let found = match choice {
        Choice::First if partitions.is_empty() => look(whole),
        Choice::First => windows.into_iter().find_map(look),
        Choice::Number(0) => look(whole),
        Choice::Number(number) => {
            let window = windows
                .into_iter()
                .find(|window| window.partition == number)
                .ok_or(NtStatus::NO_SUCH_DEVICE)?;
            look(window)
        }
    };
    let (window, superblock) = found.ok_or(NtStatus::UNRECOGNIZED_VOLUME)?;
    Ok((window, identity(&superblock, window)?))
}

/// What tells the volume from others, the same whenever it is mounted: its UUID, or what else it has.
fn identity(superblock: &probe::Superblock, window: Window) -> Result<Vec<u8>, NtStatus> {
    let mut identity = Vec::new();
    identity
        .try_reserve_exact(IDENTITY)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    identity.extend_from_slice(b"lklfs:");
    match &superblock.uuid {
        Some(probe::Uuid::Full(bytes) | probe::Uuid::Date(bytes)) => identity.extend_from_slice(bytes),
        Some(probe::Uuid::Serial64(serial)) => identity.extend_from_slice(&serial.to_le_bytes()),
        Some(probe::Uuid::Serial32(serial)) => identity.extend_from_slice(&serial.to_le_bytes()),
        Some(_) | None => {
            identity.extend_from_slice(&window.bytes.to_le_bytes());
            identity.extend_from_slice(&window.start.to_le_bytes());
        }
    }
    Ok(identity)
}

/// Has the I/O manager mount what is on the disk, and gives it a letter.
fn mount_and_assign(disk: &Arc<ImageDisk>, wanted: Option<u8>) -> Result<Option<Assigned>, NtStatus> {
    drop(Opened::open(
        Name::of(disk.name()),
        FILE_READ_DATA | FILE_READ_ATTRIBUTES,
    )?);
    letters::assign(disk.name(), wanted)
}

fn control(volume: &Opened, code: ControlCode) -> Result<(), NtStatus> {
    let mut block = IO_STATUS_BLOCK::default();
    // SAFETY: the handle is open; there are no buffers.
    let status = unsafe {
        ZwFsControlFile(
            volume.handle(),
            null_mut(),
            None,
            null_mut(),
            &mut block,
            code.0,
            null_mut(),
            0,
            null_mut(),
            0,
        )
    };
    if status < 0 {
        Err(nt::status(status))
    } else {
        Ok(())
    }
}

/// Locks and dismounts what is mounted on the disk. With `force` it is dismounted although files are open: they fail
/// from then on.
fn dismount(disk: &ImageDisk, force: bool) -> Result<(), NtStatus> {
    let volume = match Opened::open(Name::of(disk.name()), FILE_READ_DATA) {
        Ok(volume) => volume,
        // Nothing is mounted, or nobody knows what is there any more.
        Err(_) if force => return Ok(()),
        Err(status) => return Err(status),
    };
    let locked = control(&volume, ControlCode::FSCTL_LOCK_VOLUME);
    if !force {
        locked?;
    }
    control(&volume, ControlCode::FSCTL_DISMOUNT_VOLUME)
}
