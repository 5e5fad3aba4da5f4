//! Linux times to NT times.

use lklfs_nt::NtTime;

use crate::{Metadata, UnixTime};

/// The four times that NT shows of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Birth where the file system keeps it, else the change time.
    pub creation: NtTime,
    /// Last access.
    pub access: NtTime,
    /// Last write.
    pub write: NtTime,
    /// Last change of data or attributes.
    pub change: NtTime,
}

/// One time, rounded down to 100 ns.
pub const fn to_nt(time: UnixTime) -> NtTime {
    NtTime::from_unix(time.seconds, time.nanoseconds)
}

/// The times of an inode.
pub const fn times(metadata: &Metadata) -> Times {
    let creation = match metadata.btime {
        Some(birth) => birth,
        None => metadata.ctime,
    };
    Times {
        creation: to_nt(creation),
        access: to_nt(metadata.atime),
        write: to_nt(metadata.mtime),
        change: to_nt(metadata.ctime),
    }
}
