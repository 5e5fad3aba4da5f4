//! VHDX, the format of Hyper-V since 2012: fixed, dynamic and differencing disks, sectors of 512 or 4096 bytes.
//!
//! Numbers are little-endian. The first MiB has an identifier, two headers (the one with the larger number counts) and
//! two copies of a table of *regions*. One region is *metadata*: the disk's size, its blocks' size, the parent. The
//! other is the *BAT*, an entry for each block of the disk, and after those of every *chunk* one for a bitmap that says
//! which of the chunk's sectors are this disk's own. A header that names a log means that the log is not written home
//! yet; [`crate::vhdx_log`] lays it over the file before anything else is read.

use crate::File;
use crate::cache::{BitOrder, Tables};
use crate::error::Error;
use crate::fields::Fields;
use crate::layer::{Found, Identity, Opened, Run};
use crate::source::Source;
use crate::vhdx_regions::{self, Metadata, Region};
use crate::{DiskId, Format, vhdx_log, vhdx_parent};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const KIB: u64 = 1 << 10;

const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
/// Bytes of the largest disk.
const LARGEST_DISK: u64 = 64 << 40;
/// Sectors that a block of a bitmap has bits for.
const CHUNK_SECTORS: u64 = 1 << 23;

/// CRC-32C, by which a VHDX's structures are checked.
pub(crate) static CRC: crc::Crc<u32, crc::Table<16>> =
    crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// A GUID as it is on disk, from how it is printed.
pub(crate) const fn guid(printed: u128) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = printed.to_be_bytes();
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

