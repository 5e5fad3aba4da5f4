//! Linux's words in FUSE's: attributes, types, times, device numbers.

use std::time::{Duration, SystemTime};

use fuser::{FileAttr, INodeNo, TimeOrNow};
use lkl::{DeviceNumber, EntryKind, FileType, Statx, Timestamp};
use lkl_write::SetTime;

/// What the kernel is told of a file. `number` is what it is called.
pub fn attributes(number: u64, stat: &Statx) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: stat.size,
        blocks: stat.blocks,
        atime: time(stat.atime),
        mtime: time(stat.mtime),
        ctime: time(stat.ctime),
        crtime: time(stat.btime.unwrap_or_default()),
        kind: kind(stat.file_type()),
        perm: stat.permissions(),
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: encoded(stat.rdev),
        blksize: stat.blksize,
        flags: 0,
    }
}

/// An entry that is not there, which the kernel may remember.
pub fn nothing() -> FileAttr {
    let never = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: never,
        mtime: never,
        ctime: never,
        crtime: never,
        kind: fuser::FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// The type. A damaged inode is shown as a file; Linux refuses to open it.
pub fn kind(kind: FileType) -> fuser::FileType {
    match kind {
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::CharDevice => fuser::FileType::CharDevice,
        FileType::Directory => fuser::FileType::Directory,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Socket => fuser::FileType::Socket,
        FileType::Regular | FileType::Unknown => fuser::FileType::RegularFile,
    }
}

/// The type in a folder's entry; `None` where the file system does not say.
pub fn entry_kind(kind: EntryKind) -> Option<fuser::FileType> {
    match kind {
        EntryKind::Fifo => Some(fuser::FileType::NamedPipe),
        EntryKind::CharDevice => Some(fuser::FileType::CharDevice),
        EntryKind::Directory => Some(fuser::FileType::Directory),
        EntryKind::BlockDevice => Some(fuser::FileType::BlockDevice),
        EntryKind::Symlink => Some(fuser::FileType::Symlink),
        EntryKind::Socket => Some(fuser::FileType::Socket),
        EntryKind::Regular => Some(fuser::FileType::RegularFile),
        _ => None,
    }
}

/// The type in a mode.
pub fn kind_of_mode(mode: u32) -> FileType {
    match mode & 0o170_000 {
        0o010_000 => FileType::Fifo,
        0o020_000 => FileType::CharDevice,
        0o040_000 => FileType::Directory,
        0o060_000 => FileType::BlockDevice,
        0o120_000 => FileType::Symlink,
        0o140_000 => FileType::Socket,
        0o100_000 | 0 => FileType::Regular,
        _ => FileType::Unknown,
    }
}

fn time(time: Timestamp) -> SystemTime {
    let (seconds, part) = (
        Duration::from_secs(time.sec.unsigned_abs()),
        Duration::from_nanos(time.nsec.into()),
    );
    let whole = if time.sec < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(part))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A time that the kernel sets.
pub fn set_time(time: Option<TimeOrNow>) -> SetTime {
    match time {
        None => SetTime::Keep,
        Some(TimeOrNow::Now) => SetTime::Now,
        Some(TimeOrNow::SpecificTime(time)) => SetTime::At(timestamp(time)),
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Timestamp {
            sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nsec: since.subsec_nanos(),
        },
        Err(error) => {
            let before = error.duration();
            let sec = i64::try_from(before.as_secs()).map_or(i64::MIN, |sec| -sec);
            match before.subsec_nanos() {
                0 => Timestamp { sec, nsec: 0 },
                part => Timestamp {
                    sec: sec.saturating_sub(1),
                    nsec: 1_000_000_000 - part,
                },
            }
        }
    }
}

/// A device's numbers as FUSE has them: 12 bits and 20 in one word.
fn encoded(device: DeviceNumber) -> u32 {
    let DeviceNumber { major, minor } = device;
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// The numbers in such a word.
pub fn device(word: u32) -> DeviceNumber {
    DeviceNumber {
        major: (word >> 8) & 0xfff,
        minor: (word & 0xff) | (word >> 12) & 0xf_ff00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_there_and_back() {
        for (sec, nsec) in [
            (0, 0),
            (1, 999_999_999),
            (-1, 0),
            (-1, 1),
            (-2, 999_999_999),
            (1 << 34, 5),
            (-(1 << 31), 500_000_000),
        ] {
            let there = Timestamp { sec, nsec };
            assert_eq!(timestamp(time(there)), there);
        }
    }

    #[test]
    fn device_numbers_survive_the_way_there_and_back() {
        for (major, minor) in [(0, 0), (8, 1), (259, 0xf_ffff), (0xfff, 0x1234)] {
            let there = DeviceNumber { major, minor };
            assert_eq!(device(encoded(there)), there);
        }
    }
}
