//! System V file systems: Release 4 and 2, empty, which Linux then fills, and Xenix, whole: Linux reads it, but takes some of its
//! superblock's fields for 512 bytes earlier, and so spoils the list of free blocks when it writes. (Coherent is not here: Linux
//! looks for the superblock in block 0 after it has found it in block 1, and never mounts it.)
//!
//! A superblock, inodes of 64 bytes from block 2 on, then data. The superblock holds the first part of the list of free
//! blocks; what does not fit is in the first block of the part before, and so on. The places are those of
//! `include/linux/sysv_fs.h`.

use super::bytes::{Image, Order};
use super::objects::{Held, Object};

/// Where the fields of a flavour are, and what it is known by.
struct Flavour {
    order: Order,
    superblock: usize,
    size: usize,
    free_count: usize,
    /// Of each part of the list: its length, and where its blocks are in the superblock and in a block.
    free: (usize, usize, usize),
    time: usize,
    total_free: usize,
    free_inodes: usize,
    names: usize,
    magic: (usize, u32),
    state: Option<usize>,
}

const TIME: u32 = 1_000_000_000;
const BLOCK: usize = 1024;
/// Numbers in a block.
const NUMBERS: usize = BLOCK / 4;
const INODES: usize = 1024;
const ROOT: usize = 2;
/// The first block of data.
const FIRST: usize = 2 + INODES * 64 / BLOCK;

/// Release 4: little-endian, fields at multiples of four.
pub fn release_4(size: u64) -> Vec<u8> {
    empty(
        size,
        &Flavour {
            order: Order::Little,
            superblock: 512,
            size: 4,
            free_count: 8,
            free: (50, 12, 4),
            time: 420,
            total_free: 432,
            free_inodes: 436,
            names: 440,
            magic: (504, 0xfd18_7e20),
            state: Some(500),
        },
    )
}

/// Release 2, of a machine with the highest byte first.
pub fn release_2(size: u64) -> Vec<u8> {
    empty(
        size,
        &Flavour {
            order: Order::Big,
            superblock: 512,
            size: 2,
            free_count: 6,
            free: (50, 8, 2),
            time: 414,
            total_free: 426,
            free_inodes: 430,
            names: 432,
            magic: (504, 0xfd18_7e20),
            state: Some(500),
        },
    )
}

/// Xenix, whose superblock is a block of 1 KiB, with these objects.
pub fn xenix(objects: &[Object], size: u64) -> Vec<u8> {
    let flavour = Flavour {
        order: Order::Little,
        superblock: 1024,
        size: 2,
        free_count: 6,
        free: (100, 8, 2),
        time: 614,
        total_free: 618,
        free_inodes: 622,
        names: 632,
        magic: (1016, 0x002b_5544),
        state: None,
    };
    let mut image = Image::new(size, flavour.order);
    let mut next = FIRST;
    for (number, object) in objects.iter().enumerate() {
        let directory;
        let bytes = match &object.held {
            Held::Directory(names) => {
                directory = self::directory(number, object.parent, names, flavour.order);
                &directory
            }
            Held::File(bytes) | Held::Link(bytes) => bytes,
            Held::Special(major, minor) => {
                inode(&mut image, number, object, 0, &[major << 8 | minor]);
                continue;
            }
        };
        let zones = store(&mut image, &mut next, bytes);
        inode(&mut image, number, object, bytes.len(), &zones);
    }
    superblock(&mut image, &flavour, next, objects.len());
    image.bytes
}

/// Puts bytes into blocks and returns the thirteen numbers of an inode: ten blocks, and three that blocks of numbers lead to.
fn store(image: &mut Image, next: &mut usize, bytes: &[u8]) -> Vec<u32> {
    const DIRECT: usize = 10;
    let mut take = || {
        // One in fourteen is left out, so that files are not in one piece.
        *next += 1 + usize::from(next.is_multiple_of(14));
        *next - 1
    };
    let blocks: Vec<u32> = bytes
        .chunks(BLOCK)
        .map(|piece| {
            let block = take();
            image.put(block * BLOCK, piece);
            block as u32
        })
        .collect();
    let (direct, mut more) = blocks.split_at(blocks.len().min(DIRECT));
    let mut zones = direct.to_vec();
    zones.resize(DIRECT, 0);
    let mut level = 0;
    while !more.is_empty() {
        let (here, rest) = more.split_at(more.len().min(NUMBERS.pow(level + 1)));
        let mut numbers = here.to_vec();
        for _ in 0..=level {
            numbers = numbers
                .chunks(NUMBERS)
                .map(|numbers| {
                    let block = take();
                    for (index, number) in numbers.iter().enumerate() {
                        image.u32(block * BLOCK + index * 4, *number);
                    }
                    block as u32
                })
                .collect();
        }
        zones.extend(numbers);
        more = rest;
        level += 1;
    }
    zones
}

