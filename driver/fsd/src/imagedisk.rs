//! A disk that is served from an image file: what it answers to control codes.
//!
//! It is one volume, read-only and fixed, with a name for the mount manager and an identity that outlives it: the same
//! image is the same volume whenever it is mounted again, so it gets the same letter.

use lklfs_nt::diskio::{
    self, DiskGeometry, FIXED_MEDIA, HotplugInfo, LengthInformation, PARTITION_LINUX, PartitionInformation,
};
use lklfs_nt::record::{Field, Record};
use lklfs_nt::{NtStatus, writer};

use crate::Outcome;

/// What is to be known of the disk.
#[derive(Clone, Copy, Debug)]
pub struct ImageDisk<'a> {
    /// Bytes.
    pub bytes: u64,
    /// Bytes in a sector.
    pub sector: u32,
    /// Bytes from the start of the whole image.
    pub start: u64,
    /// The partition's number, or 0.
    pub partition: u32,
    /// The device's name.
    pub name: &'a [u16],
    /// What tells the volume from every other.
    pub identity: &'a [u8],
    /// `\DosDevices\X:` when a letter is wanted; empty otherwise.
    pub wanted_link: &'a [u16],
}

/// Heads and sectors that every disk claims to have.
const TRACKS: u32 = 255;
const SECTORS: u32 = 63;

/// A USHORT length in bytes, and the bytes: as much as fits, if the length does.
fn counted(out: &mut [u8], head: &[u8], bytes: impl Iterator<Item = u8> + Clone) -> Outcome {
    let Ok(length) = u16::try_from(bytes.clone().count()) else {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    };
    let all = head
        .iter()
        .copied()
        .chain(length.to_le_bytes())
        .chain(bytes.clone());
    let least = head.len().saturating_add(2);
    if out.len() < least {
        return Outcome::failed(NtStatus::BUFFER_TOO_SMALL);
    }
    let whole = least.saturating_add(usize::from(length));
    let mut written = 0usize;
    for (place, byte) in out.iter_mut().zip(all) {
        *place = byte;
        written = written.saturating_add(1);
    }
    if written < whole {
        return Outcome::new(NtStatus::BUFFER_OVERFLOW, written);
    }
    Outcome::success(written)
}

fn units(name: &[u16]) -> impl Iterator<Item = u8> + Clone {
    name.iter().flat_map(|unit| unit.to_le_bytes())
}

/// A record, or BUFFER_TOO_SMALL, as storage drivers say it.
fn record<R: Record>(out: &mut [u8], answer: &R) -> Outcome {
    match writer::fixed(out, answer) {
        (NtStatus::SUCCESS, written) => Outcome::success(written),
        _ => Outcome::failed(NtStatus::BUFFER_TOO_SMALL),
    }
}

impl ImageDisk<'_> {
    fn geometry(&self) -> DiskGeometry {
        let cylinder = u64::from(TRACKS)
            .saturating_mul(u64::from(SECTORS))
            .saturating_mul(u64::from(self.sector));
        DiskGeometry {
            cylinders: self.bytes.checked_div(cylinder).unwrap_or(0),
            media_type: FIXED_MEDIA,
            tracks_per_cylinder: TRACKS,
            sectors_per_track: SECTORS,
            bytes_per_sector: self.sector,
        }
    }

    /// Answers a DEVICE_CONTROL with `code`, whose output goes to `out`.
    ///
    /// # IRQL
    ///
    /// Any; never blocks.
    pub fn control(&self, code: u32, out: &mut [u8]) -> Outcome {
        match code {
            diskio::IOCTL_DISK_GET_DRIVE_GEOMETRY => record(out, &self.geometry()),
            diskio::IOCTL_DISK_GET_DRIVE_GEOMETRY_EX => {
                // DISK_GEOMETRY, then the size; what may follow is left out.
                let size = DiskGeometry::SIZE.saturating_add(8);
                let Some((geometry, rest)) = out.split_at_mut_checked(DiskGeometry::SIZE) else {
                    return Outcome::failed(NtStatus::BUFFER_TOO_SMALL);
                };
                let Some(bytes) = rest.get_mut(..8) else {
                    return Outcome::failed(NtStatus::BUFFER_TOO_SMALL);
                };
                self.geometry().put(geometry);
                self.bytes.put(bytes);
                Outcome::success(size)
            }
            diskio::IOCTL_DISK_GET_LENGTH_INFO => record(out, &LengthInformation { length: self.bytes }),
            diskio::IOCTL_DISK_GET_PARTITION_INFO => record(
                out,
                &PartitionInformation {
                    starting_offset: self.start,
                    partition_length: self.bytes,
                    hidden_sectors: self
                        .start
                        .checked_div(u64::from(self.sector))
                        .and_then(|sectors| u32::try_from(sectors).ok())
                        .unwrap_or(0),
                    partition_number: self.partition,
                    partition_type: PARTITION_LINUX,
                    boot_indicator: false,
                    recognized_partition: false,
                    rewrite_partition: false,
                },
            ),
            diskio::IOCTL_DISK_IS_WRITABLE => Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED),
            diskio::IOCTL_DISK_CHECK_VERIFY
            | diskio::IOCTL_STORAGE_CHECK_VERIFY
            | diskio::IOCTL_STORAGE_CHECK_VERIFY2
            | diskio::IOCTL_MOUNTDEV_LINK_CREATED
            | diskio::IOCTL_MOUNTDEV_LINK_DELETED
            | diskio::IOCTL_VOLUME_ONLINE => Outcome::success(0),
            diskio::IOCTL_STORAGE_GET_HOTPLUG_INFO => record(
                out,
                &HotplugInfo {
                    size: 8,
                    media_removable: false,
                    media_hotplug: false,
                    device_hotplug: false,
                    write_cache_enable_override: false,
                },
            ),
            // VOLUME_GET_GPT_ATTRIBUTES_INFORMATION: read-only.
            diskio::IOCTL_VOLUME_GET_GPT_ATTRIBUTES => record(
                out,
                &LengthInformation {
                    length: GPT_ATTRIBUTE_READ_ONLY,
                },
            ),
            diskio::IOCTL_MOUNTDEV_QUERY_DEVICE_NAME => counted(out, &[], units(self.name)),
            diskio::IOCTL_MOUNTDEV_QUERY_UNIQUE_ID => counted(out, &[], self.identity.iter().copied()),
            diskio::IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME if self.wanted_link.is_empty() => {
                Outcome::failed(NtStatus::OBJECT_NAME_NOT_FOUND)
            }
            // BOOLEAN UseOnlyIfThereAreNoOtherLinks, one byte of padding, then the counted name.
            diskio::IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME => {
                counted(out, &[1, 0], units(self.wanted_link))
            }
            _ => Outcome::failed(NtStatus::INVALID_DEVICE_REQUEST),
        }
    }
}

