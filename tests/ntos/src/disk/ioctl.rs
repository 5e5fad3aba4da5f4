//! What a disk answers to device controls. All of these are METHOD_BUFFERED.
//!
//! A buffer that is too small for a fixed-size answer gets STATUS_BUFFER_TOO_SMALL; a variable one (device
//! name, unique id, descriptors) gets what fits and STATUS_BUFFER_OVERFLOW, from which the caller learns the
//! length. Controls that would write or that are not modelled get STATUS_INVALID_DEVICE_REQUEST.

use super::driver::Unit;
use super::{Layout, Partition, PartitionKind};
use crate::io::irp;
use crate::nt::*;

const IOCTL_DISK_GET_DRIVE_GEOMETRY: u32 = 0x0007_0000;
const IOCTL_DISK_IS_WRITABLE: u32 = 0x0007_0024;
const IOCTL_DISK_GET_PARTITION_INFO_EX: u32 = 0x0007_0048;
const IOCTL_DISK_GET_DRIVE_LAYOUT_EX: u32 = 0x0007_0050;
const IOCTL_DISK_GET_DRIVE_GEOMETRY_EX: u32 = 0x0007_00a0;
const IOCTL_DISK_GET_PARTITION_INFO: u32 = 0x0007_4004;
const IOCTL_DISK_GET_LENGTH_INFO: u32 = 0x0007_405c;
const IOCTL_DISK_CHECK_VERIFY: u32 = 0x0007_4800;
const IOCTL_DISK_MEDIA_REMOVAL: u32 = 0x0007_4804;
const IOCTL_STORAGE_CHECK_VERIFY: u32 = 0x002d_4800;
const IOCTL_STORAGE_CHECK_VERIFY2: u32 = 0x002d_0800;
const IOCTL_STORAGE_MEDIA_REMOVAL: u32 = 0x002d_4804;
const IOCTL_STORAGE_GET_HOTPLUG_INFO: u32 = 0x002d_0c14;
const IOCTL_STORAGE_GET_DEVICE_NUMBER: u32 = 0x002d_1080;
const IOCTL_STORAGE_QUERY_PROPERTY: u32 = 0x002d_1400;
const IOCTL_MOUNTDEV_QUERY_UNIQUE_ID: u32 = 0x004d_0000;
const IOCTL_MOUNTDEV_QUERY_DEVICE_NAME: u32 = 0x004d_0008;
const IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME: u32 = 0x004d_000c;
const IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS: u32 = 0x0056_0000;
const IOCTL_VOLUME_ONLINE: u32 = 0x0056_c008;
const IOCTL_VOLUME_OFFLINE: u32 = 0x0056_c00c;

/// Geometry that every modern disk reports.
const TRACKS: u32 = 255;
const SECTORS_PER_TRACK: u32 = 63;
const MEDIA_REMOVABLE: u32 = 11;
const MEDIA_FIXED: u32 = 12;

/// Little-endian bytes at offsets.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new(len: usize) -> Bytes {
        Bytes(vec![0; len])
    }

    fn put<const N: usize>(mut self, at: usize, value: [u8; N]) -> Bytes {
        self.0[at..at + N].copy_from_slice(&value);
        self
    }

    fn u32(self, at: usize, value: u32) -> Bytes {
        self.put(at, value.to_le_bytes())
    }

    fn u64(self, at: usize, value: u64) -> Bytes {
        self.put(at, value.to_le_bytes())
    }
}

enum Answer {
    /// No data.
    Done,
    /// All of it or STATUS_BUFFER_TOO_SMALL; at least this many bytes are wanted.
    Fixed(Vec<u8>, usize),
    /// What fits, if the first bytes do, with STATUS_BUFFER_OVERFLOW.
    Variable(Vec<u8>, usize),
    Failed(NTSTATUS),
}

/// Answers the control that `packet` carries.
///
/// # Safety
/// `packet` is an IRP_MJ_DEVICE_CONTROL for `unit`.
pub(super) unsafe fn answer(unit: &Unit, packet: PIRP) -> (NTSTATUS, usize) {
    // SAFETY: by contract; a buffered control's system buffer has the larger of the two lengths.
    unsafe {
        let parameters = &(*irp::current(packet)).Parameters.DeviceIoControl;
        let room = parameters.OutputBufferLength as usize;
        let buffer = (*packet).AssociatedIrp.SystemBuffer.cast::<u8>();
        let input = if buffer.is_null() {
            &[][..]
        } else {
            std::slice::from_raw_parts(buffer, parameters.InputBufferLength as usize)
        };
        let (bytes, status) = match select(unit, parameters.IoControlCode, input) {
            Answer::Done => return (STATUS_SUCCESS, 0),
            Answer::Failed(status) => return (status, 0),
            Answer::Fixed(_, least) | Answer::Variable(_, least) if room < least => {
                return (STATUS_BUFFER_TOO_SMALL, 0);
            }
            Answer::Fixed(bytes, _) => (bytes, STATUS_SUCCESS),
            Answer::Variable(bytes, _) if bytes.len() > room => (bytes, STATUS_BUFFER_OVERFLOW),
            Answer::Variable(bytes, _) => (bytes, STATUS_SUCCESS),
        };
        let len = bytes.len().min(room);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, len);
        (status, len)
    }
}

