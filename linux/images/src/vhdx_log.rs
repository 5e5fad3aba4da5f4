//! The log of a VHDX: what was to be written in place when the image was last closed in a hurry.
//!
//! The log is a ring of sectors of 4 KiB. An *entry* has a header, descriptors, and a sector of data for each of those
//! that is not about zeros. The *active sequence* is the entries with consecutive numbers that end with the largest one
//! and begin where that one's header says. Nothing is written here: [`replay`] makes the sequence a list of
//! [`patches`](crate::patches) that are laid over the file.

use alloc::vec::Vec;

use crate::File;
use crate::error::Error;
use crate::fields::{Fields, push, wide, zeros};
use crate::patches::{Patch, Plan, SECTOR, SECTOR_BYTES};
use crate::source::Source;
use crate::vhdx::{CRC, MIB, damaged};

/// Bytes of the longest log that is replayed. Those that are made have 1 MiB.
const LONGEST: u64 = 64 * MIB;
/// Bytes of an entry's header.
const HEADER: usize = 64;

/// The ring.
struct Log<'a, F> {
    source: &'a Source<F>,
    offset: u64,
    length: u64,
    guid: [u8; 16],
    /// Bytes that may still be summed up: a log made to harm could have the same bytes summed again and again.
    budget: u64,
    sector: Vec<u8>,
}

/// An entry whose checksum is right.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where it begins in the ring.
    at: u64,
    length: u64,
    tail: u64,
    number: u64,
    descriptors: u32,
    flushed: u64,
    last: u64,
}

/// Lays the log that is `length` bytes at `offset` over the file.
pub(crate) fn replay<F: File>(
    source: &mut Source<F>,
    (offset, length): (u64, u64),
    guid: [u8; 16],
) -> Result<(), Error> {
    if offset < MIB || !offset.is_multiple_of(MIB) || length == 0 || !length.is_multiple_of(MIB) {
        return Err(damaged("its log lies where none can"));
    }
    if length > LONGEST {
        return Err(Error::Unsupported {
            format: crate::Format::Vhdx,
            what: "a log of more than 64 MiB that was not written home",
        });
    }
    let mut log = Log {
        source,
        offset,
        length,
        guid,
        budget: length.saturating_mul(4),
        sector: zeros(SECTOR)?,
    };
    let sequence = log.active()?;
    let Some(head) = sequence.last().copied() else {
        return Err(damaged("it was not closed, and its log has nothing whole"));
    };
    let mut plan = Plan::default();
    let first = sequence
        .iter()
        .position(|entry| entry.at == head.tail)
        .unwrap_or(0);
    for entry in sequence.get(first..).unwrap_or_default() {
        log.collect(entry, &mut plan)?;
    }
    let size = source.size();
    if head.flushed > size {
        return Err(Error::Truncated {
            file: source.index,
            size,
            offset: size,
        });
    }
    // A file grows by what its log says, but not to what none can have.
    if head.last > 1 << 60 {
        return Err(damaged("its log says that the file is longer than any can be"));
    }
    source.replay(plan.finish()?, head.last);
    Ok(())
}

