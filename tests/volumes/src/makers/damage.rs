//! Damaged variants of the images of this module's makers.
//!
//! Of each: cut off; with a directory that is in itself, where the maker writes the whole volume; with a chain that leads to
//! itself, where the format has chains; and with words of its metadata changed, at places and to values that a seed decides.
//! Metadata are the sectors that hold something and are not a piece of a file. An Amiga block is given its sum again, since
//! Linux would look no further.

use std::collections::HashSet;
use std::fs;
use std::io;

use super::objects::{Held, Object, objects};
use super::{Source, sources};
use crate::content::mix;
use crate::make::Made;

const SECTOR: usize = 512;

/// Damaged variants of an image that was made here, with a name for each; `words` of those with changed words.
pub fn variants(made: &Made, words: u64) -> io::Result<Vec<(String, Vec<u8>)>> {
    let bytes = fs::read(&made.image)?;
    let objects = objects(&made.tree)?;
    let mut variants = vec![("cut".to_string(), bytes[..bytes.len() * 3 / 5].to_vec())];
    let source = sources().iter().find(|(kind, _)| kind.name == made.kind.name);
    if let Some((_, Source::Whole(volume))) = source {
        let mut looped = objects.clone();
        if let Some(inner) = nested(&looped)
            && let outer = looped[inner].parent
            && let Held::Directory(names) = &mut looped[inner].held
        {
            names.push((b"loop".to_vec(), outer));
            variants.push(("looped".into(), volume(&looped, made.kind.size)));
        }
    }
    variants.extend(circle(made.kind.linux, &bytes).map(|bytes| ("circle".into(), bytes)));
    let mut sectors = metadata(&bytes, &objects);
    if made.kind.name == "affs-ofs" {
        // Its blocks of data have headers, and so are no pieces of files.
        const DATA: u32 = 8;
        sectors.retain(|sector| be32(&bytes, sector * SECTOR) != DATA);
    }
    for seed in 0..words {
        let mut changed = bytes.clone();
        change(&mut changed, &sectors, mix(seed ^ 0x6461_6d61_6765));
        if made.kind.linux == "affs" {
            sum_again(&mut changed, &sectors);
        }
        variants.push((format!("word {seed}"), changed));
    }
    Ok(variants)
}

/// A directory in a directory in the root's.
fn nested(objects: &[Object]) -> Option<usize> {
    (1..objects.len()).find(|&number| {
        let object = &objects[number];
        matches!(object.held, Held::Directory(_)) && object.parent != 0 && objects[object.parent].parent == 0
    })
}

fn metadata(bytes: &[u8], objects: &[Object]) -> Vec<usize> {
    let contents: HashSet<&[u8]> = objects
        .iter()
        .filter_map(|object| match &object.held {
            Held::File(bytes) => Some(bytes.chunks_exact(SECTOR)),
            _ => None,
        })
        .flatten()
        .collect();
    bytes
        .chunks_exact(SECTOR)
        .enumerate()
        .filter(|(_, sector)| sector.iter().any(|byte| *byte != 0) && !contents.contains(sector))
        .map(|(number, _)| number)
        .collect()
}

/// Changes a few words, or puts one sector in another's place.
fn change(bytes: &mut [u8], sectors: &[usize], seed: u64) {
    let mut state = seed;
    let mut random = |most: usize| {
        state = mix(state);
        (state >> 16) as usize % most
    };
    for _ in 0..=random(4) {
        // The first sectors have the superblock: a third of the changes are there.
        let near = if random(3) == 0 {
            sectors.len().min(12)
        } else {
            sectors.len()
        };
        let at = sectors[random(near)] * SECTOR;
        let word = at + random(SECTOR / 4) * 4;
        let other = sectors[random(sectors.len())] * SECTOR;
        match random(6) {
            0 => bytes[word..word + 4].fill(0xff),
            1 => bytes[word..word + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes()),
            2 => bytes[word..word + 4].copy_from_slice(&0x7fff_ffffu32.to_be_bytes()),
            3 => bytes[word] ^= 1 << random(8),
            4 => bytes.copy_within(other + word % SECTOR..other + word % SECTOR + 4, word),
            _ => bytes.copy_within(other..other + SECTOR, at),
        }
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Makes blocks that had a sum of zero have one again.
fn sum_again(bytes: &mut [u8], sectors: &[usize]) {
    for at in sectors.iter().map(|sector| sector * SECTOR) {
        let kind = be32(bytes, at);
        if matches!(kind, 2 | 8 | 16) {
            let sum = (0..SECTOR)
                .step_by(4)
                .fold(0u32, |sum, word| sum.wrapping_add(be32(bytes, at + word)));
            let stored = be32(bytes, at + 20).wrapping_sub(sum);
            bytes[at + 20..at + 24].copy_from_slice(&stored.to_be_bytes());
        }
    }
}

/// A chain that leads to itself: of names in a hash chain, or of the leaves of a tree.
fn circle(linux: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let place = |step: usize, is: &dyn Fn(usize) -> bool| {
        (0..bytes.len() / step)
            .map(|number| number * step)
            .find(|at| is(*at))
    };
    match linux {
        "affs" => {
            let at = place(SECTOR, &|at| {
                be32(&bytes, at) == 2
                    && be32(&bytes, at + 4) as usize == at / SECTOR
                    && be32(&bytes, at + SECTOR - 4) == (-3i32) as u32
            })?;
            let chain = at + SECTOR - 16;
            bytes.copy_within(at + 4..at + 8, chain);
            sum_again(&mut bytes, &[at / SECTOR]);
        }
        "omfs" => {
            let at = place(4096, &|at| bytes[at + 18] == 0xd2 && bytes[at + 83] == b'F')?;
            bytes.copy_within(at..at + 8, at + 32);
        }
        "hfsplus" => {
            let catalogue = be32(&bytes, 1024 + 272 + 16) as usize * 4096;
            // A leaf whose records are all of one folder, that is not the last.
            let node = (1..256).find(|node| {
                let at = catalogue + node * 4096;
                let records = usize::from(bytes[at + 10]) << 8 | usize::from(bytes[at + 11]);
                let parent = |record: usize| {
                    let offset = at + 4094 - 2 * record;
                    let offset = usize::from(bytes[offset]) << 8 | usize::from(bytes[offset + 1]);
                    be32(&bytes, at + offset + 2)
                };
                bytes[at + 8..at + 10] == [0xff, 1]
                    && be32(&bytes, at) != 0
                    && records > 1
                    && parent(0) == parent(records - 1)
            })?;
            bytes[catalogue + node * 4096..][..4].copy_from_slice(&(node as u32).to_be_bytes());
        }
        "befs" => {
            let own = [1024u64.to_le_bytes(), 1024u64.to_be_bytes()];
            let next = [2048u64.to_le_bytes(), 2048u64.to_be_bytes()];
            // The first leaf of a tree, whose neighbour is the second.
            let at = place(1024, &|at| {
                bytes[at..at + 8] == [0xff; 8] && next.iter().any(|next| bytes[at + 8..at + 16] == *next)
            })?;
            let order = usize::from(bytes[at + 8..at + 16] == next[1]);
            bytes[at + 8..at + 16].copy_from_slice(&own[order]);
        }
        _ => return None,
    }
    Some(bytes)
}
