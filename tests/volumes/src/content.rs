//! What a test file holds: bytes that are a function of a seed and of their own position.
//!
//! Any piece can be made without the ones before it, so that files larger than memory and files with holes cost
//! nothing to describe.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    seed: u64,
    size: u64,
    /// Where there are bytes; the rest is a hole. Sorted, apart from one another.
    data: Vec<Range<u64>>,
}

/// The mixing step of splitmix64.
pub fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Content {
    /// `size` bytes without a hole.
    pub fn solid(seed: u64, size: u64) -> Content {
        let whole = 0..size;
        Content {
            seed,
            size,
            data: if size == 0 { Vec::new() } else { vec![whole] },
        }
    }

    /// `size` bytes, zero but for the ranges in `data`, which are in order.
    pub fn sparse(seed: u64, size: u64, data: Vec<Range<u64>>) -> Content {
        Content { seed, size, data }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buffer` with what is at `offset`, which must lie within one range of data.
    fn fill(&self, offset: u64, buffer: &mut [u8]) {
        let mut position = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let word = mix(self.seed ^ (position / 8)).to_le_bytes();
            // Every other block of 4 KiB compresses well: file systems store such blocks in another way.
            let word = if (position / 4096).is_multiple_of(2) {
                word
            } else {
                [word[0] & 3; 8]
            };
            let skip = (position % 8) as usize;
            let count = (8 - skip).min(rest.len());
            rest[..count].copy_from_slice(&word[skip..skip + count]);
            position += count as u64;
            rest = &mut rest[count..];
        }
    }

    /// Calls `sink` with pieces of data and their places.
    fn pieces(&self, mut sink: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        for range in &self.data {
            let mut offset = range.start;
            while offset < range.end {
                let count = (range.end - offset).min(buffer.len() as u64) as usize;
                self.fill(offset, &mut buffer[..count]);
                sink(offset, &buffer[..count])?;
                offset += count as u64;
            }
        }
        Ok(())
    }

    /// Writes the content to `file`, which is empty, leaving the holes out.
    pub fn write(&self, file: &File) -> io::Result<()> {
        self.pieces(|offset, bytes| file.write_all_at(bytes, offset))?;
        if self.data.last().map_or(0, |range| range.end) < self.size {
            file.set_len(self.size)?;
        }
        Ok(())
    }

    /// The sha256 of the whole, holes being zeros, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        let mut end = 0;
        let zeros = vec![0; 1 << 20];
        let pad = |digest: &mut Sha256, mut count: u64| {
            while count > 0 {
                let piece = count.min(zeros.len() as u64);
                digest.update(&zeros[..piece as usize]);
                count -= piece;
            }
        };
        let hashed = self.pieces(|offset, bytes| {
            pad(&mut digest, offset - end);
            digest.update(bytes);
            end = offset + bytes.len() as u64;
            Ok(())
        });
        debug_assert!(hashed.is_ok(), "nothing above fails");
        pad(&mut digest, self.size - end);
        digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_hashes_as_described() {
        for content in [
            Content::solid(1, 0),
            Content::solid(2, 12_345),
            Content::sparse(3, 3 << 20, vec![5..4101, (1 << 20)..(1 << 20) + 9]),
            Content::sparse(4, 77, vec![]),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            content.write(file.as_file()).unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            assert_eq!(bytes.len() as u64, content.size());
            let hash: String = Sha256::digest(&bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(hash, content.sha256());
        }
    }
}
