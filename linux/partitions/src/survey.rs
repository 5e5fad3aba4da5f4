//! What a disk holds, part by part, and which part is meant when none is named. The driver and `userctl` both ask here, so
//! that they choose alike.
//!
//! A part is a partition, or the whole disk, whose number is 0. Of the parts with a file system that Linux can read the best
//! is meant: the one that comes first in this table, of several the largest, of equals the one with the lowest number.
//!
//! | order | part |
//! |---|---|
//! | 1 | the whole disk, if it is an ISO 9660 or UDF disc: partitions of a *hybrid* disc are for booting only |
//! | 2 | a file system of Linux's on a partition whose type says that it is a root |
//! | 3 | any other file system of Linux's, but those of 4 |
//! | 4 | those whose type says that they are something beside the root: home, /usr, /var, /srv, /tmp, /boot |
//! | 5 | other file systems that are not there for booting |
//! | 6 | FAT |
//! | 7 | partitions of the system's own: EFI, recovery, BIOS boot |
//! | 8 | the whole disk although it has a partition table: what is left of a file system from before |
//!
//! A disc's descriptors may be left over, too: a stick that held a disc and was partitioned since keeps them before its first
//! partition. So when a file system of Linux's is on a partition inside of what the disc says that it occupies, the disc
//! is not there any more.
//!
//! A disk without a table whose file system says that it is longer than the disk was cut off: such a part has what is
//! missing in its size, as a partition that was cut off has. What is there can be read.

use crate::{Guid, Partition, PartitionType, Table, find};
use alloc::vec::Vec;
use fs_probe::{Kind, ReadAt, ReadError, Superblock, probe};

/// A part of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The partition's number; 0 for the whole disk.
    pub number: u32,
    /// Bytes from the start of the disk to its own.
    pub offset: u64,
    /// Bytes, as the table, or the file system, says.
    pub size_bytes: u64,
    /// How many of them the disk does not have.
    pub missing_bytes: u64,
    /// The file system that is recognised.
    pub superblock: Option<Superblock>,
    purpose: Purpose,
}

impl Part {
    /// Bytes that are there.
    pub fn present_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.missing_bytes)
    }

    /// Whether there is a file system that Linux can read.
    pub fn is_readable(&self) -> bool {
        let kind = self.superblock.as_ref().map(|superblock| superblock.kind);
        kind.is_some_and(|kind| !matches!(kind, Kind::Bcachefs | Kind::Reiserfs))
    }

    /// The same as something to read.
    pub fn view<'d, D: ?Sized>(&self, disk: &'d D) -> View<'d, D> {
        View {
            disk,
            offset: self.offset,
            size: self.present_bytes(),
        }
    }

    fn kind(&self) -> Option<Kind> {
        self.superblock.as_ref().map(|superblock| superblock.kind)
    }
}

/// A range of a disk, read as a volume.
#[derive(Debug)]
pub struct View<'d, D: ?Sized> {
    disk: &'d D,
    offset: u64,
    size: u64,
}

impl<D: ReadAt + ?Sized> ReadAt for View<'_, D> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length = u64::try_from(buffer.len()).map_err(|_| ReadError)?;
        let end = offset.checked_add(length).ok_or(ReadError)?;
        if end > self.size {
            return Err(ReadError);
        }
        self.disk
            .read_at(self.offset.checked_add(offset).ok_or(ReadError)?, buffer)
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }
}

/// A partition as something to read.
pub(crate) fn view<'d, D: ?Sized>(disk: &'d D, partition: &Partition) -> View<'d, D> {
    View {
        disk,
        offset: partition.offset,
        size: partition.size_bytes,
    }
}

/// What a partition's type says that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Root,
    Any,
    BesideRoot,
    System,
}

/// What a disk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Its partition table.
    pub table: Option<Table>,
    /// The whole disk.
    pub whole: Part,
    /// The partitions, in the order of their numbers.
    pub partitions: Vec<Part>,
}

impl Survey {
    /// Looks at a disk of `size_bytes` bytes; `sector_size` as for [`find`]. `None` for lack of memory.
    pub fn take(disk: &(impl ReadAt + ?Sized), size_bytes: u64, sector_size: u32) -> Option<Survey> {
        let table = find(disk, size_bytes, sector_size);
        let mut partitions = Vec::new();
        if let Some(table) = &table {
            partitions.try_reserve_exact(table.partitions.len()).ok()?;
            partitions.extend(table.partitions.iter().map(|partition| look(disk, partition)));
        }
        Some(Survey {
            whole: whole(disk, size_bytes, table.is_some()),
            table,
            partitions,
        })
    }

