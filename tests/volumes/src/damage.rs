//! Images whose directories never end: a few bytes of a sound image are changed so that a listing goes in a circle.
//!
//! Each is what a flipped bit or a bad block can do, and each makes Linux give the same names for ever.

use std::io;
use std::path::Path;

use crate::Made;

/// Writes the image of `made` to `path` with directories that never end. Kinds: NTFS, JFS, UDF.
pub fn endless(made: &Made, path: &Path) -> io::Result<()> {
    let mut bytes = std::fs::read(&made.image)?;
    let changed = match made.kind.name {
        "ntfs" => ntfs(&mut bytes),
        "jfs" => jfs(&mut bytes),
        "udf" => udf(&mut bytes),
        other => return Err(io::Error::other(format!("no circle is known for {other}"))),
    };
    if changed == 0 {
        return Err(io::Error::other("nothing was found to damage"));
    }
    std::fs::write(path, bytes)
}

fn le16(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn le32(bytes: &[u8], at: usize) -> usize {
    le16(bytes, at) | le16(bytes, at + 2) << 16
}

/// The bitmap that says which blocks of a directory's index are in use is an attribute with the index's name, `$I30`. Under
/// another name it is not found, and ntfs3 begins the directory again.
fn ntfs(bytes: &mut [u8]) -> usize {
    const BITMAP: usize = 0xb0;
    const RECORD: usize = 1024;
    let cluster = le16(bytes, 11) * usize::from(bytes[13]);
    let table = le32(bytes, 48) * cluster;
    let mut changed = 0;
    for record in 0..1024 {
        let start = table + record * RECORD;
        if bytes.get(start..start + 4) != Some(b"FILE") {
            continue;
        }
        let mut at = start + le16(bytes, start + 20);
        while at + 16 <= start + RECORD {
            let (kind, length) = (le32(bytes, at), le32(bytes, at + 4));
            if kind == 0xffff_ffff || length == 0 {
                break;
            }
            let name = at + le16(bytes, at + 10);
            if kind == BITMAP && bytes[at + 9] == 4 && bytes[name..name + 8] == *b"$\0I\x003\x000\0" {
                bytes[name + 4] = b'1';
                changed += 1;
            }
            at += length;
        }
    }
    changed
}

/// Leaves of a directory's tree are chained. The first that has a successor becomes its own.
fn jfs(bytes: &mut [u8]) -> usize {
    const PAGE: usize = 4096;
    const LEAF: u8 = 0x02;
    const SLOTS: u8 = 128;
    for page in (0..bytes.len() / PAGE).map(|page| page * PAGE) {
        let own = le32(bytes, page + 28);
        let leaf = bytes[page + 16] & LEAF != 0 && bytes[page + 20] == SLOTS && own * PAGE == page;
        if leaf && le32(bytes, page) != 0 {
            bytes[page..page + 4].copy_from_slice(&(own as u32).to_le_bytes());
            return 1;
        }
    }
    0
}

/// An entry of a directory is a descriptor with the length of what its checksum covers. With a wrong one, udf ends the
/// listing by an error, and each call before it begins at the entry before.
fn udf(bytes: &mut [u8]) -> usize {
    const FILE_IDENTIFIER: usize = 257;
    const NAME: &[u8] = b"\x08wide";
    for at in (0..bytes.len() - 64).step_by(4) {
        let sound = le16(bytes, at) == FILE_IDENTIFIER && usize::from(bytes[at + 19]) == NAME.len();
        let name = at + 38 + le16(bytes, at + 36);
        if sound && bytes.get(name..name + NAME.len()) == Some(NAME) {
            bytes[at + 10] ^= 4;
            return 1;
        }
    }
    0
}
