//! Superblocks, other signatures and fingerprints of changes: `fs_probe`.
//!
//! The bytes: one that says where a change is made, then a [`Sparse`] disk. What must hold:
//! - no more is read than the documentation says, in pieces of 4 KiB or less, and memory is bounded;
//! - a disk that gives no more than 512 bytes at once is told for the same;
//! - labels are trimmed, short and without NUL; names and UUIDs can be printed; sizes make a number of bytes;
//! - a fingerprint is the same when nothing has changed, and another one when a byte of an ext superblock has.

use crate::allocated::within;
use crate::input::Input;
use crate::sparse::Sparse;
use fs_probe::{Kind, Superblock, fingerprint, probe, signature};

/// `probe` reads some 160 KiB at most; with the blocks that its small pieces repeat.
const PROBE: u64 = 512 << 10;
const SIGNATURE: u64 = 4 << 20;
/// A log of XFS is searched by halving.
const FINGERPRINT: u64 = 1 << 20;
const MEMORY: usize = 64 << 10;

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let change = u64::from(input.u16());
    let disk = Sparse::new(input);
    let found = within(MEMORY, || probe(&disk));
    assert!(disk.was_read().1 <= PROBE, "{:?}", disk.was_read());
    let small = disk.in_pieces_of(512);
    assert_eq!(found, probe(&small), "in small pieces");

    let named = disk.in_pieces_of(usize::MAX);
    let name = within(MEMORY, || signature::name(&named, disk.size_bytes()));
    assert!(named.was_read().1 <= SIGNATURE, "{:?}", named.was_read());
    if let Some(name) = name {
        assert!(!format!("{name:?}").is_empty());
    }
    if let Some(found) = found {
        check(&found);
        fingerprints(&disk, &found, change);
    }
}

fn check(found: &Superblock) {
    let label = found.label.as_str();
    assert!(label.len() <= 1024 && !label.contains('\0') && label.trim_end() == label, "{label:?}");
    if let Some(uuid) = found.uuid {
        let text = uuid.to_string();
        let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        assert!(plain && (1..=36).contains(&text.len()), "{text}");
    }
    assert!(found.block_size != Some(0), "blocks of nothing: {found:?}");
}

fn fingerprints(disk: &Sparse, found: &Superblock, change: u64) {
    let counted = disk.in_pieces_of(usize::MAX);
    let before = within(MEMORY, || fingerprint(&counted, found));
    assert!(counted.was_read().1 <= FINGERPRINT, "{:?}", counted.was_read());
    assert_eq!(before, fingerprint(disk, found), "nothing has changed");
    if matches!(found.kind, Kind::Ext2 | Kind::Ext3 | Kind::Ext4) {
        let at = 1024 + change % 1024;
        let mut changed = disk.clone();
        if let Some(byte) = changed.peek(at, 1) {
            changed.put(at, &[byte[0] ^ 0x10]);
            assert_ne!(before, fingerprint(&changed, found), "byte {at} has changed");
        }
    }
}
