//! Extended attributes: `FILE_FULL_EA_INFORMATION` and `FILE_GET_EA_INFORMATION`.

use crate::{
    record::Field as _,
    writer::{EntryList, Pushed},
};

/// Entries of a `FILE_FULL_EA_INFORMATION` list begin at multiples of this.
pub const ALIGN: usize = 4;
/// Bytes before the name in `FILE_FULL_EA_INFORMATION`.
pub const HEADER_SIZE: usize = 8;

/// Appends one attribute: whole or not at all. `None` when the name exceeds 255 bytes or the value 65,535: such an
/// attribute has no form in NT.
pub fn push(list: &mut EntryList<'_>, name: &[u8], value: &[u8]) -> Option<Pushed> {
    let name_length = u8::try_from(name.len()).ok()?;
    let value_length = u16::try_from(value.len()).ok()?.to_le_bytes();
    let [value_low, value_high] = value_length;
    let head = [0, 0, 0, 0, 0, name_length, value_low, value_high];
    Some(list.push_bytes(&[&head, name, &[0], value]))
}

/// Bytes that an attribute takes in a list, without padding.
pub fn entry_size(name: &[u8], value_length: usize) -> usize {
    HEADER_SIZE
        .saturating_add(name.len())
        .saturating_add(1)
        .saturating_add(value_length)
}

/// The names of a `FILE_GET_EA_INFORMATION` list. Ends early, with an `Err`, where the list is malformed; the error is
/// the offset of the bad entry.
pub fn requested_names(list: &[u8]) -> impl Iterator<Item = Result<&[u8], usize>> {
    let mut at = Some(0usize);
    core::iter::from_fn(move || {
        let start = at.take()?;
        let entry = list.get(start..).unwrap_or_default();
        let parsed = (|| {
            let next = usize::try_from(u32::get(entry)?).ok()?;
            let length = usize::from(u8::get(entry.get(4..)?)?);
            let name = entry.get(5..)?.get(..length)?;
            // A next entry that would begin inside this one, beyond the list, or at an odd place.
            if next != 0 && (next < length.checked_add(6)? || next >= entry.len() || next & 3 != 0) {
                return None;
            }
            Some((next, name))
        })();
        match parsed {
            None => Some(Err(start)),
            Some((next, name)) => {
                if next != 0 {
                    at = start.checked_add(next);
                }
                Some(Ok(name))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn lists_are_linked_at_multiples_of_four() {
        let mut out = [0xAA; 64];
        let mut list = EntryList::new(&mut out, ALIGN);
        assert_eq!(push(&mut list, b"A", b"xy"), Some(Pushed::Whole));
        assert_eq!(push(&mut list, b"BC", b""), Some(Pushed::Whole));
        assert_eq!(list.written(), 12 + 11);
        assert_eq!(&out[..23], b"\x0c\0\0\0\0\x01\x02\0A\0xy\0\0\0\0\0\x02\0\0BC\0");
    }

    #[test]
    fn requests_are_parsed_up_to_the_first_mistake() {
        let good = b"\x0c\0\0\0\x02AB\0\0\0\0\0\0\0\0\0\x01C\0";
        let names: Vec<_> = requested_names(good).collect();
        assert_eq!(names, [Ok(&b"AB"[..]), Ok(&b"C"[..])]);
        let names: Vec<_> = requested_names(b"\x04\0\0\0\x02AB\0").collect();
        assert_eq!(names, [Err(0)]);
        let names: Vec<_> = requested_names(b"\x0c\0\0\0\x01A\0").collect();
        assert_eq!(names, [Err(0)]);
        let names: Vec<_> = requested_names(b"\x08\0\0\0\x01A\0\0\0\0\0\0\x05B").collect();
        assert_eq!(names, [Ok(&b"A"[..]), Err(8)]);
    }
}
