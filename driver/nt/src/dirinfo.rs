//! `FILE_*_DIR_INFORMATION`: the entries of a listing, in twelve shapes.
//!
//! [`push`] takes one neutral [`Entry`] and writes it in the shape of a class. The 8.3 name is always empty: Linux has
//! none. [`names`] reads the names of a listing that shows nothing else.

use alloc::vec::Vec;

use crate::{
    FileAttributes, FileInformationClass, NtStatus, NtTime,
    record::{Field as _, Record as _, record},
    writer::{EntryList, Pushed, len_bytes},
};

/// Declares the directory records, which share their first ten members.
macro_rules! directory_records {
    ($(
        $(#[$doc:meta])*
        $name:ident = $c_name:literal { $( $member:ident : $type:ty = $c_member:literal, )* }
    )*) => { record! { $(
        $(#[$doc])*
        $name = $c_name {
            next_entry_offset: u32 = "NextEntryOffset",
            file_index: u32 = "FileIndex",
            creation_time: NtTime = "CreationTime",
            last_access_time: NtTime = "LastAccessTime",
            last_write_time: NtTime = "LastWriteTime",
            change_time: NtTime = "ChangeTime",
            end_of_file: u64 = "EndOfFile",
            allocation_size: u64 = "AllocationSize",
            file_attributes: FileAttributes = "FileAttributes",
            file_name_length: u32 = "FileNameLength",
            $( $member: $type = $c_member, )*
        }
    )* } };
}

directory_records! {
    /// Class 1; the name follows at offset 64.
    FileDirectoryInformation = "FILE_DIRECTORY_INFORMATION" {}

    /// Class 2; the name follows at offset 68.
    FileFullDirInformation = "FILE_FULL_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
    }

    /// Class 38; the name follows at offset 80.
    FileIdFullDirInformation = "FILE_ID_FULL_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        file_id: u64 = "FileId",
    }

    /// Class 3; the name follows at offset 94.
    FileBothDirInformation = "FILE_BOTH_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        short_name_length: u8 = "ShortNameLength",
        short_name: [u16; 12] = "ShortName",
    }

    /// Class 37; the name follows at offset 104.
    FileIdBothDirInformation = "FILE_ID_BOTH_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        short_name_length: u8 = "ShortNameLength",
        short_name: [u16; 12] = "ShortName",
        file_id: u64 = "FileId",
    }

    /// Class 60; the name follows at offset 88.
    FileIdExtdDirInformation = "FILE_ID_EXTD_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        reparse_point_tag: u32 = "ReparsePointTag",
        file_id: [u8; 16] = "FileId",
    }

    /// Class 63; the name follows at offset 114.
    FileIdExtdBothDirInformation = "FILE_ID_EXTD_BOTH_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        reparse_point_tag: u32 = "ReparsePointTag",
        file_id: [u8; 16] = "FileId",
        short_name_length: u8 = "ShortNameLength",
        short_name: [u16; 12] = "ShortName",
    }

    /// Class 78; the name follows at offset 80.
    FileId64ExtdDirInformation = "FILE_ID_64_EXTD_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        reparse_point_tag: u32 = "ReparsePointTag",
        file_id: u64 = "FileId",
    }

    /// Class 79; the name follows at offset 106.
    FileId64ExtdBothDirInformation = "FILE_ID_64_EXTD_BOTH_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        reparse_point_tag: u32 = "ReparsePointTag",
        file_id: u64 = "FileId",
        short_name_length: u8 = "ShortNameLength",
        short_name: [u16; 12] = "ShortName",
    }

    /// Class 80; the name follows at offset 96.
    FileIdAllExtdDirInformation = "FILE_ID_ALL_EXTD_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        reparse_point_tag: u32 = "ReparsePointTag",
        file_id: u64 = "FileId",
        file_id_128: [u8; 16] = "FileId128",
    }

    /// Class 81; the name follows at offset 122.
    FileIdAllExtdBothDirInformation = "FILE_ID_ALL_EXTD_BOTH_DIR_INFORMATION" {
        ea_size: u32 = "EaSize",
        reparse_point_tag: u32 = "ReparsePointTag",
        file_id: u64 = "FileId",
        file_id_128: [u8; 16] = "FileId128",
        short_name_length: u8 = "ShortNameLength",
        short_name: [u16; 12] = "ShortName",
    }
}

