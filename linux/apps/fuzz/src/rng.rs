//! Chance that a seed decides: xorshift.

/// A state, never 0.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    pub fn new(seed: u32) -> Rng {
        let mut rng = Rng((u64::from(seed) ^ 0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            rng.bits();
        }
        rng
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Less than `limit`; 0 when that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.bits() >> 1)
            .unwrap_or(0)
            .checked_rem(limit)
            .unwrap_or(0)
    }

    /// One of `choices`, which are not empty.
    pub fn choice<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
