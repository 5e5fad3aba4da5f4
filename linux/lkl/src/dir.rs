//! Directory entries as `getdents64` returns them (`struct linux_dirent64` of linux/dirent.h), checked.

use crate::errno::Errno;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The buffer of one listing, bytes. Large enough for some 1000 entries a call.
pub(crate) const BUFFER_LEN: usize = 32 * 1024;

/// The type of a directory entry, as far as the file system tells it without looking at the inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// The file system does not say: ask statx.
    Unknown,
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
}

impl EntryKind {
    /// What `d_type` of a `struct linux_dirent64` says.
    pub fn from_d_type(d_type: u8) -> Self {
        match d_type {
            1 => EntryKind::Fifo,
            2 => EntryKind::CharDevice,
            4 => EntryKind::Directory,
            6 => EntryKind::BlockDevice,
            8 => EntryKind::Regular,
            10 => EntryKind::Symlink,
            12 => EntryKind::Socket,
            _ => EntryKind::Unknown,
        }
    }
}

/// One entry of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Inode number.
    pub ino: u64,
    /// Where the listing goes on after this entry: an opaque number of the file system's.
    pub cookie: u64,
    /// Its type, if the file system says.
    pub kind: EntryKind,
    /// Its name: bytes without NUL or slash, but not necessarily UTF-8.
    pub name: &'a [u8],
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct RawHead {
    ino: [u8; 8],
    off: [u8; 8],
    reclen: [u8; 2],
    kind: u8,
}

const HEAD_LEN: usize = 19;
const _: () = assert!(size_of::<RawHead>() == HEAD_LEN);

/// Walks the records of a filled buffer. EIO ends it when a record is not in order.
pub(crate) fn entries(buffer: &[u8]) -> impl Iterator<Item = Result<DirEntry<'_>, Errno>> {
    let mut rest = buffer;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parsed = parse(rest);
        rest = parsed.map_or(&[], |(_, rest)| rest);
        Some(parsed.map(|(entry, _)| entry).ok_or(Errno::EIO))
    })
}

fn parse(buffer: &[u8]) -> Option<(DirEntry<'_>, &[u8])> {
    let (head, _) = RawHead::ref_from_prefix(buffer).ok()?;
    let (record, rest) = buffer.split_at_checked(usize::from(u16::from_le_bytes(head.reclen)))?;
    let tail = record.get(HEAD_LEN..)?;
    let name = tail.split(|byte| *byte == 0).next()?;
    if name.is_empty() || name.len() == tail.len() || name.contains(&b'/') {
        return None;
    }
    let entry = DirEntry {
        ino: u64::from_le_bytes(head.ino),
        cookie: u64::from_le_bytes(head.off),
        kind: EntryKind::from_d_type(head.kind),
        name,
    };
    Some((entry, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn record(ino: u64, off: u64, kind: u8, name: &[u8]) -> Vec<u8> {
        let len = (HEAD_LEN + name.len() + 1).next_multiple_of(8);
        let mut bytes = Vec::new();
        bytes.extend(ino.to_le_bytes());
        bytes.extend(off.to_le_bytes());
        bytes.extend((len as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(name);
        bytes.resize(len, 0);
        bytes
    }

    #[test]
    fn walks_records() {
        let mut buffer = record(2, 10, 4, b".");
        buffer.extend(record(11, u64::MAX >> 1, 8, b"a longer name\xff"));
        let all: Vec<_> = entries(&buffer).map(Result::unwrap).collect();
        assert_eq!(
            all[0],
            DirEntry {
                ino: 2,
                cookie: 10,
                kind: EntryKind::Directory,
                name: b"."
            }
        );
        assert_eq!(all[1].name, b"a longer name\xff");
        assert_eq!(all[1].cookie, u64::MAX >> 1);
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn refuses_broken_records() {
        let good = record(2, 10, 4, b"name");
        for cut in 1..good.len() {
            assert!(entries(&good[..cut]).next().unwrap().is_err(), "cut at {cut}");
        }
        for (place, byte) in [(16, 0), (16, 18), (16, 200), (20, b'/'), (19, 0)] {
            let mut bad = good.clone();
            bad[place] = byte;
            let seen: Vec<_> = entries(&bad).collect();
            assert_eq!(seen, [Err(Errno::EIO)], "byte {place} = {byte}");
        }
        let mut unended = record(2, 10, 4, b"1234");
        let len = unended.len();
        unended[HEAD_LEN..len].fill(b'x');
        assert_eq!(entries(&unended).next(), Some(Err(Errno::EIO)));
    }
}
