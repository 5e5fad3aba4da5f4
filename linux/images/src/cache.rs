//! What is remembered between two reads: pages of the tables, and the last cluster that was unpacked.
//!
//! A [`Cache`] has a fixed size and belongs to whoever reads: an image itself never changes and can be read by many
//! threads, each with a cache of its own or all with one behind a lock of the kind that fits there.

use alloc::vec::Vec;

use crate::File;
use crate::error::Error;
use crate::fields::{narrow, wide, zeros};
use crate::source::Source;
use crate::unpack::Unpacker;

/// Bytes of a page.
const PAGE: usize = 4096;
const PAGE_BYTES: u64 = 4096;
/// Pages that may take each other's place.
const WAYS: usize = 4;

/// Memory for reading an [`crate::Image`].
#[derive(Debug)]
pub struct Cache {
    /// The image that the rest is about.
    image: u64,
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    clock: u64,
    pub(crate) unpacker: Unpacker,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    file: usize,
    page: u64,
    /// Bytes of it that are there, 0 for an empty slot.
    length: usize,
    used: u64,
}

impl Cache {
    /// Pages of tables that [`Cache::new`] makes room for. A page tells where 32 MiB of a qcow2 image with clusters of
    /// 64 KiB are, so this is enough for 2 GiB that are read at random.
    const PAGES: usize = 64;

    /// A cache of the usual size: 256 KiB, and room for one cluster once a compressed one is read.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new() -> Result<Cache, Error> {
        Cache::with_pages(Cache::PAGES)
    }

    /// A cache of at least `pages` pages of 4 KiB.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn with_pages(pages: usize) -> Result<Cache, Error> {
        let count = pages
            .max(WAYS)
            .checked_next_power_of_two()
            .ok_or(Error::NoMemory)?;
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
        slots.resize(count, Slot::default());
        Ok(Cache {
            image: 0,
            slots,
            bytes: zeros(count.checked_mul(PAGE).ok_or(Error::NoMemory)?)?,
            clock: 0,
            unpacker: Unpacker::default(),
        })
    }

    /// Makes sure that all that is in it is of `image`.
    pub(crate) fn belong(&mut self, image: u64) {
        if self.image != image {
            self.image = image;
            self.slots.fill(Slot::default());
            self.unpacker.forget();
        }
    }

    /// The bytes of the page of `source` that holds the byte at `offset`, from there on: at least one.
    pub(crate) fn page<F: File>(&mut self, source: &Source<F>, offset: u64) -> Result<&[u8], Error> {
        let page = offset / PAGE_BYTES;
        let start = narrow(offset % PAGE_BYTES);
        let place = self.find(source, page)?;
        let slot = self.slots.get(place).copied().unwrap_or_default();
        let bytes = place
            .checked_mul(PAGE)
            .and_then(|at| self.bytes.get(at..at.checked_add(slot.length)?))
            .and_then(|bytes| bytes.get(start..));
        match bytes {
            Some(bytes) if !bytes.is_empty() => Ok(bytes),
            // The file ends in this page, before the byte.
            _ => source.stretch(offset, 1).and(Err(Error::Beyond)),
        }
    }

    /// The slot that holds the page, filled if need be.
    fn find<F: File>(&mut self, source: &Source<F>, page: u64) -> Result<usize, Error> {
        self.clock = self.clock.wrapping_add(1);
        let sets = self.slots.len() / WAYS;
        let key = page.wrapping_add(wide(source.index).wrapping_mul(0x9e37_79b9));
        let set = narrow(key.checked_rem(wide(sets)).unwrap_or(0));
        let first = set.saturating_mul(WAYS);
        let ways = self
            .slots
            .get_mut(first..first.saturating_add(WAYS))
            .ok_or(Error::NoMemory)?;
        let mut oldest = (0, u64::MAX);
        for (way, slot) in ways.iter_mut().enumerate() {
            if slot.length != 0 && slot.page == page && slot.file == source.index {
                slot.used = self.clock;
                return Ok(first.saturating_add(way));
            }
            if slot.used < oldest.1 {
                oldest = (way, slot.used);
            }
        }
        let place = first.saturating_add(oldest.0);
        let slot = self.slots.get_mut(place).ok_or(Error::NoMemory)?;
        *slot = Slot::default();
        let at = page.checked_mul(PAGE_BYTES).ok_or(Error::Beyond)?;
        let length = narrow(source.size().saturating_sub(at)).min(PAGE);
        let bytes = place
            .checked_mul(PAGE)
            .and_then(|start| self.bytes.get_mut(start..start.checked_add(length)?))
            .ok_or(Error::NoMemory)?;
        source.read(at, bytes)?;
        *slot = Slot {
            file: source.index,
            page,
            length,
            used: self.clock,
        };
        Ok(place)
    }
}

