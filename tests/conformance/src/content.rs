//! Bytes that a file is known by.

use alloc::vec::Vec;

/// What a file of a given number holds: differs in each word.
pub fn content(number: usize, len: usize) -> Vec<u8> {
    let mut seed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend(seed.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
