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
        let Header {
            length,
            window,
            content,
        } = header(frame)?;
        if content.is_some_and(|content| usize::try_from(content) != Ok(out.len())) {
            return None;
        }
        let largest = usize::try_from(window).map_or(LARGEST_BLOCK, |window| window.min(LARGEST_BLOCK));
        let mut rest = frame.get(length..)?;
        self.literals.reset();
        self.sequences.reset();
        let mut done = 0usize;
        loop {
            let (head, behind) = rest.split_first_chunk::<3>()?;
            let [low, middle, high] = *head;
            let head = u32::from_le_bytes([low, middle, high, 0]);
            let size = usize::try_from(head >> 3).ok()?;
            if size > largest {
                return None;
            }
            let room = out.len().checked_sub(done)?.min(largest);
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

/// What a frame's header says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    /// Bytes of the header.
    length: usize,
    /// Bytes that may lie between what is put out and what it is a copy of, and the most that a block has.
    window: u64,
    /// Bytes of what the frame unpacks to.
    content: Option<u64>,
}

/// The header of a frame that can be read here.
fn header(frame: &[u8]) -> Option<Header> {
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
    let at = if single { 5 } else { 6 };
    let (bytes, content) = match descriptor >> 6 {
        0 if single => (1, Some(u64::from(fields.u8(at)?))),
        0 => (0, None),
        1 => (2, Some(u64::from(fields.le16(at)?).checked_add(256)?)),
        2 => (4, Some(u64::from(fields.le32(at)?))),
        _ => (8, Some(fields.le64(at)?)),
    };
    let window = if single {
        content?
    } else {
        let window = fields.u8(5)?;
        let base = 1u64.checked_shl(u32::from(window >> 3).checked_add(10)?)?;
        base.checked_add((base / 8).checked_mul(u64::from(window & 7))?)?
    };
    Some(Header {
        length: at.checked_add(bytes)?,
        window,
        content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of one block that repeats a byte.
    fn repeated(descriptor: u8, rest: &[u8], count: u32) -> std::vec::Vec<u8> {
        let mut frame = std::vec![0x28, 0xb5, 0x2f, 0xfd, descriptor];
        frame.extend(rest);
        frame.extend(&(count << 3 | 3).to_le_bytes()[..3]);
        frame.push(7);
        frame
    }

    fn unpacks(frame: &[u8], length: usize) -> bool {
        let mut out = std::vec![0; length];
        let done = Decoder::new().unwrap().decode(frame, &mut out).is_some();
        assert!(!done || out.iter().all(|byte| *byte == 7));
        done
    }

    #[test]
    fn a_frame_unpacks_to_as_many_bytes_as_it_says() {
        assert!(unpacks(&repeated(0x60, &3840u16.to_le_bytes(), 4096), 4096));
        assert!(!unpacks(&repeated(0x60, &3841u16.to_le_bytes(), 4096), 4096));
        assert!(unpacks(&repeated(0xa0, &4096u32.to_le_bytes(), 4096), 4096));
        assert!(!unpacks(&repeated(0xa0, &4095u32.to_le_bytes(), 4096), 4096));
        assert!(!unpacks(&repeated(0xe0, &u64::MAX.to_le_bytes(), 4096), 4096));
    }

    #[test]
    fn a_block_is_no_larger_than_its_frames_window() {
        // 1 KiB, 3 / 8 more, and 4 KiB.
        assert!(unpacks(&repeated(0, &[3], 1408), 1408));
        assert!(!unpacks(&repeated(0, &[3], 1409), 1409));
        assert!(unpacks(&repeated(0, &[16], 4096), 4096));
    }
}
