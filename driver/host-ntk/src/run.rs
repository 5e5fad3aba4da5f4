//! Cutting a list of memory pieces into runs that one MDL can describe.
//!
//! An MDL is a first offset and a list of page frames. So its pieces must follow each other in memory, or end and
//! begin at page boundaries.

use core::ptr::NonNull;
use lklfs_kernel::nt::PAGE_BYTES;

/// The most pages in one run: 1 MiB. Lower drivers split what their hardware cannot take.
pub(crate) const MAX_RUN_PAGES: usize = 256;

/// A list of pieces that can be walked twice.
pub(crate) trait Segments: Iterator<Item = (NonNull<u8>, usize)> + Clone {}
impl<I: Iterator<Item = (NonNull<u8>, usize)> + Clone> Segments for I {}

/// A place in a list of pieces.
#[derive(Clone)]
pub(crate) struct Cursor<I> {
    segments: I,
    rest: Option<(NonNull<u8>, usize)>,
}

/// What one MDL describes.
pub(crate) struct Run {
    /// Where it begins.
    pub(crate) start: NonNull<u8>,
    /// Its length; 0 when the list is at its end.
    pub(crate) bytes: usize,
    /// Whether all of it follows `start` in memory.
    pub(crate) contiguous: bool,
}

fn page_offset(address: NonNull<u8>) -> usize {
    address.addr().get() % PAGE_BYTES
}

fn after(address: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    NonNull::new(address.as_ptr().wrapping_add(bytes)).unwrap_or(NonNull::dangling())
}

impl<I: Segments> Cursor<I> {
    pub(crate) fn new(segments: I) -> Self {
        Cursor { segments, rest: None }
    }

    /// The next piece, whole.
    fn next(&mut self) -> Option<(NonNull<u8>, usize)> {
        match self.rest.take() {
            Some(rest) => Some(rest),
            None => self.segments.find(|(_, length)| *length > 0),
        }
    }

    /// The run that begins here, in no more than so many pages.
    pub(crate) fn measure(mut self, only_contiguous: bool, most_pages: usize) -> Run {
        let Some((start, first)) = self.next() else {
            return Run {
                start: NonNull::dangling(),
                bytes: 0,
                contiguous: true,
            };
        };
        let limit = most_pages
            .saturating_mul(PAGE_BYTES)
            .saturating_sub(page_offset(start));
        let mut run = Run {
            start,
            bytes: first.min(limit),
            contiguous: true,
        };
        let mut end = after(start, run.bytes);
        while run.bytes < limit {
            let Some((address, length)) = self.next() else {
                break;
            };
            if address != end {
                if only_contiguous || page_offset(end) != 0 || page_offset(address) != 0 {
                    break;
                }
                run.contiguous = false;
            }
            let taken = length.min(limit.saturating_sub(run.bytes));
            run.bytes = run.bytes.saturating_add(taken);
            end = after(address, taken);
        }
        run
    }

    /// The next piece as far as it lies in one page, `most` bytes at most.
    pub(crate) fn take_in_page(&mut self, most: usize) -> Option<(NonNull<u8>, usize)> {
        let (address, length) = self.next()?;
        let taken = length
            .min(PAGE_BYTES.saturating_sub(page_offset(address)))
            .min(most);
        if taken < length {
            self.rest = Some((after(address, taken), length.saturating_sub(taken)));
        }
        Some((address, taken))
    }

    /// Goes `bytes` further.
    pub(crate) fn skip(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let Some((address, length)) = self.next() else {
                return;
            };
            let taken = length.min(bytes);
            if taken < length {
                self.rest = Some((after(address, taken), length.saturating_sub(taken)));
            }
            bytes = bytes.saturating_sub(taken);
        }
    }
}
