//! `FILE_*_INFORMATION`: the answers about one file.
//!
//! Members keep the order and types of the C structs; names in C are given beside them and checked by
//! `tests/layout.rs`.

use crate::{AccessMask, FileAttributes, NtTime, record::record};

record! {
    /// Times and attributes (class 4).
    FileBasicInformation = "FILE_BASIC_INFORMATION" {
        creation_time: NtTime = "CreationTime",
        last_access_time: NtTime = "LastAccessTime",
        last_write_time: NtTime = "LastWriteTime",
        change_time: NtTime = "ChangeTime",
        file_attributes: FileAttributes = "FileAttributes",
    }

    /// Sizes, links, kind (class 5).
    FileStandardInformation = "FILE_STANDARD_INFORMATION" {
        allocation_size: u64 = "AllocationSize",
        end_of_file: u64 = "EndOfFile",
        number_of_links: u32 = "NumberOfLinks",
        delete_pending: bool = "DeletePending",
        directory: bool = "Directory",
    }

    /// The identity within the volume (class 6).
    FileInternalInformation = "FILE_INTERNAL_INFORMATION" {
        index_number: u64 = "IndexNumber",
    }

    /// Bytes of extended attributes (class 7).
    FileEaInformation = "FILE_EA_INFORMATION" {
        ea_size: u32 = "EaSize",
    }

    /// Rights of the handle (class 8).
    FileAccessInformation = "FILE_ACCESS_INFORMATION" {
        access_flags: AccessMask = "AccessFlags",
    }

    /// A name's length; the name follows at offset 4 (classes 9, 21, 48).
    FileNameInformation = "FILE_NAME_INFORMATION" {
        /// In bytes.
        file_name_length: u32 = "FileNameLength",
    }

    /// The file position (class 14).
    FilePositionInformation = "FILE_POSITION_INFORMATION" {
        current_byte_offset: i64 = "CurrentByteOffset",
    }

    /// The open's mode as create options (class 16).
    FileModeInformation = "FILE_MODE_INFORMATION" {
        mode: u32 = "Mode",
    }

    /// The device's demand on buffers (class 17).
    FileAlignmentInformation = "FILE_ALIGNMENT_INFORMATION" {
        alignment_requirement: u32 = "AlignmentRequirement",
    }

    /// Eight classes in one; the name follows at offset 100 (class 18).
    FileAllInformation = "FILE_ALL_INFORMATION" {
        basic: FileBasicInformation = "BasicInformation",
        standard: FileStandardInformation = "StandardInformation",
        internal: FileInternalInformation = "InternalInformation",
        ea: FileEaInformation = "EaInformation",
        access: FileAccessInformation = "AccessInformation",
        position: FilePositionInformation = "PositionInformation",
        mode: FileModeInformation = "ModeInformation",
        alignment: FileAlignmentInformation = "AlignmentInformation",
        name: FileNameInformation = "NameInformation",
    }

    /// One stream; its name follows at offset 24 (class 22).
    FileStreamInformation = "FILE_STREAM_INFORMATION" {
        next_entry_offset: u32 = "NextEntryOffset",
        /// In bytes.
        stream_name_length: u32 = "StreamNameLength",
        stream_size: u64 = "StreamSize",
        stream_allocation_size: u64 = "StreamAllocationSize",
    }

    /// How the file is compressed (class 28).
    FileCompressionInformation = "FILE_COMPRESSION_INFORMATION" {
        compressed_file_size: u64 = "CompressedFileSize",
        compression_format: u16 = "CompressionFormat",
        compression_unit_shift: u8 = "CompressionUnitShift",
        chunk_shift: u8 = "ChunkShift",
        cluster_shift: u8 = "ClusterShift",
        reserved: [u8; 3] = "Reserved",
    }

    /// What a network open asks for (class 34).
    FileNetworkOpenInformation = "FILE_NETWORK_OPEN_INFORMATION" {
        creation_time: NtTime = "CreationTime",
        last_access_time: NtTime = "LastAccessTime",
        last_write_time: NtTime = "LastWriteTime",
        change_time: NtTime = "ChangeTime",
        allocation_size: u64 = "AllocationSize",
        end_of_file: u64 = "EndOfFile",
        file_attributes: FileAttributes = "FileAttributes",
    }

    /// Attributes and reparse tag (class 35).
    FileAttributeTagInformation = "FILE_ATTRIBUTE_TAG_INFORMATION" {
        file_attributes: FileAttributes = "FileAttributes",
        reparse_tag: u32 = "ReparseTag",
    }

