//! Memory that processes have in common, as numbers: how Linuxes in processes of their own agree on one virtual time.

#![allow(unsafe_code)]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A file whose beginning is numbers, which all processes that have it see at once. It is one in memory, or else it is slow.
#[derive(Debug)]
pub struct SharedNumbers {
    file: File,
    map: MmapRaw,
    /// How many numbers of eight bytes and, behind them, of four there are.
    counts: [usize; 2],
}

impl SharedNumbers {
    /// So many numbers of eight bytes, and so many of four, at the beginning of a file, which is made longer if it is shorter. All that use
    /// the file say the same counts, and none makes it shorter.
    ///
    /// # Errors
    /// The file cannot be mapped, or has no room.
    pub fn new(file: File, long: usize, short: usize) -> io::Result<SharedNumbers> {
        let bytes = long
            .checked_mul(8)
            .zip(short.checked_mul(4))
            .and_then(|(long, short)| long.checked_add(short))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let len = u64::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if file.metadata()?.len() < len {
            file.set_len(len)?;
        }
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(SharedNumbers {
            file,
            map,
            counts: [long, short],
        })
    }

    /// The file. What is behind the numbers is for other things.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The numbers of eight bytes.
    pub fn long(&self) -> &[AtomicU64] {
        let first = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping begins at a page, has room for so many as `new` has made it, and lives as long as `self`. Any bytes are a number, and
        // processes that share it have it as atomic numbers alone.
        unsafe { std::slice::from_raw_parts(first, self.counts[0]) }
    }

    /// The numbers of four bytes, which a futex can be at.
    pub fn short(&self) -> &[AtomicU32] {
        let first = self
            .map
            .as_ptr()
            .wrapping_add(8 * self.counts[0])
            .cast::<AtomicU32>();
        // SAFETY: as many are behind those of eight bytes, in the same mapping, whose place is a multiple of eight; nothing else has them. Any bytes
        // are a number, and all have them as atomic ones alone.
        unsafe { std::slice::from_raw_parts(first, self.counts[1]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn all_who_have_the_file_see_what_one_writes() {
        let file = File::from(rustix::fs::memfd_create("numbers", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        let one = SharedNumbers::new(file.try_clone().unwrap(), 3, 2).unwrap();
        let other = SharedNumbers::new(file, 3, 2).unwrap();
        one.long()[2].store(u64::MAX, Ordering::Relaxed);
        one.short()[0].store(6, Ordering::Relaxed);
        assert_eq!(
            other
                .long()
                .iter()
                .map(|n| n.load(Ordering::Relaxed))
                .collect::<Vec<_>>(),
            [0, 0, u64::MAX]
        );
        assert_eq!(
            other
                .short()
                .iter()
                .map(|n| n.load(Ordering::Relaxed))
                .collect::<Vec<_>>(),
            [6, 0]
        );
        assert_eq!(one.file().metadata().unwrap().len(), 32);
    }

    #[test]
    fn more_numbers_than_there_is_memory_for_are_refused() {
        let file =
            || File::from(rustix::fs::memfd_create("numbers", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        assert!(SharedNumbers::new(file(), usize::MAX, 0).is_err());
        assert!(SharedNumbers::new(file(), usize::MAX / 8, 8).is_err());
    }
}
