//! Memory that is short: what the memory manager does to files then, at any moment, in a system thread of its own.
//!
//! By a seed, again and again, on a file of those that the cache or a section has:
//!
//! - *trimming*: pages leave the working set, and their frames are given to others. The next touch reads them again.
//! - *the segment-dereference thread*: a segment whose last user has gone, long ago or just now, is taken away, and with it the
//!   file object that it references: its IRP_MJ_CLOSE comes here, whatever is being done to the volume meanwhile.
//! - *prefetching*: pages that no program waits for are read in.
//! - *flushing*: a mapped file is flushed. Nothing can be dirty, which NT finds out after it has acquired the file.
//!
//! There is no modified page of a volume that cannot be written to, so the mapped page writer has nothing to acquire a file
//! for, and AcquireForModWrite is never called, as on NT. The lazy writer comes when the last file object of a
//! cache map has gone: see [`super::cache`].

use super::segment::{self, Segment};
use crate::fsrtl::acquire;
use crate::io::file;
use crate::mm::PAGE_SIZE;
use crate::{ob, ps};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// The longest pause between two acts, in microseconds.
const PAUSE: u64 = 400;
/// Most pages that are read ahead of any wish: 64 KiB.
const PREFETCHED: u64 = 16;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Pages that were taken away.
    pub trimmed: usize,
    /// Segments that were, each with a reference to its file object.
    pub dereferenced: usize,
    /// Reads that no program waited for, whether they succeeded or not.
    pub prefetched: usize,
    /// Flushes for which the file was acquired.
    pub flushed: usize,
}

/// The thread that does it, until it is told to end.
pub struct Pressure {
    stop: Arc<AtomicBool>,
    figures: Mutex<mpsc::Receiver<Figures>>,
    thread: usize,
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

impl Pressure {
    /// Memory is short from now on.
    pub fn start(seed: u64) -> Pressure {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, figures) = mpsc::channel();
        let told = Arc::clone(&stop);
        let thread = ps::spawn_system("memory manager", move || {
            let mut figures = Figures::default();
            let mut dice = Dice(seed);
            while !told.load(Ordering::Acquire) {
                act(&mut dice, &mut figures);
                std::thread::sleep(Duration::from_micros(dice.below(PAUSE)));
            }
            // The thread that ended it listens.
            let _ = tell.send(figures);
        });
        Pressure {
            stop,
            figures: Mutex::new(figures),
            thread: thread as usize,
        }
    }

    /// There is memory enough again. Waits for what is being done.
    pub fn end(self) -> Figures {
        self.stop.store(true, Ordering::Release);
        let figures = self.figures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let figures = figures.recv().unwrap_or_default();
        ob::dereference(self.thread as *mut std::ffi::c_void);
        figures
    }
}

fn act(dice: &mut Dice, figures: &mut Figures) {
    let mut segments = segment::all();
    // The table has no order of its own that a seed could repeat.
    segments.sort_by_key(|segment| (segment.pointers, segment.role as u8));
    let count = segments.len() as u64;
    if count == 0 {
        return;
    }
    let segment = segments.swap_remove(dice.below(count) as usize);
    drop(segments);
    let pages = segment.page_count() as u64;
    let page = dice.below(pages);
    match dice.below(16) {
        0..9 => figures.trimmed += segment.trim(page as usize, 1 << dice.below(6)),
        9 => figures.trimmed += segment.trim(0, pages as usize),
        10..13 => figures.dereferenced += usize::from(segment.is_unused() && segment.delete()),
        13..15 => {
            let len = (1 + dice.below(PREFETCHED)).min(pages - page) * PAGE_SIZE as u64;
            // A thread that wants the pages sees how its own fault ends.
            let _ = segment.page_in(page * PAGE_SIZE as u64, len, PREFETCHED as usize);
            figures.prefetched += 1;
        }
        _ => figures.flushed += usize::from(flush(&segment)),
    }
}

/// Flushes a file that is mapped.
fn flush(segment: &Arc<Segment>) -> bool {
    if segment.views.load(Ordering::Acquire) == 0 {
        return false;
    }
    let Some(file_object) = segment.reference_file() else {
        return false;
    };
    // SAFETY: the file object was referenced for this.
    unsafe {
        let acquired = acquire::acquire_for_flush(file_object).is_ok();
        if acquired {
            acquire::release_for_flush(file_object);
        }
        file::dereference(file_object);
        acquired
    }
}
