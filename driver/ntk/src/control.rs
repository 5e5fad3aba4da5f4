//! Requests to the control device: what `userctl` asks the driver itself.
//!
//! Records and codes are those of [`lklfs_nt::control`]; their lengths are checked there. Only administrators can open
//! the device.

use crate::entry::{Driver, driver};
use crate::images::Choice;
use crate::irp::Irp;
use crate::nt::{IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, NTSTATUS};
use crate::volume::MountedVolume;
use alloc::vec::Vec;
use lkl_host_ntk::stack;
use lklfs_fsd::{Outcome, Volume as _};
use lklfs_nt::NtStatus;
use lklfs_nt::control::{
    self, DriverStatus, FIRST_PARTITION, Head, MountReply, MountRequest, UNMOUNT_FORCE, UnmountRequest,
    VolumeStatus, volume_flags,
};
use lklfs_nt::record::{Field, Record};

/// The largest input: a record and the longest path.
const MOST_INPUT: u32 = 128 * 1024;

/// A request to the control device.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn control(mut irp: Irp) -> NTSTATUS {
    match u32::from(irp.major()) {
        IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => irp.complete(Outcome::success(0)),
        IRP_MJ_DEVICE_CONTROL => {
            let outcome = match driver() {
                Some(driver) => device_control(driver, &mut irp),
                None => Outcome::failed(NtStatus::DEVICE_NOT_READY),
            };
            irp.complete(outcome)
        }
        _ => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
    }
}

fn device_control(driver: &Driver, irp: &mut Irp) -> Outcome {
    let parameters = irp.control();
    let length = parameters.output_length;
    if parameters.input_length > MOST_INPUT {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    }
    // Input and output share one buffer.
    let mut input = Vec::new();
    if input.try_reserve_exact(parameters.input_length as usize).is_err() {
        return Outcome::failed(NtStatus::INSUFFICIENT_RESOURCES);
    }
    if parameters.code & 3 == 0 {
        input.extend_from_slice(irp.system_buffer(parameters.input_length));
    }
    let act = || match parameters.code {
        control::IOCTL_QUERY_STATUS => query_status(driver, irp.system_buffer(length)),
        control::IOCTL_LIST_VOLUMES => list_volumes(driver, irp.system_buffer(length)),
        control::IOCTL_MOUNT_IMAGE => mount(driver, &input, irp.system_buffer(length)),
        control::IOCTL_UNMOUNT_IMAGE => unmount(driver, &input),
        #[cfg(feature = "selftest")]
        crate::selftest::IOCTL => crate::selftest::run(irp.system_buffer(length)),
        _ => Outcome::failed(NtStatus::INVALID_DEVICE_REQUEST),
    };
    stack::on_large_stack(act).unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
}

/// One record as the whole answer.
fn answer<R: Record>(out: &mut [u8], record: &R) -> Outcome {
    let Some(place) = out.get_mut(..R::SIZE) else {
        return Outcome::failed(NtStatus::BUFFER_TOO_SMALL);
    };
    record.put(place);
    Outcome::success(R::SIZE)
}

/// How the driver is doing.
fn query_status(driver: &Driver, out: &mut [u8]) -> Outcome {
    let kernel = driver.linux.booted();
    let alive = kernel.as_ref().is_some_and(|kernel| !kernel.is_dead());
    let status = DriverStatus {
        head: Head::of::<DriverStatus>(),
        driver_version: (u64::from(major()) << 32) | (u64::from(minor()) << 16) | u64::from(patch()),
        linux_running: u32::from(alive),
        linux_panics: u32::from(kernel.is_some() && !alive),
        pool_size: driver.linux.pool_bytes() as u64,
        boot_time: 0,
        volumes: MountedVolume::count(),
        refused_writes: 0,
        linux_release: [0; 64],
    };
    answer(out, &status)
}

/// A [`Head`] whose size tells how long the whole list is, and as many volumes as fit.
fn list_volumes(driver: &Driver, out: &mut [u8]) -> Outcome {
    let volumes = match driver.volumes.all() {
        Ok(volumes) => volumes,
        Err(status) => return Outcome::failed(status),
    };
    let Some((head, mut rest)) = out.split_at_mut_checked(Head::SIZE) else {
        return Outcome::failed(NtStatus::BUFFER_TOO_SMALL);
    };
    let mut length = Head::SIZE;
    let mut written = Head::SIZE;
    for volume in &volumes {
        length = length.saturating_add(VolumeStatus::SIZE);
        if let Some((place, behind)) = core::mem::take(&mut rest).split_at_mut_checked(VolumeStatus::SIZE) {
            describe(driver, volume).put(place);
            written = written.saturating_add(VolumeStatus::SIZE);
            rest = behind;
        }
    }
    Head {
        version: control::VERSION,
        size: u32::try_from(length).unwrap_or(u32::MAX),
    }
    .put(head);
    let status = if written < length {
        NtStatus::BUFFER_OVERFLOW
    } else {
        NtStatus::SUCCESS
    };
    Outcome::new(status, written)
}

