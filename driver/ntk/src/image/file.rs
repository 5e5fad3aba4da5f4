//! From the path of an image file to what is mounted of it: the file is opened with all that it needs, its format and its
//! partition table are told in safe code, and one window of it is chosen by the signature of a file system.

use crate::image::backing_file::BackingFile;
use crate::image::disk::{IDENTITY, OpenImage, Window};
use crate::log;
use alloc::vec::Vec;
use disk_images::Error;
use disk_partitions::Unchosen;
use lkl::probe;
use lklfs_control::Format;
use lklfs_kernel::text::copy;
use lklfs_nt::NtStatus;

/// Opens an image with all files that it needs.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn open(path: &[u16], format: Option<Format>) -> Result<OpenImage, NtStatus> {
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
    let opened = match format {
        Some(format) => disk_images::open_as(file, declared(format), &mut resolve),
        None => disk_images::open(file, &mut resolve),
    };
    let image = opened.map_err(|error| {
        log::line(format_args!("the image {error}"));
        match error {
            Error::NoMemory => NtStatus::INSUFFICIENT_RESOURCES,
            Error::Read { .. } => NtStatus::IO_DEVICE_ERROR,
            Error::Unresolved { .. } => NtStatus::OBJECT_NAME_NOT_FOUND,
            Error::Foreign { .. } | Error::Unsupported { .. } | Error::UnknownFeature { .. } => {
                NtStatus::NOT_SUPPORTED
            }
            _ => NtStatus::DISK_CORRUPT_ERROR,
        }
    })?;
    OpenImage::new(image).ok_or(NtStatus::INSUFFICIENT_RESOURCES)
}

/// A format as the library of formats knows it.
fn declared(format: Format) -> disk_images::Declared {
    match format {
        Format::Raw => disk_images::Declared::Raw,
        Format::Vhd => disk_images::Declared::Vhd,
        Format::Vhdx => disk_images::Declared::Vhdx,
        Format::Qcow2 => disk_images::Declared::Qcow2,
    }
}

/// The window that is to be mounted, and what is there ([`disk_partitions::choose`]). UNRECOGNIZED_VOLUME when nothing is
/// known there, unless the file system is `named`; NO_SUCH_DEVICE when there is no such partition.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn choose(
    image: OpenImage,
    partition: Option<u32>,
    named: bool,
) -> Result<(OpenImage, Window, Option<probe::Superblock>), NtStatus> {
    let sector = u64::from(image.sector());
    let whole_sectors = |bytes: u64| bytes.saturating_sub(bytes.checked_rem(sector).unwrap_or(0));
    let bytes = whole_sectors(image.bytes());
    let part = disk_partitions::choose(&image, bytes, image.sector(), partition, named);
    let part = part.map_err(|why| match why {
        Unchosen::NoSuchPartition => NtStatus::NO_SUCH_DEVICE,
        Unchosen::NothingReadable => NtStatus::UNRECOGNIZED_VOLUME,
        Unchosen::NoMemory => NtStatus::INSUFFICIENT_RESOURCES,
    })?;
    if part.superblock.is_none() && !named {
        return Err(NtStatus::UNRECOGNIZED_VOLUME);
    }
    if part.missing_bytes != 0 {
        log::line(format_args!(
            "the image ends {} bytes before its volume does",
            part.missing_bytes
        ));
    }
    let window = Window {
        start: part.offset,
        bytes: whole_sectors(part.size_bytes),
        partition: part.number,
    };
    Ok((image, window, part.superblock))
}

/// What tells the volume from others, the same whenever it is mounted: its UUID, or what else it has.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn identity(superblock: Option<&probe::Superblock>, window: Window) -> Result<Vec<u8>, NtStatus> {
    let mut identity = Vec::new();
    identity
        .try_reserve_exact(IDENTITY)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    identity.extend_from_slice(b"lklfs:");
    match superblock.and_then(|superblock| superblock.uuid.as_ref()) {
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
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn mark(path: &[u16], window: Window) -> u64 {
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
