//! Texts in records: UTF-16, low byte first, at any address.

use alloc::string::String;
use alloc::vec::Vec;

use crate::refusal::Refusal;

/// A text in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Text<'a>(&'a [[u8; 2]]);

impl<'a> Text<'a> {
    /// The text that has these bytes; `None` for half a unit or a NUL, which no name has.
    pub fn new(bytes: &'a [u8]) -> Option<Text<'a>> {
        let (units, rest) = bytes.as_chunks();
        (rest.is_empty() && !units.contains(&[0, 0])).then_some(Text(units))
    }

    /// Units of 16 bits.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is no text.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The units in order. They may be anything but 0, as in all names of NT: pairs of surrogates are not guaranteed.
    pub fn units(self) -> impl Iterator<Item = u16> + 'a {
        self.0.iter().map(|unit| u16::from_le_bytes(*unit))
    }

    /// A copy.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`].
    pub fn to_units(self) -> Result<Vec<u16>, Refusal> {
        let mut units = Vec::new();
        units
            .try_reserve_exact(self.len())
            .map_err(|_| Refusal::NoMemory)?;
        units.extend(self.units());
        Ok(units)
    }

    /// As a string, for showing: what is not UTF-16 becomes U+FFFD.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`].
    pub fn to_string_lossy(self) -> Result<String, Refusal> {
        let mut text = String::new();
        text.try_reserve_exact(self.len().saturating_mul(3))
            .map_err(|_| Refusal::NoMemory)?;
        text.extend(char::decode_utf16(self.units()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
        Ok(text)
    }
}

/// A string as the bytes that [`Text::new`] takes.
///
/// # Errors
/// [`Refusal::NoMemory`].
pub fn utf16(text: &str) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    // No character has more bytes in UTF-16 than twice those of UTF-8.
    bytes
        .try_reserve_exact(text.len().saturating_mul(2))
        .map_err(|_| Refusal::NoMemory)?;
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    Ok(bytes)
}

/// Adds a text's bytes to a record; says how many.
pub(crate) fn append(out: &mut Vec<u8>, units: &[u16]) -> Result<u32, Refusal> {
    if units.contains(&0) {
        return Err(Refusal::Invalid("a text has a NUL in it"));
    }
    let bytes = units.len().saturating_mul(2);
    out.try_reserve(bytes).map_err(|_| Refusal::NoMemory)?;
    out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    u32::try_from(bytes).map_err(|_| Refusal::Invalid("a text is too long"))
}
