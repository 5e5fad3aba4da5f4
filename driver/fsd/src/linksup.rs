//! Symbolic links and special files: what reparse point stands for them.

use alloc::vec::Vec;

/// How a link or special file shows itself under one path. (The same link seen by another hard link, at another depth,
/// may lead elsewhere; so this belongs to the open, not to the inode.)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkView {
    /// The reparse tag.
    pub tag: u32,
    /// The data of the reparse point: what follows the 8-byte header of `REPARSE_DATA_BUFFER`.
    pub data: Vec<u8>,
    /// The link leads to a directory: the attribute DIRECTORY is set beside REPARSE_POINT.
    pub directory: bool,
}
