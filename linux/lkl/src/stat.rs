//! What Linux says about a file and about a file system: `struct statx` and `struct statfs`.

use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

#[derive(FromBytes, KnownLayout, Immutable, Clone, Copy)]
#[repr(C)]
pub(crate) struct RawTimestamp {
    sec: i64,
    nsec: u32,
    reserved: i32,
}

/// `struct statx` of linux/stat.h.
#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawStatx {
    pub(crate) mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    atime: RawTimestamp,
    btime: RawTimestamp,
    ctime: RawTimestamp,
    mtime: RawTimestamp,
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mnt_id: u64,
    dio_mem_align: u32,
    dio_offset_align: u32,
    subvol: u64,
    spare3: [u64; 11],
}
const _: () = assert!(size_of::<RawStatx>() == 256);

/// `struct statfs` of asm-generic/statfs.h on a 64-bit machine.
#[derive(FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawStatFs {
    kind: u64,
    bsize: u64,
    blocks: u64,
    bfree: u64,
    bavail: u64,
    files: u64,
    ffree: u64,
    fsid: [u32; 2],
    namelen: u64,
    frsize: u64,
    flags: u64,
    spare: [u64; 4],
}
const _: () = assert!(size_of::<RawStatFs>() == 120);

/// A point in time, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970; negative before.
    pub sec: i64,
    /// Nanoseconds after `sec`: 0..=999,999,999.
    pub nsec: u32,
}

impl Timestamp {
    fn from_raw(raw: &RawTimestamp) -> Self {
        Timestamp {
            sec: raw.sec,
            nsec: raw.nsec.min(999_999_999),
        }
    }

    /// Nanoseconds since 1970; negative before.
    pub fn nanos(self) -> i128 {
        i128::from(self.sec)
            .saturating_mul(1_000_000_000)
            .saturating_add(i128::from(self.nsec))
    }
}

/// Major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The type of a file, from its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A FIFO.
    Fifo,
    /// A character device.
    CharDevice,
    /// A folder.
    Directory,
    /// A block device.
    BlockDevice,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A socket.
    Socket,
    /// A damaged inode: no type that Linux has.
    Unknown,
}

/// What statx says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statx {
    /// Which of the fields the file system filled (STATX_*).
    pub mask: u32,
    /// Preferred size of a read, bytes.
    pub blksize: u32,
    /// STATX_ATTR_* bits.
    pub attributes: u64,
    /// Which of the attributes the file system knows.
    pub attributes_mask: u64,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions (S_IF*, 07777).
    pub mode: u16,
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Creation, where the file system has it.
    pub btime: Option<Timestamp>,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// The device that a device node stands for.
    pub rdev: DeviceNumber,
    /// The device that the file is on.
    pub dev: DeviceNumber,
    /// The mount that it was reached through.
    pub mnt_id: u64,
    /// The subvolume that it is in, where the file system has such: its number there, which is the same in each mount. From Linux 6.10
    /// on.
    pub subvol: Option<u64>,
}

impl Statx {
    /// Bit of [`Statx::attributes`]: stored compressed.
    pub const ATTR_COMPRESSED: u64 = 0x4;
    /// Bit of [`Statx::attributes`]: cannot be changed.
    pub const ATTR_IMMUTABLE: u64 = 0x10;
    /// Bit of [`Statx::attributes`]: only grows.
    pub const ATTR_APPEND: u64 = 0x20;
    /// Bit of [`Statx::attributes`]: left out of backups.
    pub const ATTR_NODUMP: u64 = 0x40;
    /// Bit of [`Statx::attributes`]: a key is needed to read it.
    pub const ATTR_ENCRYPTED: u64 = 0x800;
    /// Bit of [`Statx::attributes`]: protected by fs-verity.
    pub const ATTR_VERITY: u64 = 0x10_0000;

    pub(crate) fn from_raw(raw: &RawStatx) -> Self {
        const STATX_BTIME: u32 = 0x800;
        const STATX_SUBVOL: u32 = 0x8000;
        Statx {
            mask: raw.mask,
            blksize: raw.blksize,
            attributes: raw.attributes,
            attributes_mask: raw.attributes_mask,
            nlink: raw.nlink,
            uid: raw.uid,
            gid: raw.gid,
            mode: raw.mode,
            ino: raw.ino,
            size: raw.size,
            blocks: raw.blocks,
            atime: Timestamp::from_raw(&raw.atime),
            btime: (raw.mask & STATX_BTIME != 0).then(|| Timestamp::from_raw(&raw.btime)),
            ctime: Timestamp::from_raw(&raw.ctime),
            mtime: Timestamp::from_raw(&raw.mtime),
            rdev: DeviceNumber {
                major: raw.rdev_major,
                minor: raw.rdev_minor,
            },
            dev: DeviceNumber {
                major: raw.dev_major,
                minor: raw.dev_minor,
            },
            mnt_id: raw.mnt_id,
            subvol: (raw.mask & STATX_SUBVOL != 0).then_some(raw.subvol),
        }
    }

    /// Its type.
    pub fn file_type(&self) -> FileType {
        match self.mode & 0o170_000 {
            0o010_000 => FileType::Fifo,
            0o020_000 => FileType::CharDevice,
            0o040_000 => FileType::Directory,
            0o060_000 => FileType::BlockDevice,
            0o100_000 => FileType::Regular,
            0o120_000 => FileType::Symlink,
            0o140_000 => FileType::Socket,
            _ => FileType::Unknown,
        }
    }

    /// Permissions with set-id and sticky bits: 0..=07777.
    pub fn permissions(&self) -> u16 {
        self.mode & 0o7777
    }
}

/// What statfs says of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatFs {
    /// The magic number of linux/magic.h.
    pub magic: u64,
    /// Preferred size of a read, bytes.
    pub block_size: u64,
    /// Unit of the counts below, bytes.
    pub fragment_size: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for ordinary users.
    pub blocks_available: u64,
    /// All inodes; 0 where they are not limited.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// A number that stands for this file system.
    pub fsid: [u32; 2],
    /// Longest name, bytes.
    pub name_max: u64,
    /// ST_* flags of the mount.
    pub flags: u64,
}

impl StatFs {
    pub(crate) fn from_raw(raw: &RawStatFs) -> Self {
        StatFs {
            magic: raw.kind,
            block_size: raw.bsize,
            fragment_size: if raw.frsize == 0 { raw.bsize } else { raw.frsize },
            blocks: raw.blocks,
            blocks_free: raw.bfree,
            blocks_available: raw.bavail,
            files: raw.files,
            files_free: raw.ffree,
            fsid: raw.fsid,
            name_max: raw.namelen,
            flags: raw.flags,
        }
    }
}

#[cfg(test)]
#[path = "stat_test.rs"]
mod tests;
