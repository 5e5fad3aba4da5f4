//! What was mounted on request: image files, which become disks, and disks that are there already; with the letter of
//! each.
//!
//! The way of an image: the file is opened in the thread of whoever asks; its format, its partition table and the
//! signature of the file system are told in safe code; a disk device is made for the chosen window
//! ([`crate::imagedisk`]); opening that device makes the I/O manager offer it to every file system, so that an image of
//! a Windows file system is mounted by Windows' own. A device goes the second half of that way. Whatever fails, all
//! before is taken back.
//
// UNSAFETY: file objects of handles, the controls that lock and dismount a volume.

use crate::backing::BackingFile;
use crate::entry::Driver;
use crate::imagedisk::{IDENTITY, ImageDisk, OpenImage, Part, Window};
use crate::letters::{self, Assigned, Opened};
use crate::nt::{
    self, FILE_OBJECT, FILE_READ_ATTRIBUTES, FILE_READ_DATA, IO_STATUS_BLOCK, ObReferenceObjectByHandle,
    ObfDereferenceObject, PVPB, ZwFsControlFile,
};
use crate::sync::Guarded;
use crate::volume;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::null_mut;
use disk_images::Error;
use lkl::probe;
use lklfs_nt::{ControlCode, NtStatus};

/// Something that was mounted on request.
struct Entry {
    /// The volume's number.
    volume: u64,
    /// The name of the device that it is on.
    device: Vec<u16>,
    /// The image, if it is one, and its path.
    image: Option<(Arc<ImageDisk>, Vec<u16>)>,
    letter: Option<Assigned>,
}

/// All of them.
pub struct Mounts {
    list: Guarded<Vec<Entry>>,
}

/// What is to be mounted.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A disk device, by its NT name.
    Device(&'a [u16]),
    /// An image file, by its NT path: this partition (0 for the whole), or the first with a file system.
    Image(&'a [u16], Option<u32>),
}

/// Which letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    No,
    /// The one that the mount manager remembers, or the next that is free.
    Any,
    /// This one, `b'A'` to `b'Z'`.
    This(u8),
}

/// What became of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The volume's number.
    pub volume: u64,
    /// `b'A'` to `b'Z'`; 0 when it has none.
    pub letter: u8,
}

/// What is known of a volume that was mounted on request.
#[derive(Debug)]
pub struct Known {
    /// Its letter, or 0.
    pub letter: u8,
    /// The NT name of its device, or of its image file.
    pub source: Vec<u16>,
    /// It is an image.
    pub is_image: bool,
}

impl Mounts {
    /// None yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Mounts {
            list: Guarded::new(Vec::new())?,
        })
    }

    /// Mounts `source` and gives it a letter.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn mount(&self, driver: &Driver, source: Source<'_>, wanted: Wanted) -> Result<Mounted, NtStatus> {
        self.list
            .lock()
            .try_reserve(1)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        let (device, image) = match source {
            Source::Device(name) => (copy(name)?, None),
            Source::Image(path, partition) => {
                let kept = copy(path)?;
                let (image, window, identity) = choose(open(path)?, partition)?;
                let disk = ImageDisk::create(driver, image, window, identity, mark(path, window))?;
                (copy(disk.name())?, Some((disk, kept)))
            }
        };
        let entry = match mount_and_assign(driver, &device, wanted) {
            Ok((volume, letter)) => Entry {
                volume,
                device,
                image,
                letter,
            },
            Err(status) => {
                if let Some((disk, _)) = image {
                    disk.fail();
                    let _ = dismount(&device, true);
                    letters::release(&device, None);
                    disk.remove();
                }
                return Err(status);
            }
        };
        let mounted = Mounted {
            volume: entry.volume,
            letter: entry.letter.map_or(0, |assigned| assigned.letter),
        };
        let mut list = self.list.lock();
        // Somebody may have taken the room meanwhile.
        if list.try_reserve(1).is_err() {
            drop(list);
            let _ = take_away(&entry, true);
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        list.push(entry);
        Ok(mounted)
    }

    /// Unmounts a volume, or all for `None`. Without `force`, ACCESS_DENIED when files on it are open.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn unmount(&self, volume: Option<u64>, force: bool) -> Result<(), NtStatus> {
        let mut result = Ok(());
        let mut kept = Vec::new();
        loop {
            // Taken out meanwhile, so that nobody else unmounts it too.
            let next = {
                let mut list = self.list.lock();
                let found = match volume {
                    Some(number) => list.iter().position(|entry| entry.volume == number),
                    None => list.len().checked_sub(1),
                };
                match found {
                    Some(at) => list.swap_remove(at),
                    None if volume.is_some() && kept.is_empty() => {
                        return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
                    }
                    None => break,
                }
            };
            if let Err(status) = take_away(&next, force) {
                result = Err(status);
                if kept.try_reserve(1).is_ok() {
                    kept.push(next);
                } else {
                    let _ = take_away(&next, true);
                }
            }
            if volume.is_some() {
                break;
            }
        }
        let mut list = self.list.lock();
        for entry in kept {
            if list.try_reserve(1).is_ok() {
                list.push(entry);
            }
        }
        result
    }

    /// Takes every image away, whatever is open on it: the driver is unloaded.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn clear(&self) {
        loop {
            let next = self.list.lock().pop();
            let Some(entry) = next else { break };
            letters::release(&entry.device, entry.letter);
            if let Some((disk, _)) = entry.image {
                disk.remove();
            }
        }
    }

    /// What is known of the volume with this number.
    pub fn known(&self, volume: u64) -> Option<Known> {
        let list = self.list.lock();
        let entry = list.iter().find(|entry| entry.volume == volume)?;
        let source = match &entry.image {
            Some((_, path)) => path,
            None => &entry.device,
        };
        Some(Known {
            letter: entry.letter.map_or(0, |assigned| assigned.letter),
            source: copy(source).ok()?,
            is_image: entry.image.is_some(),
        })
    }
}

