//! The last of what Linux printed.
//!
//! Linux prints from any context, so the ring is a fixed array of atomic bytes and one cursor: a writer claims its
//! place with one addition and never waits. A reader that meets a writer may see a torn line; it is a log.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Bytes kept.
const CAPACITY: usize = 64 * 1024;

/// A ring of text.
pub struct LogRing {
    bytes: Vec<AtomicU8>,
    /// Bytes ever written (wraps after 2^64).
    cursor: AtomicUsize,
}

impl LogRing {
    /// Empty. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(CAPACITY).ok()?;
        bytes.resize_with(CAPACITY, || AtomicU8::new(0));
        Some(LogRing {
            bytes,
            cursor: AtomicUsize::new(0),
        })
    }

    /// Adds text. Any context.
    pub fn append(&self, text: &[u8]) {
        let start = self.cursor.fetch_add(text.len(), Ordering::AcqRel);
        for (index, byte) in text.iter().enumerate() {
            let place = start.wrapping_add(index) % CAPACITY;
            if let Some(slot) = self.bytes.get(place) {
                slot.store(*byte, Ordering::Relaxed);
            }
        }
    }

    /// Bytes from `position` on (counted from the first that was ever printed) into `out`. Says where the first of
    /// them was, which is later than `position` when older ones were overwritten, and how many there are.
    pub fn read(&self, position: u64, out: &mut [u8]) -> (u64, usize) {
        let end = self.cursor.load(Ordering::Acquire);
        let oldest = end.wrapping_sub(end.min(CAPACITY));
        let start = usize::try_from(position).unwrap_or(end).clamp(oldest, end);
        let len = end.wrapping_sub(start).min(out.len());
        for (index, place) in out.iter_mut().take(len).enumerate() {
            if let Some(slot) = self.bytes.get(start.wrapping_add(index) % CAPACITY) {
                *place = slot.load(Ordering::Relaxed);
            }
        }
        (u64::try_from(start).unwrap_or(u64::MAX), len)
    }

    /// The oldest kept byte first. What memory does not suffice for is left out at the old end.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let end = self.cursor.load(Ordering::Acquire);
        let len = end.min(CAPACITY);
        let mut text = Vec::new();
        if text.try_reserve_exact(len).is_err() {
            return text;
        }
        let start = end.wrapping_sub(len);
        for index in 0..len {
            if let Some(slot) = self.bytes.get(start.wrapping_add(index) % CAPACITY) {
                text.push(slot.load(Ordering::Relaxed));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_where_a_reader_stopped() {
        let ring = LogRing::new().unwrap();
        ring.append(b"first\nsecond\n");
        let mut out = [0; 6];
        assert_eq!(ring.read(0, &mut out), (0, 6));
        assert_eq!(&out, b"first\n");
        let mut out = [0; 100];
        assert_eq!(ring.read(6, &mut out), (6, 7));
        assert_eq!(&out[..7], b"second\n");
        assert_eq!(ring.read(13, &mut out), (13, 0));
        assert_eq!(ring.read(u64::MAX, &mut out), (13, 0));
        ring.append(&std::vec![b'x'; CAPACITY]);
        assert_eq!(ring.read(0, &mut out), (13, 100));
    }

    #[test]
    fn keeps_the_newest() {
        let ring = LogRing::new().unwrap();
        ring.append(b"first\n");
        assert_eq!(ring.snapshot(), b"first\n");
        let long = std::vec![b'x'; CAPACITY - 3];
        ring.append(&long);
        ring.append(b"end");
        let text = ring.snapshot();
        assert_eq!(text.len(), CAPACITY);
        assert!(text.ends_with(b"xend"));
        assert!(text.starts_with(b"xxx"));
    }
}
