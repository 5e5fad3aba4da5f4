//! Empty Amiga volumes, which Linux then fills: the old file system (OFS), whose blocks of data have headers, and the fast one
//! (FFS).
//!
//! A name of the format in block 0, the root's block in the middle, and blocks of a bitmap behind it. Every block of metadata
//! adds up to zero. The places are those of `fs/affs/amigaffs.h`.

use super::bytes::{Image, Order};

/// Blocks at the start that belong to no file.
const RESERVED: usize = 2;

/// The old file system.
pub fn old(size: u64) -> Vec<u8> {
    empty(size, b"DOS\0", 512)
}

/// The fast file system, with the letters of ISO 8859-1 told apart from one another as AmigaOS does in its international mode.
pub fn fast(size: u64) -> Vec<u8> {
    empty(size, b"DOS\x03", 512)
}

/// The fast file system as it first was, with blocks of 1 KiB.
pub fn large_blocks(size: u64) -> Vec<u8> {
    empty(size, b"DOS\x01", 1024)
}

fn empty(size: u64, format: &[u8], block_size: usize) -> Vec<u8> {
    let mut image = Image::new(size, Order::Big);
    let blocks = size as usize / block_size;
    let root = (RESERVED + blocks - 1) / 2;
    image.put(0, format);
    // A block of the bitmap is a sum and bits, set where a block is free.
    let bits = block_size * 8 - 32;
    let maps = (blocks - RESERVED).div_ceil(bits);
    for map in 0..maps {
        let at = (root + 1 + map) * block_size;
        for bit in 0..bits {
            let block = RESERVED + map * bits + bit;
            let taken = (root..=root + maps).contains(&block);
            if block < blocks && !taken {
                image.set_bit_be32(at + 4, bit);
            }
        }
        let sum = image.sum_be32(at, block_size);
        image.u32(at, sum.wrapping_neg());
    }
    let at = root * block_size;
    let end = at + block_size;
    image.u32(at, 2);
    image.u32(at + 12, (block_size / 4 - 56) as u32);
    // The bitmap is good, and these are its blocks.
    image.u32(end - 200, u32::MAX);
    for map in 0..maps {
        image.u32(end - 196 + map * 4, (root + 1 + map) as u32);
    }
    // Days since 1978, of three times.
    for date in [92, 40, 28] {
        image.u32(end - date, 8652);
    }
    image.put(end - 80, b"\x05lklfs");
    image.u32(end - 4, 1);
    let sum = image.sum_be32(at, block_size);
    image.u32(at + 20, sum.wrapping_neg());
    image.bytes
}
