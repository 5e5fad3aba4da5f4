//! Short NT names: device names, links, drive letters. A UNICODE_STRING that points into a name is good for as long as the
//! name stays where it is, which is the matter of the calls that take one.

use crate::nt::UNICODE_STRING;
use lklfs_nt::NtStatus;

/// The longest, UTF-16 units.
const LONGEST: usize = 40;

/// A name of any length, for a call that only reads it and while `name` lives. OBJECT_NAME_INVALID when it is too long.
pub fn string(name: &[u16]) -> Result<UNICODE_STRING, NtStatus> {
    let length = u16::try_from(name.len().saturating_mul(2)).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
    Ok(UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: name.as_ptr().cast_mut(),
    })
}

/// A short name.
#[derive(Clone, Copy)]
pub struct Name {
    units: [u16; LONGEST],
    length: u16,
}

impl Name {
    /// A name of ASCII or other text; cut when it is too long, which no name of ours is.
    pub fn new(text: &str) -> Self {
        let mut name = Name {
            units: [0; LONGEST],
            length: 0,
        };
        for unit in text.encode_utf16() {
            name.push(unit);
        }
        name
    }

    /// `text` and a number behind it.
    pub fn numbered(text: &str, number: u32) -> Self {
        let mut name = Name::new(text);
        let mut digits = [0u16; 10];
        let mut rest = number;
        let mut count = 0usize;
        for place in digits.iter_mut().rev() {
            let digit = u16::try_from(rest.checked_rem(10).unwrap_or(0)).unwrap_or(0);
            *place = digit.saturating_add(0x30);
            count = count.saturating_add(1);
            rest = rest.checked_div(10).unwrap_or(0);
            if rest == 0 {
                break;
            }
        }
        for unit in digits.iter().skip(digits.len().saturating_sub(count)) {
            name.push(*unit);
        }
        name
    }

    /// `\DosDevices\X:`.
    pub fn letter(letter: u8) -> Self {
        let mut name = Name::new("\\DosDevices\\");
        name.push(u16::from(letter));
        name.push(0x3a);
        name
    }

    /// `other` as a name; cut when it is too long.
    pub fn of(other: &[u16]) -> Self {
        let mut name = Name::new("");
        for unit in other {
            name.push(*unit);
        }
        name
    }

    fn push(&mut self, unit: u16) {
        if let Some(place) = self.units.get_mut(usize::from(self.length)) {
            *place = unit;
            self.length = self.length.saturating_add(1);
        }
    }

    /// Its units.
    pub fn units(&self) -> &[u16] {
        self.units.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// For a call of the kernel's.
    pub fn string(&mut self) -> UNICODE_STRING {
        let bytes = self.length.saturating_mul(2);
        UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: self.units.as_mut_ptr(),
        }
    }
}
