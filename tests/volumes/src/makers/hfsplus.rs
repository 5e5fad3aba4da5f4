//! An empty HFS+, which Linux then fills.
//!
//! A header at 1024 and at 1024 before the end, a bitmap of blocks, and two B-trees: the catalogue, with the root's folder and
//! its thread, and that of extents, which is empty. The places are those of `fs/hfsplus/hfsplus_raw.h`, which has them from
//! Apple's technical note 1150.

use super::bytes::{Image, Order};

const BLOCK: usize = 4096;
/// Blocks of the tree of extents and of the catalogue; a node is a block.
const EXTENTS: usize = 8;
const CATALOGUE: usize = 256;
/// 2001-09-09, in seconds since 1904.
const TIME: u32 = 1_000_000_000 + 2_082_844_800;
const LABEL: &str = "lklfs";

/// An empty volume.
pub fn empty(size: u64) -> Vec<u8> {
    let mut image = Image::new(size, Order::Big);
    let blocks = size as usize / BLOCK;
    let bitmap = (blocks / 8).div_ceil(BLOCK);
    let (extents, catalogue) = (1 + bitmap, 1 + bitmap + EXTENTS);
    let first_free = catalogue + CATALOGUE;
    // The highest bit of each byte first. The last block holds the second header.
    for block in (0..first_free).chain([blocks - 1]) {
        image.bytes[BLOCK + block / 8] |= 0x80 >> (block % 8);
    }
    tree(&mut image, extents * BLOCK, EXTENTS, 10, 2, 0, 0);
    tree(&mut image, catalogue * BLOCK, CATALOGUE, 516, 6, 1, 2);
    root(&mut image, (catalogue + 1) * BLOCK);
    let header = 1024;
    image.put(header, b"H+");
    image.u16(header + 2, 4);
    // Unmounted.
    image.u32(header + 4, 1 << 8);
    image.put(header + 8, b"10.0");
    for date in [16, 20, 28] {
        image.u32(header + date, TIME);
    }
    image.u32(header + 40, BLOCK as u32);
    image.u32(header + 44, blocks as u32);
    image.u32(header + 48, (blocks - first_free - 1) as u32);
    image.u32(header + 52, first_free as u32);
    image.u32(header + 56, 65_536);
    image.u32(header + 60, 65_536);
    image.u32(header + 64, 16);
    image.u64(header + 72, 1);
    image.put(header + 104, b"lklfs+01");
    for (at, start, count) in [
        (112, 1, bitmap),
        (192, extents, EXTENTS),
        (272, catalogue, CATALOGUE),
    ] {
        image.u64(header + at, (count * BLOCK) as u64);
        image.u32(header + at + 8, (count * BLOCK) as u32);
        image.u32(header + at + 12, count as u32);
        image.u32(header + at + 16, start as u32);
        image.u32(header + at + 20, count as u32);
    }
    let copy = image.bytes[header..header + 512].to_vec();
    image.put(size as usize - 1024, &copy);
    image.bytes
}

/// The header node of a tree of `nodes` nodes, of which `leaves` has records.
fn tree(image: &mut Image, at: usize, nodes: usize, key: u16, attributes: u32, leaves: u32, records: u32) {
    const HEADER: u8 = 1;
    image.bytes[at + 8] = HEADER;
    image.u16(at + 10, 3);
    let record = at + 14;
    image.u16(record, leaves as u16);
    image.u32(record + 2, leaves);
    image.u32(record + 6, records);
    image.u32(record + 10, leaves);
    image.u32(record + 14, leaves);
    image.u16(record + 18, BLOCK as u16);
    image.u16(record + 20, key);
    image.u32(record + 22, nodes as u32);
    image.u32(record + 26, nodes as u32 - 1 - leaves);
    image.u32(record + 32, BLOCK as u32);
    image.u32(record + 38, attributes);
    // The map of nodes that are in use.
    for node in 0..=leaves as usize {
        image.bytes[at + 248 + node / 8] |= 0x80 >> (node % 8);
    }
    for (index, offset) in [14, 120, 248, BLOCK - 8].into_iter().enumerate() {
        image.u16(at + BLOCK - 2 - index * 2, offset as u16);
    }
}

/// The catalogue's only leaf: the root's folder under the volume's name, and its thread.
fn root(image: &mut Image, at: usize) {
    const LEAF: u8 = 0xff;
    let name: Vec<u16> = LABEL.encode_utf16().collect();
    image.bytes[at + 8] = LEAF;
    image.bytes[at + 9] = 1;
    image.u16(at + 10, 2);
    let folder = 14;
    image.u16(at + folder, 6 + 2 * name.len() as u16);
    image.u32(at + folder + 2, 1);
    unistr(image, at + folder + 6, &name);
    let data = folder + 8 + 2 * name.len();
    image.u16(at + data, 1);
    image.u32(at + data + 8, 2);
    for date in [12, 16, 20, 24] {
        image.u32(at + data + date, TIME);
    }
    image.u16(at + data + 42, 0o040_755);
    let thread = data + 88;
    image.u16(at + thread, 6);
    image.u32(at + thread + 2, 2);
    let data = thread + 8;
    image.u16(at + data, 3);
    image.u32(at + data + 4, 1);
    unistr(image, at + data + 8, &name);
    let free = data + 10 + 2 * name.len();
    for (index, offset) in [folder, thread, free].into_iter().enumerate() {
        image.u16(at + BLOCK - 2 - index * 2, offset as u16);
    }
}

fn unistr(image: &mut Image, at: usize, name: &[u16]) {
    image.u16(at, name.len() as u16);
    for (index, unit) in name.iter().enumerate() {
        image.u16(at + 2 + index * 2, *unit);
    }
}
