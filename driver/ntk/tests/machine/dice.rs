//! What is random, from a seed: each step of each thread has dice of its own, so that a sequence does not depend on what another thread
//! does or on what was answered.

use volumes::content::mix;

/// A source of numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of these numbers: a seed, a life, a thread, a step.
    pub fn of(numbers: &[u64]) -> Dice {
        Dice(
            numbers
                .iter()
                .fold(0x6d61_6368, |state, number| mix(state ^ mix(*number))),
        )
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) % bound as u64) as usize
    }

    /// One of a list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
