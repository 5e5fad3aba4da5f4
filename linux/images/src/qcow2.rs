//! qcow2, the format of QEMU, versions 2 and 3.
//!
//! Numbers are big-endian. The file is made of *clusters*; the first holds the header, its extensions and the name of
//! the backing file. A table of two levels (L1, L2) has an entry for each cluster of the disk: where it is in the file,
//! or that it is zero, not here, or compressed. With *extended L2 entries* a cluster has 32 subclusters, each with two
//! bits of its own: allocated, zero. This file reads headers; the tables are [`crate::qcow2_tables`]'s.
//!
//! Reference counts and snapshots are not needed to read the disk as it is now, so a *dirty* image (whose counts may be
//! wrong) is read like any other.

use crate::File;
use crate::Format;
use crate::error::{Error, FeatureName};
use crate::fields::{Fields, zeros};
use crate::layer::{Identity, Method, Opened};
use crate::reference::{Base, Declared, Encoding, Reference, Role};
use crate::source::Source;

/// What is known of a qcow2 image.
#[derive(Debug)]
pub(crate) struct Qcow2 {
    pub(crate) version: u32,
    pub(crate) cluster_bits: u32,
    pub(crate) l1_table: u64,
    pub(crate) l1_entries: u64,
    pub(crate) extended: bool,
    pub(crate) external: bool,
    pub(crate) method: Method,
}

// Bits of the incompatible features.
const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;

// Types of header extensions.
const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_FEATURE_NAMES: u32 = 0x6803_f857;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// Header extensions that are looked at; there are five kinds.
const MOST_EXTENSIONS: usize = 64;
/// Bytes of the longest name of another file.
const LONGEST_NAME: u64 = 1023;
/// Bytes of the largest L1 table, as in QEMU.
const LARGEST_L1: u64 = 32 << 20;

pub(crate) fn damaged(what: &'static str) -> Error {
    Error::Damaged {
        format: Format::Qcow2,
        what,
    }
}

fn unsupported(what: &'static str) -> Error {
    Error::Unsupported {
        format: Format::Qcow2,
        what,
    }
}

/// What the header's extensions say, as places in the file.
#[derive(Default)]
struct Extensions {
    backing_format: Option<(u64, u64)>,
    feature_names: Option<(u64, u64)>,
    data_file: Option<(u64, u64)>,
}

