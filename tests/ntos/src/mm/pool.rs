//! Pool, as Driver Verifier's special pool does it: each block on pages of its own between unmapped ones.
//!
//! A block smaller than a page ends (after rounding to pool's 16 bytes) where its last page ends, so an overrun faults at
//! once and only the rounding has to be checked by pattern at the free; a block of a page and more is page-aligned as
//! NT's is. New blocks hold [`FRESH`] bytes, the rest of their pages [`SLACK`]. Freed addresses are not used again for a
//! long time, so a use after free faults too, and [`explain`] says which block it was.
//!
//! Guarded blocks cost two mappings each, and Linux allows 65,530. When [`GUARDED_LIMIT`] blocks live, or when a benchmark
//! asks for it with [`set_mode`], small blocks come from shared pages instead ([`cells`]): patterns before, behind and
//! after the free are then what catches mistakes.

use crate::{
    mm::{
        PAGE_SIZE, phys,
        space::{self, Protection, RegionKind},
    },
    verifier::{
        fault::{self, Site},
        ledger::{self, Kind as Held},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

mod cells;

/// Bytes of a new block.
pub const FRESH: u8 = 0xCA;
/// Bytes around a block, up to the ends of its pages.
pub const SLACK: u8 = 0x5C;
/// Every block's alignment.
pub const ALIGN: usize = 16;
/// Guarded blocks at a time; more come from shared pages.
pub const GUARDED_LIMIT: usize = 12_000;
/// Freed blocks that are remembered by name.
const REMEMBERED: usize = 16_384;

/// Pageable or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Kind {
    /// Never paged out.
    NonPaged,
    /// May be touched below DISPATCH_LEVEL only.
    Paged,
}

/// Whose block it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The driver's: it is in the ledger until freed.
    Driver,
    /// The double's own.
    Double,
}

/// How small blocks are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each between guard pages.
    Guarded,
    /// In shared pages.
    Shared,
}

static MODE: AtomicU8 = AtomicU8::new(0);

/// Chooses how small blocks are placed from now on.
pub fn set_mode(mode: Mode) {
    MODE.store(u8::from(mode == Mode::Shared), Ordering::Relaxed);
}

#[derive(Clone, Copy, Debug)]
struct Block {
    size: usize,
    tag: u32,
    kind: Kind,
    owner: Owner,
    guarded: bool,
    place: usize,
}

struct Freed {
    address: usize,
    block: Block,
    place: usize,
}

struct Pool {
    live: BTreeMap<usize, Block>,
    guarded: usize,
    freed: VecDeque<Freed>,
    cells: cells::Cells,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    live: BTreeMap::new(),
    guarded: 0,
    freed: VecDeque::new(),
    cells: cells::Cells::new(),
});

fn lock() -> std::sync::MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A tag's four characters.
pub fn tag_name(tag: u32) -> String {
    tag.to_le_bytes()
        .iter()
        .map(|b| if b.is_ascii_graphic() { *b as char } else { '.' })
        .collect()
}

/// Where a block of `size` bytes starts in its pages.
fn offset_in_pages(size: usize) -> usize {
    if size >= PAGE_SIZE {
        0
    } else {
        PAGE_SIZE - size.next_multiple_of(ALIGN)
    }
}

/// Allocates a block filled with [`FRESH`]. NULL when an allocation was made to fail or memory is full; never for
/// `Owner::Double`.
pub fn allocate(kind: Kind, size: usize, tag: u32, owner: Owner) -> *mut u8 {
    if owner == Owner::Driver && fault::should_fail(Site::Pool) {
        return std::ptr::null_mut();
    }
    let size = size.max(1);
    let place = crate::ke::gate::caller();
    let mut block = Block {
        size,
        tag,
        kind,
        owner,
        guarded: true,
        place,
    };
    let mut pool = lock();
    let shared = MODE.load(Ordering::Relaxed) == 1 || pool.guarded >= GUARDED_LIMIT;
    if shared && size <= cells::LARGEST {
        block.guarded = false;
        let address = pool.cells.take(size);
        pool.live.insert(address, block);
        drop(pool);
        // SAFETY: the cell has room for `size` bytes and belongs to nobody else now.
        unsafe { std::ptr::write_bytes(address as *mut u8, FRESH, size) };
        note_allocation(address, &block);
        return address as *mut u8;
    }
    pool.guarded += 1;
    drop(pool);
    let pages = size.div_ceil(PAGE_SIZE);
    let Some(extent) = phys::allocate(pages as u64) else {
        assert!(owner == Owner::Driver, "the double's memory is full");
        lock().guarded -= 1;
        return std::ptr::null_mut();
    };
    let region = space::map(
        RegionKind::Pool,
        pages,
        PAGE_SIZE,
        vec![extent],
        Protection::ReadWrite,
    );
    let address = region.base + offset_in_pages(size);
    let end = region.range().end;
    // SAFETY: the region is new and writable; both parts lie in it.
    unsafe {
        std::ptr::write_bytes(region.base as *mut u8, SLACK, address - region.base);
        if size < 1 << 20 {
            std::ptr::write_bytes(address as *mut u8, FRESH, size);
        } else {
            // A large block is dirtied page by page when it is touched; its first and last page are filled.
            std::ptr::write_bytes(address as *mut u8, FRESH, PAGE_SIZE);
        }
        std::ptr::write_bytes((address + size) as *mut u8, SLACK, end - address - size);
    }
    lock().live.insert(address, block);
    note_allocation(address, &block);
    address as *mut u8
}

