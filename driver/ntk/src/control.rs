//! Requests to the control devices: what `userctl` asks the driver itself.
//!
//! [`lklfs_control`] has the records, and checks them; what is asked is done here.

use crate::entry::{Driver, driver};
use crate::irp::Irp;
use crate::mounts::{Source, Wanted};
use crate::nt::{IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, NTSTATUS};
use crate::refuse;
use crate::volume::MountedVolume;
use alloc::vec::Vec;
use lkl_host_ntk::{clock, stack};
use lklfs_control::reply::{self, ListWriter, VolumeRecord, status_flags, volume_flags};
use lklfs_control::{self as control, Interface, LogSource, Mount, Refusal, Request, Text};
use lklfs_fsd::{Outcome, Volume as _};
use lklfs_nt::NtStatus;

/// The largest input: a record and its longest texts.
const MOST_INPUT: u32 = 128 * 1024;

/// A request to a control device.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn control(mut irp: Irp, interface: Interface) -> NTSTATUS {
    match u32::from(irp.major()) {
        IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => irp.complete(Outcome::success(0)),
        IRP_MJ_DEVICE_CONTROL => {
            let outcome = match driver() {
                Some(driver) => device_control(driver, &mut irp, interface),
                None => Outcome::failed(NtStatus::DEVICE_NOT_READY),
            };
            irp.complete(outcome)
        }
        _ => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
    }
}

fn device_control(driver: &Driver, irp: &mut Irp, interface: Interface) -> Outcome {
    let parameters = irp.control();
    if parameters.code & 3 != 0 {
        return Outcome::failed(NtStatus::INVALID_DEVICE_REQUEST);
    }
    if parameters.input_length > MOST_INPUT {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    }
    // Input and output share one buffer.
    let mut input = Vec::new();
    if input.try_reserve_exact(parameters.input_length as usize).is_err() {
        return Outcome::failed(NtStatus::INSUFFICIENT_RESOURCES);
    }
    input.extend_from_slice(irp.system_buffer(parameters.input_length));
    let out = irp.system_buffer(parameters.output_length);
    #[cfg(feature = "selftest")]
    if parameters.code == crate::selftest::IOCTL {
        let act = || crate::selftest::run(out);
        return stack::on_large_stack(act)
            .unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into());
    }
    let request = match control::parse(interface, parameters.code, &input, out.len()) {
        Ok(request) => request,
        Err(refusal) => return Outcome::failed(refused(refusal)),
    };
    let asks_only = !matches!(request, Request::Mount(_) | Request::Unmount { .. });
    let answered = if asks_only && driver.linux.booted().is_none() {
        // Linux has never run: nothing is mounted, and nobody calls it.
        Ok(answer(driver, request, out))
    } else {
        stack::on_large_stack(|| answer(driver, request, out))
    };
    match answered {
        Ok(Ok(length)) => Outcome::success(length),
        Ok(Err(status)) => Outcome::failed(status),
        Err(stack::NoStack) => Outcome::failed(NtStatus::INSUFFICIENT_RESOURCES),
    }
}

fn refused(refusal: Refusal) -> NtStatus {
    NtStatus(refusal.status())
}

/// Does what is asked, and writes the reply; its length.
fn answer(driver: &Driver, request: Request<'_>, out: &mut [u8]) -> Result<usize, NtStatus> {
    let written = match request {
        Request::Version => reply::write(out, version(driver), &[]),
        Request::Status => reply::write(out, status(driver)?, &[]),
        Request::List { after } => return list(driver, after, out),
        Request::Mount(mount) => reply::write(out, self::mount(driver, &mount)?, &[]),
        Request::Unmount { volume, force } => {
            driver.mounts.unmount(volume, force)?;
            reply::write(out, reply::Done::default(), &[])
        }
        Request::Log { source, position } => return log(driver, source, position, out),
        // There is no policy that the driver itself has to know yet.
        Request::Policy => return Err(NtStatus::NOT_SUPPORTED),
    };
    written.map_err(refused)
}

fn version(driver: &Driver) -> reply::Version {
    let kernel = driver.linux.booted();
    reply::Version {
        interface: control::VERSION.into(),
        driver: ((u64::from(major()) << 32) | (u64::from(minor()) << 16) | u64::from(patch())).into(),
        linux_release: kernel.and_then(|kernel| kernel.release().ok()).unwrap_or([0; 64]),
        ..reply::Version::default()
    }
}

fn status(driver: &Driver) -> Result<reply::Status, NtStatus> {
    let kernel = driver.linux.booted();
    let (mut flags, mut panics, mut free) = (0, 0u32, 0);
    if let Some(kernel) = &kernel {
        if kernel.is_dead() {
            flags |= status_flags::LINUX_DEAD;
            panics = 1;
        } else {
            flags |= status_flags::LINUX_RUNNING;
            free = kernel.free_bytes().unwrap_or(0);
        }
    }
    let boot = driver.linux.boot();
    let handles = driver.volumes.all()?.iter().fold(0u32, |sum, volume| {
        sum.saturating_add(volume.state.lock().handles)
    });
    Ok(reply::Status {
        flags: flags.into(),
        linux_panics: panics.into(),
        pool_size: (driver.linux.pool_bytes() as u64).into(),
        pool_free: free.into(),
        boot_time: boot.map_or(0, |boot| boot.took).into(),
        running_time: boot
            .map_or(0, |boot| clock::monotonic_ns().saturating_sub(boot.end))
            .into(),
        volumes: MountedVolume::count().into(),
        handles: handles.into(),
        refused_writes: refuse::writes().into(),
        ..reply::Status::default()
    })
}

