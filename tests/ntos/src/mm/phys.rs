//! Physical memory: one memfd whose pages are the machine's page frames.
//!
//! A page frame number is a page's index in the file plus [`FIRST_PFN`]. Whatever the driver may describe by an MDL
//! (pool, stacks, the image, user buffers) is backed by these frames, so frames can be mapped anywhere, scattered or
//! not, by plain `mmap` of the file.

use crate::mm::PAGE_SIZE;
use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{LazyLock, Mutex},
};

/// A page frame number.
pub type Pfn = u64;

/// The number of the first frame: small numbers are none, so that a zeroed array is noticed.
pub const FIRST_PFN: Pfn = 0x1000;

/// Frames there are: 64 GiB, of which the file holds what was touched.
const FRAMES: u64 = 64 << 18;

/// Frames that are handed back and not zeroed at once.
const SMALL: u64 = 16;

/// A run of frames, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first frame.
    pub first: Pfn,
    /// How many.
    pub count: u64,
}

struct Memory {
    file: OwnedFd,
    free: Mutex<Frames>,
}

struct Frames {
    /// Free runs by first index.
    runs: BTreeMap<u64, u64>,
    /// Frames in use.
    used: u64,
}

static MEMORY: LazyLock<Memory> = LazyLock::new(|| {
    // SAFETY: the name is a C string; the result is checked.
    let fd = unsafe { libc::memfd_create(c"ntos-physical-memory".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "memfd_create: {}", std::io::Error::last_os_error());
    // SAFETY: fd is a new descriptor that nobody else owns.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    let size = (FRAMES * PAGE_SIZE as u64).cast_signed();
    // SAFETY: plain system call on a descriptor of our own.
    let sized = unsafe { libc::ftruncate(file.as_raw_fd(), size) };
    assert!(sized == 0, "ftruncate: {}", std::io::Error::last_os_error());
    Memory {
        file,
        free: Mutex::new(Frames {
            runs: BTreeMap::from([(0, FRAMES)]),
            used: 0,
        }),
    }
});

/// The file's descriptor.
pub fn fd() -> i32 {
    MEMORY.file.as_raw_fd()
}

/// Where a frame lies in the file.
pub fn file_offset(pfn: Pfn) -> i64 {
    ((pfn - FIRST_PFN) * PAGE_SIZE as u64).cast_signed()
}

/// The frame exists.
pub fn is_valid(pfn: Pfn) -> bool {
    (FIRST_PFN..FIRST_PFN + FRAMES).contains(&pfn)
}

/// Takes `count` frames side by side; their contents are whatever they were. None: memory is full.
pub fn allocate(count: u64) -> Option<Extent> {
    let mut free = MEMORY
        .free
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let (&start, &length) = free.runs.iter().find(|(_, length)| **length >= count)?;
    free.runs.remove(&start);
    if length > count {
        free.runs.insert(start + count, length - count);
    }
    free.used += count;
    Some(Extent {
        first: FIRST_PFN + start,
        count,
    })
}

/// Gives frames back. Their contents are dropped when there are many.
pub fn free(extent: Extent) {
    if extent.count > SMALL {
        let length = (extent.count * PAGE_SIZE as u64).cast_signed();
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: plain system call; nobody maps these frames any more, and a hole reads as zeros.
        unsafe { libc::fallocate(fd(), mode, file_offset(extent.first), length) };
    }
    let mut free = MEMORY
        .free
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    free.used -= extent.count;
    let (mut start, mut length) = (extent.first - FIRST_PFN, extent.count);
    if let Some((&before, &run)) = free.runs.range(..start).next_back() {
        assert!(before + run <= start, "page frame {start:#x} freed twice");
        if before + run == start {
            free.runs.remove(&before);
            start = before;
            length += run;
        }
    }
    if let Some(run) = free.runs.remove(&(start + length)) {
        length += run;
    }
    free.runs.insert(start, length);
}

/// Frames in use.
pub fn used() -> u64 {
    MEMORY
        .free
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .used
}

/// Makes frames read as zeros.
pub fn zero(extent: Extent) {
    let length = (extent.count * PAGE_SIZE as u64).cast_signed();
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: plain system call on frames of the caller's; a hole reads as zeros.
    unsafe { libc::fallocate(fd(), mode, file_offset(extent.first), length) };
}

/// A frame's bytes in a mapping of all physical memory that only the double uses.
pub fn at(pfn: Pfn) -> *mut u8 {
    static MAPPING: LazyLock<usize> = LazyLock::new(|| {
        let length = FRAMES as usize * PAGE_SIZE;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of the whole file; the result is checked.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd(), 0) };
        assert!(
            base != libc::MAP_FAILED,
            "mapping physical memory: {}",
            std::io::Error::last_os_error()
        );
        base as usize
    });
    assert!(is_valid(pfn), "page frame {pfn:#x} exists");
    (*MAPPING + file_offset(pfn) as usize) as *mut u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_frames_join_and_zeroed_ones_are_zero() {
        let first = allocate(3).expect("memory");
        let second = allocate(20).expect("memory");
        // SAFETY: the frame is ours.
        unsafe { *at(second.first + 19) = 7 };
        zero(second);
        // SAFETY: as above.
        assert_eq!(unsafe { *at(second.first + 19) }, 0);
        free(first);
        free(second);
        assert!(is_valid(FIRST_PFN) && !is_valid(FIRST_PFN - 1) && !is_valid(FIRST_PFN + FRAMES));
    }
}
