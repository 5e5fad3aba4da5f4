//! How one input becomes another: it knows which sectors of the seed Linux reads for the volume's structure, and that a structure is
//! made of fields.

use crate::image::Image;
use crate::patches::{MEND, NO_RECOVERY, Patch, Patches};
use crate::rng::Rng;
use crate::seed::Seed;
use std::sync::Arc;

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// The most changes of an input.
const MOST: usize = 24;
/// Numbers at which something happens.
const INTERESTING: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// What is known of a seed.
#[derive(Clone, Debug)]
pub struct Structure {
    seed: Image,
    /// Places of words of four bytes in sectors that are read: those that are not zero, and all.
    filled: Vec<u64>,
    all: Vec<u64>,
}

impl Structure {
    /// Of a seed, of which these sectors are read.
    pub fn new(seed: &Arc<Seed>, sectors: &[u64]) -> Structure {
        let seed = Image::new(seed);
        let words = sectors
            .iter()
            .flat_map(|sector| (0..SECTOR / 4).map(move |word| sector * SECTOR + word * 4));
        let all: Vec<u64> = words.filter(|at| at + 4 <= seed.size()).collect();
        let filled = all
            .iter()
            .copied()
            .filter(|at| seed.bytes(*at, 4) != [0; 4])
            .collect();
        Structure { seed, filled, all }
    }

    /// How many words there are: filled ones, and all.
    pub fn words(&self) -> (usize, usize) {
        (self.filled.len(), self.all.len())
    }

    /// A place of a field.
    fn place(&self, rng: &mut Rng) -> u64 {
        let words = match rng.once_in(5) || self.filled.is_empty() {
            true => &self.all,
            false => &self.filled,
        };
        let word = words.get(rng.below(words.len())).copied().unwrap_or(0);
        word + rng.choice(&[0, 0, 0, 0, 0, 2, 1, 3])
    }

    /// Another value of a field.
    fn field(&self, rng: &mut Rng) -> Patch {
        let at = self.place(rng);
        let width = rng.choice(&[1usize, 2, 2, 4, 4, 4, 8]);
        let old = self.seed.bytes(at, width);
        Patch {
            at,
            bytes: changed(&old, rng),
        }
    }

    /// A piece of another place.
    fn copy(&self, rng: &mut Rng) -> Patch {
        let length = rng.choice(&[4usize, 8, 16, 32, 64, 128, 256]);
        let (from, at) = (self.place(rng), self.place(rng));
        Patch {
            at,
            bytes: self.seed.bytes(from, length),
        }
    }

    /// Another input.
    pub fn mutate(&self, input: &[u8], most: usize, seed: u32) -> Vec<u8> {
        let mut rng = Rng::new(seed);
        let mut patches = Patches::parse(input);
        patches.list.truncate(MOST);
        for _ in 0..rng.choice(&[1, 1, 1, 2, 3]) {
            self.step(&mut patches, &mut rng);
        }
        patches.write(most)
    }

    fn step(&self, patches: &mut Patches, rng: &mut Rng) {
        let count = patches.list.len();
        let chosen = rng.below(count);
        match rng.below(16) {
            0 if count > 0 => drop(patches.list.remove(chosen)),
            1..=3 if count > 0 => {
                let bytes = &mut patches.list[chosen].bytes;
                *bytes = changed(bytes, rng);
            }
            4 if count > 0 => patches.list[chosen].at = self.place(rng),
            5 if rng.once_in(4) => patches.switches ^= rng.choice(&[MEND, NO_RECOVERY]),
            6 | 7 if count < MOST => patches.list.push(self.copy(rng)),
            _ if count < MOST => patches.list.push(self.field(rng)),
            _ => patches.list[chosen] = self.field(rng),
        }
    }
}

/// A field of so many bytes with another value.
pub(crate) fn changed(old: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut new = old.to_vec();
    if new.len() > 8 {
        let at = rng.below(new.len());
        new[at] = rng.bits() as u8;
        return new;
    }
    let mut value = [0; 8];
    value[..new.len()].copy_from_slice(&new);
    let big = rng.once_in(3);
    if big {
        value[..new.len()].reverse();
    }
    let before = u64::from_le_bytes(value);
    let near = 1 + rng.bits() % 16;
    let after = match rng.below(8) {
        0 => before ^ (1 << rng.below(new.len() * 8)),
        1 => before.wrapping_add(near),
        2 => before.wrapping_sub(near),
        3 => rng.bits(),
        4 => before.wrapping_shl(1 + rng.below(8) as u32),
        _ => rng.choice(&INTERESTING),
    };
    let mut value = after.to_le_bytes();
    let count = new.len();
    if big {
        value[..count].reverse();
    }
    new.copy_from_slice(&value[..count]);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_where_the_structure_is_and_a_seed_decides() {
        let mut volume = vec![0; 1 << 20];
        volume[8192..8704].fill(3);
        let seed = Arc::new(Seed::of(&volume));
        let structure = Structure::new(&seed, &[16, 100]);
        assert_eq!(structure.words(), (128, 256));
        let mut input = Vec::new();
        for number in 0..1000 {
            let next = structure.mutate(&input, 512, number);
            assert_eq!(next, structure.mutate(&input, 512, number));
            assert!(next.len() <= 512);
            for patch in Patches::parse(&next).list {
                let sector = patch.at / SECTOR;
                assert!(sector == 16 || sector == 100, "{sector}");
            }
            input = next;
        }
        assert!(Patches::parse(&input).list.len() > 3);
    }
}
