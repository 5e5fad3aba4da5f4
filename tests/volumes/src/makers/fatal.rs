//! A volume that is mounted and listed as any other, and of which Linux dies when a file's bytes are read.
//!
//! ADFS finds the first zone of a file by dividing its number by how many numbers a zone has room for; the boot block says how many
//! bits of a zone are not used, and Linux (6.12) takes its word for it. Here it is all of them, so that there is room for none, and
//! the division is by zero. The root directory is not found by its number.

use super::adfs;
use super::objects::{Held, Object};

const BOOT: usize = 0xc00;
const RECORD: usize = BOOT + 0x1c0;
/// Bits of a sector.
const ZONE: u16 = 512 * 8;

/// The volume, of 1 MiB. The file that is not to be read is `file`.
pub fn volume() -> Vec<u8> {
    let object = |held: Held, mode: u16| Object {
        held,
        parent: 0,
        mode,
        uid: 0,
        gid: 0,
        mtime: (1_000_000_000, 0),
        links: 1,
    };
    let names = vec![(b"file".to_vec(), 1)];
    let root = object(Held::Directory(names), 0o40755);
    let file = object(Held::File(vec![b'x'; 5000]), 0o100_644);
    let mut bytes = adfs::volume(&[root, file], 1 << 20);
    bytes[RECORD + 10..RECORD + 12].copy_from_slice(&ZONE.to_le_bytes());
    let sum = bytes[BOOT..BOOT + 511]
        .iter()
        .rev()
        .fold(0u32, |sum, byte| (sum & 0xff) + (sum >> 8) + u32::from(*byte));
    bytes[BOOT + 511] = sum as u8;
    bytes
}
