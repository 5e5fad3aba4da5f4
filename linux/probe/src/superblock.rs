//! What a superblock says: kind, label, identity.

use crate::kind::Kind;
use crate::label::Label;
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
    /// Bytes of a journal that is to be replayed, where the superblock tells: what a replay writes is no more.
    pub journal_bytes: Option<u64>,
    /// Mount options without which Linux does not mount this variant, as in `"ufstype=ufs2"`; mostly empty.
    pub linux_options: &'static str,
}

impl Superblock {
    /// Sets the identity, unless all of it is zero.
    pub(crate) fn with_uuid(mut self, uuid: Option<[u8; 16]>) -> Self {
        self.uuid = uuid
            .filter(|bytes| bytes.iter().any(|byte| *byte != 0))
            .map(Uuid::Full);
        self
    }

    pub(crate) fn with_label(mut self, label: Label) -> Self {
        self.label = label;
        self
    }

    /// Sets the size of a block and the number of them. Blocks without bytes tell nothing.
    pub(crate) fn with_blocks(mut self, block_size: Option<u32>, blocks: Option<u64>) -> Self {
        let block_size = block_size.filter(|size| *size != 0);
        self.block_size = block_size;
        self.size_bytes = block_size
            .zip(blocks)
            .and_then(|(size, blocks)| blocks.checked_mul(u64::from(size)));
        self
    }

    pub(crate) fn new(kind: Kind) -> Self {
        Superblock {
            kind,
            label: Label::default(),
            uuid: None,
            size_bytes: None,
            block_size: None,
            journal_bytes: None,
            linux_options: "",
        }
    }
}

/// The identity of a volume, in the form that its file system uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Uuid {
    /// A UUID, in the order of its text.
    Full([u8; 16]),
    /// A date of 16 digits that serves as identity (ISO 9660): `YYYYMMDDhhmmsscc`.
    Date([u8; 16]),
    /// A serial number of 64 bits (NTFS, UFS).
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
            Uuid::Date(digits) => {
                for (index, digit) in digits.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10 | 12 | 14) {
                        f.write_str("-")?;
                    }
                    write!(f, "{}", char::from(*digit))?;
                }
                Ok(())
            }
            Uuid::Serial64(serial) => write!(f, "{serial:016X}"),
            Uuid::Serial32(serial) => write!(f, "{:04X}-{:04X}", serial >> 16, serial & 0xffff),
        }
    }
}
