//! Partition tables for people: `disk_partitions` finds them, this reads an image for it and gives their types names.
//!
//! An image may be hostile; that is the business of `disk_partitions`, which the driver's own tests use too.

use std::cell::RefCell;
use std::io;

use disk_partitions::{PartitionType, Table};
use fs_probe::{ReadAt, ReadError};

use crate::image::Image;

/// The partition table of an image; `Ok(None)`: it has none. An error when there may be one that cannot be read.
pub fn table(image: &Image) -> io::Result<Option<Table>> {
    let disk = Disk {
        image,
        failure: RefCell::new(None),
    };
    // An image has no sector size of its own; a GPT made for 4096 bytes is found with this one, too.
    let table = disk_partitions::find(&disk, image.size, 512);
    match (table, disk.failure.into_inner()) {
        // What could be read was enough: the second copy of a GPT serves for that.
        (Some(table), _) => Ok(Some(table)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// An image that remembers the first error of the disk below it.
struct Disk<'a> {
    image: &'a Image,
    failure: RefCell<Option<io::Error>>,
}

impl ReadAt for Disk<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        match self.image.read_at(buffer, offset) {
            Ok(()) => Ok(()),
            // A table that points beyond the end makes no sense; that is no fault of the disk.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Err(ReadError)
            }
        }
    }
}

/// The name of a partition's type, of those that one meets; others are written out.
pub fn type_name(kind: PartitionType) -> String {
    let text = kind.to_string();
    let name = match (kind, text.as_str()) {
        (PartitionType::Mbr(kind), _) => mbr_name(kind),
        (PartitionType::Gpt(_), guid) => guid_name(guid),
    };
    name.map_or(text, str::to_owned)
}

fn mbr_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e => "FAT",
        0x07 => "NTFS/exFAT",
        0x27 => "Windows recovery",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xa5 => "FreeBSD",
        0xaf => "HFS/HFS+",
        0xee => "GPT protective",
        0xef => "EFI system",
        0xfd => "Linux RAID",
        _ => return None,
    })
}

fn guid_name(guid: &str) -> Option<&'static str> {
    Some(match guid {
        "0fc63daf-8483-4772-8e79-3d69d8477de4" => "Linux",
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" => "Linux root (x86-64)",
        "933ac7e1-2eb4-4f13-b844-0e14e2aef915" => "Linux home",
        "bc13c2ff-59e6-4262-a352-b275fd6f7172" => "Linux boot",
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" => "Linux swap",
        "e6d6d379-f507-44c2-a23c-238f2a3df928" => "Linux LVM",
        "a19d880f-05fc-4d3b-a006-743f0f84911e" => "Linux RAID",
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" => "EFI system",
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" => "Windows data",
        "e3c9e316-0b5c-4db8-817d-f92df00215ae" => "Windows reserved",
        "de94bba4-06d1-4d40-a16a-bfd50179d6ac" => "Windows recovery",
        "21686148-6449-6e6f-744e-656564454649" => "BIOS boot",
        "48465300-0000-11aa-aa11-00306543ecac" => "HFS+",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk_partitions::{Guid, Scheme};

    #[test]
    fn types_have_names_or_are_written_out() {
        let linux = *b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4";
        assert_eq!(type_name(PartitionType::Gpt(Guid(linux))), "Linux");
        let odd = type_name(PartitionType::Gpt(Guid([0x11; 16])));
        assert_eq!(odd, "11111111-1111-1111-1111-111111111111");
        assert_eq!(type_name(PartitionType::Mbr(0x83)), "Linux");
        assert_eq!(type_name(PartitionType::Mbr(0x99)), "0x99");
    }

    #[test]
    fn an_image_is_read_to_its_end_and_no_further() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("disk.img");
        let mut disk = vec![0u8; 512 * 40];
        // One partition of 40 sectors from sector 8 on: the image was cut off in it; and an extended one beyond its end.
        disk[446 + 4] = 0x83;
        disk[446 + 8] = 8;
        disk[446 + 12] = 40;
        disk[462 + 4] = 5;
        disk[462 + 8] = 200;
        disk[462 + 12] = 40;
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(&path, &disk).unwrap();
        let found = table(&Image::open(&path).unwrap()).unwrap().unwrap();
        assert_eq!(found.scheme, Scheme::Mbr);
        let [only] = &found.partitions[..] else {
            panic!("{found:?}")
        };
        assert_eq!(
            (only.offset, only.size_bytes, only.missing_bytes),
            (8 * 512, 32 * 512, 8 * 512)
        );
        std::fs::write(&path, [0; 700]).unwrap();
        assert_eq!(table(&Image::open(&path).unwrap()).unwrap(), None);
    }
}
