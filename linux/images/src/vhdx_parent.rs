//! The parent of a differencing VHDX: a list of keys and values in UTF-16.

use crate::File;
use crate::error::Error;
use crate::fields::{Fields, copy, zeros};
use crate::layer::Identity;
use crate::reference::{Base, Declared, Encoding, Reference, Role};
use crate::source::Source;
use crate::vhdx::{MIB, damaged, guid};

/// The only kind of locator: the parent is a VHDX.
const KIND: [u8; 16] = guid(0xb04aefb7_d19e_4a81_b789_25b8e9445913);

/// Reads the locator that is `length` bytes at `offset`: the parent's names, and what it must be.
pub(crate) fn read<F: File>(
    source: &Source<F>,
    (offset, length): (u64, u64),
) -> Result<(Reference, Identity), Error> {
    let wrong = damaged("what it says about its parent makes no sense");
    if !(20..=MIB).contains(&length) {
        return Err(wrong);
    }
    let mut locator = zeros(usize::try_from(length).map_err(|_| wrong)?)?;
    source.read(offset, &mut locator)?;
    let fields = Fields(&locator);
    if !fields.is(0, &KIND) {
        return Err(Error::Unsupported {
            format: crate::Format::Vhdx,
            what: "a parent of an unknown kind",
        });
    }
    let count = fields.le16(18).ok_or(wrong)?;
    let value = |key: &str| {
        let entries = locator.get(20..).unwrap_or_default().as_chunks::<12>().0;
        for entry in entries.iter().take(usize::from(count)) {
            let entry = Fields(entry);
            let text = |at: usize, length_at: usize| {
                let at = usize::try_from(entry.le32(at)?).ok()?;
                fields.bytes(at, usize::from(entry.le16(length_at)?))
            };
            let (Some(name), Some(value)) = (text(0, 8), text(4, 10)) else {
                return Err(wrong);
            };
            if name
                .as_chunks::<2>()
                .0
                .iter()
                .copied()
                .eq(key.encode_utf16().map(u16::to_le_bytes))
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    };
    let mut reference = Reference::new(source.index, Role::Parent, Declared::Vhdx);
    for (key, base) in [
        ("relative_path", Base::Image),
        ("absolute_win32_path", Base::Root),
        ("volume_path", Base::Root),
    ] {
        if let Some(value) = value(key)? {
            reference.add(copy(value)?, Encoding::Utf16Le, base)?;
        }
    }
    let linkage = |key| Ok::<_, Error>(value(key)?.and_then(parse_guid));
    let identity = match (linkage("parent_linkage")?, linkage("parent_linkage2")?) {
        (Some(first), Some(second)) => Identity::EitherVhdx(first, second),
        (Some(only), None) => Identity::Vhdx(only),
        _ => return Err(damaged("it does not say what its parent must be")),
    };
    match reference.names.is_empty() {
        true => Err(damaged("it does not say where its parent is")),
        false => Ok((reference, identity)),
    }
}

/// A GUID in braces, in UTF-16, as the 16 bytes that it is on disk.
fn parse_guid(text: &[u8]) -> Option<[u8; 16]> {
    let mut number = 0u128;
    let mut digits = 0;
    for unit in text.as_chunks::<2>().0 {
        let character = char::from_u32(u32::from(u16::from_le_bytes(*unit)))?;
        match character.to_digit(16) {
            Some(digit) => {
                number = number.checked_mul(16)?.checked_add(u128::from(digit))?;
                digits = u32::checked_add(digits, 1)?;
            }
            None if matches!(character, '{' | '}' | '-' | '\0') => {}
            None => return None,
        }
    }
    (digits == 32).then(|| guid(number))
}
