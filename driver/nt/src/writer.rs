//! How an answer gets into the caller's buffer: whole, cut, or not at all, and what is said about it.
//!
//! Three shapes cover every query:
//! - [`fixed`]: a record of fixed size, whole or INFO_LENGTH_MISMATCH;
//! - [`named`]: a record and a name, of which BUFFER_OVERFLOW may leave a part;
//! - [`EntryList`]: records linked by `NextEntryOffset`, as many as fit.
//!
//! Nothing here writes a byte beyond the buffer, and padding inside what is written is zero.

use crate::{
    NtStatus,
    record::{Field, Record, align_up},
};

/// A status and the count of bytes written.
pub type Written = (NtStatus, usize);

/// Writes a record of fixed size. INFO_LENGTH_MISMATCH (and nothing written) when it does not fit.
pub fn fixed<R: Record>(out: &mut [u8], record: &R) -> Written {
    if out.len() < R::SIZE {
        return (NtStatus::INFO_LENGTH_MISMATCH, 0);
    }
    record.put(out);
    (NtStatus::SUCCESS, R::SIZE)
}

/// Writes a record and the name behind it. INFO_LENGTH_MISMATCH when not even the record fits; BUFFER_OVERFLOW, with
/// as many whole UTF-16 units as fit, when the name does not. The record's own length member tells the whole length.
pub fn named<R: Record>(out: &mut [u8], record: &R, name: &[u16]) -> Written {
    if !put_head(out, record) {
        return (NtStatus::INFO_LENGTH_MISMATCH, 0);
    }
    let units = put_units(out.get_mut(R::NAME_OFFSET..).unwrap_or_default(), name);
    let written = R::NAME_OFFSET.saturating_add(units.saturating_mul(2));
    if units < name.len() {
        (NtStatus::BUFFER_OVERFLOW, written)
    } else {
        (NtStatus::SUCCESS, written)
    }
}

/// Writes the record's members up to where a name begins, without the C struct's padding at its end.
fn put_head<R: Record>(out: &mut [u8], record: &R) -> bool {
    // The longest record has 200 bytes or fewer; a test checks it.
    let mut whole = [0u8; MAX_RECORD];
    record.put(&mut whole);
    match (out.get_mut(..R::NAME_OFFSET), whole.get(..R::NAME_OFFSET)) {
        (Some(place), Some(head)) => {
            place.copy_from_slice(head);
            true
        }
        _ => false,
    }
}

/// Bytes that no record exceeds.
pub(crate) const MAX_RECORD: usize = 200;

/// Copies as many units as fit; their count.
fn put_units(out: &mut [u8], name: &[u16]) -> usize {
    let mut count = 0usize;
    for (place, unit) in out.chunks_exact_mut(2).zip(name) {
        unit.put(place);
        count = count.saturating_add(1);
    }
    count
}

/// The bytes of a name, for a record's length member: what does not fit 32 bits cannot be a name.
pub fn len_bytes(name: &[u16]) -> u32 {
    u32::try_from(name.len().saturating_mul(2)).unwrap_or(u32::MAX)
}

/// What became of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Pushed {
    /// It is in the list.
    Whole,
    /// It is the first one and its name is cut: the list is full, and the answer is BUFFER_OVERFLOW.
    Cut,
    /// It does not fit; the list is as it was.
    Full,
    /// It would be the first one and not even its fixed part fits.
    TooSmall,
}

/// A list of records linked by their first member, `NextEntryOffset`, each beginning at a multiple of 8 (or 4).
#[derive(Debug)]
pub struct EntryList<'a> {
    out: &'a mut [u8],
    align: usize,
    last: Option<usize>,
    end: usize,
}

impl<'a> EntryList<'a> {
    /// An empty list in `out`, whose entries begin at multiples of `align` (a power of two).
    pub fn new(out: &'a mut [u8], align: usize) -> Self {
        Self {
            out,
            align,
            last: None,
            end: 0,
        }
    }

    /// Bytes used: `IoStatus.Information`.
    pub fn written(&self) -> usize {
        self.end
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Appends a record with a UTF-16 name. The first entry of a list may be cut; later ones fit whole or not at all.
    pub fn push<R: Record>(&mut self, record: &R, name: &[u16]) -> Pushed {
        let start = align_up(self.end, self.align);
        let first = self.last.is_none();
        let length = R::NAME_OFFSET.saturating_add(name.len().saturating_mul(2));
        let Some(place) = self.out.get_mut(start..) else {
            return Pushed::Full;
        };
        if place.len() < length {
            if !first {
                return Pushed::Full;
            }
            if place.len() < R::NAME_OFFSET {
                return Pushed::TooSmall;
            }
        }
        let (status, written) = named(place, record, name);
        self.link(start, written);
        if status == NtStatus::SUCCESS {
            Pushed::Whole
        } else {
            Pushed::Cut
        }
    }

    /// Appends an entry of raw bytes whose first 4 are the place of `NextEntryOffset`; whole or not at all.
    pub fn push_bytes(&mut self, parts: &[&[u8]]) -> Pushed {
        let start = align_up(self.end, self.align);
        let length = parts
            .iter()
            .fold(0usize, |sum, part| sum.saturating_add(part.len()));
        let Some(mut place) = self.out.get_mut(start..) else {
            return Pushed::Full;
        };
        if place.len() < length {
            return if self.last.is_none() {
                Pushed::TooSmall
            } else {
                Pushed::Full
            };
        }
        for part in parts {
            let Some((head, rest)) = place.split_at_mut_checked(part.len()) else {
                return Pushed::Full;
            };
            head.copy_from_slice(part);
            place = rest;
        }
        self.link(start, length);
        Pushed::Whole
    }

    /// Makes the entry at `start` the last one.
    fn link(&mut self, start: usize, length: usize) {
        if let Some(last) = self.last {
            if let Some(gap) = self.out.get_mut(self.end..start) {
                gap.fill(0);
            }
            let offset = u32::try_from(start.saturating_sub(last)).unwrap_or(0);
            if let Some(place) = self.out.get_mut(last..) {
                offset.put(place);
            }
        }
        self.last = Some(start);
        self.end = start.saturating_add(length);
    }
}
