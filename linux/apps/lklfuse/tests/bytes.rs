//! Random operations on one file, through two descriptors and a mapping, checked against a model after each: as fsx does. `LKLFUSE_CALLS`
//! asks for more of them, `LKLFUSE_SEED` for others.

// UNSAFETY: a file is mapped.

mod judge;

use std::fs::File;
use std::os::unix::fs::FileExt;

use judge::{BTRFS, EXT4, Image, Kind, Mount, Native, XFS};
use memmap2::MmapMut;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::fs::FallocateFlags;

/// The longest that the file gets.
const MOST: usize = 400_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

struct Exerciser {
    random: StdRng,
    files: [File; 2],
    model: Vec<u8>,
    history: Vec<String>,
}

impl Exerciser {
    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    fn range(&mut self, end: usize) -> (usize, usize) {
        let at = self.below(end);
        let most = [100, 5000, 70_000][self.below(3)];
        (at, 1 + self.below(most.min(end.saturating_sub(at))))
    }

    fn grow(&mut self, len: usize) {
        if self.model.len() < len {
            self.model.resize(len, 0);
        }
    }

    fn note(&mut self, what: String) {
        self.history.push(what);
    }

    fn step(&mut self) {
        let which = self.below(2);
        let file = self.files[which].try_clone().unwrap();
        match self.below(10) {
            0..=2 => {
                let (at, len) = self.range(MOST);
                let bytes: Vec<u8> = (0..len).map(|_| self.random.random()).collect();
                self.note(format!("write {len} at {at}"));
                file.write_all_at(&bytes, at as u64).unwrap();
                self.grow(at + len);
                self.model[at..at + len].copy_from_slice(&bytes);
            }
            3 => {
                let len = self.below(MOST);
                self.note(format!("truncate {len}"));
                file.set_len(len as u64).unwrap();
                self.model.resize(len, 0);
            }
            4 => {
                let (at, len) = self.range(MOST);
                self.note(format!("punch {len} at {at}"));
                let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, mode, at as u64, len as u64).unwrap();
                let end = self.model.len().min(at + len);
                if at < end {
                    self.model[at..end].fill(0);
                }
            }
            5 => {
                let (at, len) = self.range(MOST);
                self.note(format!("allocate {len} at {at}"));
                rustix::fs::fallocate(&file, FallocateFlags::empty(), at as u64, len as u64).unwrap();
                self.grow(at + len);
            }
            6 if self.model.len() > 1 => {
                let (at, len) = self.range(self.model.len());
                let bytes: Vec<u8> = (0..len).map(|_| self.random.random()).collect();
                self.note(format!("map and write {len} at {at}"));
                let mut map = self.map();
                map[at..at + len].copy_from_slice(&bytes);
                map.flush().unwrap();
                self.model[at..at + len].copy_from_slice(&bytes);
            }
            7 if self.model.len() > 1 => {
                self.note("map and read".to_owned());
                let map = self.map();
                assert!(map[..] == self.model[..], "a mapping differs: {}", self.told());
            }
            8 if self.model.len() > 1 => {
                let (from, len) = self.range(self.model.len());
                let to = self.below(MOST);
                if to < from + len && from < to + len {
                    return;
                }
                self.note(format!("copy {len} from {from} to {to}"));
                let (mut at, mut to_at) = (from as u64, to as u64);
                let mut left = len;
                while left > 0 {
                    let target = &self.files[1 - which];
                    let copied =
                        rustix::fs::copy_file_range(&file, Some(&mut at), target, Some(&mut to_at), left);
                    left -= copied.unwrap();
                }
                let bytes = self.model[from..from + len].to_vec();
                self.grow(to + len);
                self.model[to..to + len].copy_from_slice(&bytes);
            }
            _ => {
                self.note("sync".to_owned());
                file.sync_data().unwrap();
            }
        }
        self.look(&file);
    }

    #[allow(unsafe_code)]
    fn map(&self) -> MmapMut {
        // SAFETY: only this thread changes the file, and not while the mapping is there.
        unsafe { MmapMut::map_mut(&self.files[0]) }.unwrap()
    }

    fn look(&mut self, file: &File) {
        let len = file.metadata().unwrap().len();
        assert_eq!(len, self.model.len() as u64, "{}", self.told());
        let (at, len) = self.range(MOST);
        let mut bytes = vec![1; len];
        let mut done = 0;
        while done < len {
            match file.read_at(&mut bytes[done..], (at + done) as u64).unwrap() {
                0 => break,
                more => done += more,
            }
        }
        let end = self.model.len().min(at + len);
        let wanted = if at < end { &self.model[at..end] } else { &[] };
        assert!(bytes[..done] == *wanted, "{len} at {at} differ: {}", self.told());
    }

    fn told(&self) -> String {
        let last = self.history.len().saturating_sub(30);
        self.history[last..].join(", ")
    }
}

fn exercise(kind: Kind, options: &str) {
    let image = Image::new(kind);
    let mount = Mount::new(&image.path(), options);
    let path = mount.path().join("file");
    let mut open = File::options();
    open.read(true).write(true).create(true).truncate(false);
    let mut exerciser = Exerciser {
        random: StdRng::seed_from_u64(number("LKLFUSE_SEED", 1)),
        files: [open.open(&path).unwrap(), open.open(&path).unwrap()],
        model: Vec::new(),
        history: Vec::new(),
    };
    for _ in 0..number("LKLFUSE_CALLS", 2000) {
        exerciser.step();
    }
    let model = std::mem::take(&mut exerciser.model);
    drop(exerciser);
    mount.end();
    image.check();
    let native = Native::new(&image, "ro");
    assert!(std::fs::read(native.path().join("file")).unwrap() == model);
}

#[test]
fn ext4_keeps_what_is_written() {
    exercise(EXT4, "rw");
}

#[test]
fn xfs_keeps_what_is_written() {
    exercise(XFS, "rw");
}

#[test]
fn btrfs_keeps_what_is_written() {
    exercise(BTRFS, "rw");
}

#[test]
fn what_the_kernel_keeps_back_is_kept_too() {
    exercise(EXT4, "rw,writeback");
}
