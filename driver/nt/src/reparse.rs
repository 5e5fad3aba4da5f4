//! Reparse points: tags, and the buffers that carry what a link says.

use alloc::vec::Vec;

use crate::{NtStatus, number::named_numbers, record::Field as _};

named_numbers! {
    /// `IO_REPARSE_TAG_*`.
    ReparseTag(u32);
    /// No reparse point.
    NONE = 0;
    /// A symbolic link that the I/O manager follows.
    IO_REPARSE_TAG_SYMLINK = 0xA000_000C;
    /// A mount point or junction.
    IO_REPARSE_TAG_MOUNT_POINT = 0xA000_0003;
    /// A symbolic link of WSL, with a target that only Linux understands.
    IO_REPARSE_TAG_LX_SYMLINK = 0xA000_001D;
    /// A UNIX socket.
    IO_REPARSE_TAG_AF_UNIX = 0x8000_0023;
    /// A named pipe of WSL.
    IO_REPARSE_TAG_LX_FIFO = 0x8000_0024;
    /// A character device of WSL.
    IO_REPARSE_TAG_LX_CHR = 0x8000_0025;
    /// A block device of WSL.
    IO_REPARSE_TAG_LX_BLK = 0x8000_0026;
}

/// Bytes before the data in a `REPARSE_DATA_BUFFER`: tag, length, reserved.
pub const HEADER_SIZE: usize = 8;
/// `MAXIMUM_REPARSE_DATA_BUFFER_SIZE`.
pub const MAXIMUM_SIZE: usize = 16 * 1024;
/// `SYMLINK_FLAG_RELATIVE`: the target is relative to the link's directory, or to the volume's root when it begins
/// with a backslash.
pub const SYMLINK_FLAG_RELATIVE: u32 = 1;
/// The version that begins the data of [`ReparseTag::IO_REPARSE_TAG_LX_SYMLINK`].
const LX_SYMLINK_VERSION: u32 = 2;

/// The data of a symbolic link: substitute and print name are the same `target`, in NT's syntax.
///
/// # Errors
///
/// NAME_TOO_LONG when the target does not fit a reparse buffer, INSUFFICIENT_RESOURCES when memory is short.
pub fn symlink_data(target: &[u16], flags: u32) -> Result<Vec<u8>, NtStatus> {
    let bytes = u16::try_from(target.len().saturating_mul(2)).map_err(|_| NtStatus::NAME_TOO_LONG)?;
    let mut data = Vec::new();
    reserve(&mut data, usize::from(bytes).saturating_mul(2).saturating_add(12))?;
    // SubstituteNameOffset and -Length, PrintNameOffset and -Length, Flags, PathBuffer.
    for value in [0, bytes, bytes, bytes] {
        data.extend_from_slice(&value.to_le_bytes());
    }
    data.extend_from_slice(&flags.to_le_bytes());
    for _ in 0..2 {
        for unit in target {
            data.extend_from_slice(&unit.to_le_bytes());
        }
    }
    fits(data)
}

/// The data of WSL's symbolic link: its target as Linux stores it.
///
/// # Errors
///
/// NAME_TOO_LONG when the target does not fit a reparse buffer, INSUFFICIENT_RESOURCES when memory is short.
pub fn lx_symlink_data(target: &[u8]) -> Result<Vec<u8>, NtStatus> {
    let mut data = Vec::new();
    reserve(&mut data, target.len().saturating_add(4))?;
    data.extend_from_slice(&LX_SYMLINK_VERSION.to_le_bytes());
    data.extend_from_slice(target);
    fits(data)
}

