//! File systems of other Unixes: HFS and HFS+, UFS.

use crate::ReadAt;
use crate::kind::Kind;
use crate::label::Label;
use crate::md5;
use crate::superblock::{Superblock, Uuid};
use crate::window::Window;

/// `struct hfsplus_vh` or `struct hfs_mdb` at 1024, big-endian.
pub(crate) fn hfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(1024, 512)?;
    match fields.array::<2>(0)? {
        [b'H', b'+' | b'X'] => hfs_plus(window),
        [b'B', b'D'] if fields.is(124, b"H+") || fields.is(124, b"HX") => {
            // HFS+ inside a wrapper: Linux finds its way in by itself, the label is not looked for.
            Some(Superblock::new(Kind::HfsPlus))
        }
        [b'B', b'D'] => {
            let block_size = fields
                .be32(20)
                .filter(|size| *size >= 512 && size.is_multiple_of(512))?;
            let len = usize::from(fields.u8(36)?.min(27));
            Some(
                Superblock::new(Kind::Hfs)
                    .with_label(Label::from_bytes(fields.bytes(37, len)))
                    .with_blocks(Some(block_size), fields.be16(18).map(u64::from)),
            )
        }
        _ => None,
    }
}

fn hfs_plus<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    let fields = window.at(1024, 512)?;
    let block_size = fields
        .be32(40)
        .filter(|size| size.is_power_of_two() && *size >= 512)?;
    if !matches!(fields.be16(2)?, 4 | 5) {
        return None;
    }
    let mut superblock =
        Superblock::new(Kind::HfsPlus).with_blocks(Some(block_size), fields.be32(44).map(u64::from));
    superblock.uuid = fields.array(104).and_then(hfs_plus_uuid);
    // The catalogue file's first extent begins with its tree's header node.
    let catalogue = u64::from(fields.be32(288)?).checked_mul(u64::from(block_size));
    if let Some(label) = catalogue.and_then(|at| hfs_plus_label(window, at)) {
        superblock.label = label;
    }
    Some(superblock)
}

/// The UUID that macOS shows for a volume: one of version 3, which is a digest of a name space and a name. The name space is
/// Apple's for this, the name the volume's identifier of 64 bits (the last two words of `finderInfo`).
fn hfs_plus_uuid(identifier: [u8; 8]) -> Option<Uuid> {
    const NAME_SPACE: [u8; 16] = [
        0xb3, 0xe2, 0x0f, 0x39, 0xf2, 0x92, 0x11, 0xd6, 0x97, 0xa4, 0x00, 0x30, 0x65, 0x43, 0xec, 0xac,
    ];
    if identifier == [0; 8] {
        return None;
    }
    let mut message = [0u8; 24];
    let (space, name) = message.split_at_mut(16);
    space.copy_from_slice(&NAME_SPACE);
    name.copy_from_slice(&identifier);
    let mut uuid = md5::digest(&message)?;
    // The version, and the variant of RFC 4122.
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut uuid;
    *version = (*version & 0x0f) | 0x30;
    *variant = (*variant & 0x3f) | 0x80;
    Some(Uuid::Full(uuid))
}

/// The first record of a catalogue is the root folder's, and its key is the volume's name.
fn hfs_plus_label<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, catalogue: u64) -> Option<Label> {
    let header = window.at(catalogue, 512)?;
    let (first_leaf, node_size) = (header.be32(24)?, header.be16(32)?);
    let leaf = catalogue.checked_add(u64::from(first_leaf).checked_mul(u64::from(node_size))?)?;
    let node = window.at(leaf, 512)?;
    const ROOT_PARENT: u32 = 1;
    if node.be32(16)? != ROOT_PARENT {
        return None;
    }
    let units = usize::from(node.be16(20)?.min(255));
    Some(Label::from_utf16_be(node.bytes(22, units.checked_mul(2)?)))
}

/// `struct ufs_super_block`: UFS1's is at 8 KiB, UFS2's at 64 KiB. UFS2's may be at 8 or 256 KiB as well, where Linux does not look
/// for it: [`crate::signature`] names those.
pub(crate) fn ufs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    const UFS1: (u32, &str) = (0x0001_1954, "ufstype=44bsd");
    const UFS2: (u32, &str) = (0x1954_0119, "ufstype=ufs2");
    let places = [(65536, UFS2), (8192, UFS1)];
    places
        .into_iter()
        .find_map(|(offset, (magic, options))| ufs_at(window, offset, magic, options))
}

fn ufs_at<V: ReadAt + ?Sized>(
    window: &mut Window<'_, V>,
    offset: u64,
    magic: u32,
    options: &'static str,
) -> Option<Superblock> {
    let fields = window.at(offset, 1376)?;
    // Either byte order: Linux reads both.
    if fields.le32(1372)? != magic && fields.be32(1372)? != magic {
        return None;
    }
    let little = fields.le32(1372)? == magic;
    let number = |at| if little { fields.le32(at) } else { fields.be32(at) };
    let mut superblock = Superblock::new(Kind::Ufs);
    superblock.linux_options = options;
    superblock.block_size = number(48).filter(|size| *size != 0);
    superblock.uuid = match (number(144)?, number(148)?) {
        (0, 0) => None,
        (high, low) => Some(Uuid::Serial64((u64::from(high) << 32) | u64::from(low))),
    };
    if magic == 0x1954_0119 {
        superblock.label = Label::from_bytes(fields.bytes(680, 32));
    }
    Some(superblock)
}
