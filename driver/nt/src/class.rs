//! Information classes: which record a query asks for.

use crate::number::named_numbers;

named_numbers! {
    /// `FILE_INFORMATION_CLASS`, for queries of one file and of directories.
    FileInformationClass(u32);
    /// `FILE_DIRECTORY_INFORMATION`.
    FileDirectoryInformation = 1;
    /// `FILE_FULL_DIR_INFORMATION`.
    FileFullDirectoryInformation = 2;
    /// `FILE_BOTH_DIR_INFORMATION`.
    FileBothDirectoryInformation = 3;
    /// `FILE_BASIC_INFORMATION`.
    FileBasicInformation = 4;
    /// `FILE_STANDARD_INFORMATION`, or its `_EX` form when the buffer is longer.
    FileStandardInformation = 5;
    /// `FILE_INTERNAL_INFORMATION`.
    FileInternalInformation = 6;
    /// `FILE_EA_INFORMATION`.
    FileEaInformation = 7;
    /// `FILE_ACCESS_INFORMATION`.
    FileAccessInformation = 8;
    /// `FILE_NAME_INFORMATION`.
    FileNameInformation = 9;
    /// Rename (set only).
    FileRenameInformation = 10;
    /// Hard link (set only).
    FileLinkInformation = 11;
    /// `FILE_NAMES_INFORMATION`.
    FileNamesInformation = 12;
    /// Delete (set only).
    FileDispositionInformation = 13;
    /// `FILE_POSITION_INFORMATION`.
    FilePositionInformation = 14;
    /// `FILE_FULL_EA_INFORMATION`, through its own IRP.
    FileFullEaInformation = 15;
    /// `FILE_MODE_INFORMATION`.
    FileModeInformation = 16;
    /// `FILE_ALIGNMENT_INFORMATION`.
    FileAlignmentInformation = 17;
    /// `FILE_ALL_INFORMATION`.
    FileAllInformation = 18;
    /// Allocation size (set only).
    FileAllocationInformation = 19;
    /// End of file (set only).
    FileEndOfFileInformation = 20;
    /// The 8.3 name, as `FILE_NAME_INFORMATION`.
    FileAlternateNameInformation = 21;
    /// `FILE_STREAM_INFORMATION`.
    FileStreamInformation = 22;
    /// `FILE_COMPRESSION_INFORMATION`.
    FileCompressionInformation = 28;
    /// `FILE_OBJECTID_INFORMATION`.
    FileObjectIdInformation = 29;
    /// `FILE_QUOTA_INFORMATION`.
    FileQuotaInformation = 32;
    /// `FILE_REPARSE_POINT_INFORMATION`.
    FileReparsePointInformation = 33;
    /// `FILE_NETWORK_OPEN_INFORMATION`.
    FileNetworkOpenInformation = 34;
    /// `FILE_ATTRIBUTE_TAG_INFORMATION`.
    FileAttributeTagInformation = 35;
    /// `FILE_ID_BOTH_DIR_INFORMATION`.
    FileIdBothDirectoryInformation = 37;
    /// `FILE_ID_FULL_DIR_INFORMATION`.
    FileIdFullDirectoryInformation = 38;
    /// Valid data length (set only).
    FileValidDataLengthInformation = 39;
    /// 8.3 name (set only).
    FileShortNameInformation = 40;
    /// `FILE_LINKS_INFORMATION`.
    FileHardLinkInformation = 46;
    /// The path with long names only, as `FILE_NAME_INFORMATION`.
    FileNormalizedNameInformation = 48;
    /// The network name, as `FILE_NAME_INFORMATION`.
    FileNetworkPhysicalNameInformation = 49;
    /// `FILE_ID_GLOBAL_TX_DIR_INFORMATION`.
    FileIdGlobalTxDirectoryInformation = 50;
    /// `FILE_IS_REMOTE_DEVICE_INFORMATION`.
    FileIsRemoteDeviceInformation = 51;
    /// `FILE_NUMA_NODE_INFORMATION`.
    FileNumaNodeInformation = 53;
    /// `FILE_STANDARD_LINK_INFORMATION`.
    FileStandardLinkInformation = 54;
    /// `FILE_REMOTE_PROTOCOL_INFORMATION`.
    FileRemoteProtocolInformation = 55;
    /// `FILE_VOLUME_NAME_INFORMATION` (the I/O manager answers it).
    FileVolumeNameInformation = 58;
    /// `FILE_ID_INFORMATION`.
    FileIdInformation = 59;
    /// `FILE_ID_EXTD_DIR_INFORMATION`.
    FileIdExtdDirectoryInformation = 60;
    /// `FILE_LINKS_FULL_ID_INFORMATION`.
    FileHardLinkFullIdInformation = 62;
    /// `FILE_ID_EXTD_BOTH_DIR_INFORMATION`.
    FileIdExtdBothDirectoryInformation = 63;
    /// Delete, extended (set only).
    FileDispositionInformationEx = 64;
    /// Rename, extended (set only).
    FileRenameInformationEx = 65;
    /// `FILE_STAT_INFORMATION`.
    FileStatInformation = 68;
    /// `FILE_STAT_LX_INFORMATION`.
    FileStatLxInformation = 70;
    /// `FILE_CASE_SENSITIVE_INFORMATION`.
    FileCaseSensitiveInformation = 71;
    /// Hard link, extended (set only).
    FileLinkInformationEx = 72;
    /// `FILE_STORAGE_RESERVE_ID_INFORMATION`.
    FileStorageReserveIdInformation = 74;
    /// `FILE_STAT_BASIC_INFORMATION`.
    FileStatBasicInformation = 77;
    /// `FILE_ID_64_EXTD_DIR_INFORMATION`.
    FileId64ExtdDirectoryInformation = 78;
    /// `FILE_ID_64_EXTD_BOTH_DIR_INFORMATION`.
    FileId64ExtdBothDirectoryInformation = 79;
    /// `FILE_ID_ALL_EXTD_DIR_INFORMATION`.
    FileIdAllExtdDirectoryInformation = 80;
    /// `FILE_ID_ALL_EXTD_BOTH_DIR_INFORMATION`.
    FileIdAllExtdBothDirectoryInformation = 81;
}

named_numbers! {
    /// `FS_INFORMATION_CLASS`, for queries of a volume.
    FsInformationClass(u32);
    /// `FILE_FS_VOLUME_INFORMATION`.
    FileFsVolumeInformation = 1;
    /// Label (set only).
    FileFsLabelInformation = 2;
    /// `FILE_FS_SIZE_INFORMATION`.
    FileFsSizeInformation = 3;
    /// `FILE_FS_DEVICE_INFORMATION`.
    FileFsDeviceInformation = 4;
    /// `FILE_FS_ATTRIBUTE_INFORMATION`.
    FileFsAttributeInformation = 5;
    /// `FILE_FS_CONTROL_INFORMATION`.
    FileFsControlInformation = 6;
    /// `FILE_FS_FULL_SIZE_INFORMATION`.
    FileFsFullSizeInformation = 7;
    /// `FILE_FS_OBJECTID_INFORMATION`.
    FileFsObjectIdInformation = 8;
    /// `FILE_FS_DRIVER_PATH_INFORMATION`.
    FileFsDriverPathInformation = 9;
    /// `FILE_FS_VOLUME_FLAGS_INFORMATION`.
    FileFsVolumeFlagsInformation = 10;
    /// `FILE_FS_SECTOR_SIZE_INFORMATION`.
    FileFsSectorSizeInformation = 11;
    /// `FILE_FS_FULL_SIZE_INFORMATION_EX`.
    FileFsFullSizeInformationEx = 14;
}
