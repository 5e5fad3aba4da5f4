//! What a disk and a volume are asked by control codes (`IOCTL_DISK_*`, `IOCTL_STORAGE_*`, `IOCTL_MOUNTDEV_*`), and what
//! the mount manager is asked (`IOCTL_MOUNTMGR_*`): the codes and their records. All are METHOD_BUFFERED.

use crate::record::record;

/// `DISK_GEOMETRY`.
pub const IOCTL_DISK_GET_DRIVE_GEOMETRY: u32 = 0x0007_0000;
/// `DISK_GEOMETRY_EX`.
pub const IOCTL_DISK_GET_DRIVE_GEOMETRY_EX: u32 = 0x0007_00A0;
/// Fails when the disk cannot be written.
pub const IOCTL_DISK_IS_WRITABLE: u32 = 0x0007_0024;
/// `PARTITION_INFORMATION`.
pub const IOCTL_DISK_GET_PARTITION_INFO: u32 = 0x0007_4004;
/// `GET_LENGTH_INFORMATION`.
pub const IOCTL_DISK_GET_LENGTH_INFO: u32 = 0x0007_405C;
/// Is the medium still there?
pub const IOCTL_DISK_CHECK_VERIFY: u32 = 0x0007_4800;
/// The same for every kind of storage.
pub const IOCTL_STORAGE_CHECK_VERIFY: u32 = 0x002D_4800;
/// The same, without asking the device.
pub const IOCTL_STORAGE_CHECK_VERIFY2: u32 = 0x002D_0800;
/// `STORAGE_HOTPLUG_INFO`.
pub const IOCTL_STORAGE_GET_HOTPLUG_INFO: u32 = 0x002D_0C14;
/// `STORAGE_DEVICE_NUMBER`.
pub const IOCTL_STORAGE_GET_DEVICE_NUMBER: u32 = 0x002D_1080;
/// `PARTITION_INFORMATION_EX`.
pub const IOCTL_DISK_GET_PARTITION_INFO_EX: u32 = 0x0007_0048;
/// `DRIVE_LAYOUT_INFORMATION_EX`: [`DriveLayout`] and the partitions.
pub const IOCTL_DISK_GET_DRIVE_LAYOUT_EX: u32 = 0x0007_0050;
/// The volume's identity, which never changes: `MOUNTDEV_UNIQUE_ID`.
pub const IOCTL_MOUNTDEV_QUERY_UNIQUE_ID: u32 = 0x004D_0000;
/// The device's name: `MOUNTDEV_NAME`.
pub const IOCTL_MOUNTDEV_QUERY_DEVICE_NAME: u32 = 0x004D_0008;
/// The letter that the volume would like: `MOUNTDEV_SUGGESTED_LINK_NAME`.
pub const IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME: u32 = 0x004D_000C;
/// The mount manager made a link to the volume: `MOUNTDEV_NAME`.
pub const IOCTL_MOUNTDEV_LINK_CREATED: u32 = 0x004D_0010;
/// The mount manager took a link away: `MOUNTDEV_NAME`.
pub const IOCTL_MOUNTDEV_LINK_DELETED: u32 = 0x004D_0014;
/// Is the volume online? Nothing to answer.
pub const IOCTL_VOLUME_ONLINE: u32 = 0x0056_C008;
/// `VOLUME_GET_GPT_ATTRIBUTES_INFORMATION`.
pub const IOCTL_VOLUME_GET_GPT_ATTRIBUTES: u32 = 0x0056_0038;

/// The mount manager's device.
pub const MOUNT_MANAGER: &str = "\\Device\\MountPointManager";
/// Makes a link: [`CreatePoint`] and the two names.
pub const IOCTL_MOUNTMGR_CREATE_POINT: u32 = 0x006D_C000;
/// Takes links away: [`MountPoint`] and the names that select them.
pub const IOCTL_MOUNTMGR_DELETE_POINTS: u32 = 0x006D_C004;
/// Lists links: [`MountPoint`] selects them, `MOUNTMGR_MOUNT_POINTS` answers.
pub const IOCTL_MOUNTMGR_QUERY_POINTS: u32 = 0x006D_0008;
/// Gives a volume a letter: a counted name; [`DriveLetter`] answers.
pub const IOCTL_MOUNTMGR_NEXT_DRIVE_LETTER: u32 = 0x006D_C010;
/// A volume has arrived: a counted name.
pub const IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION: u32 = 0x006D_402C;

