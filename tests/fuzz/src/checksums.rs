//! Puts the checksums of a disk or an image right. Without that no changed one would get beyond its first check.

use crate::sparse::Sparse;
use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, Crc};

const IEEE: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What is summed up at most; longer things keep their sums.
const MOST: u64 = 1 << 20;

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |four| u32::from_le_bytes(*four))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// So many bytes of a disk, if that is not too much.
fn piece(disk: &Sparse, at: u64, length: u64) -> Option<Vec<u8>> {
    disk.peek(at, usize::try_from(length).ok().filter(|_| length <= MOST)?)
}

/// Both copies of a GUID partition table, for each size of sectors.
pub fn gpt(disk: &mut Sparse) {
    for sector in [512, 4096] {
        let Some(last) = (disk.size_bytes() / sector).checked_sub(1) else {
            continue;
        };
        for number in [1, last] {
            gpt_header(disk, number * sector, sector);
        }
    }
}

fn gpt_header(disk: &mut Sparse, at: u64, sector: u64) -> Option<()> {
    let mut header = disk.peek(at, 512)?;
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let array = le64(&header, 72).checked_mul(sector)?;
    let bytes = u64::from(le32(&header, 80)) * u64::from(le32(&header, 84));
    if let Some(entries) = piece(disk, array, bytes) {
        header[88..92].copy_from_slice(&IEEE.checksum(&entries).to_le_bytes());
    }
    header[16..20].fill(0);
    let length = (le32(&header, 12) as usize).min(512);
    let sum = IEEE.checksum(&header[..length]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    disk.put(at, &header);
    Some(())
}

/// Those of a VHD or a VHDX; of what is neither, nothing.
pub fn image(file: &mut Sparse) {
    if file.peek(0, 8).is_some_and(|magic| magic == b"vhdxfile") {
        vhdx(file);
        return;
    }
    let end = file.size_bytes().checked_sub(512);
    for at in [Some(0), end].into_iter().flatten() {
        let Some(mut footer) = file.peek(at, 512).filter(|bytes| bytes.starts_with(b"conectix")) else {
            continue;
        };
        let header = footer[16..]
            .first_chunk()
            .map_or(0, |eight| u64::from_be_bytes(*eight));
        vhd(file, at, &mut footer, 64);
        if let Some(mut dynamic) = file
            .peek(header, 1024)
            .filter(|bytes| bytes.starts_with(b"cxsparse"))
        {
            vhd(file, header, &mut dynamic, 36);
        }
    }
}

/// The complement of the sum of all bytes, in the field at `field`.
fn vhd(file: &mut Sparse, at: u64, bytes: &mut [u8], field: usize) {
    bytes[field..field + 4].fill(0);
    let sum = bytes
        .iter()
        .fold(0u32, |sum, byte| sum.wrapping_add((*byte).into()));
    bytes[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
    file.put(at, bytes);
}

fn vhdx(file: &mut Sparse) {
    const KIB: u64 = 1 << 10;
    let mut log = None;
    for (at, length, sign) in [
        (64 * KIB, 4 * KIB, b"head"),
        (128 * KIB, 4 * KIB, b"head"),
        (192 * KIB, 64 * KIB, b"regi"),
        (256 * KIB, 64 * KIB, b"regi"),
    ] {
        if let Some(head) = file.peek(at, 80).filter(|bytes| bytes.starts_with(sign)) {
            if sign == b"head" {
                log = Some((le64(&head, 72), u64::from(le32(&head, 68))));
            }
            castagnoli(file, at, length);
        }
    }
    // Entries of the log, at the places where they may begin.
    let Some((start, length)) = log else { return };
    for number in 0..(length / (4 * KIB)).min(16) {
        let Some(at) = start.checked_add(number * 4 * KIB) else {
            return;
        };
        if let Some(entry) = file.peek(at, 64).filter(|bytes| bytes.starts_with(b"loge")) {
            castagnoli(file, at, le32(&entry, 8).into());
        }
    }
}

/// The CRC of a structure, in its second word.
fn castagnoli(file: &mut Sparse, at: u64, length: u64) -> Option<()> {
    let mut bytes = piece(file, at, length).filter(|bytes| bytes.len() >= 8)?;
    bytes[4..8].fill(0);
    let sum = CASTAGNOLI.checksum(&bytes);
    file.put(at + 4, &sum.to_le_bytes());
    Some(())
}
