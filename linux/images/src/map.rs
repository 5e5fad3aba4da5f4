//! From a range of the disk to where its bytes are.

use crate::File;
use crate::cache::{Cache, Tables};
use crate::chain::{Image, Layer};
use crate::error::Error;
use crate::fields::{narrow, wide};
use crate::layer::{Found, Packed};
use crate::source::{Source, Stretch};

/// Pieces that are joined to one extent at most: what bounds the time of one [`Image::map`].
const MOST_PIECES: usize = 4096;

/// Where bytes of the disk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// As they are in a file.
    Data {
        /// Which file: see [`Image::file`].
        file: usize,
        /// Bytes from its start. `offset + length` is not beyond its end.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// They are zeros.
    Zero {
        /// How many.
        length: u64,
    },
    /// They are in no file as they are; [`Image::read_at`] gets them: clusters that are compressed, and sectors that are
    /// in the log of a VHDX.
    Computed {
        /// How many.
        length: u64,
    },
}

impl Extent {
    /// How many bytes; never 0.
    pub fn length(&self) -> u64 {
        match self {
            Extent::Data { length, .. } | Extent::Zero { length } | Extent::Computed { length } => *length,
        }
    }

    /// This extent and the one behind it as one, if they are one.
    fn joined(self, next: Extent) -> Option<Extent> {
        let sum = self.length().checked_add(next.length())?;
        match (self, next) {
            (Extent::Zero { .. }, Extent::Zero { .. }) => Some(Extent::Zero { length: sum }),
            (Extent::Computed { .. }, Extent::Computed { .. }) => Some(Extent::Computed { length: sum }),
            (
                Extent::Data { file, offset, length },
                Extent::Data {
                    file: next_file,
                    offset: next_offset,
                    ..
                },
            ) if file == next_file && offset.checked_add(length) == Some(next_offset) => Some(Extent::Data {
                file,
                offset,
                length: sum,
            }),
            _ => None,
        }
    }
}

/// Where one piece is.
#[derive(Debug, Clone, Copy)]
enum Place {
    File { file: usize, offset: u64 },
    Zero,
    Log { file: usize, offset: u64 },
    Packed { file: usize, packed: Packed },
}

impl<F: File> Image<F> {
    /// Where the bytes from `offset` on are: as many of the `length` bytes as are in one place. May read tables into
    /// the cache.
    ///
    /// # Errors
    /// [`Error::Beyond`] when the range is empty or not inside the disk; whatever is wrong with the tables that tell.
    /// When only a later part of the range is bad, the answer ends before it.
    pub fn map(&self, cache: &mut Cache, offset: u64, length: u64) -> Result<Extent, Error> {
        self.check(offset, length)?;
        cache.belong(self.number);
        let (place, first) = self.place(cache, offset, length)?;
        let mut extent = extent(place, first);
        for _ in 0..MOST_PIECES {
            let done = extent.length();
            let left = length.saturating_sub(done);
            let Some(at) = offset.checked_add(done).filter(|_| left != 0) else {
                break;
            };
            let Ok((place, length)) = self.place(cache, at, left) else {
                break;
            };
            match extent.joined(self::extent(place, length)) {
                Some(longer) => extent = longer,
                None => break,
            }
        }
        Ok(extent)
    }

    /// Fills `out` with the disk's bytes from `offset` on.
    ///
    /// # Errors
    /// [`Error::Beyond`] when the range is not inside the disk; whatever is wrong with any part of it. The content of
    /// `out` is then undefined.
    pub fn read_at(&self, cache: &mut Cache, mut offset: u64, mut out: &mut [u8]) -> Result<(), Error> {
        if out.is_empty() {
            return Ok(());
        }
        self.check(offset, wide(out.len()))?;
        cache.belong(self.number);
        while !out.is_empty() {
            // Long reads of what is stored in one piece; the rest piece by piece.
            let (length, part, rest);
            match self.map(cache, offset, wide(out.len()))? {
                Extent::Data {
                    file,
                    offset: at,
                    length: run,
                } => {
                    length = run;
                    (part, rest) = split(out, run)?;
                    let source = self.source(file)?;
                    source
                        .file
                        .read_at(at, part)
                        .map_err(|_| Error::Read { file, offset: at })?;
                }
                Extent::Zero { length: run } => {
                    length = run;
                    (part, rest) = split(out, run)?;
                    part.fill(0);
                }
                Extent::Computed { .. } => {
                    let (place, run) = self.place(cache, offset, wide(out.len()))?;
                    length = run;
                    (part, rest) = split(out, run)?;
                    match place {
                        Place::Log { file, offset } => self.source(file)?.read(offset, part)?,
                        Place::Packed { file, packed } => {
                            cache.unpacker.read(self.source(file)?, &packed, part)?;
                        }
                        Place::File { .. } | Place::Zero => return Err(Error::Beyond),
                    }
                }
            }
            offset = offset.checked_add(length).ok_or(Error::Beyond)?;
            out = rest;
        }
        Ok(())
    }

    fn check(&self, offset: u64, length: u64) -> Result<(), Error> {
        match offset.checked_add(length) {
            Some(end) if end <= self.virtual_size() && length != 0 => Ok(()),
            _ => Err(Error::Beyond),
        }
    }

    fn source(&self, index: usize) -> Result<&Source<F>, Error> {
        self.files.get(index).ok_or(Error::Beyond)
    }

    /// Where the byte at `offset` is, and for how many bytes that goes on: at most `length`.
    fn place(&self, cache: &mut Cache, offset: u64, mut length: u64) -> Result<(Place, u64), Error> {
        for Layer {
            mapping,
            size,
            file,
            data,
        } in &self.layers
        {
            // A parent may be smaller than its child; behind its end are zeros.
            let Some(inside) = size.checked_sub(offset).filter(|inside| *inside != 0) else {
                break;
            };
            length = length.min(inside);
            let source = self.source(*file)?;
            let mut tables = Tables { cache, source };
            let run = mapping.find(&mut tables, offset, length)?;
            length = length.min(run.length).max(1);
            return match run.found {
                Found::Below => continue,
                Found::Zero => Ok((Place::Zero, length)),
                Found::Packed(packed) => Ok((Place::Packed { file: *file, packed }, length)),
                Found::Data(offset) => {
                    let (stretch, length) = self.source(*data)?.stretch(offset, length)?;
                    let place = match stretch {
                        Stretch::Stored => Place::File { file: *data, offset },
                        Stretch::Zero => Place::Zero,
                        Stretch::Logged => Place::Log { file: *data, offset },
                    };
                    Ok((place, length))
                }
            };
        }
        Ok((Place::Zero, length))
    }
}

fn extent(place: Place, length: u64) -> Extent {
    match place {
        Place::File { file, offset } => Extent::Data { file, offset, length },
        Place::Zero => Extent::Zero { length },
        Place::Log { .. } | Place::Packed { .. } => Extent::Computed { length },
    }
}

fn split(out: &mut [u8], length: u64) -> Result<(&mut [u8], &mut [u8]), Error> {
    out.split_at_mut_checked(narrow(length)).ok_or(Error::Beyond)
}