impl<F: File> Log<'_, F> {
    /// The active sequence in the order of its entries; empty if there is none.
    fn active(&mut self) -> Result<Vec<Entry>, Error> {
        let mut best: Vec<Entry> = Vec::new();
        let mut at = 0;
        while at < self.length {
            let mut sequence: Vec<Entry> = Vec::new();
            let mut head = at;
            let mut covered = 0u64;
            while let Some(entry) = self.entry(head)? {
                let follows = sequence
                    .last()
                    .is_none_or(|last| last.number.checked_add(1) == Some(entry.number));
                covered = covered.saturating_add(entry.length);
                if !follows || covered > self.length {
                    break;
                }
                push(&mut sequence, entry)?;
                head = self.place(head, entry.length);
            }
            let Some(last) = sequence.last() else {
                at = at.saturating_add(SECTOR_BYTES);
                continue;
            };
            let complete = sequence.iter().any(|entry| entry.at == last.tail);
            // The sequence may have gone around the end; then all has been seen.
            let next = if head > at { head } else { self.length };
            if complete && best.last().is_none_or(|best| best.number < last.number) {
                best = sequence;
                at = next;
            } else if complete {
                at = next;
            } else {
                at = at.saturating_add(SECTOR_BYTES);
            }
        }
        Ok(best)
    }

    /// The entry that begins at `at` in the ring; `None` when none does that is whole and of this log.
    fn entry(&mut self, at: u64) -> Result<Option<Entry>, Error> {
        self.read(at)?;
        let fields = Fields(&self.sector);
        let numbers = || {
            Some(Entry {
                at,
                length: u64::from(fields.le32(8)?),
                tail: u64::from(fields.le32(12)?),
                number: fields.le64(16)?,
                descriptors: fields.le32(24)?,
                flushed: fields.le64(48)?,
                last: fields.le64(56)?,
            })
        };
        let Some(entry) = numbers() else {
            return Ok(None);
        };
        let told = fields.le32(4);
        let plausible = fields.is(0, b"loge")
            && fields.array(32) == Some(self.guid)
            && entry.number != 0
            && entry.length != 0
            && entry.length <= self.length
            && entry.length.is_multiple_of(SECTOR_BYTES)
            && entry.tail < self.length
            && entry.tail.is_multiple_of(SECTOR_BYTES)
            && entry.descriptor_sectors().saturating_mul(SECTOR_BYTES) <= entry.length;
        if !plausible {
            return Ok(None);
        }
        self.budget = match self.budget.checked_sub(entry.length) {
            Some(budget) => budget,
            None => return Err(damaged("its log makes no sense")),
        };
        if let Some(field) = self.sector.get_mut(4..8) {
            field.fill(0);
        }
        let mut digest = CRC.digest();
        digest.update(&self.sector);
        let mut done = SECTOR_BYTES;
        while done < entry.length {
            self.read(self.place(at, done))?;
            digest.update(&self.sector);
            done = done.saturating_add(SECTOR_BYTES);
        }
        Ok((told == Some(digest.finalize())).then_some(entry))
    }

    /// Adds what an entry says to the plan.
    fn collect(&mut self, entry: &Entry, plan: &mut Plan) -> Result<(), Error> {
        let wrong = damaged("an entry of its log makes no sense");
        let mut data = self.place(entry.at, entry.descriptor_sectors().saturating_mul(SECTOR_BYTES));
        let mut used = entry.descriptor_sectors().saturating_mul(SECTOR_BYTES);
        for number in 0..u64::from(entry.descriptors) {
            let at = number.saturating_mul(32).saturating_add(wide(HEADER));
            let mut descriptor = [0; 32];
            // A descriptor is in one sector, so the ring's end does not cut it.
            self.source.stored(
                self.offset.saturating_add(self.place(entry.at, at)),
                &mut descriptor,
            )?;
            let fields = Fields(&descriptor);
            let numbers = || Some((fields.le64(8)?, fields.le64(16)?, fields.le64(24)?));
            let (zeros, target, sequence) = numbers().ok_or(wrong)?;
            if sequence != entry.number || !target.is_multiple_of(SECTOR_BYTES) {
                return Err(wrong);
            }
            if fields.is(0, b"zero") {
                let end = target
                    .checked_add(zeros)
                    .filter(|_| zeros.is_multiple_of(SECTOR_BYTES))
                    .ok_or(wrong)?;
                plan.add(target, end, Patch::Zero)?;
            } else if fields.is(0, b"desc") {
                used = used.saturating_add(SECTOR_BYTES);
                if used > entry.length {
                    return Err(wrong);
                }
                let place = self.offset.saturating_add(data);
                let (mut start, mut end) = ([0; 8], [0; 4]);
                self.source.stored(place, &mut start)?;
                self.source
                    .stored(place.saturating_add(SECTOR_BYTES).saturating_sub(4), &mut end)?;
                let high = Fields(&start).le32(4).map(u64::from).ok_or(wrong)?;
                let sequence = high << 32 | u64::from(u32::from_le_bytes(end));
                if !start.starts_with(b"data") || sequence != entry.number {
                    return Err(wrong);
                }
                let patch = Patch::Sector {
                    at: place,
                    head: fields.array(8).ok_or(wrong)?,
                    tail: fields.array(4).ok_or(wrong)?,
                };
                plan.add(target, target.checked_add(SECTOR_BYTES).ok_or(wrong)?, patch)?;
                data = self.place(data, SECTOR_BYTES);
            } else {
                return Err(wrong);
            }
        }
        Ok(())
    }

    /// Reads a sector of the ring.
    fn read(&mut self, at: u64) -> Result<(), Error> {
        let place = self.offset.checked_add(at).ok_or(Error::Beyond)?;
        self.source.stored(place, &mut self.sector)
    }

    /// The place in the ring that is `distance` after `at`.
    fn place(&self, at: u64, distance: u64) -> u64 {
        at.saturating_add(distance).checked_rem(self.length).unwrap_or(0)
    }
}

impl Entry {
    /// Sectors of the header and the descriptors.
    fn descriptor_sectors(&self) -> u64 {
        u64::from(self.descriptors)
            .saturating_mul(32)
            .saturating_add(wide(HEADER))
            .div_ceil(SECTOR_BYTES)
    }
}
