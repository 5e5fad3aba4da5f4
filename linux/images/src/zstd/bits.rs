//! Bits from the front of some bytes, lowest first, and from their end, highest first.

/// Reads from the front.
pub(super) struct Forward<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Forward<'a> {
    pub fn new(bytes: &'a [u8]) -> Forward<'a> {
        Forward { bytes, at: 0 }
    }

    /// The next `count` bits, at most 16. Behind the end there are zeros.
    pub fn peek(&self, count: u32) -> u32 {
        let mut word = 0u32;
        for (place, shift) in [(0usize, 0u32), (1, 8), (2, 16)] {
            let byte = self
                .bytes
                .get((self.at / 8).saturating_add(place))
                .copied()
                .unwrap_or(0);
            word |= u32::from(byte).wrapping_shl(shift);
        }
        let skip = u32::try_from(self.at % 8).unwrap_or(0);
        word.wrapping_shr(skip) & mask32(count)
    }

    pub fn skip(&mut self, count: u32) {
        self.at = self.at.saturating_add(usize::try_from(count).unwrap_or(0));
    }

    pub fn read(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.skip(count);
        bits
    }

    /// Bytes that were read, the last perhaps in part; `None` when that is more than there are.
    pub fn bytes_read(&self) -> Option<usize> {
        let read = self.at.div_ceil(8);
        (read <= self.bytes.len()).then_some(read)
    }
}

/// Reads from the end: below the highest bit that is set in the last byte.
pub(super) struct Backward<'a> {
    bytes: &'a [u8],
    /// Bits that are left; negative when more were read than there are.
    left: isize,
}

impl<'a> Backward<'a> {
    pub fn new(bytes: &'a [u8]) -> Option<Backward<'a>> {
        let zeros = bytes.last()?.leading_zeros();
        if zeros == 8 {
            return None;
        }
        let bits = isize::try_from(bytes.len().checked_mul(8)?).ok()?;
        let unused = isize::try_from(zeros).ok()?.checked_add(1)?;
        Some(Backward {
            bytes,
            left: bits.checked_sub(unused)?,
        })
    }

    /// The next `count` bits, at most 32. Behind the end there are zeros.
    pub fn peek(&self, count: u32) -> u32 {
        let low = self.left.saturating_sub(isize::try_from(count).unwrap_or(0));
        let (low, missing) = match usize::try_from(low) {
            Ok(low) => (low, 0),
            Err(_) => (0, u32::try_from(low.unsigned_abs()).unwrap_or(u32::MAX)),
        };
        let from = self.bytes.get(low / 8..).unwrap_or_default();
        let word = match from.first_chunk::<8>() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => from
                .iter()
                .rev()
                .fold(0, |word: u64, byte| word.wrapping_shl(8) | u64::from(*byte)),
        };
        let skip = u32::try_from(low % 8).unwrap_or(0);
        let there = count.saturating_sub(missing);
        let bits = u32::try_from(word.wrapping_shr(skip) & 0xffff_ffff).unwrap_or(0) & mask32(there);
        bits.checked_shl(missing).unwrap_or(0)
    }

    pub fn skip(&mut self, count: u32) {
        self.left = self.left.saturating_sub(isize::try_from(count).unwrap_or(0));
    }

    pub fn read(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.skip(count);
        bits
    }

    /// Whether all was read, and no more.
    pub fn is_at_end(&self) -> bool {
        self.left == 0
    }

    /// Whether more was read than there is.
    pub fn is_beyond_end(&self) -> bool {
        self.left < 0
    }
}

/// The lowest `count` bits.
fn mask32(count: u32) -> u32 {
    match 32u32.checked_sub(count) {
        Some(rest) => u32::MAX.checked_shr(rest).unwrap_or(0),
        None => u32::MAX,
    }
}
