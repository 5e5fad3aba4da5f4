//! Finds the partitions of a disk: MBR with logical drives, and GPT. [`Survey`] looks at what they hold, and [`choose`]
//! says which of them is meant when none is named.
//!
//! [`find`] reads a table and returns its partitions as ranges of bytes, in the numbering that Linux uses (1..=4
//! primary, 5 and up logical). Like `fs-probe`, it believes nothing that it reads: the published crates that write such
//! tables (gptman, mbrman, which the tests use to make them) assert, overflow or allocate without bound on a table
//! that was made to harm, and this one runs on sticks from strangers. So every sum is checked, the chain of logical
//! drives has an end, and a GPT counts only if its checksums are right.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

extern crate alloc;

mod gpt;
mod mbr;
mod survey;

pub use survey::{Part, Survey, Unchosen, View, choose};

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use fs_probe::{Kind, ReadAt};

/// Which kind of table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Master boot record.
    Mbr,
    /// GUID partition table.
    Gpt,
}

impl Scheme {
    /// `"mbr"` or `"gpt"`.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Mbr => "mbr",
            Scheme::Gpt => "gpt",
        }
    }
}

/// A GUID as it is on disk: the first three fields are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        let (first, second, third) = (
            u32::from_le_bytes([a, b, c, d]),
            u16::from_le_bytes([e, g]),
            u16::from_le_bytes([h, i]),
        );
        write!(f, "{first:08x}-{second:04x}-{third:04x}-")?;
        for (index, byte) in rest.iter().enumerate() {
            if index == 2 {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a partition says that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionType {
    /// The byte of an MBR entry, as in 0x83.
    Mbr(u8),
    /// The type GUID of a GPT entry.
    Gpt(Guid),
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionType::Mbr(byte) => write!(f, "0x{byte:02x}"),
            PartitionType::Gpt(guid) => guid.fmt(f),
        }
    }
}

/// What tells a partition from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionId {
    /// An MBR has the disk's signature and the partition's number.
    Mbr(u32, u32),
    /// A GPT entry's own GUID.
    Gpt(Guid),
}

impl fmt::Display for PartitionId {
    /// As `blkid` prints PARTUUID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionId::Mbr(signature, index) => write!(f, "{signature:08x}-{index:02x}"),
            PartitionId::Gpt(guid) => guid.fmt(f),
        }
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, as in Linux's device names: from 1.
    pub index: u32,
    /// Bytes from the start of the disk to its own.
    pub offset: u64,
    /// Bytes. At least one sector, and all inside the disk.
    pub size_bytes: u64,
    /// Bytes that the table says are there and the disk does not have: not 0 for an image that was cut off.
    pub missing_bytes: u64,
    /// What it says that it is for.
    pub kind: PartitionType,
    /// Its name (GPT only); empty for none.
    pub label: String,
    /// Its identity; `None` for an MBR without signature.
    pub id: Option<PartitionId>,
}

/// A table of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which kind of table it is.
    pub scheme: Scheme,
    /// Bytes of the sectors that it counts in.
    pub sector_size: u32,
    /// The partitions in the order of their numbers. Extended partitions, which only hold others, are not among them.
    pub partitions: Vec<Partition>,
}

/// Finds the partition table of a disk of `size_bytes` bytes; `None` when it has none, as when a file system begins at
/// its start. `sector_size` is the disk's logical block size; for an image file, which has none, use 512: a table made for
/// sectors of 4096 bytes is then found, too. A GPT says by its place which it is made for. An MBR does not: the size is
/// taken with which something known is at the start of a partition.
pub fn find(disk: &(impl ReadAt + ?Sized), size_bytes: u64, sector_size: u32) -> Option<Table> {
    if sector_size < 512 || !sector_size.is_power_of_two() {
        return None;
    }
    let mut first = [0u8; 512];
    disk.read_at(0, &mut first).ok()?;
    let master = mbr::Master::parse(&first);
    // A GPT without a protective MBR does not count: what is there is a leftover.
    if master.as_ref().is_some_and(mbr::Master::is_protective) {
        let sizes = [sector_size, 512, 4096];
        return sizes
            .into_iter()
            .find_map(|size| gpt::read(disk, size_bytes, size));
    }
    let master = master?;
    // The boot sectors of these end like an MBR, and their code can look like entries. But one may be left over, with a
    // table in it since.
    let kind = fs_probe::probe(disk).map(|superblock| superblock.kind);
    let doubtful = matches!(kind, Some(Kind::Vfat | Kind::Exfat | Kind::Ntfs));
    let mut first_found = None;
    for size in [sector_size, 512, 4096] {
        if doubtful && !master.is_orderly(size_bytes, size) {
            continue;
        }
        let table = mbr::read(disk, &master, size_bytes, size);
        let known = |table: &Table| table.partitions.iter().any(|partition| is_known(disk, partition));
        if table.as_ref().is_some_and(known) {
            return table;
        }
        first_found = first_found.or(table);
    }
    first_found
}

/// Whether a partition begins with anything that has a name.
fn is_known(disk: &(impl ReadAt + ?Sized), partition: &Partition) -> bool {
    let view = survey::view(disk, partition);
    fs_probe::probe(&view).is_some() || fs_probe::signature::name(&view, partition.size_bytes).is_some()
}

/// Where a partition lies, in bytes.
struct Range {
    offset: u64,
    size: u64,
    missing: u64,
}

/// A range of sectors in bytes, if it is not empty and inside the disk. A partition that begins inside and ends beyond
/// is cut, as Linux does: images are sometimes shorter than their disk was.
fn range(start: u64, sectors: u64, sector_size: u32, size_bytes: u64) -> Option<Range> {
    let unit = u64::from(sector_size);
    let offset = start.checked_mul(unit)?;
    let left = size_bytes.checked_sub(offset)?;
    let left = left.checked_sub(left.checked_rem(unit)?)?;
    let asked = sectors.checked_mul(unit)?;
    let size = asked.min(left);
    let missing = asked.checked_sub(size)?;
    (start != 0 && size != 0).then_some(Range {
        offset,
        size,
        missing,
    })
}
