//! The power of a disk with a volatile cache is cut.
//!
//! [`Cached`] keeps what is written since the last flush aside. A cut, taken while Linux works, leaves what flushes (and durable
//! writes) have made durable, and of the rest any part: each block of 4 KiB of each write came to the medium, or did not. So a
//! flush that is missing anywhere, in Linux's file system or in between, is found out: once with a disk that is as it should
//! be, which must lose nothing that was synced, and once with one that says "done" and does nothing, which must lose something:
//! to every flush, or to what FUA asks of a single write.

use crate::kill::sparse_copy;
use crate::kind::{self, Kind, boot, unmount};
use crate::workload::{looked_at, prepare, step};
use linux_full::WritableDisks;
use lkl::{Disk, Errno, ReadRequest};
use lkl_write::{Abilities, Operation, Volume, WritableDisk, WriteRequest};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECTOR: usize = 512;
/// What a medium writes as a whole.
const ATOM: usize = 4096;

type Sector = [u8; SECTOR];

/// What a disk does not do though it says so.
#[derive(Clone, Copy, PartialEq)]
pub enum Lie {
    None,
    /// Flushes, and writes that are to be durable.
    Flush,
    /// Writes that are to be durable.
    Fua,
}

/// Writes in their order.
#[derive(Default, Clone)]
struct Log {
    /// Durable, over the image.
    durable: Vec<Arc<(u64, Vec<u8>)>>,
    /// Since the last flush.
    pending: Vec<Arc<(u64, Vec<u8>)>>,
}

#[derive(Default)]
struct State {
    /// What is read: over the image.
    current: HashMap<u64, Sector>,
    log: Log,
}

/// A disk with a volatile cache over an image that stays as it is.
struct Cached {
    image: File,
    size: u64,
    lie: Lie,
    state: Mutex<State>,
    flushes: AtomicUsize,
}

impl Cached {
    fn new(image: &Path, lie: Lie) -> Cached {
        let image = File::open(image).unwrap();
        let size = image.metadata().unwrap().len();
        Cached {
            image,
            size,
            lie,
            state: Mutex::default(),
            flushes: AtomicUsize::new(0),
        }
    }
}

/// The disk that Linux gets.
struct Handle(Arc<Cached>);

impl Disk for Handle {
    fn size_bytes(&self) -> u64 {
        self.0.size
    }

    fn block_size(&self) -> u32 {
        512
    }

    fn read(&self, mut request: ReadRequest) {
        let mut at = request.offset();
        let state = self.0.state.lock().unwrap();
        for segment in request.segments() {
            self.0.image.read_exact_at(segment, at).unwrap();
            for sector in segment.chunks_exact_mut(SECTOR) {
                if let Some(written) = state.current.get(&(at / SECTOR as u64)) {
                    sector.copy_from_slice(written);
                }
                at += SECTOR as u64;
            }
        }
        drop(state);
        request.complete(Ok(()));
    }
}

impl WritableDisk for Handle {
    fn abilities(&self) -> Abilities {
        Abilities {
            flush: true,
            fua: true,
            discard: false,
            discard_granularity: 0,
            write_zeroes: false,
        }
    }

    fn change(&self, request: WriteRequest) {
        let mut state = self.0.state.lock().unwrap();
        let result = match request.operation() {
            Operation::Write { durable } => {
                let bytes: Vec<u8> = request.segments().flatten().copied().collect();
                let first = request.offset() / SECTOR as u64;
                for (number, sector) in (first..).zip(bytes.chunks_exact(SECTOR)) {
                    state.current.insert(number, sector.try_into().unwrap());
                }
                let write = Arc::new((request.offset(), bytes));
                if durable && self.0.lie == Lie::None {
                    // It overtakes what is pending, which may be of the same blocks: those parts of it are history.
                    state.log.overtake(&write);
                    state.log.durable.push(write);
                } else {
                    state.log.pending.push(write);
                }
                Ok(())
            }
            Operation::Flush => {
                self.0.flushes.fetch_add(1, SeqCst);
                if self.0.lie != Lie::Flush {
                    let pending = std::mem::take(&mut state.log.pending);
                    state.log.durable.extend(pending);
                }
                Ok(())
            }
            _ => Err(Errno::EOPNOTSUPP),
        };
        drop(state);
        request.complete(result);
    }
}

