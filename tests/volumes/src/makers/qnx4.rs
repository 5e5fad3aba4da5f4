//! Whole volumes of QNX 4: little-endian, in blocks of 512 bytes that are counted from 1.
//!
//! An entry of a directory of 64 bytes is the inode itself. One with a name of more than 16 bytes, or with several names, has its
//! inode in the file `/.inodes`, and the entries are links to it. What does not fit into an inode's one extent is in a chain of
//! blocks of 60. The places are those of `include/uapi/linux/qnx4_fs.h`. Directories have no entries for themselves and their
//! parents here.

use super::bytes::{Image, Order};
use super::objects::{Blocks, Held, Object, Run, place};

const BLOCK: usize = 512;
const ENTRY: usize = 64;
const PER_BLOCK: usize = BLOCK / ENTRY;
const SHORT: usize = 16;
/// Runs are shorter than they need be, so that large files have more than one block of extents.
const LONGEST: usize = 150;

/// What the root has besides what was put there.
pub const EXTRA: &[&str] = &["/.bitmap", "/.inodes"];

const USED: u8 = 0x01;
const LINK: u8 = 0x08;
const INODE: u8 = 0x10;

/// A volume with these objects.
pub fn volume(objects: &[Object], size: u64) -> Vec<u8> {
    let mut image = Image::new(size, Order::Little);
    let total = size as usize / BLOCK;
    let mut blocks = Blocks::new(total, 2, LONGEST);
    let bitmap = total.div_ceil(8);
    let bitmap_runs = blocks.take(bitmap.div_ceil(BLOCK));
    let apart: Vec<usize> = apart(objects);
    let inodes = apart.len() * ENTRY;
    let inodes_at = blocks.together(inodes.div_ceil(BLOCK).max(1));
    let contents: Vec<(u32, Vec<Run>)> = objects
        .iter()
        .enumerate()
        .map(|(number, object)| {
            let length = match &object.held {
                // The two files of the root.
                Held::Directory(names) => (names.len() + if number == 0 { 2 } else { 0 }).max(1) * ENTRY,
                Held::File(bytes) | Held::Link(bytes) => bytes.len(),
                Held::Special(..) => 0,
            };
            (length as u32, blocks.take(length.div_ceil(BLOCK)))
        })
        .collect();
    let file = |length: usize, runs: &[Run]| (length as u32, runs.to_vec());
    let own = [
        (&b".bitmap"[..], file(bitmap, &bitmap_runs)),
        (
            b".inodes",
            file(inodes, &[(inodes_at, inodes.div_ceil(BLOCK).max(1))]),
        ),
    ];
    let system = Object {
        held: Held::File(Vec::new()),
        parent: 0,
        mode: 0o100_400,
        uid: 0,
        gid: 0,
        mtime: (1_000_000_000, 0),
        links: 1,
    };
    let mut maker = Maker {
        image: &mut image,
        blocks: &mut blocks,
    };
    maker.inode(BLOCK, b"/", &objects[0], &contents[0], USED);
    for (index, number) in apart.iter().enumerate() {
        let at = inodes_at * BLOCK + index * ENTRY;
        maker.inode(at, b"", &objects[*number], &contents[*number], USED | INODE);
    }
    for (number, object) in objects.iter().enumerate() {
        let runs = &contents[number].1;
        let names = match &object.held {
            Held::Directory(names) => names,
            Held::File(bytes) | Held::Link(bytes) => {
                place(maker.image, 0, BLOCK, runs, bytes);
                continue;
            }
            Held::Special(..) => continue,
        };
        let mut places = runs
            .iter()
            .flat_map(|(start, count)| (start * PER_BLOCK..(start + count) * PER_BLOCK).map(|at| at * ENTRY));
        if number == 0 {
            for ((name, content), at) in own.iter().zip(places.by_ref()) {
                maker.inode(at, name, &system, content, USED);
            }
        }
        for ((name, child), at) in names.iter().zip(places) {
            match apart.iter().position(|number| number == child) {
                None => maker.inode(at, name, &objects[*child], &contents[*child], USED),
                Some(index) => {
                    maker.image.put(at, name);
                    maker
                        .image
                        .u32(at + 48, (inodes_at + index / PER_BLOCK + 1) as u32);
                    maker.image.bytes[at + 52] = (index % PER_BLOCK) as u8;
                    maker.image.bytes[at + 63] = LINK;
                }
            }
        }
    }
    let used: Vec<usize> = (0..total).filter(|block| blocks.used[*block]).collect();
    let mut map = Image::new(bitmap as u64, Order::Little);
    used.iter().for_each(|block| map.set_bit(0, *block));
    place(&mut image, 0, BLOCK, &bitmap_runs, &map.bytes);
    image.bytes
}

/// The objects whose inodes are not in their directories.
fn apart(objects: &[Object]) -> Vec<usize> {
    let mut numbers: Vec<usize> = objects
        .iter()
        .filter_map(|object| match &object.held {
            Held::Directory(names) => Some(names),
            _ => None,
        })
        .flatten()
        .filter(|(name, number)| {
            let directory = matches!(objects[*number].held, Held::Directory(_));
            name.len() > SHORT || (!directory && objects[*number].links > 1)
        })
        .map(|(_, number)| *number)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

struct Maker<'a> {
    image: &'a mut Image,
    blocks: &'a mut Blocks,
}

impl Maker<'_> {
    fn inode(
        &mut self,
        at: usize,
        name: &[u8],
        object: &Object,
        (length, runs): &(u32, Vec<Run>),
        status: u8,
    ) {
        self.image.put(at, name);
        self.image.u32(at + 16, *length);
        if let Some((first, more)) = runs.split_first() {
            self.extent(at + 20, *first);
            if !more.is_empty() {
                let chain = self.chain(*first, more);
                self.image.u32(at + 28, chain);
            }
        }
        for time in [32, 36, 40, 44] {
            self.image.u32(at + time, object.seconds());
        }
        self.image.u16(at + 48, runs.len() as u16);
        self.image.u16(at + 50, object.mode);
        self.image.u16(at + 52, object.uid as u16);
        self.image.u16(at + 54, object.gid as u16);
        self.image.u16(at + 56, object.links);
        self.image.bytes[at + 63] = status;
    }

    fn extent(&mut self, at: usize, (start, count): Run) {
        self.image.u32(at, start as u32 + 1);
        self.image.u32(at + 4, count as u32);
    }

    /// Puts runs into a chain of blocks and returns the number of the first.
    fn chain(&mut self, first: Run, runs: &[Run]) -> u32 {
        const EXTENTS: usize = 60;
        let count = runs.len().div_ceil(EXTENTS);
        let start = self.blocks.together(count);
        for (index, runs) in runs.chunks(EXTENTS).enumerate() {
            let at = (start + index) * BLOCK;
            let own = (start + index + 1) as u32;
            self.image.u32(at, if index + 1 < count { own + 1 } else { 0 });
            self.image.u32(at + 4, if index > 0 { own - 1 } else { 0 });
            self.image.bytes[at + 8] = runs.len() as u8;
            self.image.u32(at + 12, runs.iter().map(|run| run.1 as u32).sum());
            for (index, run) in runs.iter().enumerate() {
                self.extent(at + 16 + index * 8, *run);
            }
            self.image.put(at + 496, b"IamXblk\0");
            self.extent(at + 504, first);
        }
        start as u32 + 1
    }
}