record! {
    /// Class 12; the name follows at offset 12.
    FileNamesInformation = "FILE_NAMES_INFORMATION" {
        next_entry_offset: u32 = "NextEntryOffset",
        file_index: u32 = "FileIndex",
        file_name_length: u32 = "FileNameLength",
    }
}

/// What a listing says about one name, whatever the class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// Where a listing can go on after this entry.
    pub file_index: u32,
    /// Birth.
    pub creation_time: NtTime,
    /// Last access.
    pub last_access_time: NtTime,
    /// Last write.
    pub last_write_time: NtTime,
    /// Last change.
    pub change_time: NtTime,
    /// Size in bytes.
    pub end_of_file: u64,
    /// Bytes on the disk.
    pub allocation_size: u64,
    /// Attributes.
    pub file_attributes: FileAttributes,
    /// Bytes of extended attributes. In the classes without a place for the tag, a reparse point's tag replaces it.
    pub ea_size: u32,
    /// The reparse tag; 0 when it is none.
    pub reparse_tag: u32,
    /// The 64-bit identity.
    pub file_id: u64,
    /// The 128-bit identity.
    pub file_id_128: [u8; 16],
}

/// Whether `class` is one that a listing can have.
pub fn is_directory_class(class: FileInformationClass) -> bool {
    min_length(class).is_some()
}

/// Whether `class` shows names alone, so that no metadata is needed.
pub fn is_names_only(class: FileInformationClass) -> bool {
    class == FileInformationClass::FileNamesInformation
}

/// The bytes before the name in `class`; `None` when it is no directory class.
pub fn min_length(class: FileInformationClass) -> Option<usize> {
    type C = FileInformationClass;
    Some(match class {
        C::FileDirectoryInformation => FileDirectoryInformation::NAME_OFFSET,
        C::FileFullDirectoryInformation => FileFullDirInformation::NAME_OFFSET,
        C::FileBothDirectoryInformation => FileBothDirInformation::NAME_OFFSET,
        C::FileNamesInformation => FileNamesInformation::NAME_OFFSET,
        C::FileIdBothDirectoryInformation => FileIdBothDirInformation::NAME_OFFSET,
        C::FileIdFullDirectoryInformation => FileIdFullDirInformation::NAME_OFFSET,
        C::FileIdExtdDirectoryInformation => FileIdExtdDirInformation::NAME_OFFSET,
        C::FileIdExtdBothDirectoryInformation => FileIdExtdBothDirInformation::NAME_OFFSET,
        C::FileId64ExtdDirectoryInformation => FileId64ExtdDirInformation::NAME_OFFSET,
        C::FileId64ExtdBothDirectoryInformation => FileId64ExtdBothDirInformation::NAME_OFFSET,
        C::FileIdAllExtdDirectoryInformation => FileIdAllExtdDirInformation::NAME_OFFSET,
        C::FileIdAllExtdBothDirectoryInformation => FileIdAllExtdBothDirInformation::NAME_OFFSET,
        _ => return None,
    })
}