/// The volumes whose number is greater than `after`, in the order of their numbers.
fn list(driver: &Driver, after: u64, out: &mut [u8]) -> Result<usize, NtStatus> {
    let mut volumes = driver.volumes.all()?;
    volumes.sort_unstable_by_key(|volume| volume.id);
    let mut writer = ListWriter::new(out).map_err(refused)?;
    for volume in volumes.iter().filter(|volume| volume.id > after) {
        let known = driver.mounts.known(volume.id);
        let record = describe(
            volume,
            known
                .as_ref()
                .map_or((0, false), |known| (known.letter, known.is_image)),
        );
        let label = lklfs_fsd::volinfo::label(&volume.vcb).unwrap_or_default();
        let fs_name = units(volume.vcb.volume().mounted().fs_name())?;
        let source = known.map(|known| known.source).unwrap_or_default();
        if !writer.push(&record, &label, &fs_name, &source) {
            break;
        }
    }
    writer.finish().map_err(refused)
}

fn units(text: &str) -> Result<Vec<u16>, NtStatus> {
    let mut units = Vec::new();
    units
        .try_reserve_exact(text.len())
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    units.extend(text.encode_utf16());
    Ok(units)
}

fn describe(volume: &MountedVolume, (letter, is_image): (u8, bool)) -> VolumeRecord {
    let linux = volume.vcb.volume();
    let info = linux.info().ok();
    let bytes = |blocks: u64| {
        let unit = info.as_ref().map_or(0, |info| u64::from(info.block_size));
        blocks.saturating_mul(unit)
    };
    let stats = linux.device().stats().ok();
    let state = *volume.state.lock();
    let flags = [
        (state.dismounted, volume_flags::DISMOUNTED),
        (state.removed, volume_flags::REMOVED),
        (linux.mounted().stale(), volume_flags::STALE),
        (is_image, volume_flags::IMAGE),
    ];
    let set = flags.iter().filter(|(is, _)| *is);
    VolumeRecord {
        volume: volume.id.into(),
        total: bytes(info.as_ref().map_or(0, |info| info.blocks)).into(),
        free: bytes(info.as_ref().map_or(0, |info| info.blocks_free)).into(),
        bytes_read: stats.as_ref().map_or(0, |stats| stats.read_bytes).into(),
        reads: stats.as_ref().map_or(0, |stats| stats.reads).into(),
        overlay: stats.as_ref().map_or(0, |stats| stats.overlay_bytes).into(),
        handles: state.handles.into(),
        flags: set.fold(0, |sum, (_, flag)| sum | flag).into(),
        uuid: info.as_ref().map_or([0; 16], |info| info.uuid),
        letter: u16::from(letter).into(),
        ..VolumeRecord::default()
    }
}

/// Mounts a device or an image.
fn mount(driver: &Driver, mount: &Mount<'_>) -> Result<reply::Mounted, NtStatus> {
    // What a mount does not know yet is refused rather than passed over.
    if mount.flags.everyone || mount.flags.no_recovery || mount.fs_name.is_some() || !mount.options.is_empty()
    {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    let text = |text: Text<'_>| text.to_units().map_err(refused);
    let wanted = match mount.letter {
        Some(letter) => Wanted::This(letter),
        None if mount.flags.no_letter => Wanted::No,
        None => Wanted::Any,
    };
    let (mounted, is_image) = match mount.source {
        control::Source::Device(name) => (
            driver
                .mounts
                .mount(driver, Source::Device(&text(name)?), wanted)?,
            false,
        ),
        control::Source::Image(path) => {
            let source = text(path)?;
            let source = Source::Image(&source, mount.partition);
            (driver.mounts.mount(driver, source, wanted)?, true)
        }
    };
    Ok(reply::Mounted {
        volume: mounted.volume.into(),
        letter: u16::from(mounted.letter).into(),
        flags: if is_image { volume_flags::IMAGE } else { 0 }.into(),
        ..reply::Mounted::default()
    })
}

/// Bytes of log text that one reply brings at most.
const LOG_PIECE: usize = 16 * 1024;

/// What Linux printed, from `position` on.
fn log(driver: &Driver, source: LogSource, position: u64, out: &mut [u8]) -> Result<usize, NtStatus> {
    if source == LogSource::Driver {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    let room = out.len().saturating_sub(size_of::<reply::Log>()).min(LOG_PIECE);
    let mut text = Vec::new();
    text.try_reserve_exact(room)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    text.resize(room, 0u8);
    let (start, length) = match driver.linux.booted() {
        Some(kernel) => kernel.read_log(position, &mut text),
        None => (0, 0),
    };
    let head = reply::Log {
        next: start.saturating_add(length as u64).into(),
        lost: start.saturating_sub(position).into(),
        ..reply::Log::default()
    };
    reply::write(out, head, text.get(..length).unwrap_or_default()).map_err(refused)
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
