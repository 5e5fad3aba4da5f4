//! `IRP_MJ_QUERY_VOLUME_INFORMATION` and `IRP_MJ_SET_VOLUME_INFORMATION`: what a volume is like.

use lklfs_nt::{
    FsInformationClass, NtStatus, NtTime,
    fsinfo::{self as nt, SSINFO_OFFSET_UNKNOWN, fs_attributes, sector_flags},
    utf16,
    writer::{self, Written, len_bytes},
};

use crate::{Outcome, Vcb, Volume, errno::Context, timesup};

/// The longest label in UTF-16 units that NT's own structures hold.
const MAX_LABEL: usize = 32;

/// What the volume can do. Opens by ID are not among it.
const ATTRIBUTES: u32 = fs_attributes::CASE_SENSITIVE_SEARCH
    | fs_attributes::CASE_PRESERVED_NAMES
    | fs_attributes::UNICODE_ON_DISK
    | fs_attributes::SUPPORTS_SPARSE_FILES
    | fs_attributes::SUPPORTS_REPARSE_POINTS
    | fs_attributes::READ_ONLY_VOLUME
    | fs_attributes::SUPPORTS_HARD_LINKS
    | fs_attributes::SUPPORTS_EXTENDED_ATTRIBUTES;

/// The volume's identity in 64 bits: the first half of the UUID, or, for a file system without one, a hash of what
/// else is known of it.
pub fn serial_64<V: Volume>(vcb: &Vcb<V>) -> u64 {
    let info = vcb.info();
    let (high, low) = halves(info.uuid);
    if high != 0 || low != 0 {
        return high;
    }
    // FNV-1a.
    let size = vcb.geometry().size.to_le_bytes();
    let parts = info.fs_name.bytes().chain(info.label.iter().copied()).chain(size);
    parts.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The serial number that `dir` shows: all of the UUID folded to 32 bits.
pub fn serial_32<V: Volume>(vcb: &Vcb<V>) -> u32 {
    let (high, low) = halves(vcb.info().uuid);
    let folded = if high != 0 || low != 0 {
        high ^ low
    } else {
        serial_64(vcb)
    };
    let [a, b, c, d, e, f, g, h] = folded.to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) ^ u32::from_be_bytes([e, f, g, h])
}

/// A UUID's halves, most significant byte first.
fn halves(uuid: [u8; 16]) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = uuid;
    (
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        u64::from_be_bytes([i, j, k, l, m, n, o, p]),
    )
}

/// The label, as VPBs and queries show it: at most 32 units, not cut within a surrogate pair.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES when memory is short.
pub fn label<V: Volume>(vcb: &Vcb<V>) -> Result<alloc::vec::Vec<u16>, NtStatus> {
    let mut label = utf16::from_bytes_lossy(&vcb.info().label)?;
    let pair_cut = label
        .get(MAX_LABEL.saturating_sub(1))
        .is_some_and(|unit| (0xD800..0xDC00).contains(unit));
    label.truncate(if pair_cut {
        MAX_LABEL.saturating_sub(1)
    } else {
        MAX_LABEL
    });
    Ok(label)
}

/// Sizes in units of whole sectors.
struct Sizes {
    sectors_per_unit: u32,
    bytes_per_sector: u32,
    total: u64,
    free: u64,
    available: u64,
}

fn sizes<V: Volume>(vcb: &Vcb<V>) -> Result<Sizes, NtStatus> {
    let info = vcb
        .volume()
        .info()
        .map_err(|errno| errno.to_status(Context::Reading))?;
    let device_sector = vcb.geometry().sector_size;
    // A file system may have blocks that are no multiple of the device's sector; then its block is the sector.
    let (bytes_per_sector, sectors_per_unit) = match info.block_size.checked_rem(device_sector) {
        Some(0) if info.block_size > 0 => (
            device_sector,
            info.block_size.checked_div(device_sector).unwrap_or(1),
        ),
        _ => (info.block_size.max(1), 1),
    };
    Ok(Sizes {
        sectors_per_unit,
        bytes_per_sector,
        total: info.blocks,
        free: info.blocks_free,
        available: info.blocks_available,
    })
}

fn volume<V: Volume>(vcb: &Vcb<V>, out: &mut [u8]) -> Result<Written, NtStatus> {
    let label = label(vcb)?;
    let record = nt::FileFsVolumeInformation {
        volume_creation_time: vcb.info().created.map_or(NtTime::NONE, timesup::to_nt),
        volume_serial_number: serial_32(vcb),
        volume_label_length: len_bytes(&label),
        supports_objects: false,
    };
    Ok(writer::named(out, &record, &label))
}

fn attribute<V: Volume>(vcb: &Vcb<V>, out: &mut [u8]) -> Result<Written, NtStatus> {
    let name = utf16::from_str(&vcb.info().fs_name)?;
    let record = nt::FileFsAttributeInformation {
        file_system_attributes: ATTRIBUTES,
        maximum_component_name_length: vcb.info().name_max.min(255),
        file_system_name_length: len_bytes(&name),
    };
    Ok(writer::named(out, &record, &name))
}

fn size(out: &mut [u8], sizes: &Sizes) -> Written {
    let record = nt::FileFsSizeInformation {
        total_allocation_units: sizes.total,
        available_allocation_units: sizes.available,
        sectors_per_allocation_unit: sizes.sectors_per_unit,
        bytes_per_sector: sizes.bytes_per_sector,
    };
    writer::fixed(out, &record)
}

