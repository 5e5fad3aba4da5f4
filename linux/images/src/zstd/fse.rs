//! Finite state entropy: tables in which each state stands for a symbol and says where its successors begin.

use alloc::vec::Vec;

use super::bits::{Backward, Forward};
use crate::error::Error;

/// Symbols of the largest alphabet.
const SYMBOLS: usize = 256;

/// One state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    pub symbol: u8,
    bits: u8,
    base: u16,
}

/// The states of one alphabet, for at most `2^most` of them.
pub(super) struct Table {
    states: Vec<State>,
    /// There are `2^accuracy` states.
    accuracy: u32,
    most: u32,
    /// Whether it was made since the frame's start.
    made: bool,
}

impl Table {
    pub fn new(most: u32) -> Result<Table, Error> {
        let mut states = Vec::new();
        let count = 1usize.checked_shl(most).ok_or(Error::NoMemory)?;
        states.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
        states.resize(count, State::default());
        Ok(Table {
            states,
            accuracy: 0,
            most,
            made: false,
        })
    }

    pub fn forget(&mut self) {
        self.made = false;
    }

    pub fn is_made(&self) -> bool {
        self.made
    }

    /// Always the same symbol.
    pub fn repeat(&mut self, symbol: u8) -> Option<()> {
        *self.states.first_mut()? = State {
            symbol,
            bits: 0,
            base: 0,
        };
        self.accuracy = 0;
        self.made = true;
        Some(())
    }

    /// Reads a table's description for symbols below `symbols`; says how many bytes it has.
    pub fn read(&mut self, bytes: &[u8], symbols: usize) -> Option<usize> {
        let mut input = Forward::new(bytes);
        let accuracy = input.read(4).checked_add(5)?;
        if accuracy > self.most {
            return None;
        }
        let mut odds = [0i16; SYMBOLS];
        let mut left = 1u32.checked_shl(accuracy)?;
        let mut symbol = 0usize;
        while left > 0 {
            // A number from 0 to left + 1; the smaller ones have one bit less.
            let most = left.checked_add(1)?;
            let width = most.checked_ilog2()?.checked_add(1)?;
            let low = 1u32.checked_shl(width.checked_sub(1)?)?.checked_sub(1)?;
            let spare = 1u32.checked_shl(width)?.checked_sub(1)?.checked_sub(most)?;
            let mut value = input.peek(width);
            if value & low < spare {
                value &= low;
                input.skip(width.checked_sub(1)?);
            } else {
                if value > low {
                    value = value.checked_sub(spare)?;
                }
                input.skip(width);
            }
            // 0 means less than one: a single state.
            let odd = i16::try_from(value).ok()?.checked_sub(1)?;
            left = left.checked_sub(u32::from(odd.unsigned_abs()))?;
            *odds.get_mut(..symbols)?.get_mut(symbol)? = odd;
            symbol = symbol.checked_add(1)?;
            if odd == 0 {
                loop {
                    let more = input.read(2);
                    symbol = symbol.checked_add(usize::try_from(more).ok()?)?;
                    if symbol > symbols {
                        return None;
                    }
                    if more != 3 {
                        break;
                    }
                }
            }
        }
        let read = input.bytes_read()?;
        self.build(odds.get(..symbols)?, accuracy)?;
        Some(read)
    }

    /// Spreads the symbols over `2^accuracy` states by their odds, which add up to as many; -1 is less than one.
    pub fn build(&mut self, odds: &[i16], accuracy: u32) -> Option<()> {
        self.made = false;
        let size = 1usize.checked_shl(accuracy)?;
        let states = self.states.get_mut(..size)?;
        let mask = size.checked_sub(1)?;
        let mut next = [0u16; SYMBOLS];
        let mut top = size;
        for (symbol, &odd) in odds.iter().enumerate() {
            if odd == -1 {
                top = top.checked_sub(1)?;
                states.get_mut(top)?.symbol = u8::try_from(symbol).ok()?;
            }
            *next.get_mut(symbol)? = odd.unsigned_abs();
        }
        let step = (size >> 1).checked_add(size >> 3)?.checked_add(3)?;
        let mut place = 0usize;
        for (symbol, &odd) in odds.iter().enumerate() {
            for _ in 0..odd.max(0) {
                states.get_mut(place)?.symbol = u8::try_from(symbol).ok()?;
                place = place.checked_add(step)? & mask;
                while place >= top {
                    place = place.checked_add(step)? & mask;
                }
            }
        }
        if place != 0 {
            return None;
        }
        for state in states.iter_mut() {
            let count = next.get_mut(usize::from(state.symbol))?;
            let number = u32::from(*count);
            *count = count.checked_add(1)?;
            let bits = accuracy.checked_sub(number.checked_ilog2()?)?;
            state.bits = u8::try_from(bits).ok()?;
            let base = number.checked_shl(bits)?.checked_sub(u32::try_from(size).ok()?)?;
            state.base = u16::try_from(base).ok()?;
        }
        self.accuracy = accuracy;
        self.made = true;
        Some(())
    }

    /// The state that the input begins with.
    pub fn start(&self, input: &mut Backward<'_>) -> Option<State> {
        self.at(input.read(self.accuracy))
    }

    /// The state after `state`.
    pub fn after(&self, state: State, input: &mut Backward<'_>) -> Option<State> {
        self.at(input
            .read(u32::from(state.bits))
            .checked_add(u32::from(state.base))?)
    }

    fn at(&self, state: u32) -> Option<State> {
        self.states.get(usize::try_from(state).ok()?).copied()
    }
}
