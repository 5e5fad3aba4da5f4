//! What a volume says of itself, as a record and its texts.

use alloc::string::String;
use alloc::vec::Vec;

use lklfs_fsd::{Errno, UnixTime, VolumeInfo};
use zerocopy::byteorder::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::metadata::MOST_BYTES;

/// The record; the name of the file system, the label and the UUID's text follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct InfoRecord {
    uuid: [u8; 16],
    blocks: U64,
    blocks_free: U64,
    blocks_available: U64,
    io_size: U64,
    inodes: U64,
    inodes_free: U64,
    created: I64,
    created_nanoseconds: U32,
    block_size: U32,
    name_max: U32,
    /// 1: shown without a replay that it needs; 2: it says when it was made.
    flags: U32,
    fs_name_length: U32,
    label_length: U32,
    uuid_text_length: U32,
}
const _: () = assert!(size_of::<InfoRecord>() == 100);

const STALE: u32 = 1;
const HAS_CREATED: u32 = 2;

const MOST_FS_NAME: usize = 16;
const MOST_LABEL: usize = 1024;
const MOST_UUID_TEXT: usize = 48;
/// Bytes of a record with the longest texts.
pub(crate) const MOST: usize = 100 + MOST_FS_NAME + MOST_LABEL + MOST_UUID_TEXT;

fn text(bytes: &[u8], most: usize, plain: &[u8]) -> Option<Result<String, Errno>> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || plain.contains(byte);
    if bytes.len() > most || !bytes.iter().all(is_plain) {
        return None;
    }
    let mut out = String::new();
    Some(match out.try_reserve_exact(bytes.len()) {
        Ok(()) => {
            out.extend(bytes.iter().map(|byte| char::from(*byte)));
            Ok(out)
        }
        Err(_) => Err(Errno::ENOMEM),
    })
}

/// Reads it. `EUCLEAN` for what no volume says of itself.
pub(crate) fn read(bytes: &[u8]) -> Result<VolumeInfo, Errno> {
    let (record, rest) = InfoRecord::ref_from_prefix(bytes).map_err(|_| Errno::EUCLEAN)?;
    let length = |length: U32| usize::try_from(length.get()).map_err(|_| Errno::EUCLEAN);
    let split = |bytes, length| <[u8]>::split_at_checked(bytes, length).ok_or(Errno::EUCLEAN);
    let (fs_name, rest) = split(rest, length(record.fs_name_length)?)?;
    let (label, rest) = split(rest, length(record.label_length)?)?;
    let (uuid_text, rest) = split(rest, length(record.uuid_text_length)?)?;
    let fs_name = text(fs_name, MOST_FS_NAME, b"_-.").ok_or(Errno::EUCLEAN)??;
    let uuid_text = text(uuid_text, MOST_UUID_TEXT, b"-").ok_or(Errno::EUCLEAN)??;
    let (blocks, block_size) = (record.blocks.get(), record.block_size.get());
    let fits = blocks
        .checked_mul(block_size.into())
        .is_some_and(|bytes| bytes <= MOST_BYTES);
    let flags = record.flags.get();
    let created = UnixTime {
        seconds: record.created.get(),
        nanoseconds: record.created_nanoseconds.get(),
    };
    let is_sound = rest.is_empty()
        && !fs_name.is_empty()
        && label.len() <= MOST_LABEL
        && !label.contains(&0)
        && fits
        && block_size.is_power_of_two()
        && block_size <= 1 << 30
        && record.blocks_free.get() <= blocks
        && record.blocks_available.get() <= blocks
        && record.io_size.get() <= MOST_BYTES
        && (1..=1024).contains(&record.name_max.get())
        && flags & !(STALE | HAS_CREATED) == 0
        && created.nanoseconds < 1_000_000_000
        && (flags & HAS_CREATED != 0 || created == UnixTime::default());
    if !is_sound {
        return Err(Errno::EUCLEAN);
    }
    let mut own_label = Vec::new();
    own_label
        .try_reserve_exact(label.len())
        .map_err(|_| Errno::ENOMEM)?;
    own_label.extend_from_slice(label);
    Ok(VolumeInfo {
        fs_name,
        label: own_label,
        uuid: record.uuid,
        uuid_text,
        block_size,
        blocks,
        blocks_free: record.blocks_free.get(),
        blocks_available: record.blocks_available.get(),
        io_size: record.io_size.get(),
        inodes: record.inodes.get(),
        inodes_free: record.inodes_free.get(),
        name_max: record.name_max.get(),
        created: (flags & HAS_CREATED != 0).then_some(created),
        stale: flags & STALE != 0,
    })
}

/// Writes it. Free blocks are no more than there are, whatever the volume says.
#[cfg(feature = "server")]
pub(crate) fn write(info: &VolumeInfo) -> Vec<u8> {
    let length = |bytes: &[u8]| U32::new(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let created = info.created.unwrap_or_default();
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    let record = InfoRecord {
        uuid: info.uuid,
        blocks: info.blocks.into(),
        blocks_free: info.blocks_free.min(info.blocks).into(),
        blocks_available: info.blocks_available.min(info.blocks).into(),
        io_size: info.io_size.into(),
        inodes: info.inodes.into(),
        inodes_free: info.inodes_free.into(),
        created: created.seconds.into(),
        created_nanoseconds: created.nanoseconds.into(),
        block_size: info.block_size.into(),
        name_max: info.name_max.into(),
        flags: (bit(info.stale, STALE) | bit(info.created.is_some(), HAS_CREATED)).into(),
        fs_name_length: length(info.fs_name.as_bytes()),
        label_length: length(&info.label),
        uuid_text_length: length(info.uuid_text.as_bytes()),
    };
    let mut out = record.as_bytes().to_vec();
    out.extend_from_slice(info.fs_name.as_bytes());
    out.extend_from_slice(&info.label);
    out.extend_from_slice(info.uuid_text.as_bytes());
    out
}