/// `GPT_BASIC_DATA_ATTRIBUTE_READ_ONLY`.
const GPT_ATTRIBUTE_READ_ONLY: u64 = 0x1000_0000_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn disk<'a>(name: &'a [u16], link: &'a [u16]) -> ImageDisk<'a> {
        ImageDisk {
            bytes: 10 << 20,
            sector: 512,
            start: 1 << 20,
            partition: 2,
            name,
            identity: b"identity",
            wanted_link: link,
        }
    }

    #[test]
    fn sizes_are_those_of_the_disk() {
        let name = wide("\\Device\\LklfsImage1");
        let disk = disk(&name, &[]);
        let mut out = [0u8; 64];
        assert_eq!(
            disk.control(diskio::IOCTL_DISK_GET_LENGTH_INFO, &mut out),
            Outcome::success(8)
        );
        assert_eq!(u64::get(&out), Some(10 << 20));
        assert_eq!(
            disk.control(diskio::IOCTL_DISK_GET_DRIVE_GEOMETRY_EX, &mut out),
            Outcome::success(32)
        );
        assert_eq!(u64::get(&out[24..]), Some(10 << 20));
        let short = &mut out[..31];
        assert_eq!(
            disk.control(diskio::IOCTL_DISK_GET_DRIVE_GEOMETRY_EX, short),
            Outcome::failed(NtStatus::BUFFER_TOO_SMALL)
        );
        assert_eq!(
            disk.control(diskio::IOCTL_DISK_IS_WRITABLE, &mut out),
            Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
        );
    }

    #[test]
    fn names_are_counted_and_cut() {
        let name = wide("\\Device\\LklfsImage1");
        let link = wide("\\DosDevices\\L:");
        let disk = disk(&name, &link);
        let mut out = vec![0u8; 128];
        let whole = 2 + name.len() * 2;
        assert_eq!(
            disk.control(diskio::IOCTL_MOUNTDEV_QUERY_DEVICE_NAME, &mut out),
            Outcome::success(whole)
        );
        assert_eq!(u16::get(&out), u16::try_from(name.len() * 2).ok());
        assert_eq!(
            disk.control(diskio::IOCTL_MOUNTDEV_QUERY_DEVICE_NAME, &mut out[..10]),
            Outcome::new(NtStatus::BUFFER_OVERFLOW, 10)
        );
        assert_eq!(
            disk.control(diskio::IOCTL_MOUNTDEV_QUERY_DEVICE_NAME, &mut out[..1]),
            Outcome::failed(NtStatus::BUFFER_TOO_SMALL)
        );
        assert_eq!(
            disk.control(diskio::IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME, &mut out),
            Outcome::success(4 + link.len() * 2)
        );
        assert_eq!(&out[..4], [1, 0, 28, 0]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let disk = disk(&[], &[]);
        let mut out = [0u8; 8];
        for code in [0, 0x0007_C008, 0x002D_1400, u32::MAX] {
            assert_eq!(
                disk.control(code, &mut out),
                Outcome::failed(NtStatus::INVALID_DEVICE_REQUEST)
            );
        }
        assert_eq!(
            disk.control(diskio::IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME, &mut out),
            Outcome::failed(NtStatus::OBJECT_NAME_NOT_FOUND)
        );
    }
}
