//! An inode's metadata as a record.

use lklfs_fsd::{FileKind, InodeFlags, Metadata, UnixTime};
use zerocopy::byteorder::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The largest size that NT can tell.
pub(crate) const MOST_BYTES: u64 = i64::MAX.unsigned_abs();

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Stamp {
    seconds: I64,
    nanoseconds: U32,
}

/// A record of metadata.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct MetadataRecord {
    ino: U64,
    dev: U64,
    size: U64,
    allocated: U64,
    /// Kind and permissions, as Linux has them.
    mode: U32,
    uid: U32,
    gid: U32,
    nlink: U32,
    rdev: [U32; 2],
    flags: U32,
    atime: Stamp,
    mtime: Stamp,
    ctime: Stamp,
    /// Zero where the file system keeps none ([`HAS_BIRTH`]).
    btime: Stamp,
}
const _: () = assert!(size_of::<MetadataRecord>() == 108);

const COMPRESSED: u32 = 1;
const ENCRYPTED: u32 = 2;
const VERITY: u32 = 4;
const CASEFOLD: u32 = 8;
const HAS_BIRTH: u32 = 16;
const KNOWN: u32 = COMPRESSED | ENCRYPTED | VERITY | CASEFOLD | HAS_BIRTH;

impl From<UnixTime> for Stamp {
    fn from(time: UnixTime) -> Self {
        Stamp {
            seconds: time.seconds.into(),
            nanoseconds: time.nanoseconds.into(),
        }
    }
}

impl Stamp {
    fn read(self) -> Option<UnixTime> {
        let nanoseconds = self.nanoseconds.get();
        (nanoseconds < 1_000_000_000).then_some(UnixTime {
            seconds: self.seconds.get(),
            nanoseconds,
        })
    }
}

impl MetadataRecord {
    /// What it says; `None` for what no inode has.
    pub(crate) fn read(&self) -> Option<Metadata> {
        let mode = self.mode.get();
        let flags = self.flags.get();
        let (size, allocated) = (self.size.get(), self.allocated.get());
        let birth = self.btime.read()?;
        let btime = match flags & HAS_BIRTH {
            0 if birth != UnixTime::default() => return None,
            0 => None,
            _ => Some(birth),
        };
        if mode & !0o177_777 != 0 || flags & !KNOWN != 0 || size > MOST_BYTES || allocated > MOST_BYTES {
            return None;
        }
        Some(Metadata {
            ino: self.ino.get(),
            dev: self.dev.get(),
            kind: FileKind::from_mode(mode)?,
            permissions: mode & 0o7777,
            uid: self.uid.get(),
            gid: self.gid.get(),
            nlink: self.nlink.get(),
            size,
            allocated,
            rdev: (self.rdev[0].get(), self.rdev[1].get()),
            atime: self.atime.read()?,
            mtime: self.mtime.read()?,
            ctime: self.ctime.read()?,
            btime,
            flags: InodeFlags {
                compressed: flags & COMPRESSED != 0,
                encrypted: flags & ENCRYPTED != 0,
                verity: flags & VERITY != 0,
                casefold: flags & CASEFOLD != 0,
            },
        })
    }

    /// The record of it.
    #[cfg(feature = "server")]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = bit(metadata.flags.compressed, COMPRESSED)
            | bit(metadata.flags.encrypted, ENCRYPTED)
            | bit(metadata.flags.verity, VERITY)
            | bit(metadata.flags.casefold, CASEFOLD)
            | bit(metadata.btime.is_some(), HAS_BIRTH);
        MetadataRecord {
            ino: metadata.ino.into(),
            dev: metadata.dev.into(),
            size: metadata.size.into(),
            allocated: metadata.allocated.into(),
            mode: (metadata.kind.mode_bits() | metadata.permissions & 0o7777).into(),
            uid: metadata.uid.into(),
            gid: metadata.gid.into(),
            nlink: metadata.nlink.into(),
            rdev: [metadata.rdev.0.into(), metadata.rdev.1.into()],
            flags: flags.into(),
            atime: metadata.atime.into(),
            mtime: metadata.mtime.into(),
            ctime: metadata.ctime.into(),
            btime: metadata.btime.unwrap_or_default().into(),
        }
    }
}
