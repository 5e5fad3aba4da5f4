//! Access masks of files and directories, and what generic rights mean for them.

use crate::number::flag_numbers;

flag_numbers! {
    /// Rights that an open asks for or has (`ACCESS_MASK`). Names are `wdm.h`'s, without `FILE_` where both exist.
    AccessMask(u32);
    /// Read a file's data.
    FILE_READ_DATA = 0x0000_0001;
    /// Write a file's data; in a directory: add a file.
    FILE_WRITE_DATA = 0x0000_0002;
    /// Append to a file; in a directory: add a directory.
    FILE_APPEND_DATA = 0x0000_0004;
    /// Read extended attributes.
    FILE_READ_EA = 0x0000_0008;
    /// Write extended attributes.
    FILE_WRITE_EA = 0x0000_0010;
    /// Run a file; in a directory: pass through.
    FILE_EXECUTE = 0x0000_0020;
    /// Delete a directory's children.
    FILE_DELETE_CHILD = 0x0000_0040;
    /// Read attributes.
    FILE_READ_ATTRIBUTES = 0x0000_0080;
    /// Write attributes.
    FILE_WRITE_ATTRIBUTES = 0x0000_0100;
    /// Delete the object.
    DELETE = 0x0001_0000;
    /// Read the security descriptor.
    READ_CONTROL = 0x0002_0000;
    /// Write the discretionary list.
    WRITE_DAC = 0x0004_0000;
    /// Write the owner.
    WRITE_OWNER = 0x0008_0000;
    /// Wait for the object.
    SYNCHRONIZE = 0x0010_0000;
    /// Read or write the system list.
    ACCESS_SYSTEM_SECURITY = 0x0100_0000;
    /// Whatever the caller may have.
    MAXIMUM_ALLOWED = 0x0200_0000;
    /// All rights of this kind of object.
    GENERIC_ALL = 0x1000_0000;
    /// What running needs.
    GENERIC_EXECUTE = 0x2000_0000;
    /// What writing needs.
    GENERIC_WRITE = 0x4000_0000;
    /// What reading needs.
    GENERIC_READ = 0x8000_0000;
}

impl AccessMask {
    /// `FILE_LIST_DIRECTORY`: the directory's name for [`Self::FILE_READ_DATA`].
    pub const FILE_LIST_DIRECTORY: Self = Self::FILE_READ_DATA;
    /// `FILE_TRAVERSE`: the directory's name for [`Self::FILE_EXECUTE`].
    pub const FILE_TRAVERSE: Self = Self::FILE_EXECUTE;
    /// `FILE_GENERIC_READ`.
    pub const FILE_GENERIC_READ: Self = Self(0x0012_0089);
    /// `FILE_GENERIC_WRITE`.
    pub const FILE_GENERIC_WRITE: Self = Self(0x0012_0116);
    /// `FILE_GENERIC_EXECUTE`.
    pub const FILE_GENERIC_EXECUTE: Self = Self(0x0012_00A0);
    /// `FILE_ALL_ACCESS`.
    pub const FILE_ALL_ACCESS: Self = Self(0x001F_01FF);

    /// Every right that changes something on the volume: what a read-only volume never grants.
    pub const CHANGING: Self = Self(
        Self::FILE_WRITE_DATA.0
            | Self::FILE_APPEND_DATA.0
            | Self::FILE_WRITE_EA.0
            | Self::FILE_DELETE_CHILD.0
            | Self::FILE_WRITE_ATTRIBUTES.0
            | Self::DELETE.0
            | Self::WRITE_DAC.0
            | Self::WRITE_OWNER.0,
    );

    /// Generic rights replaced by the file rights they stand for (`RtlMapGenericMask` with files' mapping).
    pub const fn map_generic(self) -> Self {
        let mut mask = self.0;
        if self.contains(Self::GENERIC_READ) {
            mask |= Self::FILE_GENERIC_READ.0;
        }
        if self.contains(Self::GENERIC_WRITE) {
            mask |= Self::FILE_GENERIC_WRITE.0;
        }
        if self.contains(Self::GENERIC_EXECUTE) {
            mask |= Self::FILE_GENERIC_EXECUTE.0;
        }
        if self.contains(Self::GENERIC_ALL) {
            mask |= Self::FILE_ALL_ACCESS.0;
        }
        Self(mask & 0x0FFF_FFFF)
    }
}
