//! Whole volumes of BeFS, the file system of BeOS and Haiku, in either byte order.
//!
//! An inode is a block. A file's data are runs of blocks: twelve in the inode, more in a run of blocks that is full of runs. A
//! directory is a file with a B+tree of names in nodes of 1 KiB; its inner nodes have the last name of each child, and the last
//! child apart. The places are those of `fs/befs/befs_fs_types.h`. Indices, attributes and names in inodes, which Linux does not
//! look at, are left out, and so is the double-indirect range, which Linux 6.12 cannot read (`befs_find_brun_dblindirect` divides
//! by the wrong number, so that it never leaves the first run).

use super::bytes::{Image, Order};
use super::objects::{Blocks, Held, Object, Run, place};

const BLOCK: usize = 1024;
/// Blocks of an allocation group, and their number as a power of two.
const GROUP: usize = 4096;
const GROUP_SHIFT: u32 = 12;
const NONE: u64 = u64::MAX;
/// Targets of more bytes than this are stored as files are.
pub const SHORT_TARGET: usize = 143;

/// A volume of an Intel machine.
pub fn little(objects: &[Object], size: u64) -> Vec<u8> {
    volume(objects, size, Order::Little, 512)
}

/// A volume of a PowerPC, whose superblock is at the start.
pub fn big(objects: &[Object], size: u64) -> Vec<u8> {
    volume(objects, size, Order::Big, 0)
}

fn volume(objects: &[Object], size: u64, order: Order, superblock: usize) -> Vec<u8> {
    let mut image = Image::new(size, order);
    let total = size as usize / BLOCK;
    let bitmap = total.div_ceil(8 * BLOCK);
    let log = 64;
    let mut blocks = Blocks::new(total, 1 + bitmap + log, 31);
    // No run goes from one group into the next.
    for group in (GROUP..total).step_by(GROUP) {
        blocks.reserve((group - 1, 1));
    }
    let inodes: Vec<usize> = objects.iter().map(|_| blocks.together(1)).collect();
    for (number, object) in objects.iter().enumerate() {
        let at = inodes[number] * BLOCK;
        image.u32(at, 0x3bbe_0ad9);
        run(&mut image, at + 4, (inodes[number], 1));
        image.u32(at + 12, object.uid);
        image.u32(at + 16, object.gid);
        image.u32(at + 20, object.mode.into());
        let time = (object.mtime.0 as u64) << 16;
        image.u64(at + 28, time);
        image.u64(at + 36, time);
        run(&mut image, at + 44, (inodes[object.parent], 1));
        image.u32(at + 64, BLOCK as u32);
        const IN_USE: u32 = 1;
        const LONG: u32 = 0x40;
        let (bytes, flags) = match &object.held {
            Held::Directory(names) => {
                let mut names: Vec<(&[u8], u64)> = [(&b"."[..], number), (b"..", object.parent)]
                    .into_iter()
                    .chain(names.iter().map(|(name, child)| (&name[..], *child)))
                    .map(|(name, child)| (name, inodes[child] as u64))
                    .collect();
                names.sort_unstable();
                (tree(&names, order), IN_USE)
            }
            Held::Link(target) if target.len() <= SHORT_TARGET => {
                image.u32(at + 24, IN_USE);
                image.put(at + 72, target);
                continue;
            }
            Held::Link(target) => (target.clone(), IN_USE | LONG),
            Held::File(bytes) => (bytes.clone(), IN_USE),
            Held::Special(..) => (Vec::new(), IN_USE),
        };
        image.u32(at + 24, flags);
        stream(&mut image, &mut blocks, at + 72, &bytes);
    }
    for block in (0..total).filter(|block| blocks.used[*block]) {
        image.set_bit(BLOCK, block);
    }
    let at = superblock;
    image.put(at, b"lklfs");
    for (place, value) in [
        (32, 0x4246_5331),
        (36, 0x4249_4745),
        (40, BLOCK as u32),
        (44, BLOCK.ilog2()),
        (64, BLOCK as u32),
        (68, 0xdd12_1031),
        (72, GROUP as u32),
        (76, GROUP_SHIFT),
        (80, total.div_ceil(GROUP) as u32),
        (84, 0x434c_454e),
        (112, 0x15b6_830e),
    ] {
        image.u32(at + place, value);
    }
    image.u64(at + 48, total as u64);
    image.u64(at + 56, (total - blocks.free()) as u64);
    run(&mut image, at + 88, (1 + bitmap, log));
    run(&mut image, at + 116, (inodes[0], 1));
    image.bytes
}

