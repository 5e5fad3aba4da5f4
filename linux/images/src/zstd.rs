//! Zstandard (RFC 8878), for clusters that are unpacked as a whole.
//!
//! The published decoders are made for streams: they grow a window as they go, and end the program when that fails or
//! when a check of their own fails. Here the output has one place and one length, so it is its own window; all memory
//! is taken once, in [`Decoder::new`]; and what is wrong is `None`, whatever the input. There are no dictionaries, and a
//! frame's checksum, which QEMU does not write, is not looked at.
//!
//! [`Decoder::decode`] reads a frame and its blocks. A compressed block is a section of literals ([`literals`], with
//! [`huffman`]) and one of sequences ([`sequences`], with [`fse`]) that say how the output is put together from the
//! literals and from what was put out before. [`bits`] reads bits from either end.

mod bits;
mod fse;
mod huffman;
mod literals;
mod sequences;

use crate::error::Error;
use crate::fields::Fields;

/// Bytes of the largest block, before or after it is unpacked.
const LARGEST_BLOCK: usize = 128 << 10;

/// Memory for unpacking: some 140 KiB.
pub(crate) struct Decoder {
    literals: literals::Literals,
    sequences: sequences::Sequences,
}

impl Decoder {
    /// Takes the memory.
    pub fn new() -> Result<Decoder, Error> {
        Ok(Decoder {
            literals: literals::Literals::new()?,
            sequences: sequences::Sequences::new()?,
        })
    }

    /// Unpacks one frame into `out`, which it must fill exactly; what follows the frame is not looked at.
    pub fn decode(&mut self, frame: &[u8], out: &mut [u8]) -> Option<()> {
        let mut rest = frame.get(header(frame)?..)?;
        self.literals.reset();
        self.sequences.reset();
        let mut done = 0usize;
        loop {
            let (head, behind) = rest.split_first_chunk::<3>()?;
            let [low, middle, high] = *head;
            let head = u32::from_le_bytes([low, middle, high, 0]);
            let size = usize::try_from(head >> 3).ok()?;
            if size > LARGEST_BLOCK {
                return None;
            }
            let room = out.len().checked_sub(done)?.min(LARGEST_BLOCK);
            let (used, made) = match head >> 1 & 3 {
                0 => {
                    out.get_mut(done..)?
                        .get_mut(..size)?
                        .copy_from_slice(behind.get(..size)?);
                    (size, size)
                }
                1 => {
                    out.get_mut(done..)?.get_mut(..size)?.fill(*behind.first()?);
                    (1, size)
                }
                2 => {
                    let block = behind.get(..size)?;
                    let literals = self.literals.read(block)?;
                    let section = block.get(literals..)?;
                    let made = self
                        .sequences
                        .run(section, self.literals.bytes(), out, done, room)?;
                    (size, made)
                }
                _ => return None,
            };
            done = done.checked_add(made)?;
            rest = behind.get(used..)?;
            if head & 1 == 1 {
                return (done == out.len()).then_some(());
            }
        }
    }
}

/// Bytes of the frame's header, if it is one that can be read here.
fn header(frame: &[u8]) -> Option<usize> {
    let fields = Fields(frame);
    if !fields.is(0, &[0x28, 0xb5, 0x2f, 0xfd]) {
        return None;
    }
    let descriptor = fields.u8(4)?;
    let single = descriptor & 0x20 != 0;
    // A reserved bit, and dictionaries.
    if descriptor & 0x08 != 0 || descriptor & 0x03 != 0 {
        return None;
    }
    let size_bytes = match descriptor >> 6 {
        0 => usize::from(single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let window_bytes = usize::from(!single);
    5usize.checked_add(window_bytes)?.checked_add(size_bytes)
}
