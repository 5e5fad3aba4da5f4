//! What only a volume of ours is asked: Linux's own answers about a file and about the volume.
//!
//! NT's classes cannot carry all that Linux knows: times lose their last two digits, directories and links have no size,
//! a link's target is translated, there is no count of inodes. A program that shows a volume as Linux has it sends these
//! two controls instead, on any open of a file that may read attributes. Every other file system ends them with
//! INVALID_DEVICE_REQUEST, so they also tell whose volume it is.
//!
//! An answer is a record and the texts behind it, in Linux's bytes, as long as the record says. Records may grow at
//! their end: [`LinuxFile::fixed`] says where the texts begin, and a reader passes over what it does not know.

use crate::{
    ControlCode, NtStatus,
    record::{Field as _, Record, record},
};

/// A device type from the range that vendors may choose, METHOD_BUFFERED, FILE_ANY_ACCESS.
const fn code(function: u32) -> ControlCode {
    ControlCode((0x9C4B << 16) | (function << 2))
}

/// Asks for a [`LinuxFile`].
pub const FSCTL_LKLFS_QUERY_FILE: ControlCode = code(0x820);
/// Asks for a [`LinuxVolume`].
pub const FSCTL_LKLFS_QUERY_VOLUME: ControlCode = code(0x821);

/// Room that every answer fits: the record, a name of 255 bytes and a target as long as the longest path.
pub const ROOM: usize = 16 * 1024;

record! {
    /// What Linux's `statx` says of an open file, directory, link or special file. The name by which it was opened
    /// follows (its last component; empty for the root), then the target of a link.
    LinuxFile = "LKLFS_FILE" {
        /// Bytes of all, texts included.
        size_of_all: u32 = "Size",
        /// Bytes of the record.
        fixed: u32 = "Fixed",
        name_length: u32 = "NameLength",
        target_length: u32 = "TargetLength",
        /// Type and permissions.
        mode: u32 = "Mode",
        uid: u32 = "Uid",
        gid: u32 = "Gid",
        links: u32 = "Links",
        /// Of a device node.
        device_major: u32 = "DeviceMajor",
        device_minor: u32 = "DeviceMinor",
        inode: u64 = "Inode",
        /// What the inode belongs to: major << 32 | minor.
        device: u64 = "Device",
        size: u64 = "FileSize",
        /// Bytes on the disk.
        allocated: u64 = "Allocated",
        /// Seconds since 1970, as the three below.
        accessed: i64 = "Accessed",
        modified: i64 = "Modified",
        changed: i64 = "Changed",
        born: i64 = "Born",
        /// Nanoseconds after that second, as the three below.
        accessed_ns: u32 = "AccessedNs",
        modified_ns: u32 = "ModifiedNs",
        changed_ns: u32 = "ChangedNs",
        born_ns: u32 = "BornNs",
        /// [`HAS_BIRTH`].
        flags: u32 = "Flags",
    }

    /// What Linux says of a mounted file system. Its name follows, then its label, then its UUID or serial number as it is
    /// printed.
    LinuxVolume = "LKLFS_VOLUME" {
        /// Bytes of all, texts included.
        size_of_all: u32 = "Size",
        /// Bytes of the record.
        fixed: u32 = "Fixed",
        fs_name_length: u32 = "FsNameLength",
        label_length: u32 = "LabelLength",
        uuid_length: u32 = "UuidLength",
        /// [`STALE`].
        flags: u32 = "Flags",
        /// Bytes in the unit of the next two.
        unit: u64 = "Unit",
        blocks: u64 = "Blocks",
        blocks_free: u64 = "BlocksFree",
        /// The block that is good to read at once, in bytes.
        block_size: u64 = "BlockSize",
        /// 0 where there is no limit.
        inodes: u64 = "Inodes",
        inodes_free: u64 = "InodesFree",
        /// Bytes of the longest name.
        name_max: u64 = "NameMax",
    }
}

/// Of [`LinuxFile::flags`]: there is a time of birth.
pub const HAS_BIRTH: u32 = 1;
/// Of [`LinuxVolume::flags`]: it was dirty and is shown without a replay of its journal.
pub const STALE: u32 = 1;

