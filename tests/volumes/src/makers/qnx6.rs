//! Whole volumes of QNX 6 ("power-safe"), in either byte order.
//!
//! A boot area of 8 KiB, a superblock of 4 KiB with a checksum, the blocks, and the superblock again. Inodes of 128 bytes are in
//! a file of their own, whose root is in the superblock, as are those of the bitmap and of long names. A file has sixteen
//! pointers, and as many levels of blocks of pointers below as it needs. The places are those of `include/linux/qnx6_fs.h`.

use super::bytes::{Image, Order, crc};
use super::objects::{Blocks, Held, Object, place};

const BLOCK: usize = 1024;
const BASE: usize = 8192 + 4096;
const POINTERS: usize = 16;
const UNUSED: u32 = u32::MAX;

/// A volume in the byte order of most machines.
pub fn little(objects: &[Object], size: u64) -> Vec<u8> {
    volume(objects, size, Order::Little)
}

/// A volume in the other.
pub fn big(objects: &[Object], size: u64) -> Vec<u8> {
    volume(objects, size, Order::Big)
}

fn volume(objects: &[Object], size: u64, order: Order) -> Vec<u8> {
    let total = (size as usize - BASE - 4096) / BLOCK;
    let mut maker = Maker {
        image: Image::new(size, order),
        blocks: Blocks::new(total, 0, 40),
        long_names: Vec::new(),
    };
    let bitmap = maker.blocks.take(total.div_ceil(8).div_ceil(BLOCK));
    let mut inodes = Image::new((objects.len() * 128) as u64, order);
    for (number, object) in objects.iter().enumerate() {
        let bytes = match &object.held {
            Held::Directory(names) => maker.directory(number, object.parent, names),
            Held::File(bytes) | Held::Link(bytes) => bytes.clone(),
            Held::Special(..) => Vec::new(),
        };
        let (pointers, levels) = maker.file(&bytes);
        let at = number * 128;
        inodes.u64(at, bytes.len() as u64);
        inodes.u32(at + 8, object.uid);
        inodes.u32(at + 12, object.gid);
        for time in [16, 20, 24, 28] {
            inodes.u32(at + time, object.seconds());
        }
        inodes.u16(at + 32, object.mode);
        for (index, pointer) in pointers.iter().enumerate() {
            inodes.u32(at + 36 + index * 4, *pointer);
        }
        inodes.bytes[at + 100] = levels;
        inodes.bytes[at + 101] = if matches!(object.held, Held::Directory(_)) {
            1
        } else {
            3
        };
    }
    let long_names = std::mem::take(&mut maker.long_names);
    let (inode_length, name_length) = (inodes.bytes.len(), long_names.len());
    let inode_root = maker.file(&inodes.bytes);
    let name_root = maker.file(&long_names);
    let bitmap_blocks: Vec<u32> = numbers(&bitmap);
    let bitmap_root = maker.pointers(bitmap_blocks);
    let mut map = Image::new(total.div_ceil(8) as u64, order);
    (0..total)
        .filter(|block| maker.blocks.used[*block])
        .for_each(|block| map.set_bit(0, block));
    place(&mut maker.image, BASE, BLOCK, &bitmap, &map.bytes);
    let free = maker.blocks.free() as u32;
    let mut image = maker.image;
    let at = 8192;
    image.u32(at, 0x6819_1122);
    image.u64(at + 8, 7);
    image.u32(at + 16, 1_000_000_000);
    image.u32(at + 20, 1_000_000_000);
    image.u16(at + 28, 4);
    image.u16(at + 30, 4);
    image.put(at + 32, b"lklfs test image");
    for (place, value) in [(48, BLOCK), (52, objects.len()), (60, total)] {
        image.u32(at + place, value as u32);
    }
    image.u32(at + 64, free);
    let roots = [
        (72, inode_length, inode_root),
        (152, map.bytes.len(), bitmap_root),
        (232, name_length, name_root),
        (312, 0, ([UNUSED; POINTERS], 0)),
    ];
    for (root, length, (pointers, levels)) in roots {
        image.u64(at + root, length as u64);
        for (index, pointer) in pointers.iter().enumerate() {
            image.u32(at + root + 8 + index * 4, *pointer);
        }
        image.bytes[at + root + 72] = levels;
    }
    let sum = crc(&image.bytes[at + 8..at + 512], 32, 0x04c1_1db7);
    image.u32(at + 4, sum);
    let copy = image.bytes[at..at + 512].to_vec();
    image.put(BASE + total * BLOCK, &copy);
    image.bytes
}

fn numbers(runs: &[(usize, usize)]) -> Vec<u32> {
    runs.iter()
        .flat_map(|(start, count)| (*start..start + count).map(|block| block as u32))
        .collect()
}

struct Maker {
    image: Image,
    blocks: Blocks,
    /// The file of long names, a block each.
    long_names: Vec<u8>,
}

impl Maker {
    fn file(&mut self, bytes: &[u8]) -> ([u32; POINTERS], u8) {
        let runs = self.blocks.take(bytes.len().div_ceil(BLOCK));
        place(&mut self.image, BASE, BLOCK, &runs, bytes);
        self.pointers(numbers(&runs))
    }

    /// Pointers to these blocks, and how many levels are between.
    fn pointers(&mut self, mut numbers: Vec<u32>) -> ([u32; POINTERS], u8) {
        let mut levels = 0;
        while numbers.len() > POINTERS {
            let blocks = numbers.chunks(BLOCK / 4).map(<[u32]>::to_vec).collect::<Vec<_>>();
            numbers = blocks
                .iter()
                .map(|pointers| {
                    let block = self.blocks.together(1);
                    for index in 0..BLOCK / 4 {
                        let pointer = pointers.get(index).copied().unwrap_or(UNUSED);
                        self.image.u32(BASE + block * BLOCK + index * 4, pointer);
                    }
                    block as u32
                })
                .collect();
            levels += 1;
        }
        let mut pointers = [UNUSED; POINTERS];
        pointers[..numbers.len()].copy_from_slice(&numbers);
        (pointers, levels)
    }

    fn directory(&mut self, number: usize, parent: usize, names: &[(Vec<u8>, usize)]) -> Vec<u8> {
        const SHORT: usize = 27;
        let own = [(&b"."[..], number), (b"..", parent)];
        let all = own
            .into_iter()
            .chain(names.iter().map(|(name, object)| (&name[..], *object)));
        let mut entries = Image::new(((names.len() + 2) * 32) as u64, self.image.order());
        for (index, (name, object)) in all.enumerate() {
            let at = index * 32;
            entries.u32(at, object as u32 + 1);
            if name.len() <= SHORT {
                entries.bytes[at + 4] = name.len() as u8;
                entries.put(at + 5, name);
            } else {
                entries.bytes[at + 4] = 0xff;
                entries.u32(at + 8, (self.long_names.len() / BLOCK) as u32);
                entries.u32(at + 12, checksum(name));
                let mut block = Image::new(BLOCK as u64, self.image.order());
                block.u16(0, name.len() as u16);
                block.put(2, name);
                self.long_names.extend(block.bytes);
            }
        }
        entries.bytes
    }
}

/// Of a long name: each byte is added to half of what there is, and the bit that was lost comes back at the top.
fn checksum(name: &[u8]) -> u32 {
    name.iter().fold(0u32, |sum, &byte| {
        let lost = sum << 31;
        (sum >> 1).wrapping_add(u32::from(byte)) ^ lost
    })
}
