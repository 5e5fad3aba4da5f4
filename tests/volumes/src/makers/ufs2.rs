//! Whole volumes of UFS2, FreeBSD's file system, in either byte order: `makefs` of Debian 12 puts its superblock where Linux does
//! not look for it.
//!
//! One cylinder group: a superblock at 64 KiB, inodes of 256 bytes, and data in blocks of 8 KiB and fragments of 1 KiB. An inode
//! has twelve blocks, and three whose blocks are numbers of blocks, once, twice and three times removed. The places are those of
//! `fs/ufs/ufs_fs.h`. The group's own block, with its maps, is left out: Linux reads it only to write.

use super::bytes::{Image, Order};
use super::objects::{Held, Object};

const BLOCK: usize = 8192;
const FRAGMENT: usize = 1024;
const PER_BLOCK: usize = BLOCK / FRAGMENT;
const SUPERBLOCK: usize = 65_536;
/// Fragments: of the group's block, of the inodes and of data.
const GROUP: usize = 72;
const INODES: usize = 80;
const COUNT: usize = 1024;
const DATA: usize = INODES + COUNT * 256 / FRAGMENT;
const ROOT: usize = 2;
/// Targets that are shorter are in the inode.
const SHORT_TARGET: usize = 120;

/// A volume of an Intel machine.
pub fn little(objects: &[Object], size: u64) -> Vec<u8> {
    volume(objects, size, Order::Little)
}

/// A volume of a machine with the highest byte first.
pub fn big(objects: &[Object], size: u64) -> Vec<u8> {
    volume(objects, size, Order::Big)
}

fn volume(objects: &[Object], size: u64, order: Order) -> Vec<u8> {
    let mut maker = Maker {
        image: Image::new(size, order),
        next: DATA,
        tail: (0, 0),
    };
    for (number, object) in objects.iter().enumerate() {
        let at = INODES * FRAGMENT + (number + ROOT) * 256;
        maker.inode(at, object);
        match &object.held {
            Held::Directory(names) => {
                let bytes = directory(number, object.parent, names, objects, order);
                maker.store(at, &bytes);
            }
            Held::Link(target) if target.len() < SHORT_TARGET => {
                maker.image.u64(at + 16, target.len() as u64);
                maker.image.put(at + 112, target);
            }
            Held::File(bytes) | Held::Link(bytes) => maker.store(at, bytes),
            Held::Special(major, minor) => maker.image.u64(at + 112, u64::from(major << 8 | minor)),
        }
    }
    superblock(&mut maker.image, size as usize / FRAGMENT, objects.len());
    maker.image.bytes
}

struct Maker {
    image: Image,
    /// The next free fragment, which begins a block, and the rest of a block that ends of files are in.
    next: usize,
    tail: (usize, usize),
}

impl Maker {
    fn inode(&mut self, at: usize, object: &Object) {
        self.image.u16(at, object.mode);
        self.image.u16(at + 2, object.links);
        self.image.u32(at + 4, object.uid);
        self.image.u32(at + 8, object.gid);
        self.image.u32(at + 12, BLOCK as u32);
        for time in [32, 40, 48, 56] {
            self.image.u64(at + time, object.mtime.0 as u64);
        }
        for fraction in [64, 68, 72, 76] {
            self.image.u32(at + fraction, object.mtime.1);
        }
    }

    /// A whole block.
    fn block(&mut self) -> usize {
        self.next += PER_BLOCK;
        // A block is left out now and then, so that files are not in one piece.
        if (self.next / PER_BLOCK).is_multiple_of(9) {
            self.next += PER_BLOCK;
        }
        self.next - PER_BLOCK
    }

    /// Fragments of a block.
    fn fragments(&mut self, count: usize) -> usize {
        if self.tail.1 < count {
            self.tail = (self.block(), PER_BLOCK);
        }
        let start = self.tail.0;
        self.tail = (start + count, self.tail.1 - count);
        start
    }

    fn store(&mut self, at: usize, bytes: &[u8]) {
        const DIRECT: usize = 12;
        let small = bytes.len() <= DIRECT * BLOCK;
        let mut held = 0;
        let blocks: Vec<usize> = bytes
            .chunks(BLOCK)
            .map(|piece| {
                let count = if small {
                    piece.len().div_ceil(FRAGMENT)
                } else {
                    PER_BLOCK
                };
                let start = if count == PER_BLOCK {
                    self.block()
                } else {
                    self.fragments(count)
                };
                held += count;
                self.image.put(start * FRAGMENT, piece);
                start
            })
            .collect();
        let (direct, mut more) = blocks.split_at(blocks.len().min(DIRECT));
        for (index, block) in direct.iter().enumerate() {
            self.image.u64(at + 112 + index * 8, *block as u64);
        }
        let mut reach = BLOCK / 8;
        for level in 0..3 {
            if more.is_empty() {
                break;
            }
            let (here, rest) = more.split_at(more.len().min(reach));
            let block = self.indirect(here, reach, &mut held);
            self.image.u64(at + 208 + level * 8, block as u64);
            more = rest;
            reach *= BLOCK / 8;
        }
        self.image.u64(at + 16, bytes.len() as u64);
        // In sectors.
        self.image.u64(at + 24, (held * FRAGMENT / 512) as u64);
    }

