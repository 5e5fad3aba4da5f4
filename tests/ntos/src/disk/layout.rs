//! Which volumes a disk has: its GPT or MBR, or none, in which case the whole disk is one volume.
//!
//! Partition numbers are those that Linux and userctl use: the entry's index from 1 in a GPT, 1 to 4 for primary and 5 upwards for
//! logical partitions in an MBR. A table is believed only when its partitions lie on the disk, are not empty and do not
//! overlap, because the boot sector of a FAT or NTFS volume ends like an MBR and has code where the entries would be.

use super::image::Image;

/// What the partition table says a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionKind {
    /// The system byte of an MBR entry, and whether it is marked active.
    Mbr {
        /// The system byte: 0x83 is Linux.
        system: u8,
        /// The boot indicator.
        active: bool,
    },
    /// Type and unique GUID of a GPT entry, as stored.
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

/// The partition style of a disk and its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// No table that can be believed: the disk is one volume.
    Whole,
    /// Master boot record with its disk signature.
    Mbr(u32, Vec<Partition>),
    /// GUID partition table with its disk GUID.
    Gpt([u8; 16], Vec<Partition>),
}

impl Layout {
    /// Reads the table of `image`.
    pub fn read(image: &Image) -> Layout {
        if let Ok(gpt) = gptman::GPT::read_from(&mut image.cursor(), u64::from(image.sector())) {
            let partitions = gpt
                .iter()
                .filter(|(_, entry)| entry.is_used())
                .filter_map(|(number, entry)| {
                    let sector = u64::from(image.sector());
                    let count = entry.ending_lba.checked_sub(entry.starting_lba)?.checked_add(1)?;
                    Some(Partition {
                        number,
                        start: entry.starting_lba.checked_mul(sector)?,
                        len: count.checked_mul(sector)?,
                        kind: PartitionKind::Gpt {
                            type_guid: entry.partition_type_guid,
                            unique_guid: entry.unique_partition_guid,
                        },
                    })
                })
                .collect();
            return believed(image, partitions)
                .map_or(Layout::Whole, |partitions| Layout::Gpt(gpt.header.disk_guid, partitions));
        }
        let Ok(mbr) = mbrman::MBR::read_from(&mut image.cursor(), image.sector()) else {
            return Layout::Whole;
        };
        let sector = u64::from(image.sector());
        let partitions = mbr
            .iter()
            .filter(|(_, entry)| entry.is_used() && !entry.is_extended())
            .map(|(number, entry)| Partition {
                number: number as u32,
                start: u64::from(entry.starting_lba) * sector,
                len: u64::from(entry.sectors) * sector,
                kind: PartitionKind::Mbr { system: entry.sys, active: entry.is_active() },
            })
            .collect();
        let signature = u32::from_le_bytes(mbr.header.disk_signature);
        believed(image, partitions).map_or(Layout::Whole, |partitions| Layout::Mbr(signature, partitions))
    }

    /// The partitions, in the order of their numbers.
    pub fn partitions(&self) -> &[Partition] {
        match self {
            Layout::Whole => &[],
            Layout::Mbr(_, partitions) | Layout::Gpt(_, partitions) => partitions,
        }
    }
}

/// `partitions` when there is one and each lies on the disk, apart from the others.
fn believed(image: &Image, mut partitions: Vec<Partition>) -> Option<Vec<Partition>> {
    partitions.sort_by_key(|partition| partition.start);
    let mut end = 0;
    for partition in &partitions {
        let last = partition.start.checked_add(partition.len)?;
        if partition.len == 0 || partition.start < end || last > image.size() {
            return None;
        }
        end = last;
    }
    partitions.sort_by_key(|partition| partition.number);
    (!partitions.is_empty()).then_some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn image(bytes: &[u8], name: &str) -> Image {
        let path = std::env::temp_dir().join(format!("ntos-layout-{}-{name}", std::process::id()));
        std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("write image");
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
        let found: Vec<_> = layout.partitions().iter().map(|p| (p.number, p.start, p.len)).collect();
        assert_eq!(found, [(1, 64 * 512, 64 * 512), (3, 512 * 512, 100 * 512)]);
        assert!(matches!(layout, Layout::Mbr(0x1234_5678, _)));
    }

    #[test]
    fn a_table_that_leaves_the_disk_or_overlaps_is_not_believed() {
        for (name, second) in [("long", mbr_entry(0, 0x83, 1024, 4096)), ("overlap", mbr_entry(0, 0x83, 100, 64))] {
            let mut bytes = vec![0; 1 << 20];
            bytes[446..462].copy_from_slice(&mbr_entry(0, 0x83, 64, 64));
            bytes[462..478].copy_from_slice(&second);
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            assert_eq!(Layout::read(&image(&bytes, name)), Layout::Whole, "{name}");
        }
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
        assert!(matches!(layout, Layout::Gpt([7, ..], _)));
        let found: Vec<_> = layout.partitions().iter().map(|p| (p.number, p.start, p.len)).collect();
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
