//! An input of the target *calls*: system calls on a mounted volume, one a record.
//!
//! A call is a kind and numbers; what they mean is the kind's. Files are named by an index of [`NAMES`], open ones by a slot.

use crate::records::Grammar;
use crate::rng::Rng;

/// Paths in the volume: what a seed has, and what it has not.
pub const NAMES: [&str; 20] = [
    "small",
    "large",
    "sparse",
    "folder",
    "folder/same",
    "folder/name-000",
    "folder/name-007",
    "folder/deep",
    "folder/deep/deeper",
    "link",
    "pipe",
    ".",
    "new-1",
    "new-2",
    "folder/new-3",
    "folder/deep/new-4",
    "new-5",
    "new-5/new-6",
    "long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long",
    "folder/name-039",
];

/// Names of extended attributes.
pub const ATTRIBUTES: [&str; 7] = [
    "user.short",
    "user.longer",
    "user.new",
    "trusted.more",
    "security.capability",
    "system.posix_acl_access",
    "user.a-name-that-is-as-long-as-one-of-an-attribute-may-well-be-and-then-some",
];

/// Open files at a time.
pub const SLOTS: u8 = 6;

/// Kinds of calls, by their names in Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Open,
    Close,
    Read,
    Write,
    Seek,
    Truncate,
    Allocate,
    Sync,
    SyncData,
    SyncVolume,
    SyncRange,
    MakeFolder,
    MakeNode,
    SymbolicLink,
    Link,
    Rename,
    Unlink,
    RemoveFolder,
    Mode,
    Owner,
    Times,
    Stat,
    List,
    SetAttribute,
    GetAttribute,
    ListAttributes,
    RemoveAttribute,
    Control,
    CopyRange,
    SendFile,
    Remount,
    StatVolume,
    ReadLink,
    Advise,
    Sleep,
    ReadVector,
}

use Kind::*;

/// All kinds; those that have to come first and often are there more than once.
const KINDS: [Kind; 48] = [
    Open,
    Open,
    Open,
    Open,
    Close,
    Read,
    Read,
    Write,
    Write,
    Write,
    Write,
    Seek,
    Truncate,
    Truncate,
    Truncate,
    Allocate,
    Allocate,
    Allocate,
    Sync,
    SyncData,
    SyncVolume,
    SyncRange,
    MakeFolder,
    MakeNode,
    SymbolicLink,
    Link,
    Rename,
    Rename,
    Unlink,
    Unlink,
    RemoveFolder,
    Mode,
    Owner,
    Times,
    Stat,
    List,
    SetAttribute,
    SetAttribute,
    GetAttribute,
    ListAttributes,
    RemoveAttribute,
    Control,
    CopyRange,
    SendFile,
    Remount,
    StatVolume,
    ReadLink,
    Sleep,
];

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub kind: Kind,
    /// A name, or a slot.
    pub a: u8,
    /// Another one.
    pub b: u8,
    /// Flags, by an index.
    pub c: u8,
    /// An offset.
    pub offset: u64,
    /// A length.
    pub length: u64,
}

/// Bytes of a record.
const LENGTH: usize = 14;

fn number(low: u32, shift: u8) -> u64 {
    u64::from(low) << (shift % 40)
}

impl Call {
    /// From a record; what is cut off is zeros.
    pub fn parse(record: &[u8]) -> Call {
        let mut bytes = [0; LENGTH];
        let count = record.len().min(LENGTH);
        bytes[..count].copy_from_slice(&record[..count]);
        let [kind, a, b, c, o0, o1, o2, o3, l0, l1, l2, l3, shift, other] = bytes;
        let kind = match usize::from(kind) {
            0xfe => Advise,
            0xff => ReadVector,
            kind => KINDS[kind % KINDS.len()],
        };
        Call {
            kind,
            a,
            b,
            c,
            offset: number(u32::from_le_bytes([o0, o1, o2, o3]), shift),
            length: number(u32::from_le_bytes([l0, l1, l2, l3]), other),
        }
    }
}

/// How such inputs become others.
pub struct Calls;

/// Numbers at which something happens in a file.
const PLACES: [u32; 14] = [
    0,
    1,
    2,
    511,
    512,
    1023,
    1024,
    4095,
    4096,
    4097,
    32_000,
    65_536,
    300_000,
    0xffff_ffff,
];

fn place(rng: &mut Rng) -> [u8; 4] {
    let near = rng.choice(&PLACES);
    let place = match rng.below(4) {
        0 => near.wrapping_add(rng.bits() as u32 % 16),
        1 => rng.bits() as u32 % 400_000,
        _ => near,
    };
    place.to_le_bytes()
}

fn shift(rng: &mut Rng) -> u8 {
    match rng.once_in(8) {
        true => rng.bits() as u8 % 40,
        false => 0,
    }
}

impl Grammar for Calls {
    fn fresh(&self, rng: &mut Rng) -> Vec<u8> {
        let mut record = vec![
            rng.bits() as u8,
            rng.bits() as u8,
            rng.bits() as u8,
            rng.bits() as u8,
        ];
        record.extend(place(rng));
        record.extend(place(rng));
        record.push(shift(rng));
        record.push(shift(rng));
        record
    }

    fn change(&self, record: &mut Vec<u8>, rng: &mut Rng) {
        record.resize(LENGTH, 0);
        match rng.below(8) {
            0 => record[0] = rng.bits() as u8,
            1 => record[1] = rng.bits() as u8,
            2 => record[2] = rng.bits() as u8,
            3 => record[3] = rng.bits() as u8,
            4 => record[4..8].copy_from_slice(&place(rng)),
            5 => record[8..12].copy_from_slice(&place(rng)),
            6 => record[12] = shift(rng),
            _ => record[13] = shift(rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_call_and_a_short_one_too() {
        let call = Call::parse(&[7, 1, 2, 3, 0, 16, 0, 0, 5, 0, 0, 0, 4, 0]);
        assert_eq!((call.kind, call.a, call.b, call.c), (Write, 1, 2, 3));
        assert_eq!((call.offset, call.length), (65536, 5));
        assert_eq!(Call::parse(&[]).kind, Open);
    }
}