/// `PARTITION_STYLE_RAW`: there is no table.
pub const PARTITION_STYLE_RAW: u32 = 2;
/// `FixedMedia` of MEDIA_TYPE.
pub const FIXED_MEDIA: u32 = 12;
/// `PARTITION_IFS`... of a partition that is a Linux one: what PARTITION_INFORMATION says of an image.
pub const PARTITION_LINUX: u8 = 0x83;

record! {
    /// Size by cylinders, heads and sectors, of which only the product and the sector size mean anything.
    DiskGeometry = "DISK_GEOMETRY" {
        cylinders: u64 = "Cylinders",
        media_type: u32 = "MediaType",
        tracks_per_cylinder: u32 = "TracksPerCylinder",
        sectors_per_track: u32 = "SectorsPerTrack",
        bytes_per_sector: u32 = "BytesPerSector",
    }

    /// A partition of an MBR disk.
    PartitionInformation = "PARTITION_INFORMATION" {
        starting_offset: u64 = "StartingOffset",
        partition_length: u64 = "PartitionLength",
        hidden_sectors: u32 = "HiddenSectors",
        partition_number: u32 = "PartitionNumber",
        partition_type: u8 = "PartitionType",
        boot_indicator: bool = "BootIndicator",
        recognized_partition: bool = "RecognizedPartition",
        rewrite_partition: bool = "RewritePartition",
    }

    /// Bytes of the disk.
    LengthInformation = "GET_LENGTH_INFORMATION" {
        length: u64 = "Length",
    }

    /// Which disk a partition is on.
    DeviceNumber = "STORAGE_DEVICE_NUMBER" {
        device_type: u32 = "DeviceType",
        device_number: u32 = "DeviceNumber",
        partition_number: u32 = "PartitionNumber",
    }

    /// How a disk is divided. What follows are the partitions.
    DriveLayout = "DRIVE_LAYOUT_INFORMATION_EX" {
        partition_style: u32 = "PartitionStyle",
        partition_count: u32 = "PartitionCount",
    }

    /// Where a partition is. What follows depends on the kind of the table.
    PartitionInformationEx = "PARTITION_INFORMATION_EX" {
        partition_style: u32 = "PartitionStyle",
        starting_offset: u64 = "StartingOffset",
        partition_length: u64 = "PartitionLength",
        partition_number: u32 = "PartitionNumber",
    }

    /// How the device goes away.
    HotplugInfo = "STORAGE_HOTPLUG_INFO" {
        size: u32 = "Size",
        media_removable: bool = "MediaRemovable",
        media_hotplug: bool = "MediaHotplug",
        device_hotplug: bool = "DeviceHotplug",
        write_cache_enable_override: bool = "WriteCacheEnableOverride",
    }

    /// Where a link's name and its device's are, from the start of the record.
    CreatePoint = "MOUNTMGR_CREATE_POINT_INPUT" {
        symbolic_link_name_offset: u16 = "SymbolicLinkNameOffset",
        symbolic_link_name_length: u16 = "SymbolicLinkNameLength",
        device_name_offset: u16 = "DeviceNameOffset",
        device_name_length: u16 = "DeviceNameLength",
    }

    /// Where a link's three names are; in a selection, a length of 0 means "any".
    MountPoint = "MOUNTMGR_MOUNT_POINT" {
        symbolic_link_name_offset: u32 = "SymbolicLinkNameOffset",
        symbolic_link_name_length: u16 = "SymbolicLinkNameLength",
        unique_id_offset: u32 = "UniqueIdOffset",
        unique_id_length: u16 = "UniqueIdLength",
        device_name_offset: u32 = "DeviceNameOffset",
        device_name_length: u16 = "DeviceNameLength",
    }

    /// Whether a letter was given just now, and which the volume has (an ASCII letter, or 0).
    DriveLetter = "MOUNTMGR_DRIVE_LETTER_INFORMATION" {
        drive_letter_was_assigned: bool = "DriveLetterWasAssigned",
        current_drive_letter: u8 = "CurrentDriveLetter",
    }
}
