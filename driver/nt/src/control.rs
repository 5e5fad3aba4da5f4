//! The driver's own control interface: what `userctl` asks the control device, in versioned records without pointers.
//!
//! Every request and answer begins with a [`Head`]: the version of the interface and the record's size. A side that
//! meets a larger version of a known record reads the members that it knows; the driver refuses a smaller size than
//! it needs (INFO_LENGTH_MISMATCH) and another major version (NOT_SUPPORTED). All codes are METHOD_BUFFERED.
//!
//! Codes whose access is FILE_ANY_ACCESS only read state and are allowed to everyone who may open the device for
//! status; those with FILE_WRITE_ACCESS need a handle that only administrators get.

use crate::{
    NtStatus,
    ioctl::{FILE_ANY_ACCESS, FILE_READ_ACCESS, FILE_WRITE_ACCESS, buffered_code},
    record::{Field, Record, record},
};

/// The control device's NT name.
pub const DEVICE_NAME: &str = "\\Device\\Lklfs";
/// Its name for Win32 programs is `\\.\Lklfs`, through this link.
pub const LINK_NAME: &str = "\\DosDevices\\Lklfs";
/// The control device's descriptor: SYSTEM and administrators only.
pub const DEVICE_SDDL: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)";

/// The version of this interface: the upper half changes when old programs can no longer talk to the driver.
pub const VERSION: u32 = 0x0001_0000;

/// A device type from the range that vendors may choose.
const DEVICE_TYPE: u32 = 0x9C4B;

/// Answers with a [`DriverStatus`].
pub const IOCTL_QUERY_STATUS: u32 = buffered_code(DEVICE_TYPE, 0x800, FILE_ANY_ACCESS);
/// Answers with a [`Head`] and as many [`VolumeStatus`] as fit (BUFFER_OVERFLOW when there are more).
pub const IOCTL_LIST_VOLUMES: u32 = buffered_code(DEVICE_TYPE, 0x801, FILE_ANY_ACCESS);
/// Takes a [`LogRequest`], answers with a [`LogReply`] and the text behind it.
pub const IOCTL_READ_LOG: u32 = buffered_code(DEVICE_TYPE, 0x802, FILE_READ_ACCESS);
/// Takes a [`MountRequest`] and an NT path in UTF-16 behind it: makes the image file there a disk and mounts it.
/// Answers with a [`MountReply`].
pub const IOCTL_MOUNT_IMAGE: u32 = buffered_code(DEVICE_TYPE, 0x803, FILE_WRITE_ACCESS);
/// Takes an [`UnmountRequest`]: unmounts an image, gives its letter back, and closes the file.
pub const IOCTL_UNMOUNT_IMAGE: u32 = buffered_code(DEVICE_TYPE, 0x804, FILE_WRITE_ACCESS);

/// [`MountRequest::partition`]: the whole image if a file system begins there, else the first partition with one.
pub const FIRST_PARTITION: u32 = u32::MAX;
/// [`UnmountRequest::flags`]: even while files are open.
pub const UNMOUNT_FORCE: u32 = 1;

record! {
    /// What every record begins with.
    Head = "LKLFS_HEAD" {
        /// [`VERSION`] of the sender.
        version: u32 = "Version",
        /// Bytes of the whole record.
        size: u32 = "Size",
    }

    /// How the driver is doing.
    DriverStatus = "LKLFS_DRIVER_STATUS" {
        head: Head = "Head",
        /// The driver's version: major << 32 | minor << 16 | patch.
        driver_version: u64 = "DriverVersion",
        /// 1 while Linux runs, 0 before its boot and after its end.
        linux_running: u32 = "LinuxRunning",
        /// How often Linux has panicked since the driver was loaded.
        linux_panics: u32 = "LinuxPanics",
        /// Bytes of the pool that Linux manages.
        pool_size: u64 = "PoolSize",
        /// Nanoseconds that the last boot of Linux took.
        boot_time: u64 = "BootTime",
        /// Mounted volumes.
        volumes: u32 = "Volumes",
        /// Write requests that were refused.
        refused_writes: u32 = "RefusedWrites",
        /// Linux's release, UTF-8, zero-padded.
        linux_release: [u8; 64] = "LinuxRelease",
    }

