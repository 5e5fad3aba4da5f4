//! The literals of a block: as they are, one byte many times, or in Huffman codes.

use alloc::vec::Vec;

use super::LARGEST_BLOCK;
use super::huffman::Huffman;
use crate::error::Error;
use crate::fields::zeros;

/// The literals of the block that was read last.
pub(super) struct Literals {
    bytes: Vec<u8>,
    length: usize,
    huffman: Huffman,
}

impl Literals {
    pub fn new() -> Result<Literals, Error> {
        Ok(Literals {
            bytes: zeros(LARGEST_BLOCK)?,
            length: 0,
            huffman: Huffman::new()?,
        })
    }

    pub fn reset(&mut self) {
        self.huffman.forget();
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Reads the section that `block` begins with; says how many bytes it has.
    pub fn read(&mut self, block: &[u8]) -> Option<usize> {
        let mut head = [0u8; 8];
        for (place, byte) in head.iter_mut().zip(block.iter().take(5)) {
            *place = *byte;
        }
        let head = u64::from_le_bytes(head);
        let field = |shift: u32, bits: u32| {
            let mask = 1u64.checked_shl(bits)?.checked_sub(1)?;
            usize::try_from(head.checked_shr(shift)? & mask).ok()
        };
        let (kind, format) = (head & 3, head >> 2 & 3);
        if kind < 2 {
            let (length, head_length) = match format {
                0 | 2 => (field(3, 5)?, 1usize),
                1 => (field(4, 12)?, 2),
                _ => (field(4, 20)?, 3),
            };
            let out = self.bytes.get_mut(..length)?;
            let rest = block.get(head_length..)?;
            let used = if kind == 0 {
                out.copy_from_slice(rest.get(..length)?);
                length
            } else {
                out.fill(*rest.first()?);
                1
            };
            self.length = length;
            return head_length.checked_add(used);
        }
        let (bits, head_length) = match format {
            0 | 1 => (10u32, 3usize),
            2 => (14, 4),
            _ => (18, 5),
        };
        let (length, packed) = (field(4, bits)?, field(bits.checked_add(4)?, bits)?);
        let end = head_length.checked_add(packed)?;
        let mut streams = block.get(head_length..end)?;
        if kind == 2 {
            streams = streams.get(self.huffman.read(streams)?..)?;
        }
        self.length = length;
        let out = self.bytes.get_mut(..length)?;
        if format == 0 {
            self.huffman.unpack_stream(streams, out)?;
            return Some(end);
        }
        let (sizes, mut streams) = streams.split_first_chunk::<6>()?;
        let (sizes, _) = sizes.as_chunks::<2>();
        let each = length.div_ceil(4);
        let mut out = out;
        for size in sizes {
            let (stream, rest) = streams.split_at_checked(usize::from(u16::from_le_bytes(*size)))?;
            let (part, left) = out.split_at_mut_checked(each)?;
            self.huffman.unpack_stream(stream, part)?;
            (streams, out) = (rest, left);
        }
        self.huffman.unpack_stream(streams, out)?;
        Some(end)
    }
}
