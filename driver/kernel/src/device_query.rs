//! What a disk device says of itself when it is asked: its geometry, its length, the bus that it is attached to.
//!
//! Each question is a control request that only reads; the answer is waited for.
//
// UNSAFETY: builds control requests and sends them.

use crate::irp::next_stack_location;
use crate::nt::{
    self, IO_STATUS_BLOCK, IoBuildDeviceIoControlRequest, IoSetThreadHardErrorMode, IofCallDriver, NO,
    NTSTATUS, PDEVICE_OBJECT, PsGetCurrentThread, SL_OVERRIDE_VERIFY_VOLUME, ULONG, YES,
};
use crate::sync::Event;
use crate::thread::forget_device;
use core::ptr::null_mut;
use lklfs_nt::NtStatus;

/// `IOCTL_DISK_GET_LENGTH_INFO`: a 64-bit length.
const IOCTL_DISK_GET_LENGTH_INFO: ULONG = 0x0007_405c;
/// `IOCTL_DISK_GET_DRIVE_GEOMETRY`: `DISK_GEOMETRY`.
const IOCTL_DISK_GET_DRIVE_GEOMETRY: ULONG = 0x0007_0000;
/// `IOCTL_CDROM_GET_DRIVE_GEOMETRY`: the same for CDs.
const IOCTL_CDROM_GET_DRIVE_GEOMETRY: ULONG = 0x0002_404c;
/// `IOCTL_STORAGE_QUERY_PROPERTY`: for a `STORAGE_PROPERTY_QUERY`, here of StorageDeviceProperty in the standard way (all
/// zero), a `STORAGE_DEVICE_DESCRIPTOR` with strings behind it.
const IOCTL_STORAGE_QUERY_PROPERTY: ULONG = 0x002d_1400;
const STATUS_PENDING: NTSTATUS = 0x103;

/// `DISK_GEOMETRY`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct DiskGeometry {
    cylinders: i64,
    media_type: u32,
    tracks_per_cylinder: u32,
    sectors_per_track: u32,
    bytes_per_sector: u32,
}

const _: () = assert!(size_of::<DiskGeometry>() == 24);

/// How a device is attached: the beginning of its `STORAGE_DEVICE_DESCRIPTOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// `RemovableMedia`.
    pub removable_media: bool,
    /// `STORAGE_BUS_TYPE`.
    pub bus: u32,
}

/// `STORAGE_DEVICE_DESCRIPTOR` and what follows it.
#[repr(C)]
struct DeviceDescriptor {
    version: u32,
    size: u32,
    device_type: u8,
    device_type_modifier: u8,
    removable_media: u8,
    command_queueing: u8,
    offsets: [u32; 4],
    bus: u32,
    /// The strings: nothing that is looked at.
    rest: [u8; 476],
}

const _: () = {
    assert!(size_of::<DeviceDescriptor>() == 508);
    assert!(core::mem::offset_of!(DeviceDescriptor, bus) == 28);
};

/// Bytes on the device, and bytes in a sector of it: a power of two, 512 to 4096.
///
/// IRQL: PASSIVE_LEVEL; blocks.
///
/// # Safety
/// `device` is the top of a live disk device stack.
pub(crate) unsafe fn sizes(device: PDEVICE_OBJECT) -> Result<(u64, u32), NtStatus> {
    let mut geometry = DiskGeometry::default();
    // SAFETY: promised by the caller; the buffer is a plain record.
    let asked = unsafe { query(device, IOCTL_DISK_GET_DRIVE_GEOMETRY, &mut geometry) };
    match asked {
        Ok(()) => {}
        // A device that is short of memory has not said that it is no disk.
        Err(short @ NtStatus::INSUFFICIENT_RESOURCES) => return Err(short),
        // SAFETY: promised by the caller; the buffer is a plain record.
        Err(_) => unsafe { query(device, IOCTL_CDROM_GET_DRIVE_GEOMETRY, &mut geometry) }?,
    }
    let mut bytes: i64 = 0;
    // SAFETY: promised by the caller; the buffer is a plain number.
    match unsafe { query(device, IOCTL_DISK_GET_LENGTH_INFO, &mut bytes) } {
        Ok(()) => {}
        // A device that is short of memory has not said that it does not know its length.
        Err(short @ NtStatus::INSUFFICIENT_RESOURCES) => return Err(short),
        Err(_) => {
            bytes = geometry
                .cylinders
                .saturating_mul(i64::from(geometry.tracks_per_cylinder))
                .saturating_mul(i64::from(geometry.sectors_per_track))
                .saturating_mul(i64::from(geometry.bytes_per_sector));
        }
    }
    let bytes = u64::try_from(bytes).unwrap_or(0);
    let block_bytes = geometry.bytes_per_sector;
    if bytes == 0 || !block_bytes.is_power_of_two() || !(512..=4096).contains(&block_bytes) {
        return Err(NtStatus::IO_DEVICE_ERROR);
    }
    Ok((bytes, block_bytes))
}