/// Appends `entry` with its name to `list` in the shape of `class`; `None` when it is no directory class.
#[allow(clippy::too_many_lines, reason = "one arm for each of twelve shapes")]
pub fn push(
    list: &mut EntryList<'_>,
    class: FileInformationClass,
    entry: &Entry,
    name: &[u16],
) -> Option<Pushed> {
    type C = FileInformationClass;
    /// Builds a record from the shared members and those given.
    macro_rules! shape {
        ($record:ident { $( $member:ident $( : $value:expr )? ),* $(,)? }) => {
            list.push(&$record {
                next_entry_offset: 0,
                file_index: entry.file_index,
                creation_time: entry.creation_time,
                last_access_time: entry.last_access_time,
                last_write_time: entry.last_write_time,
                change_time: entry.change_time,
                end_of_file: entry.end_of_file,
                allocation_size: entry.allocation_size,
                file_attributes: entry.file_attributes,
                file_name_length: len_bytes(name),
                $( $member $( : $value )?, )*
            }, name)
        };
    }
    // The classes without a place for the tag show it as the size of the extended attributes.
    let ea_size_or_tag = if entry.reparse_tag == 0 {
        entry.ea_size
    } else {
        entry.reparse_tag
    };
    let ea_size = entry.ea_size;
    let reparse_point_tag = entry.reparse_tag;
    let (short_name_length, short_name) = (0, [0; 12]);
    let (file_id, file_id_128) = (entry.file_id, entry.file_id_128);
    Some(match class {
        C::FileDirectoryInformation => shape!(FileDirectoryInformation {}),
        C::FileFullDirectoryInformation => shape!(FileFullDirInformation {
            ea_size: ea_size_or_tag
        }),
        C::FileBothDirectoryInformation => shape!(FileBothDirInformation {
            ea_size: ea_size_or_tag,
            short_name_length,
            short_name
        }),
        C::FileIdFullDirectoryInformation => shape!(FileIdFullDirInformation {
            ea_size: ea_size_or_tag,
            file_id
        }),
        C::FileIdBothDirectoryInformation => shape!(FileIdBothDirInformation {
            ea_size: ea_size_or_tag,
            short_name_length,
            short_name,
            file_id
        }),
        C::FileIdExtdDirectoryInformation => shape!(FileIdExtdDirInformation {
            ea_size,
            reparse_point_tag,
            file_id: file_id_128
        }),
        C::FileIdExtdBothDirectoryInformation => shape!(FileIdExtdBothDirInformation {
            ea_size,
            reparse_point_tag,
            file_id: file_id_128,
            short_name_length,
            short_name
        }),
        C::FileId64ExtdDirectoryInformation => shape!(FileId64ExtdDirInformation {
            ea_size,
            reparse_point_tag,
            file_id
        }),
        C::FileId64ExtdBothDirectoryInformation => shape!(FileId64ExtdBothDirInformation {
            ea_size,
            reparse_point_tag,
            file_id,
            short_name_length,
            short_name
        }),
        C::FileIdAllExtdDirectoryInformation => shape!(FileIdAllExtdDirInformation {
            ea_size,
            reparse_point_tag,
            file_id,
            file_id_128
        }),
        C::FileIdAllExtdBothDirectoryInformation => shape!(FileIdAllExtdBothDirInformation {
            ea_size,
            reparse_point_tag,
            file_id,
            file_id_128,
            short_name_length,
            short_name
        }),
        C::FileNamesInformation => {
            let names = FileNamesInformation {
                next_entry_offset: 0,
                file_index: entry.file_index,
                file_name_length: len_bytes(name),
            };
            list.push(&names, name)
        }
        _ => return None,
    })
}

/// Appends the names in an answer of class FileNamesInformation to `names`.
///
/// # Errors
///
/// INFO_LENGTH_MISMATCH for an answer that is malformed: an entry that runs over the end, overlaps the next or begins at
/// an odd place, or a name of half a unit.
pub fn names(answer: &[u8], names: &mut Vec<Vec<u16>>) -> Result<(), NtStatus> {
    const NAME: usize = FileNamesInformation::NAME_OFFSET;
    let length = |bytes: u32| usize::try_from(bytes).map_err(|_| NtStatus::INFO_LENGTH_MISMATCH);
    let mut rest = answer;
    loop {
        let record = FileNamesInformation::get(rest).ok_or(NtStatus::INFO_LENGTH_MISMATCH)?;
        let (next, bytes) = (
            length(record.next_entry_offset)?,
            length(record.file_name_length)?,
        );
        let name = rest
            .get(NAME..)
            .and_then(|behind| behind.get(..bytes))
            .filter(|name| name.len().is_multiple_of(2))
            .ok_or(NtStatus::INFO_LENGTH_MISMATCH)?;
        if next != 0 && (!next.is_multiple_of(4) || next < NAME.saturating_add(bytes)) {
            return Err(NtStatus::INFO_LENGTH_MISMATCH);
        }
        names.push(name.chunks_exact(2).filter_map(u16::get).collect());
        if next == 0 {
            return Ok(());
        }
        rest = rest.get(next..).ok_or(NtStatus::INFO_LENGTH_MISMATCH)?;
    }
}