fn note_allocation(address: usize, block: &Block) {
    if block.owner == Owner::Driver {
        let detail = format!("tag {} {:?}", tag_name(block.tag), block.kind);
        ledger::add_bytes(Held::Pool, address, block.size, Some(detail));
    }
}

/// Frees a block. A tag of 0 is not compared.
pub fn free(pointer: *mut u8, tag: u32) {
    let address = pointer as usize;
    let mut pool = lock();
    let Some(block) = pool.live.get(&address).copied() else {
        drop(pool);
        match find_freed(address) {
            Some(story) => crate::fail!(DoubleFree, "free of {address:#x}, which is {story}"),
            None => crate::fail!(BadFree, "free of {address:#x}: {}", explain(address)),
        }
    };
    drop(pool);
    if tag != 0 && tag != block.tag {
        crate::fail!(
            BadFree,
            "block {address:#x} has the tag {} and is freed as {}",
            tag_name(block.tag),
            tag_name(tag)
        );
    }
    check_patterns(address, &block);
    check_unused(address..address + block.size);
    if block.owner == Owner::Driver {
        ledger::remove(Held::Pool, address);
    }
    crate::verifier::locks::forget(address..address + block.size);
    let place = crate::ke::gate::caller();
    pool = lock();
    if pool.live.remove(&address).is_none() {
        drop(pool);
        crate::fail!(DoubleFree, "two threads free {address:#x} at the same time");
    }
    pool.freed.push_back(Freed {
        address,
        block,
        place,
    });
    if pool.freed.len() > REMEMBERED {
        pool.freed.pop_front();
    }
    if !block.guarded {
        let stale = pool.cells.give_back(address, block.size);
        drop(pool);
        if let Some(stale) = stale {
            crate::fail!(
                UseAfterFree,
                "{stale:#x} was written after it was freed: {}",
                explain(stale)
            );
        }
        return;
    }
    pool.guarded -= 1;
    drop(pool);
    let base = address - offset_in_pages(block.size);
    if let Some(region) = space::release(base) {
        region.frames.into_iter().for_each(phys::free);
    }
}

/// The bytes around a block are as they were.
fn check_patterns(address: usize, block: &Block) {
    let (before, after) = if block.guarded {
        let base = address - offset_in_pages(block.size);
        (
            base..address,
            address + block.size..base + block.size.div_ceil(PAGE_SIZE) * PAGE_SIZE,
        )
    } else {
        cells::slack(address, block.size)
    };
    for (range, side) in [(before, "before"), (after, "behind")] {
        let start = range.start;
        // SAFETY: the slack of a live block is mapped and readable.
        let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, range.len()) };
        if let Some(at) = bytes.iter().position(|byte| *byte != SLACK) {
            crate::fail!(
                PoolCorruption,
                "byte {:#x} {side} block {address:#x} was written ({} bytes, tag {}, allocated at {})",
                start + at,
                block.size,
                tag_name(block.tag),
                crate::loader::describe(block.place)
            );
        }
    }
}

/// Memory that goes away holds nothing that the kernel still knows.
pub fn check_unused(range: std::ops::Range<usize>) {
    if let Some(what) = crate::ke::wait::waited_on(range.clone()) {
        crate::fail!(
            FreedInUse,
            "freed memory holds the dispatcher object {what:#x} that a thread waits for"
        );
    }
    let kinds = [
        (Held::Timer, "a queued timer"),
        (Held::Dpc, "a queued DPC"),
        (Held::Resource, "an ERESOURCE that was not deleted"),
        (Held::Lookaside, "a lookaside list that was not deleted"),
        (Held::LockedPages, "an MDL with locked pages"),
    ];
    for (kind, what) in kinds {
        let (now, _) = ledger::totals(kind);
        if now.0 == 0 {
            continue;
        }
        if let Some(address) = ledger::find_in(kind, range.clone()) {
            crate::fail!(
                FreedInUse,
                "freed memory {range:#x?} holds {what} at {address:#x}"
            );
        }
    }
}

