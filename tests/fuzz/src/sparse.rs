//! A disk of any size, described by few bytes: its length, and what is at some of its sectors; the rest is zeros.
//!
//! ```text
//!   u32 sectors of 512 bytes, u16 bytes behind them;  then, as often as there is:  u32 sector, u16 length, bytes
//! ```
//!
//! The last length may say more than there is. A disk counts what is read of it, and refuses what is beyond its end.

use crate::input::Input;
use disk_images::File;
use fs_probe::{ReadAt, ReadError};
use std::cell::Cell;
use std::rc::Rc;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// The disk. Copies share what they count.
#[derive(Clone, Debug)]
pub struct Sparse {
    size: u64,
    /// Where each begins, and its bytes; later ones cover earlier ones.
    parts: Rc<Vec<(u64, Vec<u8>)>>,
    reads: Rc<Cell<u64>>,
    bytes: Rc<Cell<u64>>,
    /// What a single read may ask for at most.
    longest: usize,
}

impl Sparse {
    /// The disk that the bytes describe.
    pub fn new(mut input: Input<'_>) -> Sparse {
        let size = u64::from(input.u32()) * SECTOR + u64::from(input.u16());
        let mut parts = Vec::new();
        while !input.is_empty() {
            let start = u64::from(input.u32()) * SECTOR;
            let length = input.u16();
            parts.push((start, input.take(length.into()).to_vec()));
        }
        Sparse {
            size,
            parts: Rc::new(parts),
            reads: Rc::default(),
            bytes: Rc::default(),
            longest: usize::MAX,
        }
    }

    /// The same disk, of which no more than `longest` bytes can be read at once, and of which nothing was read yet.
    pub fn in_pieces_of(&self, longest: usize) -> Sparse {
        Sparse {
            longest,
            reads: Rc::default(),
            bytes: Rc::default(),
            ..self.clone()
        }
    }

    /// Bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Reads, and bytes that they asked for, so far.
    pub fn was_read(&self) -> (u64, u64) {
        (self.reads.get(), self.bytes.get())
    }

    /// Puts other bytes at `start`, as far as they are on the disk.
    pub fn put(&mut self, start: u64, bytes: &[u8]) {
        let room = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX);
        let bytes = bytes[..bytes.len().min(room)].to_vec();
        Rc::make_mut(&mut self.parts).push((start, bytes));
    }

    /// The bytes at `start`, uncounted; `None` beyond the end.
    pub fn peek(&self, start: u64, length: usize) -> Option<Vec<u8>> {
        let end = start.checked_add(length as u64)?;
        (end <= self.size).then(|| {
            let mut bytes = vec![0; length];
            self.fill(start, &mut bytes);
            bytes
        })
    }

    fn fill(&self, start: u64, out: &mut [u8]) {
        out.fill(0);
        let end = start + out.len() as u64;
        for (at, bytes) in self.parts.iter() {
            let (from, to) = (start.max(*at), end.min(at + bytes.len() as u64));
            if from < to {
                let length = (to - from) as usize;
                let (here, there) = ((from - start) as usize, (from - at) as usize);
                out[here..here + length].copy_from_slice(&bytes[there..there + length]);
            }
        }
    }

    /// The description of an image of which only some sectors count: those that `keep` says and that are not zeros.
    pub fn describe(image: &[u8], keep: impl Fn(u64) -> bool) -> Vec<u8> {
        let sectors = (0u64..).zip(image.chunks(SECTOR as usize));
        let kept = sectors.filter(|(number, _)| keep(*number));
        Self::described(image.len() as u64, kept)
    }

    /// The description of a disk of `size` bytes with these sectors, in rising order.
    pub fn described<'a>(size: u64, sectors: impl Iterator<Item = (u64, &'a [u8])>) -> Vec<u8> {
        let mut out = u32::try_from(size / SECTOR)
            .unwrap_or(u32::MAX)
            .to_le_bytes()
            .to_vec();
        out.extend(((size % SECTOR) as u16).to_le_bytes());
        let mut write = |start: u64, bytes: &[u8]| {
            // Zeros at the end of a run say nothing.
            let length = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            out.extend((start as u32).to_le_bytes());
            out.extend((length as u16).to_le_bytes());
            out.extend(&bytes[..length]);
        };
        let mut run: Option<(u64, Vec<u8>)> = None;
        for (number, sector) in sectors.filter(|(_, sector)| sector.iter().any(|byte| *byte != 0)) {
            match &mut run {
                Some((start, bytes))
                    if *start + bytes.len() as u64 / SECTOR == number && bytes.len() < 0xf000 =>
                {
                    bytes.extend(sector);
                }
                _ => {
                    if let Some((start, bytes)) = run.replace((number, sector.to_vec())) {
                        write(start, &bytes);
                    }
                }
            }
        }
        if let Some((start, bytes)) = run {
            write(start, &bytes);
        }
        out
    }
}

impl ReadAt for Sparse {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.reads.set(self.reads.get() + 1);
        self.bytes.set(self.bytes.get() + buffer.len() as u64);
        let end = offset.checked_add(buffer.len() as u64).ok_or(ReadError)?;
        if end > self.size || buffer.len() > self.longest {
            return Err(ReadError);
        }
        self.fill(offset, buffer);
        Ok(())
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }
}

impl File for Sparse {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.parts, &other.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_is_read() {
        let mut image = vec![0; 3000];
        image[512..1100].fill(7);
        image[2990] = 9;
        let disk = Sparse::new(Input(&Sparse::describe(&image, |_| true)));
        assert_eq!(disk.size_bytes(), 3000);
        assert_eq!(disk.peek(0, 3000).unwrap(), image);
        let mut part = [0; 600];
        disk.read_at(600, &mut part).unwrap();
        assert_eq!(part, image[600..1200]);
        assert_eq!(disk.was_read(), (1, 600));
        assert_eq!(disk.read_at(2999, &mut [0; 2]), Err(ReadError));
        assert_eq!(disk.in_pieces_of(512).read_at(0, &mut [0; 513]), Err(ReadError));
    }
}
