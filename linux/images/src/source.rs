//! One file of an image, with what the log of a VHDX would change in it laid over.
//!
//! Nothing is read beyond the end of a file: what is missing is [`Error::Truncated`], with the one exception that a
//! replayed log may have made the file longer, with zeros.

use crate::File;
use crate::error::Error;
use crate::fields::{narrow, wide};
use crate::patches::{Patch, Patches, SECTOR, SECTOR_BYTES};

/// A file of an image.
#[derive(Debug)]
pub(crate) struct Source<F> {
    pub file: F,
    /// Its index among the image's files.
    pub index: usize,
    /// Bytes that are there.
    stored: u64,
    /// Bytes after the log's replay; never less than `stored`.
    size: u64,
    patches: Patches,
}

/// What a stretch of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// As it is stored.
    Stored,
    /// Zeros.
    Zero,
    /// In the log.
    Logged,
}

impl<F: File> Source<F> {
    pub fn new(file: F, index: usize) -> Source<F> {
        let stored = file.size_bytes();
        Source {
            file,
            index,
            stored,
            size: stored,
            patches: Patches::default(),
        }
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Lays what a log says over the file.
    pub fn replay(&mut self, patches: Patches, size: u64) {
        self.size = self.stored.max(size);
        self.patches = patches;
    }

    /// What the file is from `offset` on, and for how many bytes: at most `length`, which is not 0.
    pub fn stretch(&self, offset: u64, length: u64) -> Result<(Stretch, u64), Error> {
        let (patch, length) = self.patches.find(offset, length);
        let what = match patch {
            Some(Patch::Zero) => return Ok((Stretch::Zero, length)),
            Some(Patch::Sector { .. }) => return Ok((Stretch::Logged, length)),
            None if offset < self.stored => Stretch::Stored,
            None if offset < self.size => Stretch::Zero,
            None => return Err(self.truncated(offset)),
        };
        let end = if what == Stretch::Stored {
            self.stored
        } else {
            self.size
        };
        Ok((what, length.min(end.saturating_sub(offset))))
    }

    /// Fills `out` from `offset` on.
    pub fn read(&self, mut offset: u64, mut out: &mut [u8]) -> Result<(), Error> {
        while !out.is_empty() {
            let (what, length) = self.stretch(offset, wide(out.len()))?;
            let (part, rest) = out.split_at_mut_checked(narrow(length)).ok_or(Error::Beyond)?;
            match what {
                Stretch::Stored => self.stored(offset, part)?,
                Stretch::Zero => part.fill(0),
                Stretch::Logged => self.logged(offset, part)?,
            }
            offset = offset.checked_add(length).ok_or(Error::Beyond)?;
            out = rest;
        }
        Ok(())
    }

    /// Fills `out` with what the file itself holds, whatever the log says.
    pub fn stored(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let end = offset
            .checked_add(wide(out.len()))
            .ok_or(self.truncated(offset))?;
        if end > self.stored {
            return Err(self.truncated(offset.max(self.stored)));
        }
        self.file.read_at(offset, out).map_err(|_| Error::Read {
            file: self.index,
            offset,
        })
    }

    /// Fills `out`, which lies in one sector, with what the log has for it.
    fn logged(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let (Some(Patch::Sector { at, head, tail }), _) = self.patches.find(offset, wide(out.len())) else {
            return Err(Error::Beyond);
        };
        let mut sector = [0; SECTOR];
        self.stored(at, &mut sector)?;
        if let Some(place) = sector.first_chunk_mut() {
            *place = head;
        }
        if let Some(place) = sector.last_chunk_mut() {
            *place = tail;
        }
        let start = narrow(offset % SECTOR_BYTES);
        let part = start
            .checked_add(out.len())
            .and_then(|end| sector.get(start..end))
            .ok_or(Error::Beyond)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn truncated(&self, offset: u64) -> Error {
        Error::Truncated {
            file: self.index,
            size: self.stored,
            offset,
        }
    }
}
