//! Volume labels, from the many ways to write one.

use alloc::string::String;
use core::fmt;

/// A label: UTF-8, what was not is replaced by U+FFFD; without the padding of its field. Empty for none, and for lack of
/// memory.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Label {
    text: String,
}

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A field of bytes: up to the first NUL, without spaces at its end.
    pub(crate) fn from_bytes(field: Option<&[u8]>) -> Label {
        let bytes = field
            .unwrap_or(&[])
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or(&[]);
        let mut label = Label::default();
        for chunk in bytes.utf8_chunks() {
            label.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                label.push_str("\u{fffd}");
            }
        }
        label.trim();
        label
    }

    /// Code units of UTF-16: up to the first NUL, without spaces at the end.
    pub(crate) fn from_utf16(units: impl Iterator<Item = u16>) -> Label {
        let mut label = Label::default();
        for unit in char::decode_utf16(units.take_while(|unit| *unit != 0)) {
            label.push_str(
                unit.unwrap_or(char::REPLACEMENT_CHARACTER)
                    .encode_utf8(&mut [0; 4]),
            );
        }
        label.trim();
        label
    }

    /// UTF-16, little-endian.
    pub(crate) fn from_utf16_le(field: Option<&[u8]>) -> Label {
        Label::from_utf16(field.unwrap_or(&[]).chunks_exact(2).map(|pair| match pair {
            [low, high] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        }))
    }

    /// UTF-16, big-endian.
    pub(crate) fn from_utf16_be(field: Option<&[u8]>) -> Label {
        Label::from_utf16(field.unwrap_or(&[]).chunks_exact(2).map(|pair| match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        }))
    }

    fn push_str(&mut self, text: &str) {
        if self.text.try_reserve(text.len()).is_ok() {
            self.text.push_str(text);
        }
    }

    fn trim(&mut self) {
        let len = self.text.trim_end().len();
        self.text.truncate(len);
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