    /// A block of numbers that reaches `reach` blocks, of which these are there.
    fn indirect(&mut self, blocks: &[usize], reach: usize, held: &mut usize) -> usize {
        let own = self.block();
        *held += PER_BLOCK;
        let each = reach / (BLOCK / 8);
        for (index, here) in blocks.chunks(each).enumerate() {
            let number = if each == 1 {
                here[0]
            } else {
                self.indirect(here, each, held)
            };
            self.image.u64(own * FRAGMENT + index * 8, number as u64);
        }
        own
    }
}

/// Entries in pieces of 512 bytes, the last of each as long as there is room.
fn directory(
    number: usize,
    parent: usize,
    names: &[(Vec<u8>, usize)],
    objects: &[Object],
    order: Order,
) -> Vec<u8> {
    const PIECE: usize = 512;
    let own = [(&b"."[..], number), (b"..", parent)];
    let all: Vec<(&[u8], usize)> = own
        .into_iter()
        .chain(names.iter().map(|(name, child)| (&name[..], *child)))
        .collect();
    let length = |name: &[u8]| (8 + name.len() + 1).next_multiple_of(4);
    let total = all.iter().map(|(name, _)| length(name)).sum::<usize>();
    let mut image = Image::new(2 * total.next_multiple_of(PIECE) as u64, order);
    let (mut at, mut last) = (0, None);
    for (name, child) in all {
        if at % PIECE + length(name) > PIECE {
            at = at.next_multiple_of(PIECE);
            extend(&mut image, last, at);
        }
        image.u32(at, (child + ROOT) as u32);
        image.u16(at + 4, length(name) as u16);
        image.bytes[at + 6] = (objects[child].mode >> 12) as u8;
        image.bytes[at + 7] = name.len() as u8;
        image.put(at + 8, name);
        last = Some(at);
        at += length(name);
        if at % PIECE == 0 {
            last = None;
        }
    }
    let end = at.next_multiple_of(PIECE);
    extend(&mut image, last, end);
    image.bytes.truncate(end);
    image.bytes
}

fn extend(image: &mut Image, last: Option<usize>, end: usize) {
    if let Some(last) = last {
        image.u16(last + 4, (end - last) as u16);
    }
}

fn superblock(image: &mut Image, fragments: usize, objects: usize) {
    let at = SUPERBLOCK;
    for (place, value) in [
        (8, SUPERBLOCK / FRAGMENT),
        (12, GROUP),
        (16, INODES),
        (20, DATA),
        (28, u32::MAX as usize),
        (44, 1),
        (48, BLOCK),
        (52, FRAGMENT),
        (56, PER_BLOCK),
        (60, 8),
        (72, u32::MAX as usize - BLOCK + 1),
        (76, u32::MAX as usize - FRAGMENT + 1),
        (80, BLOCK.ilog2() as usize),
        (84, FRAGMENT.ilog2() as usize),
        (88, 8),
        (92, 1024),
        (96, PER_BLOCK.ilog2() as usize),
        (100, 1),
        (104, 2048),
        (116, BLOCK / 8),
        (120, BLOCK / 256),
        (124, FRAGMENT / 512),
        (144, 0x6c6b_6c66),
        (148, 0x7300_4d61),
        (156, FRAGMENT),
        (160, BLOCK),
        (184, COUNT),
        (188, fragments),
        (860, BLOCK),
        (1316, 16),
        (1320, SHORT_TARGET),
        (1324, 2),
        (1356, 1),
        (1372, 0x1954_0119),
    ] {
        image.u32(at + place, value as u32);
    }
    image.bytes[at + 209] = 1;
    image.put(at + 680, b"lklfs");
    for (place, value) in [
        (1000, SUPERBLOCK as u64),
        (1024, (COUNT - objects - ROOT) as u64),
        (1080, fragments as u64),
        (1088, (fragments - DATA) as u64),
        (1096, DATA as u64),
        (1328, 1 << 40),
        (1336, BLOCK as u64 - 1),
        (1344, FRAGMENT as u64 - 1),
    ] {
        image.u64(at + place, value);
    }
}
