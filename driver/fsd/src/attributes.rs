//! Attributes, sizes and identity: what every answer about a file says, made from its metadata in one place.

use lklfs_nt::{FileAttributes, ReparseTag};

use crate::{FileKind, LinkView, Metadata, Vcb, Volume, linksup, timesup};

/// What NT says about a file, before it is written in the shape of some class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Basics {
    /// The four times.
    pub times: timesup::Times,
    /// Attributes; [`FileAttributes::NORMAL`] when there is no other.
    pub attributes: FileAttributes,
    /// The reparse tag; [`ReparseTag::NONE`] when it is no reparse point.
    pub reparse_tag: ReparseTag,
    /// Bytes of data: 0 but for regular files.
    pub end_of_file: u64,
    /// Bytes on the disk: 0 but for regular files.
    pub allocation_size: u64,
    /// Number of names.
    pub links: u32,
    /// Shown as a directory (a link to a directory is).
    pub directory: bool,
    /// The 64-bit identity.
    pub file_id: u64,
    /// The 128-bit identity: inode, then device, little-endian.
    pub file_id_128: [u8; 16],
}

/// What NT says about the inode with `metadata`, seen under `name` (its last component) and, for a link or special
/// file, as `link`.
pub fn basics<V: Volume>(vcb: &Vcb<V>, metadata: &Metadata, name: &[u16], link: Option<&LinkView>) -> Basics {
    let is_file = metadata.kind == FileKind::File;
    let (file_id, file_id_128) = identity(vcb, metadata);
    let directory = metadata.kind == FileKind::Directory || link.is_some_and(|link| link.directory);
    Basics {
        times: timesup::times(metadata),
        attributes: attributes(vcb, metadata, name, link),
        reparse_tag: link.map_or(
            linksup::special_tag(metadata.kind).unwrap_or(ReparseTag::NONE),
            |link| link.tag,
        ),
        end_of_file: if is_file { metadata.size } else { 0 },
        allocation_size: if is_file { metadata.allocated } else { 0 },
        links: metadata.nlink,
        directory,
        file_id,
        file_id_128,
    }
}

fn attributes<V: Volume>(
    vcb: &Vcb<V>,
    metadata: &Metadata,
    name: &[u16],
    link: Option<&LinkView>,
) -> FileAttributes {
    let mut attributes = FileAttributes::empty();
    let mut set = |condition: bool, bit: FileAttributes| {
        if condition {
            attributes |= bit;
        }
    };
    let directory = metadata.kind == FileKind::Directory;
    set(
        directory || link.is_some_and(|link| link.directory),
        FileAttributes::DIRECTORY,
    );
    set(
        !directory && metadata.kind != FileKind::File,
        FileAttributes::REPARSE_POINT,
    );
    set(
        vcb.options().hide_dot_files && is_dot_name(name),
        FileAttributes::HIDDEN,
    );
    set(metadata.flags.compressed, FileAttributes::COMPRESSED);
    set(metadata.flags.encrypted, FileAttributes::ENCRYPTED);
    set(is_sparse(vcb, metadata), FileAttributes::SPARSE_FILE);
    if attributes.is_empty() {
        FileAttributes::NORMAL
    } else {
        attributes
    }
}

/// A name that begins with a dot, `.` and `..` aside.
fn is_dot_name(name: &[u16]) -> bool {
    const DOT: u16 = lklfs_nt::utf16::DOT;
    name.first() == Some(&DOT) && !matches!(name, [DOT] | [DOT, DOT])
}

/// At least one block of a regular file is missing on the disk, and compression does not explain it. (Data that is kept
/// in the inode is shorter than a block.)
fn is_sparse<V: Volume>(vcb: &Vcb<V>, metadata: &Metadata) -> bool {
    let block = u64::from(vcb.info().block_size.max(4096));
    metadata.kind == FileKind::File
        && !metadata.flags.compressed
        && metadata.allocated.saturating_add(block) <= metadata.size
}

/// The 64-bit and 128-bit identity of an inode. The former is the inode's number, with the subvolume's mixed into the
/// upper bits where it is not the root's; the latter is unique.
pub fn identity<V: Volume>(vcb: &Vcb<V>, metadata: &Metadata) -> (u64, [u8; 16]) {
    let root = vcb.root_metadata().dev;
    let file_id = if metadata.dev == root {
        metadata.ino
    } else {
        metadata.ino ^ (metadata.dev << 40)
    };
    let wide = u128::from(metadata.ino) | (u128::from(metadata.dev) << 64);
    (file_id, wide.to_le_bytes())
}
