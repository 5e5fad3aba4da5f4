//! An input of the target *schedules*: system calls, of which some are made first and the others side by side, and what decides how
//! these meet.
//!
//! A head, then a call a record, as those of the target *calls*, with one more byte: the strand. The head: the schedule's seed (4 bytes,
//! lowest first), an index of [`ONE_IN`], and how many strands there are (two to four).

use crate::calls::{Call, Calls};
use crate::records::{Grammar, Records};
use crate::rng::Rng;

/// Bytes before the records.
const HEAD: usize = 6;
/// Where a record has its strand.
const STRAND: usize = 14;
/// A task is interrupted at one point in so many: where tasks meet closely, and where one is away for long.
const ONE_IN: [u64; 4] = [16, 50, 100, 200];

/// What is done with a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Calls that are made one after the other.
    pub before: Vec<Call>,
    /// Then, side by side, these.
    pub strands: Vec<Vec<Call>>,
    /// Where tasks are interrupted, and who runs then.
    pub seed: u64,
    /// A task is interrupted at one point in so many.
    pub one_in: u64,
}

impl Program {
    /// From an input of the target *calls*: nothing is side by side.
    pub fn plain(input: &[u8]) -> Program {
        let records = Records::parse(input);
        Program {
            before: records.0.iter().map(|record| Call::parse(record)).collect(),
            ..Program::default()
        }
    }

    /// From an input of the target *schedules*.
    pub fn scheduled(input: &[u8]) -> Program {
        let (head, rest) = input.split_at(input.len().min(HEAD));
        let mut bytes = [0; HEAD];
        bytes[..head.len()].copy_from_slice(head);
        let [s0, s1, s2, s3, often, count] = bytes;
        let mut strands = vec![Vec::new(); 2 + usize::from(count % 3)];
        let mut before = Vec::new();
        for record in Records::parse(rest).0 {
            let place = usize::from(record.get(STRAND).copied().unwrap_or(0)) % (strands.len() + 1);
            let into = match place.checked_sub(1) {
                Some(strand) => &mut strands[strand],
                None => &mut before,
            };
            into.push(Call::parse(&record));
        }
        strands.retain(|calls| !calls.is_empty());
        Program {
            before,
            strands,
            seed: u32::from_le_bytes([s0, s1, s2, s3]).into(),
            one_in: ONE_IN[usize::from(often) % ONE_IN.len()],
        }
    }

    /// Whether it is looked at what has become of the volume: of each fourth program.
    pub fn is_looked_at(&self) -> bool {
        let calls = self.before.len() + self.strands.iter().map(Vec::len).sum::<usize>();
        calls % 4 == 3
    }
}

/// The same calls, which meet otherwise.
pub fn with_seed(input: &[u8], seed: u32) -> Vec<u8> {
    let mut other = input.to_vec();
    other.resize(other.len().max(HEAD), 0);
    other[..4].copy_from_slice(&seed.to_le_bytes());
    other
}

/// How such inputs become others.
pub struct Strands;

impl Grammar for Strands {
    fn fresh(&self, rng: &mut Rng) -> Vec<u8> {
        let mut record = Calls.fresh(rng);
        record.resize(STRAND, 0);
        record.push(rng.bits() as u8);
        record
    }

    fn change(&self, record: &mut Vec<u8>, rng: &mut Rng) {
        let strand = match rng.once_in(6) {
            true => rng.bits() as u8,
            false => record.get(STRAND).copied().unwrap_or(0),
        };
        Calls.change(record, rng);
        record.push(strand);
    }

    fn head(&self) -> usize {
        HEAD
    }

    fn change_head(&self, head: &mut [u8], rng: &mut Rng) {
        match rng.below(8) {
            0 => head[4] = rng.bits() as u8,
            1 => head[5] = rng.bits() as u8,
            _ => head[..4].copy_from_slice(&(rng.bits() as u32).to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_in_which_strand_its_call_is() {
        let record = |number: u8, strand: u8| {
            let mut record = vec![0, number, 0, 0];
            record.resize(STRAND, 0);
            record.push(strand);
            record
        };
        let records = Records(vec![
            record(1, 0),
            record(2, 1),
            record(3, 2),
            record(4, 4),
            vec![],
        ]);
        let input = [&[7, 1, 0, 0, 2, 0][..], &records.write(500)].concat();
        let program = Program::scheduled(&input);
        let numbers = |calls: &[Call]| calls.iter().map(|call| call.a).collect::<Vec<u8>>();
        assert_eq!((program.seed, program.one_in), (263, 100));
        assert_eq!(numbers(&program.before), [1, 0]);
        let strands: Vec<Vec<u8>> = program.strands.iter().map(|calls| numbers(calls)).collect();
        assert_eq!(strands, [[2, 4].to_vec(), [3].to_vec()]);
        assert_eq!(
            numbers(&Program::plain(&records.write(500)).before),
            [1, 2, 3, 4, 0]
        );
        assert_eq!(Program::scheduled(&[]).strands.len(), 0);
        let other = Program::scheduled(&with_seed(&input, 9));
        assert_eq!((other.seed, other.strands), (9, program.strands));
    }
}
