//! The last of what Linux printed.
//!
//! Linux prints from any context, so the ring is a fixed array of atomic bytes and one cursor: a writer claims its
//! place with one addition and never waits. A reader that meets a writer may see a torn line; it is a log.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Bytes kept.
const CAPACITY: usize = 64 * 1024;

pub(crate) struct LogRing {
    bytes: Vec<AtomicU8>,
    /// Bytes ever written (wraps after 2^64).
    cursor: AtomicUsize,
}

impl LogRing {
    /// `None` for lack of memory.
    pub(crate) fn new() -> Option<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(CAPACITY).ok()?;
        bytes.resize_with(CAPACITY, || AtomicU8::new(0));
        Some(LogRing {
            bytes,
            cursor: AtomicUsize::new(0),
        })
    }

    /// Any context.
    pub(crate) fn append(&self, text: &[u8]) {
        let start = self.cursor.fetch_add(text.len(), Ordering::AcqRel);
        for (index, byte) in text.iter().enumerate() {
            let place = start.wrapping_add(index) % CAPACITY;
            if let Some(slot) = self.bytes.get(place) {
                slot.store(*byte, Ordering::Relaxed);
            }
        }
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
