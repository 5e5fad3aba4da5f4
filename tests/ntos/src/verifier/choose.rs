//! What is random in a run, decided by one seed.
//!
//! `NTOS_SEED` in the environment sets it, else [`set_seed`]. With a seed, threads also give way at some of the calls of
//! imports ([`maybe_yield`]). The order in which threads ask is the host's, so a seed makes a run alike, not the same.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

static STATE: AtomicU64 = AtomicU64::new(0);

static FROM_ENVIRONMENT: LazyLock<()> = LazyLock::new(|| {
    if let Some(seed) = std::env::var("NTOS_SEED").ok().and_then(|text| text.parse().ok()) {
        set_seed(seed);
    }
});

/// Sets the seed. 0 means that nothing is random: every choice is 0.
pub fn set_seed(seed: u64) {
    STATE.store(seed, Ordering::Relaxed);
}

/// A number below `limit`; 0 when there is no seed or no choice.
pub fn choose(limit: u64) -> u64 {
    LazyLock::force(&FROM_ENVIRONMENT);
    if limit < 2 || STATE.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    let next = |state: u64| Some(state.wrapping_add(0x9E37_79B9_7F4A_7C15).max(1));
    let state = STATE
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .unwrap_or_else(|same| same);
    // The finalizer of SplitMix64.
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % limit
}

/// Gives way now and then when there is a seed.
pub fn maybe_yield() {
    match choose(64) {
        1 => std::thread::sleep(std::time::Duration::from_micros(50)),
        2..=8 => std::thread::yield_now(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_seed_gives_one_sequence() {
        let take = |seed| {
            super::set_seed(seed);
            let list: Vec<u64> = (0..32).map(|_| super::choose(1000)).collect();
            super::set_seed(0);
            list
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        assert_eq!(take(0), vec![0; 32]);
    }
}
