//! The pool and its pages.

use crate::{Outcome, ensure};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use lkl::Host;

use super::act::failed;

const PAGE: usize = 4096;
const PAGES: usize = 2048;

/// A pool that is given back at the end.
struct Pool<'h, H: Host> {
    host: &'h H,
    base: NonNull<u8>,
}

impl<'h, H: Host> Pool<'h, H> {
    fn new(host: &'h H) -> Result<Self, Outcome> {
        let base = host.pool_alloc(PAGES * PAGE).ok_or_else(|| failed("no pool"))?;
        Ok(Pool { host, base })
    }

    /// The first word of a page of the pool.
    fn word(&self, page: usize) -> NonNull<u64> {
        first_word(self.base, page)
    }
}

impl<H: Host> Drop for Pool<'_, H> {
    fn drop(&mut self) {
        // SAFETY: the pool of this scenario, which is over.
        unsafe { self.host.pool_free(self.base, PAGES * PAGE) }
    }
}

/// The first word of the n-th page from an address.
fn first_word(base: NonNull<u8>, page: usize) -> NonNull<u64> {
    // SAFETY: callers stay inside the range that they mapped.
    unsafe { base.add(page * PAGE) }.cast()
}

/// Reads memory that is mapped more than once.
fn get(word: NonNull<u64>) -> u64 {
    // SAFETY: words of mapped pages, aligned.
    unsafe { word.as_ptr().read_volatile() }
}

fn put(word: NonNull<u64>, value: u64) {
    // SAFETY: words of mapped pages, aligned.
    unsafe { word.as_ptr().write_volatile(value) }
}

pub(super) fn pool<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    for _ in 0..2 {
        let pool = Pool::new(&**host)?;
        ensure!(
            pool.base.as_ptr().addr() % PAGE == 0,
            "the pool is at {:p}",
            pool.base
        );
        // SAFETY: the pool's memory, which nobody else uses.
        let words =
            unsafe { core::slice::from_raw_parts_mut(pool.base.as_ptr().cast::<u64>(), PAGES * PAGE / 8) };
        let dirty = words.iter().filter(|word| **word != 0).count();
        ensure!(dirty == 0, "{dirty} words of a new pool are not zero");
        words.fill(0x5a5a_5a5a_5a5a_5a5a);
        ensure!(
            words.iter().all(|word| *word == 0x5a5a_5a5a_5a5a_5a5a),
            "the pool forgets"
        );
    }
    Ok(0)
}

pub(super) fn pages_map<H: Host>(host: &Arc<H>) -> Result<u64, Outcome> {
    let pool = Pool::new(&**host)?;
    for page in 0..PAGES {
        put(pool.word(page), page as u64);
    }
    let Some(first) = host.pages_map(&[0]) else {
        return Err(Outcome::Skipped("this host maps no pages"));
    };
    // SAFETY: just mapped, not used.
    unsafe { host.pages_unmap(first, 1) };
    let orders: [Vec<usize>; 4] = [
        (0..16).collect(),
        (0..16).rev().collect(),
        (0..64).map(|index| index * 37 % PAGES).collect(),
        [5, 6, 7, 1, 2, 100, 99, 2047].to_vec(),
    ];
    for order in &orders {
        let range = host
            .pages_map(order)
            .ok_or_else(|| failed("pages cannot be mapped"))?;
        ensure!(range.as_ptr().addr() % PAGE == 0, "pages are mapped at {range:p}");
        for (place, page) in order.iter().enumerate() {
            let seen = get(first_word(range, place));
            ensure!(
                seen == *page as u64,
                "place {place} shows page {seen}, not {page}"
            );
            // One memory, two addresses: a write at either is seen at the other.
            put(first_word(range, place), 1_000_000 + *page as u64);
            ensure!(
                get(pool.word(*page)) == 1_000_000 + *page as u64,
                "a write to place {place} got lost"
            );
            put(pool.word(*page), *page as u64);
            ensure!(
                get(first_word(range, place)) == *page as u64,
                "a write to page {page} got lost"
            );
        }
        // SAFETY: just mapped, not used any more.
        unsafe { host.pages_unmap(range, order.len()) };
    }
    // Many at once, then many one after another: a leak of mappings or of address space shows.
    let mut ranges = Vec::new();
    for round in 0..200usize {
        let pages = [round, PAGES - 1 - round, round + 500];
        ranges.push(
            host.pages_map(&pages)
                .ok_or_else(|| failed("no 200 mappings at once"))?,
        );
    }
    for (round, range) in ranges.iter().enumerate() {
        let seen = [
            get(first_word(*range, 0)),
            get(first_word(*range, 1)),
            get(first_word(*range, 2)),
        ];
        let expected = [round, PAGES - 1 - round, round + 500].map(|page| page as u64);
        ensure!(
            seen == expected,
            "mapping {round} shows {seen:?}, not {expected:?}"
        );
    }
    for range in ranges {
        // SAFETY: mapped above, not used any more.
        unsafe { host.pages_unmap(range, 3) };
    }
    let start = host.monotonic_ns();
    const ROUNDS: usize = 5000;
    for round in 0..ROUNDS {
        let pages = [
            round * 7 % PAGES,
            round * 11 % PAGES,
            round % PAGES,
            (round + 1) % PAGES,
        ];
        let range = host.pages_map(&pages).ok_or_else(|| failed("mappings run out"))?;
        // SAFETY: just mapped, not used.
        unsafe { host.pages_unmap(range, pages.len()) };
    }
    Ok(host.monotonic_ns().saturating_sub(start) / ROUNDS as u64)
}