    /// The head of a list of hard links; entries follow at offset 8 (class 46).
    FileLinksInformation = "FILE_LINKS_INFORMATION" {
        bytes_needed: u32 = "BytesNeeded",
        entries_returned: u32 = "EntriesReturned",
    }

    /// One hard link; its name follows at offset 20.
    FileLinkEntryInformation = "FILE_LINK_ENTRY_INFORMATION" {
        next_entry_offset: u32 = "NextEntryOffset",
        parent_file_id: u64 = "ParentFileId",
        /// In UTF-16 units.
        file_name_length: u32 = "FileNameLength",
    }

    /// The number of links (class 54).
    FileStandardLinkInformation = "FILE_STANDARD_LINK_INFORMATION" {
        number_of_accessible_links: u32 = "NumberOfAccessibleLinks",
        total_number_of_links: u32 = "TotalNumberOfLinks",
        delete_pending: bool = "DeletePending",
        directory: bool = "Directory",
    }

    /// The identity across volumes (class 59).
    FileIdInformation = "FILE_ID_INFORMATION" {
        volume_serial_number: u64 = "VolumeSerialNumber",
        file_id: [u8; 16] = "FileId",
    }

    /// Everything that `stat` asks for (class 68).
    FileStatInformation = "FILE_STAT_INFORMATION" {
        file_id: u64 = "FileId",
        creation_time: NtTime = "CreationTime",
        last_access_time: NtTime = "LastAccessTime",
        last_write_time: NtTime = "LastWriteTime",
        change_time: NtTime = "ChangeTime",
        allocation_size: u64 = "AllocationSize",
        end_of_file: u64 = "EndOfFile",
        file_attributes: FileAttributes = "FileAttributes",
        reparse_tag: u32 = "ReparseTag",
        number_of_links: u32 = "NumberOfLinks",
        effective_access: AccessMask = "EffectiveAccess",
    }

    /// [`FileStatInformation`] and Linux's own metadata, as WSL reads it (class 70).
    FileStatLxInformation = "FILE_STAT_LX_INFORMATION" {
        stat: FileStatInformation = "FileId",
        lx_flags: u32 = "LxFlags",
        lx_uid: u32 = "LxUid",
        lx_gid: u32 = "LxGid",
        lx_mode: u32 = "LxMode",
        lx_device_id_major: u32 = "LxDeviceIdMajor",
        lx_device_id_minor: u32 = "LxDeviceIdMinor",
    }

    /// Whether a directory compares names with case (class 71).
    FileCaseSensitiveInformation = "FILE_CASE_SENSITIVE_INFORMATION" {
        flags: u32 = "Flags",
    }

    /// `stat` with the volume's identity, without rights (class 77).
    FileStatBasicInformation = "FILE_STAT_BASIC_INFORMATION" {
        file_id: u64 = "FileId",
        creation_time: NtTime = "CreationTime",
        last_access_time: NtTime = "LastAccessTime",
        last_write_time: NtTime = "LastWriteTime",
        change_time: NtTime = "ChangeTime",
        allocation_size: u64 = "AllocationSize",
        end_of_file: u64 = "EndOfFile",
        file_attributes: FileAttributes = "FileAttributes",
        reparse_tag: u32 = "ReparseTag",
        number_of_links: u32 = "NumberOfLinks",
        device_type: u32 = "DeviceType",
        device_characteristics: u32 = "DeviceCharacteristics",
        reserved: u32 = "Reserved",
        volume_serial_number: u64 = "VolumeSerialNumber",
        file_id_128: [u8; 16] = "FileId128",
    }
}

/// `LX_FILE_METADATA_HAS_*` and the rest of `FILE_STAT_LX_INFORMATION.LxFlags`.
pub mod lx_flags {
    /// `LX_FILE_METADATA_HAS_UID`.
    pub const HAS_UID: u32 = 0x1;
    /// `LX_FILE_METADATA_HAS_GID`.
    pub const HAS_GID: u32 = 0x2;
    /// `LX_FILE_METADATA_HAS_MODE`.
    pub const HAS_MODE: u32 = 0x4;
    /// `LX_FILE_METADATA_HAS_DEVICE_ID`.
    pub const HAS_DEVICE_ID: u32 = 0x8;
    /// `LX_FILE_CASE_SENSITIVE_DIR`.
    pub const CASE_SENSITIVE_DIR: u32 = 0x10;
}

/// `FILE_CS_FLAG_CASE_SENSITIVE_DIR` of [`FileCaseSensitiveInformation`].
pub const FILE_CS_FLAG_CASE_SENSITIVE_DIR: u32 = 1;