const PARTITION_STYLE_MBR: u32 = 0;
const PARTITION_STYLE_GPT: u32 = 1;
const PARTITION_STYLE_RAW: u32 = 2;

fn select(unit: &Unit, code: u32, input: &[u8]) -> Answer {
    let fixed = |bytes: Bytes| {
        let len = bytes.0.len();
        Answer::Fixed(bytes.0, len)
    };
    match code {
        IOCTL_DISK_GET_DRIVE_GEOMETRY => fixed(geometry(unit)),
        IOCTL_DISK_GET_DRIVE_GEOMETRY_EX => {
            let mut bytes = geometry(unit).0;
            bytes.resize(40, 0);
            Answer::Fixed(Bytes(bytes).u64(24, unit.disk.image.size()).0, 32)
        }
        IOCTL_DISK_GET_LENGTH_INFO => fixed(Bytes::new(8).u64(0, unit.len)),
        IOCTL_DISK_GET_PARTITION_INFO => match &unit.disk.layout {
            Layout::Gpt(..) => Answer::Failed(STATUS_INVALID_DEVICE_REQUEST),
            _ => fixed(partition_info(unit)),
        },
        IOCTL_DISK_GET_DRIVE_LAYOUT_EX => {
            // The style, the number of partitions, what belongs to the style; the partitions themselves are left out.
            let style = match &unit.disk.layout {
                Layout::Mbr(..) => PARTITION_STYLE_MBR,
                Layout::Gpt(..) => PARTITION_STYLE_GPT,
                Layout::Whole if unit.disk.config().bare => PARTITION_STYLE_RAW,
                // A medium with one volume and no table is told as if it had a table with that one.
                Layout::Whole => PARTITION_STYLE_MBR,
            };
            fixed(Bytes::new(48).u32(0, style))
        }
        IOCTL_DISK_GET_PARTITION_INFO_EX => fixed(partition_info_ex(unit)),
        IOCTL_DISK_IS_WRITABLE => Answer::Failed(STATUS_MEDIA_WRITE_PROTECTED),
        IOCTL_DISK_CHECK_VERIFY | IOCTL_STORAGE_CHECK_VERIFY | IOCTL_STORAGE_CHECK_VERIFY2 => Answer::Done,
        IOCTL_DISK_MEDIA_REMOVAL
        | IOCTL_STORAGE_MEDIA_REMOVAL
        | IOCTL_VOLUME_ONLINE
        | IOCTL_VOLUME_OFFLINE => Answer::Done,
        IOCTL_STORAGE_GET_HOTPLUG_INFO => {
            let removable = u8::from(unit.disk.config().removable);
            fixed(Bytes::new(8).u32(0, 8).put(4, [removable]))
        }
        IOCTL_STORAGE_GET_DEVICE_NUMBER => {
            let part = unit.partition.as_ref().map_or(0, |partition| partition.number);
            fixed(
                Bytes::new(12)
                    .u32(0, FILE_DEVICE_DISK)
                    .u32(4, unit.disk.number)
                    .u32(8, part),
            )
        }
        IOCTL_STORAGE_QUERY_PROPERTY => property(unit, input),
        // A whole disk is no client of the mount manager's.
        IOCTL_MOUNTDEV_QUERY_DEVICE_NAME | IOCTL_MOUNTDEV_QUERY_UNIQUE_ID if unit.volume == 0 => {
            Answer::Failed(STATUS_INVALID_DEVICE_REQUEST)
        }
        IOCTL_MOUNTDEV_QUERY_DEVICE_NAME => {
            let name = format!("\\Device\\HarddiskVolume{}", unit.volume);
            let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            Answer::Variable(counted(&name), 4)
        }
        IOCTL_MOUNTDEV_QUERY_UNIQUE_ID => Answer::Variable(counted(&unique_id(unit)), 4),
        IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME => Answer::Failed(STATUS_NOT_FOUND),
        IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS if unit.volume != 0 => {
            let extents = Bytes::new(32).u32(0, 1).u32(8, unit.disk.number);
            fixed(extents.u64(16, unit.start).u64(24, unit.len))
        }
        _ => Answer::Failed(STATUS_INVALID_DEVICE_REQUEST),
    }
}

