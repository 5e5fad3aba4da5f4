//! Whole volumes of EFS, SGI's file system before XFS: big-endian, in blocks of 512 bytes.
//!
//! Inodes of 128 bytes are at the start of each cylinder group, data behind them, in extents of at most 248 blocks. An inode has
//! room for twelve; of a file with more, the first says where blocks full of extents are. The places are those of `fs/efs/efs.h`
//! and `include/linux/efs_fs_sb.h`; what Linux does not look at (the sum of the superblock) is zero.

use super::bytes::{Image, Order};
use super::objects::{Blocks, Held, Object, Run, place};

const BLOCK: usize = 512;
/// The first group, its length, and blocks of inodes in each, of four inodes.
const FIRST: usize = 40;
const GROUP: usize = 4096;
const INODES: usize = 64;
const ROOT: usize = 2;
/// Shorter than allowed, so that large files have many extents.
const LONGEST: usize = 100;

/// A volume with these objects.
pub fn volume(objects: &[Object], size: u64) -> Vec<u8> {
    let mut image = Image::new(size, Order::Big);
    let groups = (size as usize / BLOCK - FIRST) / GROUP;
    let total = FIRST + groups * GROUP;
    let mut blocks = Blocks::new(total, FIRST, LONGEST);
    for group in 0..groups {
        blocks.reserve((FIRST + group * GROUP, INODES));
    }
    for (number, object) in objects.iter().enumerate() {
        let bytes = match &object.held {
            Held::Directory(names) => directory(number, object.parent, names),
            Held::File(bytes) | Held::Link(bytes) => bytes.clone(),
            Held::Special(..) => Vec::new(),
        };
        let runs = blocks.take(bytes.len().div_ceil(BLOCK));
        place(&mut image, 0, BLOCK, &runs, &bytes);
        let at = inode(number);
        image.u16(at, object.mode);
        image.u16(at + 2, object.links);
        image.u16(at + 4, object.uid as u16);
        image.u16(at + 6, object.gid as u16);
        image.u32(at + 8, bytes.len() as u32);
        for time in [12, 16, 20] {
            image.u32(at + time, object.seconds());
        }
        image.u16(at + 28, runs.len() as u16);
        if let Held::Special(major, minor) = object.held {
            image.u16(at + 32, (major << 8 | minor) as u16);
        } else {
            extents(&mut image, &mut blocks, at + 32, &runs);
        }
    }
    let at = BLOCK;
    image.u32(at, total as u32);
    image.u32(at + 4, FIRST as u32);
    image.u32(at + 8, GROUP as u32);
    for (place, value) in [(12, INODES), (14, 32), (16, 4), (18, groups)] {
        image.u16(at + place, value as u16);
    }
    image.u32(at + 24, 1_000_000_000);
    image.u32(at + 28, 0x0007_295a);
    image.put(at + 32, b"lklfs\0irix\0\0");
    let bitmap = total.div_ceil(8);
    image.u32(at + 44, bitmap as u32);
    image.u32(at + 48, blocks.free() as u32);
    image.u32(at + 52, (groups * INODES * 4 - objects.len()) as u32);
    for block in (0..total).filter(|block| !blocks.used[*block]) {
        image.set_bit(2 * BLOCK, block);
    }
    image.bytes
}

/// Where the inode of an object is.
fn inode(number: usize) -> usize {
    let inode = number + ROOT;
    let (group, block) = (inode / 4 / INODES, inode / 4 % INODES);
    (FIRST + group * GROUP + block) * BLOCK + inode % 4 * 128
}

fn extents(image: &mut Image, blocks: &mut Blocks, at: usize, runs: &[Run]) {
    const DIRECT: usize = 12;
    let mut offset = 0;
    let list: Vec<u8> = runs
        .iter()
        .flat_map(|&(start, count)| {
            let extent = extent(start, count, offset);
            offset += count;
            extent
        })
        .collect();
    if runs.len() <= DIRECT {
        image.put(at, &list);
        return;
    }
    let count = list.len().div_ceil(BLOCK);
    let start = blocks.together(count);
    place(image, 0, BLOCK, &[(start, count)], &list);
    // What is the offset elsewhere is the number of such extents here.
    image.put(at, &extent(start, count, 1));
}

fn extent(start: usize, count: usize, offset: usize) -> [u8; 8] {
    let (start, offset) = ((start as u32).to_be_bytes(), (offset as u32).to_be_bytes());
    [
        0,
        start[1],
        start[2],
        start[3],
        count as u8,
        offset[1],
        offset[2],
        offset[3],
    ]
}

/// Blocks of slots from the front, which say where entries are, and entries from the back.
fn directory(number: usize, parent: usize, names: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let mut blocks: Vec<Vec<(&[u8], usize)>> = Vec::new();
    let mut room = 0;
    let own = [(&b"."[..], number), (b"..", parent)];
    for (name, object) in own
        .into_iter()
        .chain(names.iter().map(|(name, object)| (&name[..], *object)))
    {
        let needed = 1 + length(name);
        if blocks.is_empty() || room < needed {
            blocks.push(Vec::new());
            room = BLOCK - 4;
        }
        room -= needed;
        if let Some(block) = blocks.last_mut() {
            block.push((name, object));
        }
    }
    blocks
        .iter()
        .flat_map(|entries| directory_block(entries))
        .collect()
}

/// Of an entry: a number, a length, a name, and a byte more if that makes it even.
fn length(name: &[u8]) -> usize {
    (5 + name.len()).next_multiple_of(2)
}

fn directory_block(entries: &[(&[u8], usize)]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut end = BLOCK;
    for (slot, (name, object)) in entries.iter().enumerate() {
        end -= length(name);
        block[end..end + 4].copy_from_slice(&((object + ROOT) as u32).to_be_bytes());
        block[end + 4] = name.len() as u8;
        block[end + 5..end + 5 + name.len()].copy_from_slice(name);
        block[4 + slot] = (end / 2) as u8;
    }
    block[..4].copy_from_slice(&[0xbe, 0xef, (end / 2) as u8, entries.len() as u8]);
    block
}
