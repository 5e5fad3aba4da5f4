//! What a superblock says: kind, label, identity.

use crate::kind::Kind;
use core::fmt;

/// A recognised file system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Superblock {
    /// Which file system it is.
    pub kind: Kind,
    /// Its label; empty when it has none.
    pub label: Label,
    /// Its identity; `None` when it has none.
    pub uuid: Option<Uuid>,
    /// Bytes that the file system says it occupies, where the superblock tells.
    pub size_bytes: Option<u64>,
    /// Bytes per block (cluster, sector), where the superblock tells.
    pub block_size: Option<u32>,
}

impl Superblock {
    pub(crate) fn new(kind: Kind) -> Self {
        Superblock {
            kind,
            label: Label::default(),
            uuid: None,
            size_bytes: None,
            block_size: None,
        }
    }
}

/// A label: UTF-8, what was not is replaced by U+FFFD; without the padding of its field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    bytes: [u8; Label::CAPACITY],
    len: usize,
}

impl Label {
    /// Room for the longest label field in UTF-8 (a btrfs label has 256 bytes); longer ones are cut at a character.
    const CAPACITY: usize = 512;

    /// The text.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for Label {
    fn default() -> Self {
        Label {
            bytes: [0; Label::CAPACITY],
            len: 0,
        }
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The identity of a volume, in the form that its file system uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Uuid {
    /// A UUID, in the order of its text.
    Full([u8; 16]),
    /// A serial number of 64 bits (NTFS).
    Serial64(u64),
    /// A serial number of 32 bits (FAT, exFAT, cramfs).
    Serial32(u32),
}

impl fmt::Display for Uuid {
    /// As `blkid` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uuid::Full(bytes) => {
                for (index, byte) in bytes.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
            Uuid::Serial64(serial) => write!(f, "{serial:016X}"),
            Uuid::Serial32(serial) => write!(f, "{:04X}-{:04X}", serial >> 16, serial & 0xffff),
        }
    }
}
