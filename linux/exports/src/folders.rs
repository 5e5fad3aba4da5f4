//! A file system that has nothing but folders: an EROFS, made in memory.
//!
//! What is exported is a tree, and the folders above the volumes must be such that nfsd finds them again by a file handle.
//! Linux's file systems in memory cannot do that when it has no MMU; EROFS can. The format is in Linux's
//! `fs/erofs/erofs_fs.h`: a superblock, inodes of 32 bytes, and folders of whole blocks, each with its entries in front and their names
//! behind, in the order of the bytes of the names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use lkl::{Disk, Errno, ReadRequest};

const BLOCK_BITS: u8 = 12;
const BLOCK: usize = 1 << BLOCK_BITS;
const INODE: usize = 32;
const ENTRY: usize = 12;
/// Bytes from the start to the superblock.
const SUPERBLOCK: usize = 1024;
/// The block in which inodes begin.
const INODES: usize = 1;
/// The number of the root's inode: clients take 0 for "no file".
const ROOT: usize = 2;

/// A folder, and those that are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) folders: BTreeMap<Vec<u8>, Folder>,
}

impl Folder {
    /// Makes a folder and those above it.
    pub(crate) fn add(&mut self, path: &[Vec<u8>]) {
        if let [first, rest @ ..] = path {
            self.folders.entry(first.clone()).or_default().add(rest);
        }
    }
}

/// A folder whose inode has a number.
struct Numbered<'a> {
    folder: &'a Folder,
    parent: usize,
    /// The number of its first folder; the others follow.
    first: usize,
}

/// The image of a file system with these folders. ENAMETOOLONG for a name that Linux cannot have; E2BIG for too many.
pub(crate) fn image(root: &Folder) -> Result<Vec<u8>, Errno> {
    let numbered = number(root);
    let mut blocks = Vec::new();
    let mut inodes = vec![0; ROOT * INODE];
    let inode_blocks = (numbered.len() + ROOT).saturating_mul(INODE).div_ceil(BLOCK);
    for (index, folder) in numbered.iter().enumerate() {
        let data = entries(folder, ROOT + index)?;
        let address = INODES + inode_blocks + blocks.len() / BLOCK;
        inodes.extend_from_slice(&inode(folder.folder.folders.len(), data.len(), address, index)?);
        blocks.extend_from_slice(&data);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    }
    inodes.resize(inode_blocks * BLOCK, 0);
    let whole = INODES * BLOCK + inodes.len() + blocks.len();
    let mut image = superblock(numbered.len(), whole / BLOCK)?;
    image.resize(INODES * BLOCK, 0);
    image.extend_from_slice(&inodes);
    image.extend_from_slice(&blocks);
    Ok(image)
}

/// All folders, a folder's own one after the other, from the root's on.
fn number(root: &Folder) -> Vec<Numbered<'_>> {
    let mut numbered = vec![Numbered {
        folder: root,
        parent: ROOT,
        first: 0,
    }];
    let mut at = 0;
    while let Some(Numbered { folder, .. }) = numbered.get(at) {
        let folder: &Folder = folder;
        let first = ROOT + numbered.len();
        let children = folder.folders.values().map(|folder| Numbered {
            folder,
            parent: ROOT + at,
            first: 0,
        });
        numbered.extend(children);
        if let Some(here) = numbered.get_mut(at) {
            here.first = first;
        }
        at += 1;
    }
    numbered
}

fn superblock(folders: usize, blocks: usize) -> Result<Vec<u8>, Errno> {
    const MAGIC: u32 = 0xe0f5_e1e2;
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    let fields = [
        &vec![0; SUPERBLOCK][..],
        &MAGIC.to_le_bytes(),
        &[0; 8],
        &[BLOCK_BITS, 0],
        &short(ROOT)?,
        &wide(folders)?,
        &now.to_le_bytes(),
        &[0; 4],
        &word(blocks)?,
        &word(INODES)?,
        // No extended attributes, no name, no features.
        &[0; 84],
    ];
    Ok(fields.concat())
}

