//! Which volumes a disk has: its GPT or MBR, or none, in which case the whole disk is one volume.
//!
//! The table is read by `disk-partitions`, the parser that the driver's other users have, too; this module
//! gives its partitions the form that the disk's devices need. Numbers are Linux's: a GPT entry's index from
//! 1, 1 to 4 for primary and 5 upwards for logical partitions.

use super::image::Image;
use disk_partitions::{PartitionId, PartitionType, Scheme};
use fs_probe::{ReadAt, ReadError};

/// What the partition table says a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionKind {
    /// The system byte of an MBR entry: 0x83 is Linux.
    Mbr(u8),
    /// Type and unique GUID of a GPT entry.
    Gpt {
        /// Partition type GUID, on-disk byte order.
        type_guid: [u8; 16],
        /// Unique partition GUID, on-disk byte order.
        unique_guid: [u8; 16],
    },
}

/// One partition; `start` and `len` are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number from 1, as Linux counts.
    pub number: u32,
    /// Byte offset on the disk.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// What the table says about it.
    pub kind: PartitionKind,
}

/// The partition style of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// No partition table: the disk is one volume.
    Whole,
    /// Master boot record with its disk signature.
    Mbr(u32, Vec<Partition>),
    /// GUID partition table.
    Gpt(Vec<Partition>),
}

impl ReadAt for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        Image::read_at(self, buffer, offset).map_err(|_| ReadError)
    }
}

impl Layout {
    /// Reads the table of `image`.
    pub fn read(image: &Image) -> Layout {
        let Some(table) = disk_partitions::find(image, image.size(), image.sector()) else {
            return Layout::Whole;
        };
        let mut signature = 0;
        let partitions: Vec<Partition> = table
            .partitions
            .iter()
            .map(|partition| {
                let unique_guid = match partition.id {
                    Some(PartitionId::Gpt(guid)) => guid.0,
                    Some(PartitionId::Mbr(disk, _)) => {
                        signature = disk;
                        [0; 16]
                    }
                    None => [0; 16],
                };
                let kind = match partition.kind {
                    PartitionType::Mbr(system) => PartitionKind::Mbr(system),
                    PartitionType::Gpt(guid) => PartitionKind::Gpt {
                        type_guid: guid.0,
                        unique_guid,
                    },
                };
                Partition {
                    number: partition.index,
                    start: partition.offset,
                    len: partition.size_bytes,
                    kind,
                }
            })
            .collect();
        match table.scheme {
            _ if partitions.is_empty() => Layout::Whole,
            Scheme::Mbr => Layout::Mbr(signature, partitions),
            Scheme::Gpt => Layout::Gpt(partitions),
        }
    }

    /// The partitions, in the order of their numbers.
    pub fn partitions(&self) -> &[Partition] {
        match self {
            Layout::Whole => &[],
            Layout::Mbr(_, partitions) | Layout::Gpt(partitions) => partitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn image(bytes: &[u8], name: &str) -> Image {
        let path = std::env::temp_dir().join(format!("ntos-layout-{}-{name}", std::process::id()));
        std::fs::File::create(&path)
            .and_then(|mut file| file.write_all(bytes))
            .expect("write image");
        let image = Image::open(&path, 512).expect("open image");
        std::fs::remove_file(&path).expect("remove image");
        image
    }

    fn mbr_entry(active: u8, system: u8, start: u32, sectors: u32) -> [u8; 16] {
        let mut entry = [0; 16];
        entry[0] = active;
        entry[4] = system;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
        entry
    }

    #[test]
    fn zeroes_are_one_volume() {
        assert_eq!(Layout::read(&image(&vec![0; 1 << 20], "zero")), Layout::Whole);
    }

    #[test]
    fn primary_partitions_keep_their_numbers() {
        let mut bytes = vec![0; 1 << 20];
        bytes[440..444].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
        bytes[446..462].copy_from_slice(&mbr_entry(0x80, 0x83, 64, 64));
        bytes[478..494].copy_from_slice(&mbr_entry(0, 0x07, 512, 100));
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        let layout = Layout::read(&image(&bytes, "mbr"));
        let found: Vec<_> = layout
            .partitions()
            .iter()
            .map(|p| (p.number, p.start, p.len))
            .collect();
        assert_eq!(found, [(1, 64 * 512, 64 * 512), (3, 512 * 512, 100 * 512)]);
        assert!(matches!(layout, Layout::Mbr(0x1234_5678, _)));
    }

    #[test]
    fn a_gpt_is_preferred_to_its_protective_mbr() {
        let mut disk = std::io::Cursor::new(vec![0_u8; 1 << 20]);
        let mut gpt = gptman::GPT::new_from(&mut disk, 512, [7; 16]).expect("new table");
        gpt[2] = gptman::GPTPartitionEntry {
            partition_type_guid: [1; 16],
            unique_partition_guid: [2; 16],
            starting_lba: 128,
            ending_lba: 255,
            attribute_bits: 0,
            partition_name: "linux".into(),
        };
        gpt.write_into(&mut disk).expect("write table");
        gptman::GPT::write_protective_mbr_into(&mut disk, 512).expect("write protective MBR");
        let layout = Layout::read(&image(disk.get_ref(), "gpt"));
        assert!(matches!(layout, Layout::Gpt(_)));
        let found: Vec<_> = layout
            .partitions()
            .iter()
            .map(|p| (p.number, p.start, p.len))
            .collect();
        assert_eq!(found, [(2, 128 * 512, 128 * 512)]);
    }

    #[test]
    fn reads_stay_on_the_disk() {
        let image = image(&[9; 1300], "short");
        assert_eq!(image.size(), 1024, "a partial sector does not exist");
        let mut sector = [0; 512];
        assert!(image.read_at(&mut sector, 512).is_ok());
        assert!(image.read_at(&mut sector, 1024).is_err());
        assert!(image.read_at(&mut sector, u64::MAX).is_err());
    }
}