/// A run as it is on the disk: a group, a block in it, a length.
fn run(image: &mut Image, at: usize, (start, count): Run) {
    image.u32(at, (start / GROUP) as u32);
    image.u16(at + 4, (start % GROUP) as u16);
    image.u16(at + 6, count as u16);
}

/// Stores bytes, and puts their runs into the stream at `at`.
fn stream(image: &mut Image, blocks: &mut Blocks, at: usize, bytes: &[u8]) {
    const DIRECT: usize = 12;
    let runs = blocks.take(bytes.len().div_ceil(BLOCK));
    place(image, 0, BLOCK, &runs, bytes);
    let range = |runs: &[Run]| (runs.iter().map(|run| run.1).sum::<usize>() * BLOCK) as u64;
    let (direct, more) = runs.split_at(runs.len().min(DIRECT));
    for (index, direct) in direct.iter().enumerate() {
        run(image, at + index * 8, *direct);
    }
    image.u64(at + 96, range(direct));
    if !more.is_empty() {
        let count = (more.len() * 8).div_ceil(BLOCK);
        let start = blocks.together(count);
        run(image, at + 104, (start, count));
        for (index, indirect) in more.iter().enumerate() {
            run(image, start * BLOCK + index * 8, *indirect);
        }
        image.u64(at + 112, range(&runs));
    }
    image.u64(at + 136, bytes.len() as u64);
}

/// A B+tree of sorted names: a header, leaves, and levels above until there is one node.
fn tree(names: &[(&[u8], u64)], order: Order) -> Vec<u8> {
    let mut nodes: Vec<Vec<u8>> = Vec::new();
    let offset = |node: usize| ((node + 1) * BLOCK) as u64;
    // Each level: the last name in a node, and where that is.
    let leaves = fill(names, 0);
    let mut level: Vec<(&[u8], u64)> = Vec::new();
    for (index, leaf) in leaves.iter().enumerate() {
        let left = if index == 0 { NONE } else { offset(index - 1) };
        let right = if index + 1 == leaves.len() {
            NONE
        } else {
            offset(index + 1)
        };
        if let Some((last, _)) = leaf.last() {
            level.push((last, offset(index)));
        }
        nodes.push(node(leaf, left, right, NONE, order));
    }
    let mut depth = 1;
    while level.len() > 1 {
        // The last child of each node has no name in it.
        let mut above = Vec::new();
        for children in fill(&level, 1) {
            if let Some(((last, child), named)) = children.split_last() {
                above.push((*last, offset(nodes.len())));
                nodes.push(node(named, NONE, NONE, *child, order));
            }
        }
        level = above;
        depth += 1;
    }
    let root = nodes.len() - 1;
    let mut header = Image::new(BLOCK as u64, order);
    header.u32(0, 0x69f6_c2e8);
    header.u32(4, BLOCK as u32);
    header.u32(8, depth);
    header.u64(16, offset(root));
    header.u64(24, NONE);
    header.u64(32, offset(nodes.len()));
    [header.bytes, nodes.concat()].concat()
}

/// Names in groups that fit into nodes; `apart` of each group need no room.
fn fill<'a>(names: &[(&'a [u8], u64)], apart: usize) -> Vec<Vec<(&'a [u8], u64)>> {
    let size = |names: &[(&[u8], u64)]| {
        let keys: usize = names.iter().map(|(name, _)| name.len()).sum();
        (28 + keys).next_multiple_of(8) + names.len() * 10
    };
    let mut groups: Vec<Vec<(&[u8], u64)>> = vec![Vec::new()];
    for entry in names {
        let last = groups.len() - 1;
        groups[last].push(*entry);
        if size(&groups[last][..groups[last].len() - apart]) > BLOCK {
            groups[last].pop();
            groups.push(vec![*entry]);
        }
    }
    groups
}

fn node(names: &[(&[u8], u64)], left: u64, right: u64, overflow: u64, order: Order) -> Vec<u8> {
    let mut node = Image::new(BLOCK as u64, order);
    node.u64(0, left);
    node.u64(8, right);
    node.u64(16, overflow);
    node.u16(24, names.len() as u16);
    let keys: Vec<u8> = names.iter().flat_map(|(name, _)| name.to_vec()).collect();
    node.u16(26, keys.len() as u16);
    node.put(28, &keys);
    let lengths = (28 + keys.len()).next_multiple_of(8);
    let values = lengths + names.len() * 2;
    let mut end = 0;
    for (index, (name, value)) in names.iter().enumerate() {
        end += name.len();
        node.u16(lengths + index * 2, end as u16);
        node.u64(values + index * 8, *value);
    }
    node.bytes
}