/// The tables of one file, read through the cache.
pub(crate) struct Tables<'a, F> {
    pub cache: &'a mut Cache,
    pub source: &'a Source<F>,
}

impl<F: File> Tables<'_, F> {
    /// The `N` bytes at `offset`.
    pub fn array<const N: usize>(&mut self, mut offset: u64) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        let mut rest = &mut array[..];
        while !rest.is_empty() {
            let page = self.cache.page(self.source, offset)?;
            let length = page.len().min(rest.len());
            let (Some(from), Some((part, left))) = (page.get(..length), rest.split_at_mut_checked(length))
            else {
                return Err(Error::Beyond);
            };
            part.copy_from_slice(from);
            rest = left;
            offset = offset.checked_add(wide(length)).ok_or(Error::Beyond)?;
        }
        Ok(array)
    }

    pub fn be32(&mut self, offset: u64) -> Result<u32, Error> {
        self.array(offset).map(u32::from_be_bytes)
    }

    pub fn be64(&mut self, offset: u64) -> Result<u64, Error> {
        self.array(offset).map(u64::from_be_bytes)
    }

    pub fn le64(&mut self, offset: u64) -> Result<u64, Error> {
        self.array(offset).map(u64::from_le_bytes)
    }

    /// The bit number `first` of the bitmap at `offset`, and how many bits from there on are like it: at most `most`,
    /// and as many as are seen without a look at more than some pages.
    pub fn bits(
        &mut self,
        offset: u64,
        first: u64,
        most: u64,
        order: BitOrder,
    ) -> Result<(bool, u64), Error> {
        let most = most.min(SCAN);
        let mut bit = first;
        let mut value = None;
        let mut count: u64 = 0;
        while count < most {
            let at = offset.checked_add(bit / 8).ok_or(Error::Beyond)?;
            let page = self.cache.page(self.source, at)?;
            for byte in page {
                let byte = match order {
                    BitOrder::LowFirst => *byte,
                    BitOrder::HighFirst => byte.reverse_bits(),
                };
                let skip = u32::try_from(bit % 8).unwrap_or(0);
                let left = byte.checked_shr(skip).unwrap_or(0);
                let expected = *value.get_or_insert(left & 1 == 1);
                let alike = if expected {
                    left.trailing_ones()
                } else {
                    left.trailing_zeros()
                };
                let whole = 8u32.saturating_sub(skip);
                count = count.saturating_add(u64::from(alike.min(whole)));
                if alike < whole || count >= most {
                    return Ok((expected, count.min(most)));
                }
                bit = bit.saturating_add(u64::from(whole));
            }
        }
        Ok((value.unwrap_or(false), most))
    }
}

/// Bits that are looked at in one go.
const SCAN: u64 = 1 << 16;

/// In which order the bits of a bitmap's bytes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BitOrder {
    /// The lowest bit of a byte comes first.
    LowFirst,
    /// The highest bit of a byte comes first.
    HighFirst,
}