impl Qcow2 {
    /// Opens the image that begins with the magic bytes.
    pub fn open<F: File>(source: &Source<F>) -> Result<Opened<Qcow2>, Error> {
        let mut bytes = [0; 112];
        // The smallest header has 72 bytes.
        source.read(0, bytes.get_mut(..72).unwrap_or_default())?;
        let fields = Fields(&bytes);
        let cut = || damaged("its header is cut off");
        let version = fields.be32(4).ok_or_else(cut)?;
        match version {
            1 => return Err(unsupported("version 1 (the older format qcow)")),
            2 => {}
            3 => source.read(72, bytes.get_mut(72..104).unwrap_or_default())?,
            _ => return Err(unsupported("an unknown version")),
        }
        let fields = Fields(&bytes);
        let header_length = match version {
            2 => 72,
            _ => fields.be32(100).ok_or_else(cut)?,
        };
        if header_length > 104 {
            source.read(104, bytes.get_mut(104..105).unwrap_or_default())?;
        }
        let fields = Fields(&bytes);
        let cluster_bits = fields.be32(20).ok_or_else(cut)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(damaged("its clusters have a size that does not exist"));
        }
        let cluster = 1u64 << cluster_bits;
        if version == 3 && (header_length < 104 || u64::from(header_length) > cluster) {
            return Err(damaged("its header has a length that makes no sense"));
        }
        let size = fields.be64(24).ok_or_else(cut)?;
        let backing = (
            fields.be64(8).ok_or_else(cut)?,
            u64::from(fields.be32(16).ok_or_else(cut)?),
        );
        let end = if backing.0 == 0 { cluster } else { backing.0 };
        if backing.0 != 0
            && (backing.1 > LONGEST_NAME || end.checked_add(backing.1).is_none_or(|end| end > cluster))
        {
            return Err(damaged(
                "the name of its backing file is not in its first cluster",
            ));
        }
        let extensions = extensions(source, u64::from(header_length), end)?;
        let features = match version {
            3 => fields.be64(72).ok_or_else(cut)?,
            _ => 0,
        };
        let unknown = features & !KNOWN;
        if unknown != 0 {
            let bit = unknown.trailing_zeros();
            let name = feature_name(source, extensions.feature_names, bit)?;
            return Err(Error::UnknownFeature { bit, name });
        }
        match fields.be32(32).ok_or_else(cut)? {
            0 => {}
            1 => return Err(unsupported("AES encryption")),
            2 => return Err(unsupported("LUKS encryption")),
            _ => return Err(unsupported("an unknown encryption")),
        }
        let kind = if header_length > 104 {
            fields.u8(104).unwrap_or(0)
        } else {
            0
        };
        let method = match (kind, features & COMPRESSION_TYPE != 0) {
            (0, _) => Method::Deflate,
            (1, true) => Method::Zstd,
            (1, false) => return Err(damaged("its header contradicts itself about compression")),
            _ => return Err(unsupported("an unknown compression")),
        };
        let extended = features & EXTENDED_L2 != 0;
        if extended && cluster_bits < 14 {
            return Err(damaged("its clusters are too small for extended L2 entries"));
        }
        let layer = Qcow2 {
            version,
            cluster_bits,
            l1_table: fields.be64(40).ok_or_else(cut)?,
            l1_entries: u64::from(fields.be32(36).ok_or_else(cut)?),
            extended,
            external: features & EXTERNAL_DATA != 0,
            method,
        };
        layer.check(source, size)?;
        Ok(Opened {
            size,
            sector_size: 512,
            disk_id: None,
            identity: Identity::None,
            parent: parent(source, backing, extensions.backing_format)?.map(|parent| (parent, None)),
            data: match layer.external {
                true => Some(data_file(source, extensions.data_file)?),
                false => None,
            },
            layer,
        })
    }

    /// Whether the first table can be what the header says.
    fn check<F: File>(&self, source: &Source<F>, size: u64) -> Result<(), Error> {
        let cluster = 1u64 << self.cluster_bits;
        if size > 1 << 62 {
            return Err(damaged("its disk is larger than any can be"));
        }
        let bytes = self.l1_entries.saturating_mul(8);
        if bytes > LARGEST_L1 {
            return Err(damaged("its L1 table is too large"));
        }
        let reach = cluster.saturating_mul(self.entries());
        if self.l1_entries < size.div_ceil(reach) {
            return Err(damaged("its L1 table is too small for its disk"));
        }
        if self.l1_entries == 0 {
            return Ok(());
        }
        if !self.l1_table.is_multiple_of(cluster) || self.l1_table == 0 {
            return Err(damaged("its L1 table lies where none can"));
        }
        if self
            .l1_table
            .checked_add(bytes)
            .is_none_or(|end| end > source.size())
        {
            return Err(Error::Truncated {
                file: source.index,
                size: source.size(),
                offset: source.size().max(self.l1_table),
            });
        }
        Ok(())
    }

    /// Entries of an L2 table.
    pub(crate) fn entries(&self) -> u64 {
        let entry_bits = if self.extended { 4 } else { 3 };
        1u64.checked_shl(self.cluster_bits.saturating_sub(entry_bits))
            .unwrap_or(1)
    }
}