    /// The part with this number; 0 is the whole disk.
    pub fn part(&self, number: u32) -> Option<&Part> {
        match number {
            0 => Some(&self.whole),
            number => self.partitions.iter().find(|part| part.number == number),
        }
    }

    /// The part that is meant when none is named; `None` when no file system is recognised that Linux can read.
    pub fn preferred(&self) -> Option<&Part> {
        let parts = core::iter::once(&self.whole).chain(&self.partitions);
        let mut best: Option<(&Part, (u8, u64))> = None;
        for part in parts.filter(|part| part.is_readable()) {
            let merit = (self.class(part), part.size_bytes);
            if best.is_none_or(|(_, most)| merit > most) {
                best = Some((part, merit));
            }
        }
        best.map(|(part, _)| part)
    }

    /// The partitions that could be read as well as this part, but those for booting.
    pub fn others(&self, part: &Part) -> impl Iterator<Item = &Part> {
        let number = part.number;
        let others = self.partitions.iter().filter(move |other| other.number != number);
        others.filter(|other| other.is_readable() && other.purpose != Purpose::System)
    }

    /// How much somebody wants a part: the rows of the table above, the best highest.
    fn class(&self, part: &Part) -> u8 {
        let whole = part.number == 0 && !self.partitions.is_empty();
        match (part.kind(), part.purpose) {
            (Some(Kind::Iso9660 | Kind::Udf), _) if whole && !self.is_overwritten(part) => 8,
            _ if whole => 1,
            (_, Purpose::System) => 2,
            (Some(kind), Purpose::Root) if is_linux(kind) => 7,
            (Some(kind), Purpose::BesideRoot) if is_linux(kind) => 5,
            (Some(kind), _) if is_linux(kind) => 6,
            (Some(Kind::Vfat), _) => 3,
            _ => 4,
        }
    }

    /// Whether a file system of Linux's has the place of a disc.
    fn is_overwritten(&self, disc: &Part) -> bool {
        let occupied = disc
            .superblock
            .as_ref()
            .and_then(|superblock| superblock.size_bytes);
        self.partitions.iter().any(|part| {
            part.kind().is_some_and(is_linux) && occupied.is_none_or(|occupied| part.offset < occupied)
        })
    }
}

/// Why there is no part to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchosen {
    /// There is no such partition.
    NoSuchPartition,
    /// No file system is recognised that Linux can read.
    NothingReadable,
    /// Memory is short.
    NoMemory,
}

/// The part of a disk that is to be read: the one with this number, whatever is on it, or else the preferred one, or else a
/// whole disk that has no table, if what is on it need not be recognised (`named`).
pub fn choose(
    disk: &(impl ReadAt + ?Sized),
    size_bytes: u64,
    sector_size: u32,
    number: Option<u32>,
    named: bool,
) -> Result<Part, Unchosen> {
    match number {
        Some(0) => {
            let table = find(disk, size_bytes, sector_size);
            Ok(whole(disk, size_bytes, table.is_some()))
        }
        Some(number) => {
            let table = find(disk, size_bytes, sector_size).ok_or(Unchosen::NoSuchPartition)?;
            let mut partitions = table.partitions.iter();
            let partition = partitions.find(|partition| partition.index == number);
            Ok(look(disk, partition.ok_or(Unchosen::NoSuchPartition)?))
        }
        None => {
            let survey = Survey::take(disk, size_bytes, sector_size).ok_or(Unchosen::NoMemory)?;
            match survey.preferred() {
                Some(part) => Ok(part.clone()),
                None if named && survey.partitions.is_empty() => Ok(survey.whole),
                None => Err(Unchosen::NothingReadable),
            }
        }
    }
}

fn look(disk: &(impl ReadAt + ?Sized), partition: &Partition) -> Part {
    let mut part = Part {
        number: partition.index,
        offset: partition.offset,
        size_bytes: partition.size_bytes.saturating_add(partition.missing_bytes),
        missing_bytes: partition.missing_bytes,
        superblock: None,
        purpose: purpose(partition.kind),
    };
    part.superblock = probe(&part.view(disk));
    part
}

/// Sizes of disks end with a whole block of this many bytes.
const BLOCK: u64 = 4096;
/// What says that it is longer than this was not cut off: it is damaged.
const LARGEST: u64 = 1 << 50;

fn whole(disk: &(impl ReadAt + ?Sized), size_bytes: u64, has_table: bool) -> Part {
    let mut part = Part {
        number: 0,
        offset: 0,
        size_bytes,
        missing_bytes: 0,
        superblock: None,
        purpose: Purpose::Any,
    };
    part.superblock = probe(&part.view(disk));
    let claimed = part
        .superblock
        .as_ref()
        .and_then(|superblock| superblock.size_bytes);
    let cut = claimed
        .filter(|claimed| !has_table && *claimed > size_bytes && *claimed <= LARGEST)
        .and_then(|claimed| claimed.checked_next_multiple_of(BLOCK));
    if let Some(claimed) = cut {
        part.size_bytes = claimed;
        part.missing_bytes = claimed.saturating_sub(size_bytes);
    }
    part
}

