//! Optical discs: ISO 9660 and UDF. A disc may have both; then UDF, which says more, is taken.

use crate::ReadAt;
use crate::kind::Kind;
use crate::label::Label;
use crate::superblock::{Superblock, Uuid};
use crate::window::{Fields, Window};

/// Where the descriptors of both begin, and their distance on most discs.
const DESCRIPTORS: u64 = 32768;
const SECTOR: u64 = 2048;

/// The n-th volume descriptor.
fn descriptor<'w, V: ReadAt + ?Sized>(window: &'w mut Window<'_, V>, index: u64) -> Option<Fields<'w>> {
    window.at(index.checked_mul(SECTOR)?.checked_add(DESCRIPTORS)?, 2048)
}

/// A primary volume descriptor among the first sixteen.
pub(crate) fn iso9660<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    for index in 0..16 {
        let fields = descriptor(window, index)?;
        if !fields.is(1, b"CD001") {
            return None;
        }
        match fields.u8(0)? {
            1 => {
                let date: [u8; 16] = fields.array(813)?;
                let mut superblock = Superblock::new(Kind::Iso9660)
                    .with_label(Label::from_bytes(fields.bytes(40, 32)))
                    .with_blocks(fields.le16(128).map(u32::from), fields.le32(80).map(u64::from));
                let dated = date.iter().all(u8::is_ascii_digit) && date.iter().any(|digit| *digit != b'0');
                superblock.uuid = dated.then_some(Uuid::Date(date));
                return Some(superblock);
            }
            255 => return None,
            _ => {}
        }
    }
    None
}

/// A volume recognition sequence with NSR02 or NSR03 in it, and an anchor that leads to the volume's descriptors.
pub(crate) fn udf<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Superblock> {
    // On media with blocks of more than 2 KiB the sequence has one descriptor a block.
    let recognised = [2048, 4096]
        .into_iter()
        .any(|distance| recognition_sequence(window, distance));
    if !recognised {
        return None;
    }
    [2048u64, 512, 1024, 4096].into_iter().find_map(|block| {
        // Where Linux looks for it (`udf_scan_anchors`), and nowhere else: at the standard's places, the last block and 256
        // before it, at the same of discs that end with blocks that cannot be read, and where discs have it that are not closed
        // yet.
        const UNREADABLE: [u64; 5] = [1, 2, 3, 151, 153];
        let blocks = window.size().and_then(|size| size.checked_div(block));
        let from_end = UNREADABLE.into_iter().flat_map(|distance| {
            let last = blocks.and_then(|blocks| blocks.checked_sub(distance));
            [last, last.and_then(|last| last.checked_sub(256))]
        });
        [Some(256)]
            .into_iter()
            .chain(from_end)
            .chain([Some(512)])
            .flatten()
            .find_map(|place| anchored(window, block, place))
    })
}

fn recognition_sequence<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, distance: u64) -> bool {
    for index in 0..16u64 {
        let offset = index.saturating_mul(distance).saturating_add(DESCRIPTORS);
        let Some(fields) = window.at(offset, 512) else {
            return false;
        };
        if fields.is(1, b"NSR02") || fields.is(1, b"NSR03") {
            return true;
        }
        let known = [&b"BEA01"[..], b"BOOT2", b"CD001", b"CDW02", b"TEA01"];
        if !known.iter().any(|name| fields.is(1, name)) {
            return false;
        }
    }
    false
}

/// The anchor at a block, and the logical volume descriptor that it leads to.
fn anchored<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, block: u64, place: u64) -> Option<Superblock> {
    const ANCHOR: u16 = 2;
    const LOGICAL_VOLUME: u16 = 6;
    const TERMINATOR: u16 = 8;
    let anchor = window.at(block.checked_mul(place)?, 512)?;
    if anchor.le16(0)? != ANCHOR || u64::from(anchor.le32(12)?) != place {
        return None;
    }
    let start = u64::from(anchor.le32(20)?);
    let mut superblock = Superblock::new(Kind::Udf);
    superblock.block_size = u32::try_from(block).ok();
    for index in 0..16u64 {
        let offset = start.checked_add(index).and_then(|at| at.checked_mul(block));
        let Some(fields) = offset.and_then(|offset| window.at(offset, 512)) else {
            break;
        };
        match fields.le16(0) {
            Some(LOGICAL_VOLUME) => {
                superblock.label = dstring(fields.bytes(84, 128));
                break;
            }
            Some(TERMINATOR) | None => break,
            Some(_) => {}
        }
    }
    Some(superblock)
}

/// A string of UDF: its first byte says how wide characters are, its last how many bytes are used.
fn dstring(field: Option<&[u8]>) -> Label {
    let Some([width, text @ .., len]) = field else {
        return Label::default();
    };
    let used = text.get(..usize::from(*len).saturating_sub(1)).unwrap_or(&[]);
    match width {
        8 => Label::from_utf16(used.iter().map(|byte| u16::from(*byte))),
        16 => Label::from_utf16_be(Some(used)),
        _ => Label::default(),
    }
}
