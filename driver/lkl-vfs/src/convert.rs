//! From `lkl`'s values to `fsd`'s.

use lkl::probe::Uuid;
use lkl::{EntryKind, FileType, Statx, Timestamp};
use lklfs_fsd::{Errno, FileKind, InodeFlags, Metadata, UnixTime};

/// `STATX_ATTR_COMPRESSED`, `_ENCRYPTED`, `_VERITY` of linux/stat.h.
const ATTR_COMPRESSED: u64 = 0x4;
const ATTR_ENCRYPTED: u64 = 0x800;
const ATTR_VERITY: u64 = 0x10_0000;

pub(crate) fn errno(error: lkl::Errno) -> Errno {
    Errno(i32::from(error.number()))
}

fn time(at: Timestamp) -> UnixTime {
    UnixTime {
        seconds: at.sec,
        nanoseconds: at.nsec,
    }
}

fn file_kind(kind: FileType) -> Option<FileKind> {
    Some(match kind {
        FileType::Regular => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => return None,
    })
}

pub(crate) fn entry_kind(kind: EntryKind) -> Option<FileKind> {
    Some(match kind {
        EntryKind::Regular => FileKind::File,
        EntryKind::Directory => FileKind::Directory,
        EntryKind::Symlink => FileKind::Symlink,
        EntryKind::Fifo => FileKind::Fifo,
        EntryKind::Socket => FileKind::Socket,
        EntryKind::CharDevice => FileKind::CharacterDevice,
        EntryKind::BlockDevice => FileKind::BlockDevice,
        EntryKind::Unknown => return None,
    })
}

/// `device` is what tells the device from others: major << 32 | minor. `None` for an inode of no type that Linux has.
pub(crate) fn metadata(statx: &Statx, device: u64) -> Option<Metadata> {
    let has = |bit: u64| statx.attributes & bit != 0;
    Some(Metadata {
        ino: statx.ino,
        dev: device,
        kind: file_kind(statx.file_type())?,
        permissions: u32::from(statx.permissions()),
        uid: statx.uid,
        gid: statx.gid,
        nlink: statx.nlink,
        size: statx.size,
        allocated: statx.blocks.saturating_mul(512),
        rdev: (statx.rdev.major, statx.rdev.minor),
        atime: time(statx.atime),
        mtime: time(statx.mtime),
        ctime: time(statx.ctime),
        btime: statx.btime.map(time),
        flags: InodeFlags {
            compressed: has(ATTR_COMPRESSED),
            encrypted: has(ATTR_ENCRYPTED),
            verity: has(ATTR_VERITY),
            casefold: false,
        },
    })
}

/// Sixteen bytes from whatever identity a file system has; shorter ones stand at the end, in the order of their text.
pub(crate) fn uuid(uuid: Uuid) -> [u8; 16] {
    let mut bytes = [0u8; 16];
    let short: &[u8] = match &uuid {
        Uuid::Full(full) => return *full,
        Uuid::Serial64(serial) => &serial.to_be_bytes(),
        Uuid::Serial32(serial) => &serial.to_be_bytes(),
        _ => &[],
    };
    for (place, byte) in bytes.iter_mut().rev().zip(short.iter().rev()) {
        *place = *byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_stand_at_the_end() {
        assert_eq!(uuid(Uuid::Serial32(0x1234_abcd))[12..], [0x12, 0x34, 0xab, 0xcd]);
        assert_eq!(
            uuid(Uuid::Serial64(1)),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        );
        assert_eq!(uuid(Uuid::Full([7; 16])), [7; 16]);
    }

    #[test]
    fn errors_keep_their_number() {
        assert_eq!(errno(lkl::Errno::ENOENT), Errno::ENOENT);
        assert_eq!(errno(lkl::Errno::EUCLEAN), Errno::EUCLEAN);
    }
}
