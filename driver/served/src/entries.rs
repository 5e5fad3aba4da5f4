//! Entries of a directory, one behind the other.

use lklfs_fsd::{DirEntry, FileKind};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryHead {
    ino: U64,
    cookie: U64,
    /// The bits of a mode, or 0 where the directory does not say.
    kind: U32,
    name_length: U16,
    reserved: U16,
}
const _: () = assert!(size_of::<EntryHead>() == 24);

/// Bytes of the longest name that a directory has.
const MOST_NAME: usize = 255 * 4;

/// Takes one entry off the front; `None` for what is none.
pub(crate) fn take<'a>(rest: &mut &'a [u8]) -> Option<DirEntry<'a>> {
    let (head, behind) = EntryHead::ref_from_prefix(rest).ok()?;
    let (name, behind) = behind.split_at_checked(usize::from(head.name_length.get()))?;
    let kind = match head.kind.get() {
        0 => None,
        bits => {
            let kind = FileKind::from_mode(bits)?;
            if kind.mode_bits() != bits {
                return None;
            }
            Some(kind)
        }
    };
    let is_name =
        !name.is_empty() && name.len() <= MOST_NAME && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
    if !is_name || head.cookie.get() == 0 || head.reserved.get() != 0 {
        return None;
    }
    *rest = behind;
    Some(DirEntry {
        ino: head.ino.get(),
        cookie: head.cookie.get(),
        kind,
        name,
    })
}

/// Adds one entry, if it fits into `room` bytes.
#[cfg(feature = "server")]
pub(crate) fn push(out: &mut alloc::vec::Vec<u8>, entry: &DirEntry<'_>, room: usize) -> bool {
    let size = size_of::<EntryHead>().saturating_add(entry.name.len());
    let Ok(name_length) = u16::try_from(entry.name.len()) else {
        return false;
    };
    if out.len().saturating_add(size) > room {
        return false;
    }
    let head = EntryHead {
        ino: entry.ino.into(),
        cookie: entry.cookie.into(),
        kind: entry.kind.map_or(0, FileKind::mode_bits).into(),
        name_length: name_length.into(),
        reserved: 0.into(),
    };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(entry.name);
    true
}
