//! An input that is a list of records: calls, frames, messages.
//!
//! Of each record its length (2 bytes, lowest first), and its bytes. Any bytes are an input; what is cut off at the end has
//! fewer.

use crate::rng::Rng;

/// The most records of an input.
const MOST: usize = 40;

/// What a record is.
pub trait Grammar: Sync {
    /// A new one.
    fn fresh(&self, rng: &mut Rng) -> Vec<u8>;

    /// Makes it another one.
    fn change(&self, record: &mut Vec<u8>, rng: &mut Rng);

    /// Bytes of an input that are before its records.
    fn head(&self) -> usize {
        0
    }

    /// Makes those other ones.
    fn change_head(&self, _head: &mut [u8], _rng: &mut Rng) {}
}

/// An input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(pub Vec<Vec<u8>>);

impl Records {
    /// From an input.
    pub fn parse(mut input: &[u8]) -> Records {
        let mut list = Vec::new();
        while let Some((length, rest)) = input.split_first_chunk() {
            let count = usize::from(u16::from_le_bytes(*length)).min(rest.len());
            let (record, rest) = rest.split_at(count);
            list.push(record.to_vec());
            input = rest;
        }
        Records(list)
    }

    /// As an input of `most` bytes or fewer: records that do not fit are left out.
    pub fn write(&self, most: usize) -> Vec<u8> {
        let mut input = Vec::new();
        for record in &self.0 {
            let Ok(length) = u16::try_from(record.len()) else {
                continue;
            };
            if input.len() + 2 + record.len() <= most {
                input.extend(length.to_le_bytes());
                input.extend_from_slice(record);
            }
        }
        input
    }

    /// Another input.
    pub fn mutate(input: &[u8], most: usize, seed: u32, grammar: &dyn Grammar) -> Vec<u8> {
        let mut rng = Rng::new(seed);
        let (before, rest) = input.split_at(input.len().min(grammar.head()));
        let mut head = before.to_vec();
        head.resize(grammar.head(), 0);
        let mut records = Records::parse(rest);
        records.0.truncate(MOST);
        if !head.is_empty() && rng.once_in(3) {
            grammar.change_head(&mut head, &mut rng);
        } else {
            for _ in 0..rng.choice(&[1, 1, 2, 3, 5]) {
                records.step(&mut rng, grammar);
            }
        }
        let room = most.saturating_sub(head.len());
        head.extend(records.write(room));
        head.truncate(most);
        head
    }

    fn step(&mut self, rng: &mut Rng, grammar: &dyn Grammar) {
        let list = &mut self.0;
        let (count, chosen) = (list.len(), rng.below(list.len()));
        match rng.below(12) {
            0 if count > 0 => drop(list.remove(chosen)),
            1 if count > 1 => list.swap(chosen, rng.below(count)),
            2 if count > 0 && count < MOST => list.insert(rng.below(count + 1), list[chosen].clone()),
            3..=7 if count > 0 => grammar.change(&mut list[chosen], rng),
            _ if count < MOST => list.insert(rng.below(count + 1), grammar.fresh(rng)),
            _ => list[chosen] = grammar.fresh(rng),
        }
    }

    /// The smallest input that is found for which `same` holds, as it does for `input`: records are left out, then halves of them.
    pub fn smaller(input: &[u8], mut same: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut best = Records::parse(input);
        let mut holds = |records: &Records| same(&records.write(usize::MAX));
        let mut at = 0;
        while at < best.0.len() {
            let mut fewer = best.clone();
            fewer.0.remove(at);
            match holds(&fewer) {
                true => best = fewer,
                false => at += 1,
            }
        }
        for at in 0..best.0.len() {
            while best.0[at].len() > 1 {
                let mut half = best.clone();
                half.0[at].truncate(best.0[at].len().div_ceil(2));
                match holds(&half) {
                    true => best = half,
                    false => break,
                }
            }
        }
        best.write(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn an_input_is_its_records() {
        let records = Records(vec![vec![1, 2, 3], vec![], vec![4; 300]]);
        let input = records.write(1000);
        assert_eq!(Records::parse(&input), records);
        assert_eq!(Records::parse(&records.write(100)).0, records.0[..2]);
        assert_eq!(Records::parse(&input[..20]).0[2].len(), 20 - 9);
        assert_eq!(Records::parse(&[7]).0.len(), 0);
    }

    #[test]
    fn a_seed_decides_how_an_input_becomes_another_and_it_keeps_its_size() {
        for grammar in Target::ALL.into_iter().filter_map(Target::grammar) {
            let mut input = Vec::new();
            for seed in 0..2000 {
                let next = Records::mutate(&input, 2048, seed, grammar);
                assert_eq!(next, Records::mutate(&input, 2048, seed, grammar));
                assert!(next.len() <= 2048);
                input = next;
            }
            assert!(Records::parse(&input[grammar.head()..]).0.len() > 3);
        }
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let records = Records((0u8..9).map(|number| vec![number; 16]).collect());
        let small = Records::smaller(&records.write(4096), |input| {
            Records::parse(input)
                .0
                .iter()
                .any(|record| record.len() >= 2 && record[1] == 5)
        });
        assert_eq!(Records::parse(&small).0, [[5, 5]]);
    }
}
