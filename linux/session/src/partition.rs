//! Partition tables for people: `disk_partitions` finds them, this reads an image for it and gives their types names.
//!
//! An image may be hostile; that is the business of `disk_partitions`, which the driver has, too.

use std::cell::RefCell;
use std::io;

use disk_partitions::{Part, PartitionType, Survey};
use fs_probe::{ReadAt, ReadError};

use crate::image::Image;
use crate::program::Program;

/// What an image holds. An error when there may be something that cannot be read.
pub fn survey(image: &Image) -> io::Result<Survey> {
    let disk = Disk::new(image);
    // A plain image has no sector size of its own; a table made for 4096 bytes is found with this one, too.
    let survey = Survey::take(&disk, image.size, image.sector_size.unwrap_or(512))
        .ok_or(io::ErrorKind::OutOfMemory)?;
    match (survey.table.is_none(), disk.failure.into_inner()) {
        // What could be read was enough: the second copy of a GPT serves for that.
        (false, _) | (true, None) => Ok(survey),
        (true, Some(error)) => Err(error),
    }
}

/// For somebody who has not said which part of an image is meant, and is given this one: what else could be read.
pub fn others(program: &Program, survey: &Survey, part: &Part) -> Option<String> {
    let others: Vec<String> = survey
        .others(part)
        .map(|other| {
            let kind = other
                .superblock
                .as_ref()
                .map_or("", |superblock| superblock.kind.name());
            format!("{} ({kind})", other.number)
        })
        .collect();
    let this = match part.number {
        0 => "the whole disk".to_string(),
        number => format!("partition {number}"),
    };
    let others = (!others.is_empty()).then(|| others.join(", "))?;
    let option = program.part;
    Some(format!("{this} is read; {option} reads another one: {others}"))
}

/// An image that remembers the first error of the disk below it.
#[derive(Debug)]
pub struct Disk<'a> {
    image: &'a Image,
    failure: RefCell<Option<io::Error>>,
}

impl<'a> Disk<'a> {
    /// Over an open image.
    pub fn new(image: &'a Image) -> Disk<'a> {
        Disk {
            image,
            failure: RefCell::new(None),
        }
    }
}

impl ReadAt for Disk<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let read = self.image.read_at(buffer, offset);
        crate::watchdog::progress();
        match read {
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
        0x07 => "NTFS/exFAT/HPFS",
        0x11 | 0x14 | 0x16 | 0x1b | 0x1c | 0x1e => "hidden FAT",
        0x12 => "recovery",
        0x17 => "hidden NTFS/exFAT",
        0x27 => "Windows recovery",
        0x42 => "Windows dynamic disk",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xa5 => "FreeBSD",
        0xa6 => "OpenBSD",
        0xa8 => "Apple UFS",
        0xa9 => "NetBSD",
        0xaf => "HFS/HFS+",
        0xbf => "Solaris",
        0xda => "data",
        0xea => "Linux boot",
        0xeb => "BeOS",
        0xee => "GPT protective",
        0xe8 => "LUKS",
        0xef => "EFI system",
        0xfb => "VMware VMFS",
        0xfc => "VMware swap",
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
        "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3" => "Windows dynamic disk, table",
        "af9b60a0-1431-4f62-bc68-3311714a69ad" => "Windows dynamic disk",
        "e75caf8f-f680-4cee-afa3-b001e56efc2d" => "Windows Storage Spaces",
        "44479540-f297-41b2-9af7-d131d5f0458a" => "Linux root (x86)",
        "b921b045-1df0-41c3-af44-4c6f280d3fae" => "Linux root (arm64)",
        "69dad710-2ce4-4e3c-b16c-21a1d49abed3" => "Linux root (arm)",
        "8484680c-9521-48c6-9c11-b0720656f69e" => "Linux /usr (x86-64)",
        "3b8f8425-20e0-4f3b-907f-1a25a76f98e8" => "Linux /srv",
        "4d21b016-b534-45c2-a9fb-5c16e091fd2d" => "Linux /var",
        "7ec6f557-3bc5-4aca-b293-16ef5df639d1" => "Linux /var/tmp",
        "773f91ef-66d4-49b5-bd83-d683bf40ad16" => "Linux user's home",
        "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5" => "dm-verity (x86-64)",
        "ca7d7ccb-63ed-4c53-861c-1742536059cc" => "LUKS",
        "7ffec5c9-2d00-49b7-8941-3ea10a5586b7" => "dm-crypt",
        "516e7cb4-6ecf-11d6-8ff8-00022d09712b" => "FreeBSD",
        "516e7cb5-6ecf-11d6-8ff8-00022d09712b" => "FreeBSD swap",
        "516e7cb6-6ecf-11d6-8ff8-00022d09712b" => "FreeBSD UFS",
        "516e7cba-6ecf-11d6-8ff8-00022d09712b" => "FreeBSD ZFS",
        "6a898cc3-1dd2-11b2-99a6-080020736631" => "ZFS",
        "7c3457ef-0000-11aa-aa11-00306543ecac" => "APFS",
        "53746f72-6167-11aa-aa11-00306543ecac" => "Apple CoreStorage",
        "426f6f74-0000-11aa-aa11-00306543ecac" => "Apple boot",
        "aa31e02a-400f-11db-9590-000c2911d1b8" => "VMware VMFS",
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
        let found = survey(&Image::open(&path).unwrap()).unwrap().table.unwrap();
        assert_eq!(found.scheme, Scheme::Mbr);
        let [only] = &found.partitions[..] else {
            panic!("{found:?}")
        };
        assert_eq!(
            (only.offset, only.size_bytes, only.missing_bytes),
            (8 * 512, 32 * 512, 8 * 512)
        );
        std::fs::write(&path, [0; 700]).unwrap();
        assert_eq!(survey(&Image::open(&path).unwrap()).unwrap().table, None);
    }
}