    /// One mounted volume.
    VolumeStatus = "LKLFS_VOLUME_STATUS" {
        head: Head = "Head",
        /// The volume's number, for requests; never given twice.
        id: u64 = "Id",
        /// Bytes in all.
        size: u64 = "TotalBytes",
        /// Bytes free.
        free: u64 = "FreeBytes",
        /// Bytes read from the disk below.
        bytes_read: u64 = "BytesRead",
        /// Read requests to the disk below.
        reads: u64 = "Reads",
        /// Open handles.
        handles: u32 = "Handles",
        /// [`volume_flags`].
        flags: u32 = "Flags",
        /// The image that it is on, or 0 for a disk.
        image: u32 = "Image",
        /// The letter that its image got, or 0: the letters of disks are the mount manager's to tell.
        letter: u32 = "Letter",
        /// UUID in the order in which it is printed.
        uuid: [u8; 16] = "Uuid",
        /// Linux's name of the file system, UTF-8, zero-padded.
        fs_name: [u8; 32] = "FsName",
    }

    /// Asks for an image to be mounted. The path follows at [`Record::NAME_OFFSET`].
    MountRequest = "LKLFS_MOUNT_REQUEST" {
        head: Head = "Head",
        /// The partition's number, 0 for the whole image, or [`FIRST_PARTITION`].
        partition: u32 = "Partition",
        /// The letter that is wanted, `A` to `Z`, or 0 for any.
        letter: u32 = "Letter",
        reserved: u32 = "Reserved",
        /// Bytes of the path.
        path_length: u32 = "PathLength",
    }

    /// What became of it.
    MountReply = "LKLFS_MOUNT_REPLY" {
        head: Head = "Head",
        /// The image's number, for [`UnmountRequest`].
        image: u32 = "Image",
        /// The letter that it got, or 0.
        letter: u32 = "Letter",
    }

    /// Asks for an image to be unmounted.
    UnmountRequest = "LKLFS_UNMOUNT_REQUEST" {
        head: Head = "Head",
        /// [`MountReply::image`] or [`VolumeStatus::image`].
        image: u32 = "Image",
        /// [`UNMOUNT_FORCE`] or 0.
        flags: u32 = "UnmountFlags",
    }

    /// Asks for console text.
    LogRequest = "LKLFS_LOG_REQUEST" {
        head: Head = "Head",
        /// Where to go on: [`LogReply::next`] of the reply before, or 0.
        position: u64 = "Position",
    }

    /// Precedes console text.
    LogReply = "LKLFS_LOG_REPLY" {
        head: Head = "Head",
        /// Where the next request goes on.
        next: u64 = "Next",
        /// Bytes that were overwritten before they could be read.
        lost: u64 = "Lost",
        /// Bytes of text that follow.
        text_length: u32 = "TextLength",
        reserved: u32 = "Reserved",
    }
}

/// Bits of [`VolumeStatus::flags`].
pub mod volume_flags {
    /// The volume is dismounted; handles are still open.
    pub const DISMOUNTED: u32 = 0x1;
    /// The device is gone.
    pub const REMOVED: u32 = 0x2;
    /// The volume was dirty and its journal was replayed in memory.
    pub const REPLAYED: u32 = 0x4;
    /// The volume was dirty and is shown without a replay: newer changes may be missing.
    pub const STALE: u32 = 0x8;
}

impl Head {
    /// The head of a record of type `R`.
    pub fn of<R: Record>() -> Self {
        Self {
            version: VERSION,
            size: u32::try_from(R::SIZE).unwrap_or(u32::MAX),
        }
    }
}