impl Log {
    /// Makes durable what is pending of the blocks that a durable write overwrites, since it comes before that.
    fn overtake(&mut self, write: &(u64, Vec<u8>)) {
        let end = |write: &(u64, Vec<u8>)| write.0 + write.1.len() as u64;
        let (mut over, mut rest) = (Vec::new(), Vec::new());
        for pending in std::mem::take(&mut self.pending) {
            let meets = pending.0 < end(write) && write.0 < end(&pending);
            if meets {
                over.push(pending)
            } else {
                rest.push(pending)
            }
        }
        self.pending = rest;
        self.durable.extend(over);
    }

    /// What is on the medium after a cut, as an image.
    fn left(&self, empty: &Path, image: &Path, random: &mut u64) {
        sparse_copy(empty, image);
        let image = File::options().write(true).open(image).unwrap();
        for write in &self.durable {
            image.write_all_at(&write.1, write.0).unwrap();
        }
        // Some cuts lose little, some much, some all.
        let kept = next(random) % 5;
        for write in &self.pending {
            for (number, atom) in write.1.chunks(ATOM).enumerate() {
                if next(random) % 4 < kept {
                    image
                        .write_all_at(atom, write.0 + (number * ATOM) as u64)
                        .unwrap();
                }
            }
        }
    }
}

fn next(random: &mut u64) -> u64 {
    *random = random
        .wrapping_mul(0x5851_f42d_4c95_7f2d)
        .wrapping_add(1442695040888963407);
    *random >> 33
}

/// Works on a disk, and cuts its power so many times: the steps that had returned before each cut, and what the medium has.
fn cuts(kind: &Kind, empty: &Path, lie: Lie, times: usize) -> Vec<(usize, Log)> {
    let kernel = boot();
    let disk = Arc::new(Cached::new(empty, lie));
    let device = kernel
        .add_writable_disk(Arc::new(Handle(disk.clone())), 0)
        .unwrap();
    let volume = Volume::mount(&kernel, &device, kind.name, "").unwrap();
    prepare(&volume).unwrap();
    let done = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let mut cuts = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                step(&volume, done.load(SeqCst)).unwrap();
                done.fetch_add(1, SeqCst);
            }
        });
        let mut random = u64::from(std::process::id()) | 1;
        for _ in 0..times {
            let wanted = done.load(SeqCst) + 5 + next(&mut random) as usize % 20;
            while done.load(SeqCst) < wanted {
                std::thread::sleep(Duration::from_micros(50));
            }
            std::thread::sleep(Duration::from_micros(next(&mut random) % 1500));
            // In this order: what has returned by now had its flush before the cut.
            let steps = done.load(SeqCst);
            let log = disk.state.lock().unwrap().log.clone();
            // One more step may have returned meanwhile, and another have begun: that cut says nothing.
            if done.load(SeqCst) == steps {
                cuts.push((steps, log));
            }
        }
        over.store(true, SeqCst);
    });
    assert!(disk.flushes.load(SeqCst) > 0, "Linux has flushed nothing");
    unmount(volume);
    device.remove().unwrap();
    kernel.halt();
    cuts
}

/// Looks at each cut. What was wrong.
fn findings(name: &str, lie: Lie, times: usize) -> (usize, Vec<String>) {
    let kind = kind::named(name);
    let folder = tempfile::tempdir().unwrap();
    let (empty, image) = (folder.path().join("empty"), folder.path().join("image"));
    kind.make(&empty, 0, 0);
    let cuts = cuts(kind, &empty, lie, times);
    let mut random = u64::from(std::process::id()) | 1;
    let mut findings = Vec::new();
    for (number, (steps, log)) in cuts.iter().enumerate() {
        log.left(&empty, &image, &mut random);
        if let Err(error) = looked_at(kind, &image, *steps) {
            findings.push(format!(
                "cut {number}, after {steps} steps, {} writes being pending: {error}",
                log.pending.len()
            ));
            if lie != Lie::None {
                break;
            }
        }
    }
    (cuts.len(), findings)
}

/// A disk that keeps its promise loses nothing.
pub fn cut(name: &str) {
    let times = crate::kill::times();
    let (cuts, findings) = findings(name, Lie::None, times);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(cuts * 2 >= times, "only {cuts} of {times} cuts told something");
    eprintln!("{name}: {cuts} cuts");
}

/// A disk that does not is found out: the test above can fail.
pub fn found_out(name: &str, lie: Lie) {
    let (cuts, findings) = findings(name, lie, 20);
    assert!(!findings.is_empty(), "none of {cuts} cuts has lost anything");
    eprintln!("{name}: {}", findings[0].lines().next().unwrap_or_default());
}