fn full_size(out: &mut [u8], sizes: &Sizes) -> Written {
    let record = nt::FileFsFullSizeInformation {
        total_allocation_units: sizes.total,
        caller_available_allocation_units: sizes.available,
        actual_available_allocation_units: sizes.free,
        sectors_per_allocation_unit: sizes.sectors_per_unit,
        bytes_per_sector: sizes.bytes_per_sector,
    };
    writer::fixed(out, &record)
}

fn full_size_ex(out: &mut [u8], sizes: &Sizes) -> Written {
    let record = nt::FileFsFullSizeInformationEx {
        actual_total_allocation_units: sizes.total,
        actual_available_allocation_units: sizes.free,
        actual_pool_unavailable_allocation_units: 0,
        caller_total_allocation_units: sizes.total,
        caller_available_allocation_units: sizes.available,
        caller_pool_unavailable_allocation_units: 0,
        used_allocation_units: sizes.total.saturating_sub(sizes.free),
        total_reserved_allocation_units: sizes.free.saturating_sub(sizes.available),
        volume_storage_reserve_allocation_units: 0,
        available_committed_allocation_units: 0,
        pool_available_allocation_units: 0,
        sectors_per_allocation_unit: sizes.sectors_per_unit,
        bytes_per_sector: sizes.bytes_per_sector,
    };
    writer::fixed(out, &record)
}

fn device<V: Volume>(vcb: &Vcb<V>, out: &mut [u8]) -> Written {
    /// `FILE_READ_ONLY_DEVICE`.
    const READ_ONLY_DEVICE: u32 = 0x2;
    /// `FILE_DEVICE_IS_MOUNTED`.
    const IS_MOUNTED: u32 = 0x20;
    let geometry = vcb.geometry();
    let record = nt::FileFsDeviceInformation {
        device_type: geometry.device_type,
        characteristics: geometry.characteristics | READ_ONLY_DEVICE | IS_MOUNTED,
    };
    writer::fixed(out, &record)
}

fn sector_size<V: Volume>(vcb: &Vcb<V>, out: &mut [u8]) -> Written {
    let geometry = vcb.geometry();
    let physical = geometry.physical_sector_size.max(geometry.sector_size);
    let record = nt::FileFsSectorSizeInformation {
        logical_bytes_per_sector: geometry.sector_size,
        physical_bytes_per_sector_for_atomicity: physical,
        physical_bytes_per_sector_for_performance: physical,
        file_system_effective_physical_bytes_per_sector_for_atomicity: physical.min(4096),
        flags: sector_flags::ALIGNED_DEVICE | sector_flags::PARTITION_ALIGNED_ON_DEVICE,
        byte_offset_for_sector_alignment: SSINFO_OFFSET_UNKNOWN,
        byte_offset_for_partition_alignment: SSINFO_OFFSET_UNKNOWN,
    };
    writer::fixed(out, &record)
}

/// No quotas, no filtering of free space.
fn control(out: &mut [u8]) -> Written {
    let record = nt::FileFsControlInformation {
        free_space_start_filtering: 0,
        free_space_threshold: 0,
        free_space_stop_filtering: 0,
        default_quota_threshold: u64::MAX,
        default_quota_limit: u64::MAX,
        file_system_control_flags: 0,
    };
    writer::fixed(out, &record)
}

/// The object ID is the UUID.
fn object_id<V: Volume>(vcb: &Vcb<V>, out: &mut [u8]) -> Written {
    if vcb.info().uuid == [0; 16] {
        return (NtStatus::OBJECTID_NOT_FOUND, 0);
    }
    let record = nt::FileFsObjectIdInformation {
        object_id: vcb.info().uuid,
        extended_info: [0; 48],
    };
    writer::fixed(out, &record)
}

/// Whether a query of this class may block.
pub const fn may_block(class: FsInformationClass) -> bool {
    type Class = FsInformationClass;
    matches!(
        class,
        Class::FileFsSizeInformation | Class::FileFsFullSizeInformation | Class::FileFsFullSizeInformationEx
    )
}

/// Answers a query of the volume into `out` (the IRP's system buffer).
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block for the classes that [`may_block`] names.
pub fn query<V: Volume>(vcb: &Vcb<V>, class: FsInformationClass, out: &mut [u8]) -> Outcome {
    type Class = FsInformationClass;
    let written = match class {
        Class::FileFsVolumeInformation => volume(vcb, out),
        Class::FileFsSizeInformation => sizes(vcb).map(|sizes| size(out, &sizes)),
        Class::FileFsDeviceInformation => Ok(device(vcb, out)),
        Class::FileFsAttributeInformation => attribute(vcb, out),
        Class::FileFsControlInformation => Ok(control(out)),
        Class::FileFsFullSizeInformation => sizes(vcb).map(|sizes| full_size(out, &sizes)),
        Class::FileFsObjectIdInformation => Ok(object_id(vcb, out)),
        Class::FileFsSectorSizeInformation => Ok(sector_size(vcb, out)),
        Class::FileFsFullSizeInformationEx => sizes(vcb).map(|sizes| full_size_ex(out, &sizes)),
        _ => Err(NtStatus::INVALID_INFO_CLASS),
    };
    match written {
        Ok((status, information)) => Outcome::new(status, information),
        Err(status) => Outcome::failed(status),
    }
}

/// What a SET_VOLUME_INFORMATION ends with: the label, quotas and object ID cannot be changed.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn set(_class: FsInformationClass) -> Outcome {
    Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
}
