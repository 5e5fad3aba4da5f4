//! `FILE_FS_*_INFORMATION`: the answers about a volume.

use crate::{NtTime, record::record};

record! {
    /// Identity and label; the label follows at offset 18 (class 1).
    FileFsVolumeInformation = "FILE_FS_VOLUME_INFORMATION" {
        volume_creation_time: NtTime = "VolumeCreationTime",
        volume_serial_number: u32 = "VolumeSerialNumber",
        /// In bytes.
        volume_label_length: u32 = "VolumeLabelLength",
        supports_objects: bool = "SupportsObjects",
    }

    /// Size and free space (class 3).
    FileFsSizeInformation = "FILE_FS_SIZE_INFORMATION" {
        total_allocation_units: u64 = "TotalAllocationUnits",
        available_allocation_units: u64 = "AvailableAllocationUnits",
        sectors_per_allocation_unit: u32 = "SectorsPerAllocationUnit",
        bytes_per_sector: u32 = "BytesPerSector",
    }

    /// The kind of device (class 4).
    FileFsDeviceInformation = "FILE_FS_DEVICE_INFORMATION" {
        device_type: u32 = "DeviceType",
        characteristics: u32 = "Characteristics",
    }

    /// What the file system can do; its name follows at offset 12 (class 5).
    FileFsAttributeInformation = "FILE_FS_ATTRIBUTE_INFORMATION" {
        file_system_attributes: u32 = "FileSystemAttributes",
        /// In characters.
        maximum_component_name_length: u32 = "MaximumComponentNameLength",
        /// In bytes.
        file_system_name_length: u32 = "FileSystemNameLength",
    }

    /// Quota control (class 6).
    FileFsControlInformation = "FILE_FS_CONTROL_INFORMATION" {
        free_space_start_filtering: u64 = "FreeSpaceStartFiltering",
        free_space_threshold: u64 = "FreeSpaceThreshold",
        free_space_stop_filtering: u64 = "FreeSpaceStopFiltering",
        default_quota_threshold: u64 = "DefaultQuotaThreshold",
        default_quota_limit: u64 = "DefaultQuotaLimit",
        file_system_control_flags: u32 = "FileSystemControlFlags",
    }

    /// Size, and free space for the caller and in all (class 7).
    FileFsFullSizeInformation = "FILE_FS_FULL_SIZE_INFORMATION" {
        total_allocation_units: u64 = "TotalAllocationUnits",
        caller_available_allocation_units: u64 = "CallerAvailableAllocationUnits",
        actual_available_allocation_units: u64 = "ActualAvailableAllocationUnits",
        sectors_per_allocation_unit: u32 = "SectorsPerAllocationUnit",
        bytes_per_sector: u32 = "BytesPerSector",
    }

    /// The volume's object ID (class 8).
    FileFsObjectIdInformation = "FILE_FS_OBJECTID_INFORMATION" {
        object_id: [u8; 16] = "ObjectId",
        extended_info: [u8; 48] = "ExtendedInfo",
    }

    /// Volume flags (class 10).
    FileFsVolumeFlagsInformation = "FILE_FS_VOLUME_FLAGS_INFORMATION" {
        flags: u32 = "Flags",
    }

    /// Sectors, logical and physical (class 11).
    FileFsSectorSizeInformation = "FILE_FS_SECTOR_SIZE_INFORMATION" {
        logical_bytes_per_sector: u32 = "LogicalBytesPerSector",
        physical_bytes_per_sector_for_atomicity: u32 = "PhysicalBytesPerSectorForAtomicity",
        physical_bytes_per_sector_for_performance: u32 = "PhysicalBytesPerSectorForPerformance",
        file_system_effective_physical_bytes_per_sector_for_atomicity: u32 =
            "FileSystemEffectivePhysicalBytesPerSectorForAtomicity",
        flags: u32 = "Flags",
        byte_offset_for_sector_alignment: u32 = "ByteOffsetForSectorAlignment",
        byte_offset_for_partition_alignment: u32 = "ByteOffsetForPartitionAlignment",
    }

    /// Sizes with pools and reserves (class 14).
    FileFsFullSizeInformationEx = "FILE_FS_FULL_SIZE_INFORMATION_EX" {
        actual_total_allocation_units: u64 = "ActualTotalAllocationUnits",
        actual_available_allocation_units: u64 = "ActualAvailableAllocationUnits",
        actual_pool_unavailable_allocation_units: u64 = "ActualPoolUnavailableAllocationUnits",
        caller_total_allocation_units: u64 = "CallerTotalAllocationUnits",
        caller_available_allocation_units: u64 = "CallerAvailableAllocationUnits",
        caller_pool_unavailable_allocation_units: u64 = "CallerPoolUnavailableAllocationUnits",
        used_allocation_units: u64 = "UsedAllocationUnits",
        total_reserved_allocation_units: u64 = "TotalReservedAllocationUnits",
        volume_storage_reserve_allocation_units: u64 = "VolumeStorageReserveAllocationUnits",
        available_committed_allocation_units: u64 = "AvailableCommittedAllocationUnits",
        pool_available_allocation_units: u64 = "PoolAvailableAllocationUnits",
        sectors_per_allocation_unit: u32 = "SectorsPerAllocationUnit",
        bytes_per_sector: u32 = "BytesPerSector",
    }
}

/// `FileSystemAttributes` bits of [`FileFsAttributeInformation`].
pub mod fs_attributes {
    /// `FILE_CASE_SENSITIVE_SEARCH`.
    pub const CASE_SENSITIVE_SEARCH: u32 = 0x0000_0001;
    /// `FILE_CASE_PRESERVED_NAMES`.
    pub const CASE_PRESERVED_NAMES: u32 = 0x0000_0002;
    /// `FILE_UNICODE_ON_DISK`.
    pub const UNICODE_ON_DISK: u32 = 0x0000_0004;
    /// `FILE_PERSISTENT_ACLS`.
    pub const PERSISTENT_ACLS: u32 = 0x0000_0008;
    /// `FILE_SUPPORTS_SPARSE_FILES`.
    pub const SUPPORTS_SPARSE_FILES: u32 = 0x0000_0040;
    /// `FILE_SUPPORTS_REPARSE_POINTS`.
    pub const SUPPORTS_REPARSE_POINTS: u32 = 0x0000_0080;
    /// `FILE_READ_ONLY_VOLUME`.
    pub const READ_ONLY_VOLUME: u32 = 0x0008_0000;
    /// `FILE_SUPPORTS_HARD_LINKS`.
    pub const SUPPORTS_HARD_LINKS: u32 = 0x0040_0000;
    /// `FILE_SUPPORTS_EXTENDED_ATTRIBUTES`.
    pub const SUPPORTS_EXTENDED_ATTRIBUTES: u32 = 0x0080_0000;
    /// `FILE_SUPPORTS_OPEN_BY_FILE_ID`.
    pub const SUPPORTS_OPEN_BY_FILE_ID: u32 = 0x0100_0000;
}

/// `SSINFO_FLAGS_*` of [`FileFsSectorSizeInformation`].
pub mod sector_flags {
    /// `SSINFO_FLAGS_ALIGNED_DEVICE`.
    pub const ALIGNED_DEVICE: u32 = 0x1;
    /// `SSINFO_FLAGS_PARTITION_ALIGNED_ON_DEVICE`.
    pub const PARTITION_ALIGNED_ON_DEVICE: u32 = 0x2;
}

/// `SSINFO_OFFSET_UNKNOWN`.
pub const SSINFO_OFFSET_UNKNOWN: u32 = 0xFFFF_FFFF;