/// A whole `REPARSE_DATA_BUFFER`: the header and `data`. `reserved` is 0 for FSCTL_GET_REPARSE_POINT, and the length in
/// bytes of the unparsed part of the name for STATUS_REPARSE.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn buffer(tag: ReparseTag, reserved: u16, data: &[u8]) -> Result<Vec<u8>, NtStatus> {
    let length = u16::try_from(data.len()).map_err(|_| NtStatus::NAME_TOO_LONG)?;
    let mut whole = Vec::new();
    reserve(&mut whole, data.len().saturating_add(HEADER_SIZE))?;
    whole.extend_from_slice(&tag.0.to_le_bytes());
    whole.extend_from_slice(&length.to_le_bytes());
    whole.extend_from_slice(&reserved.to_le_bytes());
    whole.extend_from_slice(data);
    Ok(whole)
}

/// A `REPARSE_DATA_BUFFER` taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed<'a> {
    /// The tag.
    pub tag: ReparseTag,
    /// The reserved field (see [`buffer`]).
    pub reserved: u16,
    /// The data.
    pub data: &'a [u8],
}

/// Takes a `REPARSE_DATA_BUFFER` apart; `None` when it is malformed.
pub fn parse(buffer: &[u8]) -> Option<Parsed<'_>> {
    let tag = ReparseTag(u32::get(buffer)?);
    let length = usize::from(u16::get(buffer.get(4..)?)?);
    let reserved = u16::get(buffer.get(6..)?)?;
    let data = buffer.get(HEADER_SIZE..)?.get(..length)?;
    Some(Parsed { tag, reserved, data })
}

/// Substitute name and flags of a symbolic link's data; `None` when it is malformed, as with half a unit at the name's end.
pub fn parse_symlink(data: &[u8]) -> Option<(Vec<u16>, u32)> {
    let offset = usize::from(u16::get(data)?);
    let length = usize::from(u16::get(data.get(2..)?)?);
    let flags = u32::get(data.get(8..)?)?;
    let name = data
        .get(12..)?
        .get(offset..)?
        .get(..length)
        .filter(|name| name.len().is_multiple_of(2))?;
    Some((name.chunks_exact(2).filter_map(u16::get).collect(), flags))
}

fn reserve(data: &mut Vec<u8>, length: usize) -> Result<(), NtStatus> {
    data.try_reserve_exact(length)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)
}

fn fits(data: Vec<u8>) -> Result<Vec<u8>, NtStatus> {
    if data.len() > MAXIMUM_SIZE.saturating_sub(HEADER_SIZE) {
        Err(NtStatus::NAME_TOO_LONG)
    } else {
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_survives_its_buffer() {
        let target: Vec<u16> = "..\\a b\\é".encode_utf16().collect();
        let data = symlink_data(&target, SYMLINK_FLAG_RELATIVE).unwrap();
        let whole = buffer(ReparseTag::IO_REPARSE_TAG_SYMLINK, 42, &data).unwrap();
        let parsed = parse(&whole).unwrap();
        assert_eq!(
            (parsed.tag, parsed.reserved),
            (ReparseTag::IO_REPARSE_TAG_SYMLINK, 42)
        );
        assert_eq!(parse_symlink(parsed.data), Some((target, SYMLINK_FLAG_RELATIVE)));
    }

    #[test]
    fn too_long_targets_are_refused() {
        assert_eq!(symlink_data(&[0x61; 5000], 0), Err(NtStatus::NAME_TOO_LONG));
        assert_eq!(lx_symlink_data(&[0x61; 16_400]), Err(NtStatus::NAME_TOO_LONG));
        assert!(lx_symlink_data(&[0x61; 4095]).is_ok());
    }

    #[test]
    fn a_name_with_half_a_unit_at_its_end_is_malformed() {
        let mut data = symlink_data(&[0x61, 0x62], 0).unwrap();
        data[2] = 3;
        assert_eq!(parse_symlink(&data), None);
    }

    #[test]
    fn malformed_buffers_are_not_parsed() {
        let whole = buffer(ReparseTag::IO_REPARSE_TAG_LX_SYMLINK, 0, b"\x02\0\0\0target").unwrap();
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
    }
}