/// What grew up with Linux, and is what one looks for on its disks.
const fn is_linux(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Ext2
            | Kind::Ext3
            | Kind::Ext4
            | Kind::Btrfs
            | Kind::Xfs
            | Kind::F2fs
            | Kind::Jfs
            | Kind::Nilfs2
            | Kind::Squashfs
            | Kind::Erofs
            | Kind::Cramfs
            | Kind::Romfs
            | Kind::Minix
            | Kind::Bcachefs
            | Kind::Reiserfs
    )
}

/// A GUID from its text's numbers.
const fn guid(first: u32, second: u16, third: u16, rest: u64) -> Guid {
    let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = rest.to_be_bytes();
    Guid([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

/// Types of root partitions, one for each processor (the Discoverable Partitions Specification).
const ROOTS: [Guid; 10] = [
    guid(0x4f68_bce3, 0xe8cd, 0x4db1, 0x96e7_fbca_f984_b709), // x86-64
    guid(0x4447_9540, 0xf297, 0x41b2, 0x9af7_d131_d5f0_458a), // x86
    guid(0xb921_b045, 0x1df0, 0x41c3, 0xaf44_4c6f_280d_3fae), // arm64
    guid(0x69da_d710, 0x2ce4, 0x4e3c, 0xb16c_21a1_d49a_bed3), // arm
    guid(0x72ec_70a6, 0xcf74, 0x40e6, 0xbd49_4bda_08e8_f224), // riscv64
    guid(0x60d5_a7fe, 0x8e7d, 0x435c, 0xb714_3dd8_1621_44e1), // riscv32
    guid(0xc31c_45e6, 0x3f39, 0x412e, 0x80fb_4809_c498_0599), // ppc64le
    guid(0x5eea_d9a9, 0xfe09, 0x4a1e, 0xa1d7_520d_0053_1306), // s390x
    guid(0x7705_5800, 0x792c, 0x4f94, 0xb39a_98c9_1b76_2bb6), // loongarch64
    guid(0x993d_8d3d, 0xf80e, 0x4225, 0x855a_9daf_8ed7_ea97), // ia64
];

/// Types of partitions that are mounted below the root (as above).
const BESIDE_ROOT: [Guid; 8] = [
    guid(0x933a_c7e1, 0x2eb4, 0x4f13, 0xb844_0e14_e2ae_f915), // /home
    guid(0x773f_91ef, 0x66d4, 0x49b5, 0xbd83_d683_bf40_ad16), // a user's home
    guid(0x3b8f_8425, 0x20e0, 0x4f3b, 0x907f_1a25_a76f_98e8), // /srv
    guid(0x4d21_b016, 0xb534, 0x45c2, 0xa9fb_5c16_e091_fd2d), // /var
    guid(0x7ec6_f557, 0x3bc5, 0x4aca, 0xb293_16ef_5df6_39d1), // /var/tmp
    guid(0xbc13_c2ff, 0x59e6, 0x4262, 0xa352_b275_fd6f_7172), // /boot
    guid(0x8484_680c, 0x9521, 0x48c6, 0x9c11_b072_0656_f69e), // /usr, x86-64
    guid(0xb0e0_1050, 0xee5f, 0x4390, 0x949a_9101_b171_04e9), // /usr, arm64
];

/// Types of partitions for booting and repairing.
const SYSTEM: [Guid; 4] = [
    guid(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b), // EFI
    guid(0x2168_6148, 0x6449, 0x6e6f, 0x744e_6565_6445_4649), // BIOS boot
    guid(0xe3c9_e316, 0x0b5c, 0x4db8, 0x817d_f92d_f002_15ae), // Windows, reserved
    guid(0xde94_bba4, 0x06d1, 0x4d40, 0xa16a_bfd5_0179_d6ac), // Windows, recovery
];

fn purpose(kind: PartitionType) -> Purpose {
    match kind {
        PartitionType::Mbr(0xef | 0x27 | 0x12) => Purpose::System,
        PartitionType::Mbr(_) => Purpose::Any,
        PartitionType::Gpt(guid) if ROOTS.contains(&guid) => Purpose::Root,
        PartitionType::Gpt(guid) if BESIDE_ROOT.contains(&guid) => Purpose::BesideRoot,
        PartitionType::Gpt(guid) if SYSTEM.contains(&guid) => Purpose::System,
        PartitionType::Gpt(_) => Purpose::Any,
    }
}