fn describe(driver: &Driver, volume: &MountedVolume) -> VolumeStatus {
    let linux = volume.vcb.volume();
    let info = linux.info().ok();
    let bytes = |blocks: u64| {
        let unit = info.as_ref().map_or(0, |info| u64::from(info.block_size));
        blocks.saturating_mul(unit)
    };
    let stats = linux.device().stats().ok();
    let (handles, dismounted, removed) = {
        let state = volume.state.lock();
        (state.handles, state.dismounted, state.removed)
    };
    let mut flags = 0;
    for (is, flag) in [
        (dismounted, volume_flags::DISMOUNTED),
        (removed, volume_flags::REMOVED),
        (linux.mounted().stale(), volume_flags::STALE),
    ] {
        flags |= if is { flag } else { 0 };
    }
    let (image, letter) = driver.images.on(volume.disk.device()).unwrap_or((0, 0));
    VolumeStatus {
        head: Head::of::<VolumeStatus>(),
        id: volume.id,
        size: bytes(info.as_ref().map_or(0, |info| info.blocks)),
        free: bytes(info.as_ref().map_or(0, |info| info.blocks_free)),
        bytes_read: stats.as_ref().map_or(0, |stats| stats.read_bytes),
        reads: stats.as_ref().map_or(0, |stats| stats.reads),
        handles: u32::try_from(handles).unwrap_or(u32::MAX),
        flags,
        image,
        letter: u32::from(letter),
        uuid: info.as_ref().map_or([0; 16], |info| info.uuid),
        fs_name: control::padded(linux.mounted().fs_name()),
    }
}

/// Mounts an image.
fn mount(driver: &Driver, input: &[u8], out: &mut [u8]) -> Outcome {
    let request = match control::request::<MountRequest>(input) {
        Ok(request) => request,
        Err(status) => return status.into(),
    };
    let units = match control::path_of(input, &request) {
        Ok(units) => units,
        Err(status) => return status.into(),
    };
    if out.len() < MountReply::SIZE {
        return Outcome::failed(NtStatus::BUFFER_TOO_SMALL);
    }
    let wanted = match u8::try_from(request.letter) {
        Ok(0) => None,
        Ok(letter) if letter.is_ascii_uppercase() => Some(letter),
        _ => return Outcome::failed(NtStatus::INVALID_PARAMETER),
    };
    let choice = match request.partition {
        FIRST_PARTITION => Choice::First,
        number => Choice::Number(number),
    };
    let mut path: Vec<u16> = Vec::new();
    if path.try_reserve_exact(request.path_length as usize / 2).is_err() {
        return Outcome::failed(NtStatus::INSUFFICIENT_RESOURCES);
    }
    path.extend(units);
    match driver.images.mount(driver, &path, choice, wanted) {
        Ok(mounted) => answer(
            out,
            &MountReply {
                head: Head::of::<MountReply>(),
                image: mounted.number,
                letter: u32::from(mounted.letter),
            },
        ),
        Err(status) => status.into(),
    }
}

/// Unmounts an image.
fn unmount(driver: &Driver, input: &[u8]) -> Outcome {
    match control::request::<UnmountRequest>(input) {
        Ok(request) if request.flags & !UNMOUNT_FORCE != 0 => NtStatus::INVALID_PARAMETER.into(),
        Ok(request) => match driver
            .images
            .unmount(request.image, request.flags & UNMOUNT_FORCE != 0)
        {
            Ok(()) => Outcome::success(0),
            Err(status) => status.into(),
        },
        Err(status) => status.into(),
    }
}

const fn number(text: &str) -> u16 {
    let mut value = 0u16;
    let bytes = text.as_bytes();
    let mut at = 0;
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "evaluated by the compiler"
    )]
    while at < bytes.len() {
        value = value * 10 + (bytes[at] - b'0') as u16;
        at += 1;
    }
    value
}

const fn major() -> u16 {
    const { number(env!("CARGO_PKG_VERSION_MAJOR")) }
}

const fn minor() -> u16 {
    const { number(env!("CARGO_PKG_VERSION_MINOR")) }
}

const fn patch() -> u16 {
    const { number(env!("CARGO_PKG_VERSION_PATCH")) }
}