/// A GUID as it is printed, from how it is on disk.
pub(crate) fn printed(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = guid;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

/// What is known of a VHDX.
#[derive(Debug)]
pub(crate) struct Vhdx {
    bat: u64,
    block_size: u64,
    sector_size: u64,
    /// Blocks to a chunk.
    ratio: u64,
    has_parent: bool,
}

pub(crate) fn damaged(what: &'static str) -> Error {
    Error::Damaged {
        format: Format::Vhdx,
        what,
    }
}

pub(crate) fn unsupported(what: &'static str) -> Error {
    Error::Unsupported {
        format: Format::Vhdx,
        what,
    }
}

/// A header that is whole.
struct Header {
    number: u64,
    data_write: [u8; 16],
    log: [u8; 16],
    log_version: u16,
    version: u16,
    log_length: u64,
    log_offset: u64,
}

impl Header {
    fn parse(bytes: &mut [u8; 4096]) -> Option<Header> {
        let fields = Fields(bytes);
        let header = Header {
            number: fields.le64(8)?,
            data_write: fields.array(32)?,
            log: fields.array(48)?,
            log_version: fields.le16(64)?,
            version: fields.le16(66)?,
            log_length: u64::from(fields.le32(68)?),
            log_offset: fields.le64(72)?,
        };
        (fields.is(0, b"head") && checksum_is_right(bytes)).then_some(header)
    }
}

/// Whether the CRC in bytes 4 to 7 is that of the rest with zeros there. They are zeros afterwards.
pub(crate) fn checksum_is_right(bytes: &mut [u8]) -> bool {
    let Some(field) = bytes.get_mut(4..8) else {
        return false;
    };
    let told = Fields(field).le32(0);
    field.fill(0);
    told == Some(CRC.checksum(bytes))
}

impl Vhdx {
    /// Opens the image that begins with the magic bytes.
    pub fn open<F: File>(source: &mut Source<F>) -> Result<Opened<Vhdx>, Error> {
        let header = header(source)?;
        if header.version != 1 {
            return Err(unsupported("an unknown version"));
        }
        if header.log != [0; 16] {
            if header.log_version != 0 {
                return Err(unsupported("a log of an unknown version"));
            }
            let place = (header.log_offset, header.log_length);
            vhdx_log::replay(source, place, header.log)?;
        }
        let log = Region {
            offset: header.log_offset,
            length: header.log_length,
        };
        let (bat, metadata) = vhdx_regions::find(source, log)?;
        let Metadata {
            parameters: Some((block_size, flags)),
            size: Some(size),
            id,
            sector: Some(sector),
            locator,
        } = Metadata::read(source, metadata)?
        else {
            return Err(damaged("its metadata lack something"));
        };
        let block_size = u64::from(block_size);
        if !block_size.is_power_of_two() || !(MIB..=256 * MIB).contains(&block_size) {
            return Err(damaged("its blocks have a size that does not exist"));
        }
        if sector != 512 && sector != 4096 {
            return Err(damaged("its sectors have a size that does not exist"));
        }
        let sector_size = u64::from(sector);
        if size == 0 || size > LARGEST_DISK || size.checked_rem(sector_size) != Some(0) {
            return Err(damaged("its disk has a size that does not exist"));
        }
        let has_parent = flags & 2 != 0;
        let ratio = CHUNK_SECTORS
            .saturating_mul(sector_size)
            .checked_div(block_size)
            .unwrap_or(1);
        let layer = Vhdx {
            bat: bat.offset,
            block_size,
            sector_size,
            ratio,
            has_parent,
        };
        // The last entry is that of the last block, or with a parent that of the last chunk's bitmap.
        let blocks = size.div_ceil(block_size);
        let entries = match has_parent {
            true => blocks.div_ceil(ratio).saturating_mul(ratio.saturating_add(1)),
            false => layer.entry(blocks.saturating_sub(1)).saturating_add(1),
        };
        if entries.saturating_mul(8) > bat.length {
            return Err(damaged("its BAT is too small for its disk"));
        }
        let parent = match (has_parent, locator) {
            (false, _) => None,
            (true, Some(place)) => {
                let (reference, identity) = vhdx_parent::read(source, place)?;
                Some((reference, Some(identity)))
            }
            (true, None) => return Err(damaged("it does not say what its parent is")),
        };
        Ok(Opened {
            layer,
            size,
            sector_size: sector,
            disk_id: id.map(|id| DiskId(printed(id))),
            identity: Identity::Vhdx(header.data_write),
            parent,
            data: None,
        })
    }

    /// The place of a block's entry in the BAT.
    fn entry(&self, block: u64) -> u64 {
        block.saturating_add(block.checked_div(self.ratio).unwrap_or(0))
    }

    /// What the disk has at `offset`, for at most `length` bytes; both inside the disk.
    pub fn find<F: File>(&self, tables: &mut Tables<'_, F>, offset: u64, length: u64) -> Result<Run, Error> {
        let wrong = damaged("its BAT leads beyond what a file can hold");
        let (block, inside) = (
            offset.checked_div(self.block_size).ok_or(wrong)?,
            offset.checked_rem(self.block_size).ok_or(wrong)?,
        );
        let length = length.min(self.block_size.saturating_sub(inside));
        let entry_of = |place: u64| {
            place
                .checked_mul(8)
                .and_then(|at| self.bat.checked_add(at))
                .ok_or(wrong)
        };
        let entry = tables.le64(entry_of(self.entry(block))?)?;
        // Bits 20 to 63 count MiB, so they are bytes where they are.
        let data = (entry & !(MIB.wrapping_sub(1)))
            .checked_add(inside)
            .ok_or(wrong)?;
        let below = if self.has_parent {
            Found::Below
        } else {
            Found::Zero
        };
        match entry & 7 {
            // Not here.
            0 => Ok(Run::new(below, length)),
            // Undefined, zero, given back: never the parent's.
            1..=3 => Ok(Run::new(Found::Zero, length)),
            6 => self.data(data, inside, length),
            7 if self.has_parent => {
                let chunk = block.checked_div(self.ratio).ok_or(wrong)?;
                let bitmap = chunk
                    .checked_add(1)
                    .and_then(|next| next.checked_mul(self.ratio))
                    .and_then(|entries| entries.checked_add(chunk))
                    .ok_or(wrong)?;
                let bitmap = tables.le64(entry_of(bitmap)?)?;
                if bitmap & 7 != 6 {
                    return Err(damaged("a block is there in part, but no bitmap says which part"));
                }
                let start = chunk
                    .saturating_mul(CHUNK_SECTORS)
                    .saturating_mul(self.sector_size);
                let first = offset
                    .saturating_sub(start)
                    .checked_div(self.sector_size)
                    .ok_or(wrong)?;
                let skip = offset.checked_rem(self.sector_size).ok_or(wrong)?;
                let sectors = length.saturating_add(skip).div_ceil(self.sector_size);
                let place = bitmap & !(MIB.wrapping_sub(1));
                let (own, sectors) = tables.bits(place, first, sectors, BitOrder::LowFirst)?;
                let length = length.min(sectors.saturating_mul(self.sector_size).saturating_sub(skip));
                match own {
                    true => self.data(data, inside, length),
                    false => Ok(Run::new(Found::Below, length)),
                }
            }
            _ => Err(damaged("a block has a state that does not exist")),
        }
    }

    fn data(&self, data: u64, inside: u64, length: u64) -> Result<Run, Error> {
        // The first MiB is the headers'.
        if data.saturating_sub(inside) < MIB {
            return Err(damaged("a block lies where the headers are"));
        }
        Ok(Run::new(Found::Data(data), length))
    }
}

/// The header that counts.
fn header<F: File>(source: &Source<F>) -> Result<Header, Error> {
    let mut best: Option<Header> = None;
    for offset in HEADERS {
        let mut bytes = [0; 4096];
        source.read(offset, &mut bytes)?;
        let header = Header::parse(&mut bytes);
        best = match (best, header) {
            (Some(best), Some(header)) if header.number <= best.number => Some(best),
            (best, None) => best,
            (_, header) => header,
        };
    }
    best.ok_or(damaged("neither of its headers is whole"))
}