/// Walks over the header's extensions.
fn extensions<F: File>(source: &Source<F>, start: u64, end: u64) -> Result<Extensions, Error> {
    let mut found = Extensions::default();
    let mut at = start;
    for _ in 0..MOST_EXTENSIONS {
        let data = at.saturating_add(8);
        if data > end || data > source.size() {
            return Ok(found);
        }
        let mut head = [0; 8];
        source.read(at, &mut head)?;
        let (kind, length) = match (Fields(&head).be32(0), Fields(&head).be32(4)) {
            (Some(kind), Some(length)) => (kind, u64::from(length)),
            _ => return Ok(found),
        };
        if kind == EXTENSION_END {
            return Ok(found);
        }
        if data.saturating_add(length) > end {
            return Err(damaged("a header extension is longer than the header's cluster"));
        }
        match kind {
            EXTENSION_BACKING_FORMAT => found.backing_format = Some((data, length)),
            EXTENSION_FEATURE_NAMES => found.feature_names = Some((data, length)),
            EXTENSION_DATA_FILE => found.data_file = Some((data, length)),
            _ => {}
        }
        at = data.saturating_add(length.next_multiple_of(8));
    }
    Err(damaged("it has too many header extensions"))
}

/// The name that the image has for an incompatible feature.
fn feature_name<F: File>(
    source: &Source<F>,
    table: Option<(u64, u64)>,
    bit: u32,
) -> Result<FeatureName, Error> {
    let (start, length) = table.unwrap_or_default();
    // There are not more than 3 * 64 features.
    for entry in 0..(length / 48).min(192) {
        let mut bytes = [0; 48];
        source.read(start.saturating_add(entry.saturating_mul(48)), &mut bytes)?;
        let [kind, number, name @ ..] = bytes;
        if kind == 0 && u32::from(number) == bit {
            return Ok(FeatureName::new(name));
        }
    }
    Ok(FeatureName::NONE)
}

/// The bytes of a name or a word in the header's cluster.
fn text<F: File>(source: &Source<F>, (at, length): (u64, u64)) -> Result<alloc::vec::Vec<u8>, Error> {
    if length > LONGEST_NAME {
        return Err(damaged("it has too long a name for another file"));
    }
    let mut bytes = zeros(usize::try_from(length).unwrap_or(0))?;
    source.read(at, &mut bytes)?;
    Ok(bytes)
}

/// Refuses names of what is no file: QEMU's options as JSON, and addresses (`nbd://server/disk`).
fn local(name: &[u8], options: &'static str, address: &'static str) -> Result<(), Error> {
    if name.starts_with(b"json:") {
        return Err(unsupported(options));
    }
    let end = name
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'+'));
    let (scheme, rest) = name.split_at_checked(end.unwrap_or(0)).unwrap_or_default();
    match scheme.len() > 1 && scheme != b"file" && rest.starts_with(b"://") {
        true => Err(unsupported(address)),
        false => Ok(()),
    }
}

fn parent<F: File>(
    source: &Source<F>,
    (at, length): (u64, u64),
    format: Option<(u64, u64)>,
) -> Result<Option<Reference>, Error> {
    if at == 0 || length == 0 {
        return Ok(None);
    }
    let format = match format {
        Some(place) => text(source, place)?,
        None => alloc::vec::Vec::new(),
    };
    let format = match format.as_slice() {
        b"" => Declared::Unknown,
        b"raw" | b"file" | b"host_device" => Declared::Raw,
        b"qcow2" => Declared::Qcow2,
        b"vpc" => Declared::Vhd,
        b"vhdx" => Declared::Vhdx,
        _ => return Err(unsupported("a backing file of an unknown format")),
    };
    let name = text(source, (at, length))?;
    local(
        &name,
        "a backing file that is named by options (json:)",
        "a backing file that is on a server",
    )?;
    let mut reference = Reference::new(source.index, Role::Parent, format);
    reference.add(name, Encoding::Bytes, Base::Either)?;
    Ok(Some(reference))
}

fn data_file<F: File>(source: &Source<F>, name: Option<(u64, u64)>) -> Result<Reference, Error> {
    let mut reference = Reference::new(source.index, Role::Data, Declared::Raw);
    if let Some(place) = name {
        let name = text(source, place)?;
        local(
            &name,
            "a data file that is named by options (json:)",
            "a data file that is on a server",
        )?;
        reference.add(name, Encoding::Bytes, Base::Either)?;
    }
    match reference.names.is_empty() {
        true => Err(damaged("it does not say where its data is")),
        false => Ok(reference),
    }
}
