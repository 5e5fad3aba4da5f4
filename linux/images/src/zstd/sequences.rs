//! The sequences of a block: so many literals, then so many bytes from so far back.

use super::bits::Backward;
use super::fse::Table;
use crate::error::Error;

/// Odds when a block brings no table for literal lengths.
const LITERALS_ODDS: [i16; 36] = [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1,
    -1, -1,
];
/// The same for offsets.
const OFFSETS_ODDS: [i16; 29] = [
    1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
];
/// The same for match lengths.
const MATCHES_ODDS: [i16; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];

/// Literal lengths from code 16 on: the smallest, and the bits to add.
const LITERALS_CODES: [(u32, u32); 20] = [
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];
/// Match lengths from code 32 on.
const MATCHES_CODES: [(u32, u32); 21] = [
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];

/// The tables, and the offsets that were used last.
pub(super) struct Sequences {
    literals: Table,
    offsets: Table,
    matches: Table,
    recent: [usize; 3],
}

/// Where an alphabet's table comes from.
fn choose<'a>(
    table: &mut Table,
    mode: u8,
    section: &'a [u8],
    odds: &[i16],
    accuracy: u32,
    symbols: usize,
) -> Option<&'a [u8]> {
    match mode & 3 {
        0 => {
            table.build(odds, accuracy)?;
            Some(section)
        }
        1 => {
            let (&symbol, rest) = section.split_first()?;
            if usize::from(symbol) >= symbols {
                return None;
            }
            table.repeat(symbol)?;
            Some(rest)
        }
        2 => section.get(table.read(section, symbols)?..),
        _ => table.is_made().then_some(section),
    }
}

/// The length that a code stands for: codes below the table's first are themselves and `base`.
fn length(code: u8, codes: &[(u32, u32)], first: u8, base: u32, input: &mut Backward<'_>) -> Option<usize> {
    let length = match code.checked_sub(first) {
        None => u32::from(code).checked_add(base)?,
        Some(place) => {
            let (least, bits) = *codes.get(usize::from(place))?;
            least.checked_add(input.read(bits))?
        }
    };
    usize::try_from(length).ok()
}

impl Sequences {
    pub fn new() -> Result<Sequences, Error> {
        Ok(Sequences {
            literals: Table::new(9)?,
            offsets: Table::new(8)?,
            matches: Table::new(9)?,
            recent: [1, 4, 8],
        })
    }

    pub fn reset(&mut self) {
        for table in [&mut self.literals, &mut self.offsets, &mut self.matches] {
            table.forget();
        }
        self.recent = [1, 4, 8];
    }

    /// Reads the section and does what it says: `out` has `done` bytes, and gets at most `room` more. Says how many.
    pub fn run(
        &mut self,
        section: &[u8],
        literals: &[u8],
        out: &mut [u8],
        done: usize,
        room: usize,
    ) -> Option<usize> {
        let mut output = Output {
            out: out.get_mut(..done.checked_add(room)?)?,
            at: done,
        };
        let (&head, rest) = section.split_first()?;
        let (count, rest) = match head {
            0 => {
                output.literals(literals)?;
                return rest.is_empty().then_some(literals.len());
            }
            1..=127 => (usize::from(head), rest),
            128..=254 => {
                let (&low, rest) = rest.split_first()?;
                (usize::from(u16::from_be_bytes([head & 0x7f, low])), rest)
            }
            255 => {
                let (pair, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_le_bytes(*pair)).checked_add(0x7f00)?, rest)
            }
        };
        let (&modes, rest) = rest.split_first()?;
        if modes & 3 != 0 {
            return None;
        }
        let rest = choose(&mut self.literals, modes >> 6, rest, &LITERALS_ODDS, 6, 36)?;
        let rest = choose(&mut self.offsets, modes >> 4, rest, &OFFSETS_ODDS, 5, 32)?;
        let rest = choose(&mut self.matches, modes >> 2, rest, &MATCHES_ODDS, 6, 53)?;
        let mut input = Backward::new(rest)?;
        let mut literal = self.literals.start(&mut input)?;
        let mut offset = self.offsets.start(&mut input)?;
        let mut matched = self.matches.start(&mut input)?;
        let mut left = literals;
        for number in 1..=count {
            let bits = u32::from(offset.symbol);
            let far = 1u64.checked_shl(bits)?.checked_add(u64::from(input.read(bits)))?;
            let match_length = length(matched.symbol, &MATCHES_CODES, 32, 3, &mut input)?;
            let literals_length = length(literal.symbol, &LITERALS_CODES, 16, 0, &mut input)?;
            if number < count {
                literal = self.literals.after(literal, &mut input)?;
                matched = self.matches.after(matched, &mut input)?;
                offset = self.offsets.after(offset, &mut input)?;
            }
            if input.is_beyond_end() {
                return None;
            }
            let (now, later) = left.split_at_checked(literals_length)?;
            left = later;
            output.literals(now)?;
            let distance = self.distance(usize::try_from(far).ok()?, literals_length == 0)?;
            output.repeat(distance, match_length)?;
        }
        if !input.is_at_end() {
            return None;
        }
        output.literals(left)?;
        output.at.checked_sub(done)
    }

    /// What an offset's number means: the first three stand for those that were used last.
    fn distance(&mut self, number: usize, no_literals: bool) -> Option<usize> {
        let [first, second, third] = self.recent;
        let distance = match number.checked_sub(3) {
            Some(distance @ 1..) => distance,
            // Without literals the numbers mean one further, and the last one just before the first.
            _ => match number.checked_add(usize::from(no_literals))? {
                1 => return Some(first),
                2 => {
                    self.recent = [second, first, third];
                    return Some(second);
                }
                3 => third,
                4 => first.checked_sub(1)?,
                _ => return None,
            },
        };
        self.recent = [distance, first, second];
        Some(distance)
    }
}

/// Where the output goes, and how far it has come.
struct Output<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Output<'_> {
    fn literals(&mut self, literals: &[u8]) -> Option<()> {
        let end = self.at.checked_add(literals.len())?;
        self.out.get_mut(self.at..end)?.copy_from_slice(literals);
        self.at = end;
        Some(())
    }

    /// Puts out again what was put out `distance` bytes ago; the two may overlap.
    fn repeat(&mut self, distance: usize, length: usize) -> Option<()> {
        let start = self.at.checked_sub(distance)?;
        let end = self.at.checked_add(length)?;
        if distance == 0 || end > self.out.len() {
            return None;
        }
        let mut copied = distance.min(length);
        let (before, after) = self.out.split_at_mut_checked(self.at)?;
        after
            .get_mut(..copied)?
            .copy_from_slice(before.get(start..)?.get(..copied)?);
        // What is there now repeats: each time twice as much can be copied.
        while copied < length {
            let more = copied.min(length.checked_sub(copied)?);
            let (from, to) = after.split_at_mut_checked(copied)?;
            to.get_mut(..more)?.copy_from_slice(from.get(..more)?);
            copied = copied.checked_add(more)?;
        }
        self.at = end;
        Some(())
    }
}
