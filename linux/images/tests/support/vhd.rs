//! Writes differencing VHDs, which QEMU does not.

use std::collections::BTreeMap;

/// Sectors of a block: blocks of 64 KiB, so that a small disk has many.
pub const BLOCK_SECTORS: u64 = 128;

fn be32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn be64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

/// Puts the checksum of a footer (field at 64) or a dynamic header (36) right.
pub fn sum(bytes: &mut [u8], at: usize) {
    be32(bytes, at, 0);
    let sum = bytes
        .iter()
        .fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    be32(bytes, at, !sum);
}

fn footer(size: u64, kind: u32, id: [u8; 16]) -> Vec<u8> {
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(b"conectix");
    be32(&mut footer, 8, 2);
    be32(&mut footer, 12, 0x1_0000);
    be64(&mut footer, 16, 512);
    footer[28..32].copy_from_slice(b"test");
    be64(&mut footer, 40, size);
    be64(&mut footer, 48, size);
    be32(&mut footer, 60, kind);
    footer[68..84].copy_from_slice(&id);
    sum(&mut footer, 64);
    footer
}

/// A differencing disk of `size` bytes that has `sectors` of its own, and names its parent as Windows would.
pub fn differencing(
    size: u64,
    id: [u8; 16],
    parent_id: [u8; 16],
    parent: &str,
    sectors: &BTreeMap<u64, [u8; 512]>,
) -> Vec<u8> {
    let blocks = size.div_ceil(BLOCK_SECTORS * 512) as usize;
    let mut header = vec![0; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    be64(&mut header, 8, u64::MAX);
    be64(&mut header, 16, 2048);
    be32(&mut header, 24, 0x1_0000);
    be32(&mut header, 28, blocks as u32);
    be32(&mut header, 32, BLOCK_SECTORS as u32 * 512);
    header[40..56].copy_from_slice(&parent_id);
    for (place, unit) in parent.encode_utf16().enumerate() {
        header[64 + 2 * place..66 + 2 * place].copy_from_slice(&unit.to_be_bytes());
    }
    let relative: Vec<u8> = format!(".\\{parent}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    header[576..580].copy_from_slice(b"W2ru");
    be32(&mut header, 580, 512);
    be32(&mut header, 584, relative.len() as u32);
    be64(&mut header, 592, 1536);
    sum(&mut header, 36);
    let footer = footer(size, 4, id);
    let mut file = footer.clone();
    file.extend(header);
    file.extend(&relative);
    file.resize(2048, 0);
    file.resize((2048 + 4 * blocks).next_multiple_of(512), 0xff);
    let used: std::collections::BTreeSet<u64> = sectors.keys().map(|sector| sector / BLOCK_SECTORS).collect();
    for block in used {
        let place = file.len();
        be32(&mut file, 2048 + 4 * block as usize, (place / 512) as u32);
        let mut bitmap = [0u8; 512];
        let mut data = vec![0xddu8; BLOCK_SECTORS as usize * 512];
        for (sector, bytes) in sectors.range(block * BLOCK_SECTORS..(block + 1) * BLOCK_SECTORS) {
            let inside = (sector % BLOCK_SECTORS) as usize;
            bitmap[inside / 8] |= 0x80 >> (inside % 8);
            data[inside * 512..inside * 512 + 512].copy_from_slice(bytes);
        }
        file.extend(bitmap);
        file.extend(data);
    }
    file.extend(footer);
    file
}
