//! Huffman codes of literals: a table by the longest code's bits, built from the symbols' weights.

use alloc::vec::Vec;

use super::bits::Backward;
use super::fse;
use crate::error::Error;

/// Bits of the longest code.
const LONGEST: u32 = 11;
/// Bits of the table of weights.
const WEIGHTS_ACCURACY: u32 = 6;

/// A code's end in the table.
#[derive(Debug, Clone, Copy, Default)]
struct Code {
    symbol: u8,
    bits: u8,
}

/// The codes.
pub(super) struct Huffman {
    codes: Vec<Code>,
    /// Bits of the longest code; 0 while there are none.
    longest: u32,
    weights: fse::Table,
}

impl Huffman {
    pub fn new() -> Result<Huffman, Error> {
        let mut codes = Vec::new();
        let count = 1usize << LONGEST;
        codes.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
        codes.resize(count, Code::default());
        Ok(Huffman {
            codes,
            longest: 0,
            weights: fse::Table::new(WEIGHTS_ACCURACY)?,
        })
    }

    pub fn forget(&mut self) {
        self.longest = 0;
    }

    /// Reads the description of a tree; says how many bytes it has.
    pub fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        self.longest = 0;
        let (&head, rest) = bytes.split_first()?;
        let mut weights = [0u8; 256];
        let (count, length) = match head.checked_sub(127) {
            Some(count) if head >= 128 => {
                let count = usize::from(count);
                let length = count.div_ceil(2);
                let packed = rest.get(..length)?;
                let halves = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                for (place, weight) in weights.get_mut(..count)?.iter_mut().zip(halves) {
                    *place = weight;
                }
                (count, length)
            }
            _ => {
                let length = usize::from(head);
                (self.unpack(rest.get(..length)?, &mut weights)?, length)
            }
        };
        self.build(&mut weights, count)?;
        length.checked_add(1)
    }

    /// Unpacks weights: two states take turns until the input is used up.
    fn unpack(&mut self, bytes: &[u8], weights: &mut [u8; 256]) -> Option<usize> {
        // Weights go up to the longest code's bits and one more.
        let head = self.weights.read(bytes, 13)?;
        let mut input = Backward::new(bytes.get(head..)?)?;
        let mut state = self.weights.start(&mut input)?;
        let mut other = self.weights.start(&mut input)?;
        if input.is_beyond_end() {
            return None;
        }
        let mut count = 0usize;
        loop {
            *weights.get_mut(..254)?.get_mut(count)? = state.symbol;
            count = count.checked_add(1)?;
            state = self.weights.after(state, &mut input)?;
            if input.is_beyond_end() {
                *weights.get_mut(..255)?.get_mut(count)? = other.symbol;
                return count.checked_add(1);
            }
            core::mem::swap(&mut state, &mut other);
        }
    }

    /// Makes the table from `count` weights and the last symbol's, which fills what is left.
    fn build(&mut self, weights: &mut [u8; 256], count: usize) -> Option<()> {
        let mut sum = 0u32;
        for &weight in weights.get(..count)? {
            if u32::from(weight) > LONGEST {
                return None;
            }
            if let Some(shift) = weight.checked_sub(1) {
                sum = sum.checked_add(1u32.checked_shl(u32::from(shift))?)?;
            }
        }
        let longest = sum.checked_ilog2()?.checked_add(1)?;
        let total = 1u32.checked_shl(longest)?;
        let left = total.checked_sub(sum)?;
        if longest > LONGEST || !left.is_power_of_two() {
            return None;
        }
        *weights.get_mut(count)? = u8::try_from(left.checked_ilog2()?.checked_add(1)?).ok()?;
        let weights = weights.get(..count.checked_add(1)?)?;
        let mut place = 0usize;
        for weight in 1..=u8::try_from(longest).ok()? {
            let span = 1usize.checked_shl(u32::from(weight).checked_sub(1)?)?;
            let bits = u8::try_from(longest.checked_add(1)?).ok()?.checked_sub(weight)?;
            for (symbol, _) in weights.iter().enumerate().filter(|(_, other)| **other == weight) {
                let end = place.checked_add(span)?;
                let symbol = u8::try_from(symbol).ok()?;
                self.codes.get_mut(place..end)?.fill(Code { symbol, bits });
                place = end;
            }
        }
        if place != usize::try_from(total).ok()? {
            return None;
        }
        self.longest = longest;
        Some(())
    }

    /// Unpacks one stream, which must fill `out` exactly.
    pub fn unpack_stream(&self, bytes: &[u8], out: &mut [u8]) -> Option<()> {
        if self.longest == 0 {
            return None;
        }
        let mut input = Backward::new(bytes)?;
        for place in out {
            let code = self.codes.get(usize::try_from(input.peek(self.longest)).ok()?)?;
            input.skip(u32::from(code.bits));
            *place = code.symbol;
        }
        input.is_at_end().then_some(())
    }
}