/// How the device is attached, if it tells.
///
/// IRQL: PASSIVE_LEVEL; blocks.
///
/// # Safety
/// `device` is live.
pub(crate) unsafe fn attachment(device: PDEVICE_OBJECT) -> Result<Attachment, NtStatus> {
    let mut question = [0; 12];
    // SAFETY: any bytes are a descriptor.
    let mut descriptor: DeviceDescriptor = unsafe { core::mem::zeroed() };
    // SAFETY: promised by the caller; any bytes are a descriptor.
    let bytes = unsafe {
        query_with(
            device,
            IOCTL_STORAGE_QUERY_PROPERTY,
            &mut question,
            &mut descriptor,
        )
    }?;
    if bytes < core::mem::offset_of!(DeviceDescriptor, rest) {
        return Err(NtStatus::IO_DEVICE_ERROR);
    }
    Ok(Attachment {
        removable_media: descriptor.removable_media != 0,
        bus: descriptor.bus,
    })
}

/// Sends a control request that answers with a `T`, and waits.
///
/// # Safety
/// `device` is live; any bytes are a `T`.
unsafe fn query<T>(device: PDEVICE_OBJECT, code: ULONG, answer: &mut T) -> Result<(), NtStatus> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { query_with(device, code, &mut [], answer) }?;
    if bytes < size_of::<T>() {
        return Err(NtStatus::IO_DEVICE_ERROR);
    }
    Ok(())
}

/// Sends a control request with an input, whose answer fills a `T` or its beginning, and waits; how many bytes came.
///
/// # Safety
/// `device` is live; any bytes are a `T`.
unsafe fn query_with<T>(
    device: PDEVICE_OBJECT,
    code: ULONG,
    input: &mut [u8],
    answer: &mut T,
) -> Result<usize, NtStatus> {
    let event = Event::uninit();
    event.init();
    let mut status_block = IO_STATUS_BLOCK::default();
    // SAFETY: the buffer, the event and the status block outlive the request, for whose end this waits.
    let irp = unsafe {
        IoBuildDeviceIoControlRequest(
            code,
            device,
            if input.is_empty() {
                null_mut()
            } else {
                input.as_mut_ptr().cast()
            },
            input.len() as ULONG,
            (&raw mut *answer).cast(),
            size_of::<T>() as ULONG,
            NO,
            event.as_ptr(),
            &mut status_block,
        )
    };
    if irp.is_null() {
        return Err(NtStatus::INSUFFICIENT_RESOURCES);
    }
    // SAFETY: the request was built with a location for the device.
    let stack = unsafe { next_stack_location(irp) };
    // SAFETY: it is ours until the request is sent; a mount must not be stopped by a wanted verification.
    unsafe { (*stack).Flags |= SL_OVERRIDE_VERIFY_VOLUME as u8 };
    // The request is this thread's, which may be a program's: a device that cannot answer is no matter for its user.
    // SAFETY: may be called anywhere; the mode is set back below.
    let shows_errors = unsafe { IoSetThreadHardErrorMode(NO) };
    // SAFETY: the request is complete and belongs to the kernel from here on.
    let mut status = unsafe { IofCallDriver(device, irp) };
    if status == STATUS_PENDING {
        event.wait();
        // SAFETY: the kernel wrote the block before it set the event.
        status = unsafe { status_block.__bindgen_anon_1.Status };
    }
    if shows_errors != NO {
        // SAFETY: as it was before.
        let _ = unsafe { IoSetThreadHardErrorMode(YES) };
    }
    if status < 0 {
        // SAFETY: may be called anywhere.
        let this_thread = unsafe { PsGetCurrentThread() };
        // SAFETY: the calling thread is there.
        unsafe { forget_device(this_thread.cast()) };
        return Err(nt::status(status));
    }
    Ok(status_block.Information as usize)
}
