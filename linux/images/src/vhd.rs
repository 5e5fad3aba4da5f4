//! VHD, the format of Virtual PC and the first Hyper-V: fixed, dynamic and differencing disks.
//!
//! Numbers are big-endian. A *footer* of 512 bytes ends the file; a dynamic disk has a copy of it at its start, a
//! *dynamic header* where the footer says, and a table with one entry for each block: the sector of the file where the
//! block's bitmap lies, which its data follow. In a differencing disk the bitmap says which sectors are the disk's own
//! and which are the parent's; in a dynamic one every bit is set that matters, so it is not read.

use crate::File;
use crate::cache::{BitOrder, Tables};
use crate::error::Error;
use crate::fields::{Fields, copy, wide, zeros};
use crate::layer::{Found, Identity, Opened, Run};
use crate::reference::{Base, Declared, Encoding, Reference, Role};
use crate::source::Source;
use crate::{DiskId, Format, VhdKind};

const SECTOR: u64 = 512;
const FOOTER: usize = 512;
const DYNAMIC_HEADER: usize = 1024;
/// An entry of the table for a block that is not in the file.
const UNUSED: u32 = u32::MAX;

/// What is known of a VHD.
#[derive(Debug)]
pub(crate) struct Vhd {
    kind: VhdKind,
    table: u64,
    block_size: u64,
    bitmap_size: u64,
}

fn damaged(kind: VhdKind, what: &'static str) -> Error {
    Error::Damaged {
        format: Format::Vhd(kind),
        what,
    }
}

/// A footer that is whole.
pub(crate) struct Footer {
    kind: VhdKind,
    header: u64,
    size: u64,
    id: [u8; 16],
}

impl Footer {
    fn parse(bytes: &[u8]) -> Result<Option<Footer>, Error> {
        let fields = Fields(bytes);
        if !fields.is(0, b"conectix") || fields.be32(64) != Some(checksum(bytes, 64)) {
            return Ok(None);
        }
        let numbers = || {
            Some((
                fields.be32(60)?,
                fields.be64(16)?,
                fields.be64(48)?,
                fields.array(68)?,
            ))
        };
        let Some((kind, header, size, id)) = numbers() else {
            return Ok(None);
        };
        let kind = match kind {
            2 => VhdKind::Fixed,
            3 => VhdKind::Dynamic,
            4 => VhdKind::Differencing,
            _ => {
                return Err(damaged(
                    VhdKind::Fixed,
                    "its footer has a type of disk that does not exist",
                ));
            }
        };
        if size == 0 || size > MOST || size % SECTOR != 0 {
            return Err(damaged(kind, "its footer has a size that no disk has"));
        }
        Ok(Some(Footer {
            kind,
            header,
            size,
            id,
        }))
    }

    /// Which kind of disk it ends.
    pub fn kind(&self) -> VhdKind {
        self.kind
    }

    /// The footer of a file, or the copy at its start if the end is damaged; `None` when it has neither.
    pub fn find<F: File>(source: &Source<F>) -> Result<Option<Footer>, Error> {
        let mut bytes = [0; FOOTER];
        // Very old ones have 511 bytes: the last, which is reserved, is not there.
        for length in [FOOTER, FOOTER.saturating_sub(1)] {
            bytes.fill(0);
            let Some(at) = source.size().checked_sub(wide(length)) else {
                continue;
            };
            source.read(at, bytes.get_mut(..length).unwrap_or_default())?;
            if let Some(footer) = Footer::parse(&bytes)? {
                return Ok(Some(footer));
            }
        }
        if source.size() >= wide(FOOTER) {
            source.read(0, &mut bytes)?;
            let copy = Footer::parse(&bytes)?;
            return Ok(copy.filter(|footer| footer.kind != VhdKind::Fixed));
        }
        Ok(None)
    }
}

/// Bytes that a disk may have: the formats allow 2 TiB, but no sum here depends on that.
const MOST: u64 = 1 << 62;

/// The ones' complement of the sum of all bytes but the four at `at`.
fn checksum(bytes: &[u8], at: usize) -> u32 {
    let field = at..at.saturating_add(4);
    let sum = bytes
        .iter()
        .enumerate()
        .filter(|(place, _)| !field.contains(place))
        .fold(0u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)));
    !sum
}