/// Reads a request of type `R` from the input buffer.
///
/// # Errors
///
/// INFO_LENGTH_MISMATCH when the buffer, or the size that its head tells, is too small; NOT_SUPPORTED for another
/// major version.
pub fn request<R: Record>(input: &[u8]) -> Result<R, NtStatus> {
    let head = Head::get(input).ok_or(NtStatus::INFO_LENGTH_MISMATCH)?;
    if head.version >> 16 != VERSION >> 16 {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    let told = usize::try_from(head.size).unwrap_or(usize::MAX);
    if told < R::SIZE || told > input.len() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH);
    }
    R::get(input).ok_or(NtStatus::INFO_LENGTH_MISMATCH)
}

/// The path behind a [`MountRequest`], in UTF-16 units.
///
/// # Errors
///
/// INFO_LENGTH_MISMATCH when it is not all there, or not of whole units.
pub fn path_of<'a>(
    input: &'a [u8],
    request: &MountRequest,
) -> Result<impl Iterator<Item = u16> + use<'a>, NtStatus> {
    let length = usize::try_from(request.path_length).map_err(|_| NtStatus::INFO_LENGTH_MISMATCH)?;
    let path = input
        .get(MountRequest::NAME_OFFSET..)
        .and_then(|rest| rest.get(..length))
        .filter(|path| path.len().is_multiple_of(2))
        .ok_or(NtStatus::INFO_LENGTH_MISMATCH)?;
    Ok(path.chunks_exact(2).filter_map(u16::get))
}

/// A text as a zero-padded field; cut at a character's end when it is longer than the field.
pub fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    let mut length = text.len().min(N);
    while !text.is_char_boundary(length) {
        length = length.saturating_sub(1);
    }
    if let (Some(place), Some(bytes)) = (field.get_mut(..length), text.as_bytes().get(..length)) {
        place.copy_from_slice(bytes);
    }
    field
}

/// The text of a zero-padded field.
pub fn unpadded(field: &[u8]) -> &str {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    core::str::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::fixed;

    #[test]
    fn requests_of_another_shape_are_refused() {
        let good = UnmountRequest {
            head: Head::of::<UnmountRequest>(),
            image: 7,
            flags: 0,
        };
        let mut bytes = [0; 16];
        assert_eq!(fixed(&mut bytes, &good), (NtStatus::SUCCESS, 16));
        assert_eq!(request::<UnmountRequest>(&bytes), Ok(good));
        assert_eq!(
            request::<UnmountRequest>(&bytes[..15]),
            Err(NtStatus::INFO_LENGTH_MISMATCH)
        );
        let mut other = bytes;
        other[2] = 2;
        assert_eq!(request::<UnmountRequest>(&other), Err(NtStatus::NOT_SUPPORTED));
        let mut short = bytes;
        short[4] = 8;
        assert_eq!(
            request::<UnmountRequest>(&short),
            Err(NtStatus::INFO_LENGTH_MISMATCH)
        );
        let mut newer = [0; 24];
        newer[..16].copy_from_slice(&bytes);
        newer[4] = 24;
        assert_eq!(
            request::<UnmountRequest>(&newer).map(|request| request.image),
            Ok(7)
        );
    }

    #[test]
    fn a_path_is_all_there_or_refused() {
        let head = Head::of::<MountRequest>();
        let mut request = MountRequest {
            head,
            partition: FIRST_PARTITION,
            letter: 0,
            reserved: 0,
            path_length: 4,
        };
        let mut bytes = [0u8; 28];
        request.put(&mut bytes);
        bytes[24..].copy_from_slice(&[0x61, 0, 0x62, 0]);
        let units: Result<alloc::vec::Vec<u16>, _> = path_of(&bytes, &request).map(Iterator::collect);
        assert_eq!(units, Ok(alloc::vec![0x61, 0x62]));
        for wrong in [3, 5, 6, u32::MAX] {
            request.path_length = wrong;
            assert_eq!(
                path_of(&bytes, &request).err(),
                Some(NtStatus::INFO_LENGTH_MISMATCH)
            );
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(unpadded(&padded::<4>("aéé")), "aé");
        assert_eq!(unpadded(&padded::<8>("ext4")), "ext4");
    }
}