/// An inode: what is in the folder is in blocks of its own.
fn inode(folders: usize, len: usize, address: usize, index: usize) -> Result<[u8; INODE], Errno> {
    const FOLDER: u16 = 0o040_555;
    let fields = [
        &[0; 4][..],
        &FOLDER.to_le_bytes(),
        &short(folders + 2)?,
        &word(len)?,
        &[0; 4],
        &word(address)?,
        &word(index + 1)?,
        &[0; 8],
    ];
    fields.concat().try_into().map_err(|_| Errno::EIO)
}

/// The blocks of a folder; the last one ends with its last name.
fn entries(numbered: &Numbered<'_>, own: usize) -> Result<Vec<u8>, Errno> {
    let mut names: Vec<(&[u8], usize)> = vec![(b".", own), (b"..", numbered.parent)];
    let folders = numbered.folder.folders.keys().zip(numbered.first..);
    names.extend(folders.map(|(name, number)| (&name[..], number)));
    names.sort_unstable();
    let mut data = Vec::new();
    let mut rest = &names[..];
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest.iter().take_while(|(name, _)| {
            used += ENTRY + name.len();
            used <= BLOCK
        });
        let (block, behind) = rest.split_at(fitting.count());
        if block.is_empty() || block.iter().any(|(name, _)| name.len() > 255 || name.is_empty()) {
            return Err(Errno::ENAMETOOLONG);
        }
        data.resize(data.len().next_multiple_of(BLOCK), 0);
        let mut offset = block.len() * ENTRY;
        for (name, number) in block {
            const FOLDER: u8 = 2;
            data.extend_from_slice(&wide(*number)?);
            data.extend_from_slice(&short(offset)?);
            data.extend_from_slice(&[FOLDER, 0]);
            offset += name.len();
        }
        data.extend(block.iter().flat_map(|(name, _)| *name));
        rest = behind;
    }
    Ok(data)
}

fn short(value: usize) -> Result<[u8; 2], Errno> {
    u16::try_from(value)
        .map(u16::to_le_bytes)
        .map_err(|_| Errno::E2BIG)
}

fn word(value: usize) -> Result<[u8; 4], Errno> {
    u32::try_from(value)
        .map(u32::to_le_bytes)
        .map_err(|_| Errno::E2BIG)
}

fn wide(value: usize) -> Result<[u8; 8], Errno> {
    u64::try_from(value)
        .map(u64::to_le_bytes)
        .map_err(|_| Errno::E2BIG)
}

/// An image as a disk.
pub(crate) struct Memory(pub(crate) Arc<[u8]>);

impl Disk for Memory {
    fn size_bytes(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn block_size(&self) -> u32 {
        512
    }

    fn read(&self, mut request: ReadRequest) {
        let offset = usize::try_from(request.offset()).unwrap_or(usize::MAX);
        let mut rest = self.0.get(offset..).unwrap_or_default();
        for segment in request.segments() {
            let (given, behind) = rest.split_at(segment.len().min(rest.len()));
            let (filled, beyond) = segment.split_at_mut(given.len());
            filled.copy_from_slice(given);
            beyond.fill(0);
            rest = behind;
        }
        request.complete(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_linux_cannot_have_is_refused() {
        let mut root = Folder::default();
        root.add(&[vec![b'a'; 256]]);
        assert_eq!(image(&root), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn folders_are_numbered_as_their_parents_have_them() {
        let mut root = Folder::default();
        for path in [&["b", "x"][..], &["a"], &["b", "y"]] {
            let path: Vec<Vec<u8>> = path.iter().map(|name| name.as_bytes().to_vec()).collect();
            root.add(&path);
        }
        let numbered = number(&root);
        let found: Vec<(usize, usize)> = numbered.iter().map(|one| (one.parent, one.first)).collect();
        assert_eq!(found, [(2, 3), (2, 5), (2, 5), (4, 7), (4, 7)]);
        assert_eq!(image(&root).map(|image| image.len() % BLOCK), Ok(0));
    }
}