/// Size, tag and kind of the live block that starts at `address`.
pub fn block_at(address: usize) -> Option<(usize, u32, Kind)> {
    lock()
        .live
        .get(&address)
        .map(|block| (block.size, block.tag, block.kind))
}

/// The kind of the live block that holds `address`.
pub fn kind_of(address: usize) -> Option<Kind> {
    let pool = lock();
    let (start, block) = pool.live.range(..=address).next_back()?;
    (address < start + block.size).then_some(block.kind)
}

fn find_freed(address: usize) -> Option<String> {
    let pool = lock();
    let inside = |f: &&Freed| {
        let page = f.address & !(PAGE_SIZE - 1);
        page <= address && address < f.address + f.block.size.next_multiple_of(ALIGN)
    };
    let freed = pool.freed.iter().rev().find(inside)?;
    let (at, block, freed_at) = (freed.address, freed.block, freed.place);
    drop(pool);
    Some(format!(
        "in freed block {at:#x} ({} bytes, tag {}, allocated at {}, freed at {freed_at})",
        block.size,
        tag_name(block.tag),
        crate::loader::describe(block.place),
        freed_at = crate::loader::describe(freed_at),
    ))
}

/// What is known about an address, and which rule a touch of it breaks.
pub fn diagnose(address: usize) -> (crate::verifier::Code, String) {
    use crate::verifier::Code;
    if let Some(story) = find_freed(address) {
        return (Code::UseAfterFree, story);
    }
    let pool = lock();
    let below = pool.live.range(..=address).next_back().map(|(a, b)| (*a, *b));
    let above = pool.live.range(address..).next().map(|(a, b)| (*a, *b));
    drop(pool);
    let near = PAGE_SIZE * 2;
    if let Some((start, block)) = below {
        let end = start + block.size;
        let words = format!(
            "block {start:#x} ({} bytes, tag {}, allocated at {})",
            block.size,
            tag_name(block.tag),
            crate::loader::describe(block.place)
        );
        if address < end {
            return (Code::AccessViolation, format!("inside {words}"));
        }
        if address < end + near {
            return (Code::GuardPage, format!("{} bytes behind {words}", address - end));
        }
    }
    if let Some((start, block)) = above.filter(|(start, _)| start - address < near) {
        let words = format!("{} bytes, tag {}", block.size, tag_name(block.tag));
        return (
            Code::GuardPage,
            format!("{} bytes before block {start:#x} ({words})", start - address),
        );
    }
    (Code::AccessViolation, "not in pool".to_owned())
}

/// What is known about an address, in words.
pub fn explain(address: usize) -> String {
    diagnose(address).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blocks_end_at_their_page_and_large_ones_begin_at_one() {
        for size in [1, 16, 17, 100, 4080, 4095] {
            let block = allocate(Kind::NonPaged, size, 1, Owner::Double) as usize;
            assert_eq!((block + size.next_multiple_of(ALIGN)) % PAGE_SIZE, 0, "{size}");
            assert_eq!(block % ALIGN, 0);
            free(block as *mut u8, 1);
        }
        for size in [PAGE_SIZE, PAGE_SIZE + 1, 3 * PAGE_SIZE] {
            let block = allocate(Kind::Paged, size, 1, Owner::Double);
            assert_eq!(block as usize % PAGE_SIZE, 0, "{size}");
            assert_eq!(block_at(block as usize), Some((size, 1, Kind::Paged)));
            free(block, 1);
        }
    }

    #[test]
    fn a_freed_address_is_explained_and_not_used_again_soon() {
        let block = allocate(Kind::NonPaged, 48, u32::from_le_bytes(*b"abcd"), Owner::Double) as usize;
        assert_eq!(kind_of(block + 47), Some(Kind::NonPaged));
        assert_eq!(kind_of(block + 48), None);
        free(block as *mut u8, 0);
        assert_eq!(diagnose(block + 5).0, crate::verifier::Code::UseAfterFree);
        assert!(explain(block).contains("tag abcd"), "{}", explain(block));
        for _ in 0..100 {
            let other = allocate(Kind::NonPaged, 48, 2, Owner::Double);
            assert_ne!(other as usize, block);
            free(other, 2);
        }
    }

    #[test]
    fn new_blocks_are_not_zeroed() {
        let block = allocate(Kind::NonPaged, 32, 3, Owner::Double);
        // SAFETY: the block is 32 bytes long.
        let bytes = unsafe { std::slice::from_raw_parts(block, 32) };
        assert!(bytes.iter().all(|byte| *byte == FRESH));
        free(block, 3);
    }
}
