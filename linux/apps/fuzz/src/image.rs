//! A seed with changes, as a disk of Linux's.

use crate::seed::{PAGE, Seed};
use lkl::{Disk, ReadRequest};
use lkl_write::{Abilities, Operation, WritableDisk, WriteRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A volume.
#[derive(Clone, Debug)]
pub struct Image {
    seed: Arc<Seed>,
    changed: BTreeMap<u64, Box<[u8; PAGE]>>,
}

/// Pages and the parts of them that bytes from `at` on lie in: a page's number, the offset in it, and how many.
fn parts(at: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let place = at.checked_add(done as u64)?;
        let offset = (place % PAGE as u64) as usize;
        let count = (PAGE - offset).min(length - done);
        done += count;
        (count > 0).then_some((place / PAGE as u64, offset, count))
    })
}

impl Image {
    /// A seed without changes.
    pub fn new(seed: &Arc<Seed>) -> Image {
        Image {
            seed: Arc::clone(seed),
            changed: BTreeMap::new(),
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.seed.size
    }

    fn page(&self, number: u64) -> Option<&[u8; PAGE]> {
        let page = self
            .changed
            .get(&number)
            .or_else(|| self.seed.pages.get(&number))?;
        Some(page)
    }

    /// The bytes from `at` on; zeros where there are none.
    pub fn read(&self, at: u64, bytes: &mut [u8]) {
        let mut done = 0;
        for (number, offset, count) in parts(at, bytes.len()) {
            let into = &mut bytes[done..done + count];
            match self.page(number) {
                Some(page) => into.copy_from_slice(&page[offset..offset + count]),
                None => into.fill(0),
            }
            done += count;
        }
    }

    /// So many bytes from `at` on.
    pub fn bytes(&self, at: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read(at, &mut bytes);
        bytes
    }

    /// Other bytes from `at` on. What lies beyond the volume is left out.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        let room = self.size().saturating_sub(at);
        let count = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut done = 0;
        for (number, offset, count) in parts(at, count) {
            let before = self
                .page(number)
                .map_or_else(|| Box::new([0; PAGE]), |page| Box::new(*page));
            let page = self.changed.entry(number).or_insert(before);
            page[offset..offset + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
    }

    /// Zeros from `at` up to `end`. The volume has no page for what was zeros before.
    pub fn clear(&mut self, at: u64, end: u64) {
        let end = end.min(self.size());
        if at >= end {
            return;
        }
        let numbers = at / PAGE as u64..end.div_ceil(PAGE as u64);
        let in_seed = self.seed.pages.range(numbers.clone()).map(|(number, _)| *number);
        let in_changes = self.changed.range(numbers).map(|(number, _)| *number);
        let there: BTreeSet<u64> = in_seed.chain(in_changes).collect();
        for number in there {
            let start = (number * PAGE as u64).max(at);
            let count = ((number + 1) * PAGE as u64).min(end) - start;
            self.write(start, &[0; PAGE][..usize::try_from(count).unwrap_or(0)]);
        }
    }

    /// The numbers of the pages that are changed.
    pub fn changed(&self) -> Vec<u64> {
        self.changed.keys().copied().collect()
    }
}

/// What a disk of Linux's shows, and what happened to it.
#[derive(Debug)]
struct Inside {
    image: Image,
    /// The numbers of the sectors of 512 bytes that were read; `None`: that is not noted.
    read: Option<BTreeSet<u64>>,
}

/// A disk that stays while what it shows is another volume for each input. What Linux writes lies over that volume, and is gone with
/// it.
#[derive(Debug)]
pub struct ImageDisk(Mutex<Inside>);

impl ImageDisk {
    /// Shows an image.
    pub fn new(image: Image) -> ImageDisk {
        ImageDisk(Mutex::new(Inside { image, read: None }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows another image of the same size from now on. Nothing of the disk is mounted, or in Linux's memory.
    pub fn show(&self, image: Image) {
        self.inside().image = image;
    }

    /// Notes what is read from now on.
    pub fn watch(&self) {
        self.inside().read = Some(BTreeSet::new());
    }

    /// The numbers of the sectors of 512 bytes that were read since [`ImageDisk::watch`], which ends.
    pub fn sectors_read(&self) -> Vec<u64> {
        let read = self.inside().read.take();
        read.unwrap_or_default().into_iter().collect()
    }

    /// What it shows, with what Linux has written.
    pub fn image(&self) -> Image {
        self.inside().image.clone()
    }
}

impl Disk for ImageDisk {
    fn size_bytes(&self) -> u64 {
        self.inside().image.size()
    }

    fn block_size(&self) -> u32 {
        512
    }

    fn read(&self, mut request: ReadRequest) {
        let mut inside = self.inside();
        let mut at = request.offset();
        let end = at + request.len() as u64;
        if let Some(read) = &mut inside.read {
            read.extend(at / 512..end.div_ceil(512));
        }
        for piece in request.segments() {
            inside.image.read(at, piece);
            at += piece.len() as u64;
        }
        drop(inside);
        request.complete(Ok(()));
    }
}

impl WritableDisk for ImageDisk {
    fn abilities(&self) -> Abilities {
        Abilities {
            flush: true,
            fua: true,
            discard: true,
            discard_granularity: 0,
            write_zeroes: false,
        }
    }

    fn change(&self, request: WriteRequest) {
        let mut inside = self.inside();
        let mut at = request.offset();
        let end = at + request.len() as u64;
        match request.operation() {
            Operation::Write { .. } => {
                for piece in request.segments() {
                    inside.image.write(at, piece);
                    at += piece.len() as u64;
                }
            }
            // What was discarded reads as zeros.
            Operation::Discard | Operation::WriteZeroes { .. } => inside.image.clear(at, end),
            Operation::Flush => {}
        }
        drop(inside);
        request.complete(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lie_over_the_seed_and_end_with_it() {
        let mut volume = vec![1; 3 * PAGE];
        volume[PAGE..2 * PAGE].fill(0);
        let seed = Arc::new(Seed::of(&volume));
        let mut image = Image::new(&seed);
        image.write(PAGE as u64 - 2, &[5, 6, 7, 8]);
        image.write(3 * PAGE as u64 - 1, &[9, 9, 9]);
        assert_eq!(image.bytes(PAGE as u64 - 3, 6), [1, 5, 6, 7, 8, 0]);
        assert_eq!(image.bytes(3 * PAGE as u64 - 2, 4), [1, 9, 0, 0]);
        assert_eq!(image.changed(), [0, 1, 2]);
        assert_eq!(Image::new(&seed).bytes(0, volume.len()), volume);
        image.clear(PAGE as u64 - 1, 3 * PAGE as u64 - 2);
        assert_eq!(image.bytes(PAGE as u64 - 3, 6), [1, 5, 0, 0, 0, 0]);
        assert_eq!(image.bytes(3 * PAGE as u64 - 4, 5), [0, 0, 1, 9, 0]);
    }
}
