//! Reparse point buffers: `lklfs_nt::reparse`.
//!
//! The bytes are a `REPARSE_DATA_BUFFER`, and then a link's target. What must hold: what is taken apart and put together is the
//! same bytes; the name of a symbolic link has as many units as its buffer says, and survives a buffer of our own; what is made
//! of a target is never longer than NT allows.

use crate::allocated::within;
use crate::input::units;
use lklfs_nt::ReparseTag;
use lklfs_nt::reparse::{HEADER_SIZE, MAXIMUM_SIZE, buffer, lx_symlink_data, parse, parse_symlink, symlink_data};

pub fn run(bytes: &[u8]) {
    if let Some(parsed) = within(0, || parse(bytes)) {
        let again = buffer(parsed.tag, parsed.reserved, parsed.data).expect("memory");
        assert_eq!(again, bytes[..HEADER_SIZE + parsed.data.len()]);
        symlink(parsed.data);
    }
    symlink(bytes);
    made(bytes);
}

fn symlink(data: &[u8]) {
    let Some((name, flags)) = within(4 * data.len() + 64, || parse_symlink(data)) else {
        return;
    };
    let field = |at: usize| usize::from(u16::from_le_bytes([data[at], data[at + 1]]));
    assert_eq!(2 * name.len(), field(2), "the length of the name");
    assert_eq!(flags, u32::from_le_bytes([data[8], data[9], data[10], data[11]]));
    let start = 12 + field(0);
    let bytes: Vec<u8> = name.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    assert_eq!(data[start..start + field(2)], bytes);
    if let Ok(own) = symlink_data(&name, flags) {
        assert_eq!(parse_symlink(&own), Some((name, flags)));
    }
}

fn made(bytes: &[u8]) {
    let target = units(bytes);
    if let Ok(data) = within(8 * bytes.len() + 64, || symlink_data(&target, 1)) {
        assert!(data.len() + HEADER_SIZE <= MAXIMUM_SIZE);
        assert_eq!(parse_symlink(&data), Some((target, 1)));
    }
    if let Ok(data) = within(2 * bytes.len() + 64, || lx_symlink_data(bytes)) {
        let whole = buffer(ReparseTag::IO_REPARSE_TAG_LX_SYMLINK, 7, &data).expect("memory");
        assert!(whole.len() <= MAXIMUM_SIZE);
        let parsed = parse(&whole).expect("what was made");
        assert_eq!((parsed.reserved, &parsed.data[4..]), (7, bytes));
    }
}
