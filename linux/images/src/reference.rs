//! What an image says about the other files that it needs.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Error;
use crate::fields::push;

/// What the other file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has what this image does not (a backing file, the parent of a differencing disk).
    Parent,
    /// It has this image's data (the external data file of a qcow2 image).
    Data,
}

/// How a name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Bytes as the system that made the image had them: UTF-8 by custom.
    Bytes,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
}

/// Where a name begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// In the folder of the image that says it.
    Image,
    /// At a root of the system that made the image.
    Root,
    /// The format does not say: the name itself must.
    Either,
}

/// A name as the format holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How they are to be read.
    pub encoding: Encoding,
    /// Where it begins.
    pub base: Base,
}

impl Name {
    /// The name as text; `None` when it is not valid in its encoding, or memory lacks.
    pub fn text(&self) -> Option<String> {
        let mut text = String::new();
        match self.encoding {
            Encoding::Bytes => {
                let name = core::str::from_utf8(&self.bytes).ok()?;
                text.try_reserve_exact(name.len()).ok()?;
                text.push_str(name);
            }
            Encoding::Utf16Le | Encoding::Utf16Be => {
                let (units, rest) = self.bytes.as_chunks::<2>();
                if !rest.is_empty() {
                    return None;
                }
                let unit = |pair: &[u8; 2]| match self.encoding {
                    Encoding::Utf16Be => u16::from_be_bytes(*pair),
                    _ => u16::from_le_bytes(*pair),
                };
                text.try_reserve(self.bytes.len().saturating_mul(2)).ok()?;
                for character in char::decode_utf16(units.iter().map(unit)) {
                    text.push(character.ok()?);
                }
            }
        }
        Some(text)
    }
}

/// A format that an image says another file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Declared {
    /// Nothing: it is told by its content.
    Unknown,
    /// It is the disk itself, whatever it looks like.
    Raw,
    /// VHD.
    Vhd,
    /// VHDX.
    Vhdx,
    /// qcow2.
    Qcow2,
}

/// Another file that an image needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Which file needs it, as an index in the order of opening: 0 is the first.
    pub file: usize,
    /// What for.
    pub role: Role,
    /// Its names, the one that is most likely to be right first. Never empty.
    pub names: Vec<Name>,
    /// Its format.
    pub format: Declared,
}

impl Reference {
    pub(crate) fn new(file: usize, role: Role, format: Declared) -> Reference {
        Reference {
            file,
            role,
            names: Vec::new(),
            format,
        }
    }

    pub(crate) fn add(&mut self, bytes: Vec<u8>, encoding: Encoding, base: Base) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        push(
            &mut self.names,
            Name {
                bytes,
                encoding,
                base,
            },
        )
    }
}