/// A USHORT length and the bytes.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut all = (bytes.len() as u16).to_le_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

/// DISK_GEOMETRY.
fn geometry(unit: &Unit) -> Bytes {
    let sector = unit.disk.image.sector();
    let cylinder = u64::from(TRACKS) * u64::from(SECTORS_PER_TRACK) * u64::from(sector);
    let media = if unit.disk.config().removable {
        MEDIA_REMOVABLE
    } else {
        MEDIA_FIXED
    };
    Bytes::new(24)
        .u64(0, unit.disk.image.size() / cylinder)
        .u32(8, media)
        .u32(12, TRACKS)
        .u32(16, SECTORS_PER_TRACK)
        .u32(20, sector)
}

/// The system byte and the partition's number.
fn mbr_part(unit: &Unit) -> (u8, u32) {
    match &unit.partition {
        Some(Partition {
            number,
            kind: PartitionKind::Mbr(system),
            ..
        }) => (*system, *number),
        Some(Partition { number, .. }) => (0, *number),
        None => (0, 0),
    }
}

/// PARTITION_INFORMATION.
fn partition_info(unit: &Unit) -> Bytes {
    let (system, number) = mbr_part(unit);
    Bytes::new(32)
        .u64(0, unit.start)
        .u64(8, unit.len)
        .u32(16, (unit.start / u64::from(unit.disk.image.sector())) as u32)
        .u32(20, number)
        .put(24, [system, 0, u8::from(system != 0), 0])
}

/// PARTITION_INFORMATION_EX.
fn partition_info_ex(unit: &Unit) -> Bytes {
    let (system, number) = mbr_part(unit);
    let style = match &unit.disk.layout {
        Layout::Mbr(..) => 0,
        Layout::Gpt(..) => 1,
        Layout::Whole => 2,
    };
    let bytes = Bytes::new(144)
        .u32(0, style)
        .u64(8, unit.start)
        .u64(16, unit.len)
        .u32(24, number);
    match &unit.partition {
        Some(Partition {
            kind: PartitionKind::Gpt {
                type_guid,
                unique_guid,
            },
            ..
        }) => bytes.put(32, *type_guid).put(48, *unique_guid),
        Some(_) => {
            let hidden = (unit.start / u64::from(unit.disk.image.sector())) as u32;
            bytes
                .put(32, [system, 0, u8::from(system != 0), 0])
                .u32(36, hidden)
        }
        None => bytes,
    }
}

/// What tells this volume from any other, for the mount manager.
fn unique_id(unit: &Unit) -> Vec<u8> {
    match (&unit.disk.layout, &unit.partition) {
        (
            _,
            Some(Partition {
                kind: PartitionKind::Gpt { unique_guid, .. },
                ..
            }),
        ) => [b"DMIO:ID:".as_slice(), unique_guid].concat(),
        (Layout::Mbr(signature, _), Some(partition)) => {
            [signature.to_le_bytes().as_slice(), &partition.start.to_le_bytes()].concat()
        }
        _ => format!("ntos-disk-{}-{}", unit.disk.number, unit.volume).into_bytes(),
    }
}

/// STORAGE_QUERY_PROPERTY, for the properties of StorageDevice, StorageAdapter, StorageAccessAlignment,
/// StorageDeviceSeekPenalty and StorageDeviceTrim.
fn property(unit: &Unit, input: &[u8]) -> Answer {
    let word = |at: usize| {
        input
            .get(at..at + 4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let (Some(id), Some(kind)) = (word(0), word(4)) else {
        return Answer::Failed(STATUS_INVALID_PARAMETER);
    };
    let sector = unit.disk.image.sector();
    let header = |len: usize| Bytes::new(len).u32(0, len as u32).u32(4, len as u32);
    let bytes = match id {
        0 => {
            let strings = b"NTOS\0Image disk\x001.0\0";
            let removable = u8::from(unit.disk.config().removable);
            let mut bytes = header(40 + strings.len());
            bytes.0[40..].copy_from_slice(strings);
            bytes
                .u32(0, 40)
                .put(10, [removable, 1])
                .u32(12, 40)
                .u32(16, 45)
                .u32(20, 56)
                .u32(28, unit.disk.config().bus)
        }
        1 => header(32)
            .u32(8, 1 << 20)
            .u32(12, 257)
            .u32(16, 1)
            .put(24, [unit.disk.config().bus as u8]),
        6 => header(28).u32(16, sector).u32(20, sector.max(4096)),
        7 | 8 => header(12),
        _ => return Answer::Failed(STATUS_NOT_SUPPORTED),
    };
    match kind {
        0 => Answer::Variable(bytes.0, 8),
        1 => Answer::Done,
        _ => Answer::Failed(STATUS_NOT_SUPPORTED),
    }
}