fn empty(size: u64, flavour: &Flavour) -> Vec<u8> {
    let mut image = Image::new(size, flavour.order);
    let root = Object {
        held: Held::Directory(Vec::new()),
        parent: 0,
        mode: 0o040_755,
        uid: 0,
        gid: 0,
        mtime: (TIME.into(), 0),
        links: 2,
    };
    let bytes = directory(0, 0, &[], flavour.order);
    image.put(FIRST * BLOCK, &bytes);
    inode(&mut image, 0, &root, bytes.len(), &[FIRST as u32]);
    superblock(&mut image, flavour, FIRST + 1, 1);
    image.bytes
}

/// The superblock of a volume whose blocks from `next` on are free, and the list of those.
fn superblock(image: &mut Image, flavour: &Flavour, next: usize, objects: usize) {
    let blocks = image.bytes.len() / BLOCK;
    let at = flavour.superblock;
    image.u16(at, FIRST as u16);
    image.u32(at + flavour.size, blocks as u32);
    let (most, list, list_in_block) = flavour.free;
    // The highest are freed first, so that the lowest are taken first.
    let mut chunk: Vec<u32> = Vec::new();
    for free in (next..blocks).rev() {
        if chunk.is_empty() || chunk.len() == most {
            image.u16(free * BLOCK, chunk.len() as u16);
            for (index, number) in chunk.iter().enumerate() {
                image.u32(free * BLOCK + list_in_block + index * 4, *number);
            }
            chunk.clear();
        }
        chunk.push(free as u32);
    }
    image.u16(at + flavour.free_count, chunk.len() as u16);
    for (index, number) in chunk.iter().enumerate() {
        image.u32(at + list + index * 4, *number);
    }
    image.u32(at + flavour.time, TIME);
    image.u32(at + flavour.total_free, (blocks - next) as u32);
    image.u16(at + flavour.free_inodes, (INODES - ROOT - objects) as u16);
    image.put(at + flavour.names, b"lklfs\0test\0\0");
    let (place, magic) = flavour.magic;
    image.u32(at + place, magic);
    // Blocks of 1 KiB.
    image.u32(at + place + 4, 2);
    if let Some(state) = flavour.state {
        // Release 4 takes the time away, Release 2 has another number.
        let clean = match flavour.size {
            4 => 0x7c26_9d38u32.wrapping_sub(TIME),
            _ => 0xcb09_6f43,
        };
        image.u32(at + state, clean);
    }
    // Inode 1 is for bad blocks, and in use.
    image.u16(2 * BLOCK, 0o100_000);
}

fn directory(number: usize, parent: usize, names: &[(Vec<u8>, usize)], order: Order) -> Vec<u8> {
    let own = [(&b"."[..], number), (b"..", parent)];
    let all = own
        .into_iter()
        .chain(names.iter().map(|(name, child)| (&name[..], *child)));
    let mut image = Image::new(((names.len() + 2) * 16) as u64, order);
    for (index, (name, child)) in all.enumerate() {
        image.u16(index * 16, (child + ROOT) as u16);
        image.put(index * 16 + 2, name);
    }
    image.bytes
}

fn inode(image: &mut Image, number: usize, object: &Object, size: usize, zones: &[u32]) {
    let at = 2 * BLOCK + (number + ROOT - 1) * 64;
    image.u16(at, object.mode);
    image.u16(at + 2, object.links);
    image.u16(at + 4, object.uid as u16);
    image.u16(at + 6, object.gid as u16);
    image.u32(at + 8, size as u32);
    // Three bytes of each number.
    for (index, zone) in zones.iter().enumerate() {
        let bytes = match image.order() {
            Order::Little => &zone.to_le_bytes()[..3],
            Order::Big => &zone.to_be_bytes()[1..],
        };
        image.put(at + 12 + index * 3, bytes);
    }
    for time in [52, 56, 60] {
        image.u32(at + time, object.seconds());
    }
}
