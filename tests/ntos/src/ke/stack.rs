//! Kernel stacks: as small as NT's, with unmapped pages at both ends, painted to see how deep they were used.
//!
//! On the kernel stack lie the driver's own frames and the gates' (some 600 bytes for each import under way); what NT's
//! own functions would use is on the host stack instead. To be no kinder than NT, [`CALLER_SHARE`] bytes at the top
//! are kept from the driver: they stand for the system service and the I/O manager above it.

use crate::mm::{
    PAGE_SIZE, phys,
    space::{self, Protection, RegionKind},
};
use std::{collections::BTreeMap, sync::Mutex};

/// A thread's kernel stack on x64 NT, in bytes.
pub const KERNEL_STACK: usize = 24 * 1024;
/// KERNEL_LARGE_STACK_SIZE on x64, the most that a stack can be expanded to, in bytes.
pub const LARGEST: usize = 72 * 1024;
/// Bytes at the top that stand for the frames of NT's own functions above the driver.
pub const CALLER_SHARE: usize = 2048;
/// Zeroed bytes at the very top: a gate copies sixteen stack arguments without asking whether they are there.
const TOP: usize = 512;
/// What an unused stack holds.
const PAINT: u64 = 0x5AFE_57AC_5AFE_57AC;

/// A kernel stack. Dropping it keeps it for the next thread.
pub struct KernelStack {
    base: usize,
    size: usize,
}

static SPARE: Mutex<BTreeMap<usize, Vec<usize>>> = Mutex::new(BTreeMap::new());
static HIGH_WATER: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

impl KernelStack {
    /// A painted stack of `size` bytes (whole pages).
    pub fn new(size: usize) -> Self {
        let size = size.next_multiple_of(PAGE_SIZE);
        let spare = SPARE
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .get_mut(&size)
            .and_then(Vec::pop);
        if let Some(base) = spare {
            return Self { base, size };
        }
        let pages = size / PAGE_SIZE;
        let extent = phys::allocate(pages as u64).expect("the double's memory is not full");
        let region = space::map(
            RegionKind::Stack,
            pages,
            PAGE_SIZE,
            vec![extent],
            Protection::ReadWrite,
        );
        let stack = Self {
            base: region.base,
            size,
        };
        stack.words().fill(PAINT);
        stack
    }

    #[allow(
        clippy::mut_from_ref,
        reason = "raw memory that only its thread and the painting touch"
    )]
    fn words(&self) -> &mut [u64] {
        // SAFETY: the region is mapped and this stack's alone; it is looked at when nobody runs on it, or by a report
        // that only compares words.
        unsafe { std::slice::from_raw_parts_mut(self.base as *mut u64, self.size / 8) }
    }

    /// Where the first call starts.
    pub fn top(&self) -> usize {
        self.base + self.size - TOP - CALLER_SHARE
    }

    /// Its addresses.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.base..self.base + self.size
    }

    /// The most bytes that were ever in use below [`Self::top`], since it was painted.
    pub fn high_water(&self) -> usize {
        let untouched = self.words().iter().take_while(|word| **word == PAINT).count() * 8;
        (self.size - untouched).saturating_sub(TOP + CALLER_SHARE)
    }

    /// Notes how deep it was used under that name.
    pub fn note(&self, name: &str) {
        let depth = self.high_water();
        let mut marks = HIGH_WATER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mark = marks.entry(name.to_owned()).or_default();
        *mark = depth.max(*mark);
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let untouched = self.words().iter().take_while(|word| **word == PAINT).count();
        self.words()[untouched..].fill(PAINT);
        let mut spare = SPARE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        spare.entry(self.size).or_default().push(self.base);
    }
}

/// The deepest use by name: of ended threads, of expansions, and of the threads that live.
pub fn high_water_marks() -> BTreeMap<String, usize> {
    crate::ps::note_stacks();
    expansions()
        .values()
        .flatten()
        .for_each(|stack| stack.note("expanded"));
    HIGH_WATER
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .clone()
}

/// Stacks for expansions that nobody uses now, by size. They are not painted again: how deep they were used is read when
/// a report asks.
static EXPANSIONS: Mutex<BTreeMap<usize, Vec<KernelStack>>> = Mutex::new(BTreeMap::new());

fn expansions() -> std::sync::MutexGuard<'static, BTreeMap<usize, Vec<KernelStack>>> {
    EXPANSIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A stack for an expansion.
pub fn take_expansion(size: usize) -> KernelStack {
    let spare = expansions().get_mut(&size).and_then(Vec::pop);
    spare.unwrap_or_else(|| KernelStack::new(size))
}

/// Gives it back.
pub fn give_expansion_back(size: usize, stack: KernelStack) {
    expansions().entry(size).or_default().push(stack);
}

/// The touched address lies just below the stack that the driver runs on, and the stack pointer is near: it ran over.
pub fn ran_over(touched: usize, rsp: usize) -> bool {
    let (low, _) = crate::ke::gate::stack_limits();
    (low.saturating_sub(4 * PAGE_SIZE)..low).contains(&touched)
        && rsp < low + 2 * PAGE_SIZE
        && rsp.abs_diff(touched) < 16 * PAGE_SIZE
}