impl LinuxFile {
    /// Writes the record with its texts, whose lengths it fills in, and says how many bytes that are.
    ///
    /// # Errors
    ///
    /// BUFFER_TOO_SMALL, and nothing is written.
    pub fn write(mut self, name: &[u8], target: &[u8], out: &mut [u8]) -> Result<usize, NtStatus> {
        (self.size_of_all, self.fixed) = lengths::<Self>(&[name, target])?;
        self.name_length = length(name)?;
        self.target_length = length(target)?;
        write(out, &self, &[name, target])
    }

    /// Reads what [`Self::write`] has written: the record, the name, the target. `None` for what is no such answer.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let record = Self::get(bytes)?;
        let mut texts = texts::<Self>(bytes, record.size_of_all, record.fixed)?;
        let name = take(&mut texts, record.name_length)?;
        let target = take(&mut texts, record.target_length)?;
        Some((record, name, target))
    }
}

/// A [`LinuxVolume`]'s texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VolumeTexts<'a> {
    /// Linux's name of the file system.
    pub fs_name: &'a [u8],
    /// The label, whole.
    pub label: &'a [u8],
    /// The UUID or serial number; empty for none.
    pub uuid: &'a [u8],
}

impl LinuxVolume {
    /// As [`LinuxFile::write`].
    ///
    /// # Errors
    ///
    /// BUFFER_TOO_SMALL, and nothing is written.
    pub fn write(mut self, texts: VolumeTexts<'_>, out: &mut [u8]) -> Result<usize, NtStatus> {
        let VolumeTexts { fs_name, label, uuid } = texts;
        (self.size_of_all, self.fixed) = lengths::<Self>(&[fs_name, label, uuid])?;
        self.fs_name_length = length(fs_name)?;
        self.label_length = length(label)?;
        self.uuid_length = length(uuid)?;
        write(out, &self, &[fs_name, label, uuid])
    }

    /// Reads what [`Self::write`] has written. `None` for what is no such answer.
    pub fn read(bytes: &[u8]) -> Option<(Self, VolumeTexts<'_>)> {
        let record = Self::get(bytes)?;
        let mut texts = texts::<Self>(bytes, record.size_of_all, record.fixed)?;
        let fs_name = take(&mut texts, record.fs_name_length)?;
        let label = take(&mut texts, record.label_length)?;
        let uuid = take(&mut texts, record.uuid_length)?;
        Some((record, VolumeTexts { fs_name, label, uuid }))
    }
}

fn length(text: &[u8]) -> Result<u32, NtStatus> {
    u32::try_from(text.len()).map_err(|_| NtStatus::BUFFER_TOO_SMALL)
}

/// Bytes of all, and of the record.
fn lengths<R: Record>(texts: &[&[u8]]) -> Result<(u32, u32), NtStatus> {
    let number = |bytes: usize| u32::try_from(bytes).map_err(|_| NtStatus::BUFFER_TOO_SMALL);
    let all = texts
        .iter()
        .fold(R::SIZE, |sum, text| sum.saturating_add(text.len()));
    Ok((number(all)?, number(R::SIZE)?))
}

fn write<R: Record>(out: &mut [u8], record: &R, texts: &[&[u8]]) -> Result<usize, NtStatus> {
    let all = texts
        .iter()
        .fold(R::SIZE, |sum, text| sum.saturating_add(text.len()));
    let place = out.get_mut(..all).ok_or(NtStatus::BUFFER_TOO_SMALL)?;
    record.put(place);
    let mut rest = place.get_mut(R::SIZE..).unwrap_or_default();
    for text in texts {
        let (head, tail) = rest
            .split_at_mut_checked(text.len())
            .ok_or(NtStatus::BUFFER_TOO_SMALL)?;
        head.copy_from_slice(text);
        rest = tail;
    }
    Ok(all)
}

/// What lies behind the record; `None` when the lengths do not agree.
fn texts<R: Record>(bytes: &[u8], all: u32, fixed: u32) -> Option<&[u8]> {
    let fixed = usize::try_from(fixed).ok().filter(|fixed| *fixed >= R::SIZE)?;
    bytes.get(..usize::try_from(all).ok()?)?.get(fixed..)
}

fn take<'a>(texts: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (text, rest) = texts.split_at_checked(usize::try_from(length).ok()?)?;
    *texts = rest;
    Some(text)
}
