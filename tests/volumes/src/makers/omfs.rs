//! Whole volumes of OMFS, of Rio's and ReplayTV's players: big-endian, in blocks of 4 KiB with system blocks of 2 KiB.
//!
//! Each file and directory has a block with its name, and a mirror of it. A directory is a table of hash chains through those
//! blocks. A file's extents are behind its name, and end with an entry that is none. The places are those of
//! `fs/omfs/omfs_fs.h`. What does not fit there is in further blocks, which are left out here: Linux 6.12 looks in each for the
//! number that the block has in the file (`find_block`), and so does not read them.

use super::bytes::{Image, Order, crc};
use super::objects::{Blocks, Held, Object, place};

const BLOCK: usize = 4096;
const SYSTEM: usize = 2048;
const MIRRORS: usize = 2;
const DIRECTORY: usize = 0x1b8;
const EXTENTS: usize = 0x1d0;
const NONE: u64 = u64::MAX;
const ROOT_BLOCK: usize = 1;
const BITMAP: usize = ROOT_BLOCK + MIRRORS;

/// A volume with these objects.
pub fn volume(objects: &[Object], size: u64) -> Vec<u8> {
    let mut image = Image::new(size, Order::Big);
    let total = size as usize / BLOCK;
    let bitmap = total.div_ceil(8).div_ceil(BLOCK);
    let mut blocks = Blocks::new(total, BITMAP + bitmap, 20);
    let inodes: Vec<usize> = objects.iter().map(|_| blocks.together(MIRRORS)).collect();
    for (number, object) in objects.iter().enumerate() {
        let at = inodes[number] * BLOCK;
        image.u64(at + 24, inodes[object.parent] as u64);
        // In milliseconds.
        image.u64(at + 40, object.mtime.0 as u64 * 1000);
        match &object.held {
            Held::Directory(names) => {
                image.bytes[at + 83] = b'D';
                let buckets = (SYSTEM - DIRECTORY) / 8;
                let mut heads = vec![NONE; buckets];
                for (name, child) in names {
                    let head = &mut heads[hash(name) % buckets];
                    let at = inodes[*child] * BLOCK;
                    image.put(at + 152, name);
                    image.u64(at + 32, *head);
                    *head = inodes[*child] as u64;
                }
                for (bucket, head) in heads.iter().enumerate() {
                    image.u64(at + DIRECTORY + bucket * 8, *head);
                }
            }
            Held::File(bytes) | Held::Link(bytes) => {
                image.bytes[at + 83] = b'F';
                image.u64(at + 408, bytes.len() as u64);
                let runs = blocks.take(bytes.len().div_ceil(BLOCK));
                place(&mut image, 0, BLOCK, &runs, bytes);
                let most = (SYSTEM - EXTENTS - 16) / 16;
                assert!(runs.len() < most, "a file in too many pieces");
                image.u64(at + EXTENTS, NONE);
                image.u32(at + EXTENTS + 8, runs.len() as u32 + 1);
                let mut entry = at + EXTENTS + 16;
                for (start, count) in &runs {
                    image.u64(entry, *start as u64);
                    image.u64(entry + 8, *count as u64);
                    entry += 16;
                }
                let count: usize = runs.iter().map(|run| run.1).sum();
                image.u64(entry, NONE);
                image.u64(entry + 8, !(count as u64));
            }
            Held::Special(..) => {}
        }
    }
    image.u64(inodes[0] * BLOCK + 32, NONE);
    for block in inodes {
        seal(&mut image, block, b'e');
    }
    let at = ROOT_BLOCK * BLOCK;
    image.u64(at + 32, total as u64);
    image.u64(at + 40, (BITMAP + bitmap) as u64);
    image.u64(at + 48, BITMAP as u64);
    image.u32(at + 56, BLOCK as u32);
    image.u32(at + 60, 8);
    image.u64(at + 64, MIRRORS as u64);
    image.put(at + 72, b"lklfs");
    seal(&mut image, ROOT_BLOCK, b's');
    for block in (0..total).filter(|block| blocks.used[*block]) {
        image.set_bit(BITMAP * BLOCK, block);
    }
    image.u64(256, ROOT_BLOCK as u64);
    image.u64(264, total as u64);
    for (place, value) in [
        (272, 0xc299_3d87),
        (276, BLOCK as u32),
        (280, MIRRORS as u32),
        (284, SYSTEM as u32),
    ] {
        image.u32(place, value);
    }
    image.bytes
}

/// Which chain a name is in. Letters are in lower case, as Linux has it for those of ISO 8859-1.
fn hash(name: &[u8]) -> usize {
    let lower = |byte: u8| match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 32,
        _ => byte,
    };
    name.iter().enumerate().fold(0, |hash, (index, byte)| {
        hash ^ (usize::from(lower(*byte)) << (index % 24))
    })
}

/// Completes the header of a system block and writes the mirror.
fn seal(image: &mut Image, block: usize, kind: u8) {
    let at = block * BLOCK;
    image.u64(at, block as u64);
    image.u32(at + 8, SYSTEM as u32 - 24);
    let sum = crc(&image.bytes[at + 24..at + SYSTEM], 16, 0x1021);
    image.u16(at + 12, sum as u16);
    image.put(at + 16, &[1, kind, 0xd2]);
    image.bytes[at + 19] = image.bytes[at..at + 19].iter().fold(0, |xor, byte| xor ^ byte);
    let copy = image.bytes[at..at + SYSTEM].to_vec();
    image.put(at + BLOCK, &copy);
}
