//! A view of one block of a volume, with checked access to the fields in it.

use crate::{ReadAt, ReadError};
use alloc::vec::Vec;

/// Bytes of a block.
const BLOCK: usize = 4096;

/// One block of a volume, read when a field of it is first wanted and kept until another is.
pub(crate) struct Window<'v, V: ?Sized> {
    volume: &'v V,
    /// Start of the block on the volume; `None` before the first read.
    start: Option<u64>,
    /// Bytes of it that could be read.
    len: usize,
    bytes: Vec<u8>,
}

impl<'v, V: ReadAt + ?Sized> Window<'v, V> {
    /// `None` for lack of memory.
    pub(crate) fn new(volume: &'v V) -> Option<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(BLOCK).ok()?;
        bytes.resize(BLOCK, 0);
        Some(Window {
            volume,
            start: None,
            len: 0,
            bytes,
        })
    }

    /// Bytes of the volume, where that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.volume.size()
    }

    /// The bytes at `offset`, up to the end of their block of 4096; at least `len` of them.
    pub(crate) fn at(&mut self, offset: u64, len: usize) -> Option<Fields<'_>> {
        let within = usize::try_from(offset.checked_rem(4096)?).ok()?;
        let start = offset.checked_sub(u64::try_from(within).ok()?)?;
        if self.start != Some(start) {
            self.start = Some(start);
            self.len = self.fill(start);
        }
        let bytes = self.bytes.get(within..self.len)?;
        (bytes.len() >= len).then_some(Fields(bytes))
    }

    /// Reads as much of a block as there is.
    fn fill(&mut self, start: u64) -> usize {
        for len in [BLOCK, 2048, 1024, 512] {
            let Some(part) = self.bytes.get_mut(..len) else {
                continue;
            };
            if self.volume.read_at(start, part) == Ok(()) {
                // The volume may end between this and the next larger size: 512 at a time.
                return self.extend(start, len);
            }
        }
        0
    }

    fn extend(&mut self, start: u64, mut len: usize) -> usize {
        while len < BLOCK {
            let Some(next) = len.checked_add(512) else { break };
            let (Some(part), Ok(done)) = (self.bytes.get_mut(len..next), u64::try_from(len)) else {
                break;
            };
            let Some(offset) = start.checked_add(done) else {
                break;
            };
            match self.volume.read_at(offset, part) {
                Ok(()) => len = next,
                Err(ReadError) => break,
            }
        }
        len
    }
}

/// Bytes with numbers in them.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> Option<&'a [u8]> {
        self.0.get(offset..offset.checked_add(len)?)
    }

    pub(crate) fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.bytes(offset, N)?.try_into().ok()
    }

    pub(crate) fn from(&self, offset: usize) -> Option<Fields<'a>> {
        self.0.get(offset..).map(Fields)
    }

    pub(crate) fn is(&self, offset: usize, magic: &[u8]) -> bool {
        self.bytes(offset, magic.len()) == Some(magic)
    }

    pub(crate) fn u8(&self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    pub(crate) fn le16(&self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    pub(crate) fn le32(&self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    pub(crate) fn le64(&self, offset: usize) -> Option<u64> {
        self.array(offset).map(u64::from_le_bytes)
    }

    pub(crate) fn be16(&self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_be_bytes)
    }

    pub(crate) fn be32(&self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_be_bytes)
    }

    pub(crate) fn be64(&self, offset: usize) -> Option<u64> {
        self.array(offset).map(u64::from_be_bytes)
    }
}