impl Vhd {
    /// Opens the disk whose footer was found.
    pub fn open<F: File>(source: &Source<F>, footer: &Footer) -> Result<Opened<Vhd>, Error> {
        let Footer {
            kind,
            header,
            size,
            id,
        } = *footer;
        let mut opened = Opened {
            layer: Vhd {
                kind,
                table: 0,
                block_size: 1,
                bitmap_size: 0,
            },
            size,
            sector_size: 512,
            disk_id: Some(DiskId(id)),
            identity: Identity::Vhd(id),
            parent: None,
            data: None,
        };
        if kind == VhdKind::Fixed {
            return Ok(opened);
        }
        let mut bytes = [0; DYNAMIC_HEADER];
        source.read(header, &mut bytes)?;
        let fields = Fields(&bytes);
        if !fields.is(0, b"cxsparse") {
            return Err(damaged(kind, "there is no dynamic header where its footer says"));
        }
        if fields.be32(36) != Some(checksum(&bytes, 36)) {
            return Err(damaged(kind, "the checksum of its dynamic header is wrong"));
        }
        let numbers = || {
            Some((
                fields.be64(16)?,
                fields.be32(24)?,
                fields.be32(28)?,
                fields.be32(32)?,
            ))
        };
        let Some((table, version, entries, block_size)) = numbers() else {
            return Err(damaged(kind, "its dynamic header is cut off"));
        };
        if version >> 16 != 1 {
            return Err(Error::Unsupported {
                format: Format::Vhd(kind),
                what: "a dynamic header of an unknown version",
            });
        }
        let block_size = u64::from(block_size);
        if !block_size.is_power_of_two() || block_size < SECTOR {
            return Err(damaged(kind, "its block size is no power of two"));
        }
        let blocks = size
            .checked_add(block_size)
            .map_or(u64::MAX, |sum| sum.saturating_sub(1))
            .checked_div(block_size);
        if blocks.is_none_or(|blocks| blocks > u64::from(entries)) {
            return Err(damaged(kind, "its table has fewer blocks than its disk"));
        }
        let table_end = blocks.and_then(|blocks| table.checked_add(blocks.checked_mul(4)?));
        let header_end = header.saturating_add(wide(DYNAMIC_HEADER));
        if table_end.is_none_or(|end| table < header_end && header < end) || table < wide(FOOTER) {
            return Err(damaged(kind, "its table overlaps its headers"));
        }
        if table_end.is_none_or(|end| end > source.size()) {
            return Err(Error::Truncated {
                file: source.index,
                size: source.size(),
                offset: source.size().max(table),
            });
        }
        opened.layer.table = table;
        opened.layer.block_size = block_size;
        // A bit for each sector, in whole sectors.
        opened.layer.bitmap_size = (block_size / SECTOR).div_ceil(8 * SECTOR).saturating_mul(SECTOR);
        if kind == VhdKind::Differencing {
            let id = fields.array(40).unwrap_or_default();
            opened.parent = Some((parent(source, fields, kind)?, Some(Identity::Vhd(id))));
        }
        Ok(opened)
    }

    /// What the disk has at `offset`, for at most `length` bytes; both inside the disk.
    pub fn find<F: File>(&self, tables: &mut Tables<'_, F>, offset: u64, length: u64) -> Result<Run, Error> {
        if self.kind == VhdKind::Fixed {
            return Ok(Run::new(Found::Data(offset), length));
        }
        let wrong = damaged(self.kind, "its table leads beyond what a file can hold");
        let (Some(block), Some(inside)) = (
            offset.checked_div(self.block_size),
            offset.checked_rem(self.block_size),
        ) else {
            return Err(wrong);
        };
        let length = length.min(self.block_size.saturating_sub(inside));
        let entry = block
            .checked_mul(4)
            .and_then(|at| self.table.checked_add(at))
            .ok_or(wrong)?;
        let entry = tables.be32(entry)?;
        if entry == UNUSED {
            let nothing = match self.kind {
                VhdKind::Differencing => Found::Below,
                _ => Found::Zero,
            };
            return Ok(Run::new(nothing, length));
        }
        let bitmap = u64::from(entry).saturating_mul(SECTOR);
        let data = bitmap
            .checked_add(self.bitmap_size)
            .and_then(|data| data.checked_add(inside))
            .ok_or(wrong)?;
        if self.kind == VhdKind::Dynamic {
            return Ok(Run::new(Found::Data(data), length));
        }
        let skip = inside % SECTOR;
        let sectors = length.saturating_add(skip).div_ceil(SECTOR);
        let (own, sectors) = tables.bits(bitmap, inside / SECTOR, sectors, BitOrder::HighFirst)?;
        let length = length.min(sectors.saturating_mul(SECTOR).saturating_sub(skip));
        let found = if own { Found::Data(data) } else { Found::Below };
        Ok(Run::new(found, length))
    }
}

/// The names of the parent: those relative to the disk first, then those from a root, then the bare name of the header.
fn parent<F: File>(source: &Source<F>, header: Fields<'_>, kind: VhdKind) -> Result<Reference, Error> {
    let mut reference = Reference::new(source.index, Role::Parent, Declared::Unknown);
    for (platform, encoding, base) in [
        (b"W2ru", Encoding::Utf16Le, Base::Image),
        (b"MacX", Encoding::Bytes, Base::Either),
        (b"W2ku", Encoding::Utf16Le, Base::Root),
    ] {
        for locator in 0..8usize {
            let at = locator.saturating_mul(24).saturating_add(576);
            let place = || {
                Some((
                    header.be32(at.checked_add(8)?)?,
                    header.be64(at.checked_add(16)?)?,
                ))
            };
            let (true, Some((length, offset))) = (header.is(at, platform), place()) else {
                continue;
            };
            if length > 0x1_0000 {
                return Err(damaged(kind, "the name of its parent is too long"));
            }
            let mut name = zeros(usize::try_from(length).unwrap_or(0))?;
            source.read(offset, &mut name)?;
            reference.add(name, encoding, base)?;
        }
    }
    let bare = header.bytes(64, 512).unwrap_or_default();
    let end = bare
        .as_chunks::<2>()
        .0
        .iter()
        .position(|unit| *unit == [0, 0])
        .unwrap_or(256);
    let bare = bare.get(..end.saturating_mul(2)).unwrap_or_default();
    reference.add(copy(bare)?, Encoding::Utf16Be, Base::Either)?;
    if reference.names.is_empty() {
        return Err(damaged(kind, "it does not say what its parent is"));
    }
    Ok(reference)
}