/// Dismounts, gives the letter back, and removes the disk of an image. With `force` an image fails first, so that nobody
/// waits for a file system below it that hangs.
fn take_away(entry: &Entry, force: bool) -> Result<(), NtStatus> {
    if force && let Some((disk, _)) = &entry.image {
        disk.fail();
    }
    dismount(&entry.device, force)?;
    letters::release(&entry.device, entry.letter);
    if let Some((disk, _)) = &entry.image {
        disk.remove();
    }
    Ok(())
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
fn choose(image: OpenImage, partition: Option<u32>) -> Result<(OpenImage, Window, Vec<u8>), NtStatus> {
    let sector = u64::from(image.sector());
    let whole = Window {
        start: 0,
        bytes: image
            .bytes()
            .saturating_sub(image.bytes().checked_rem(sector).unwrap_or(0)),
        partition: 0,
    };
    let table = disk_partitions::find(&image, whole.bytes, image.sector());
    let partitions = table.map(|table| table.partitions).unwrap_or_default();
    let mut windows = partitions.iter().map(|partition| Window {
        start: partition.offset,
        bytes: partition.size_bytes,
        partition: partition.index,
    });
    let look = |window: Window| probe::probe(&Part(&image, window)).map(|found| (window, found));
    let found = match partition {
        None if partitions.is_empty() => look(whole),
        None => windows.find_map(look),
        Some(0) => look(whole),
        Some(number) => {
            let window = windows.find(|window| window.partition == number);
            look(window.ok_or(NtStatus::NO_SUCH_DEVICE)?)
        }
    };
    let (window, superblock) = found.ok_or(NtStatus::UNRECOGNIZED_VOLUME)?;
    let identity = identity(&superblock, window)?;
    Ok((image, window, identity))
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

/// What tells a copy of a volume from the other: its image's path, in any case, and where in the image it is (FNV-1a).
fn mark(path: &[u16], window: Window) -> u64 {
    let bytes = path.iter().flat_map(|unit| {
        let folded = u8::try_from(*unit).map_or(*unit, |byte| u16::from(byte.to_ascii_lowercase()));
        folded.to_le_bytes()
    });
    bytes
        .chain(window.start.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// Has the I/O manager mount what is on the device, and gives it a letter. The number is that of our volume, or a new one
/// for what another file system has mounted.
fn mount_and_assign(
    driver: &Driver,
    device: &[u16],
    wanted: Wanted,
) -> Result<(u64, Option<Assigned>), NtStatus> {
    let opened = Opened::open(device, FILE_READ_DATA | FILE_READ_ATTRIBUTES)?;
    let vpb = vpb_of(&opened)?;
    drop(opened);
    let volumes = driver.volumes.all()?;
    let ours = volumes.iter().find(|volume| volume.vpb() == vpb);
    let number = ours.map_or_else(volume::next_id, |volume| volume.id);
    let letter = match wanted {
        Wanted::No => None,
        Wanted::Any => letters::assign(device, None)?,
        Wanted::This(letter) => letters::assign(device, Some(letter))?,
    };
    Ok((number, letter))
}

/// The VPB of an open volume. UNRECOGNIZED_VOLUME when nothing is mounted there.
fn vpb_of(opened: &Opened) -> Result<PVPB, NtStatus> {
    let mut object = null_mut();
    // SAFETY: the handle is open; a null type means "whatever it is", and a handle of ZwOpenFile's is a file's.
    let status = unsafe {
        ObReferenceObjectByHandle(
            opened.handle(),
            0,
            null_mut(),
            nt::KERNEL_MODE,
            &mut object,
            null_mut(),
        )
    };
    if status < 0 {
        return Err(nt::status(status));
    }
    // SAFETY: referenced just now.
    let vpb = unsafe { (*object.cast::<FILE_OBJECT>()).Vpb };
    // SAFETY: as above; only the address of the VPB is used from here on.
    let _ = unsafe { ObfDereferenceObject(object) };
    if vpb.is_null() {
        Err(NtStatus::UNRECOGNIZED_VOLUME)
    } else {
        Ok(vpb)
    }
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

/// Locks and dismounts what is mounted on the device. With `force` it is dismounted although files are open, which fail
/// from then on; and without waiting for what is under way.
fn dismount(device: &[u16], force: bool) -> Result<(), NtStatus> {
    let volume = match Opened::open(device, FILE_READ_DATA) {
        Ok(volume) => volume,
        // Nothing is mounted, or nobody knows what is there any more.
        Err(_) if force => return Ok(()),
        Err(status) => return Err(status),
    };
    if !force {
        control(&volume, ControlCode::FSCTL_LOCK_VOLUME)?;
    }
    control(&volume, ControlCode::FSCTL_DISMOUNT_VOLUME)
}
