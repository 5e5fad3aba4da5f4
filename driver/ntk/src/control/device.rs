//! Requests to the control devices: what `userctl` asks the driver itself.
//!
//! [`lklfs_control`] has the records, and checks them; what is asked is done here.
//
// UNSAFETY: references the file object; opens the disk of a device that it has a reference to.

use crate::control::mounts::{Known, Source};
use crate::control::standby;
use crate::device::{DeviceRef, Mounter};
use crate::irp::Irp;
use crate::letter::assignment::Wanted;
use crate::letter::inventory::{self, Seen};
use crate::letter::letters::Opened;
use crate::letter::settings::Settings;
use crate::log::{self, Wide};
use crate::major::refuse;
use crate::object::open::FileRef;
use crate::object::signature;
use crate::object::volume::MountedVolume;
use crate::state::{Driver, driver};
use crate::workque::request::{self, Kept, Output, Scratch};
use alloc::sync::Arc;
use alloc::vec::Vec;
use lkl::probe::ReadAt;
use lklfs_control::reply::{
    self, ListWriter, PlaceRecord, PolicyEntry, VolumeRecord, place_flags, status_flags, volume_flags,
};
use lklfs_control::{self as control, Interface, LogSource, Mount, Refusal, Request, Text};
use lklfs_fsd::{Medium, Outcome, Volume as _};
use lklfs_kernel::disk::DeviceReader;
use lklfs_kernel::impersonation::Client;
use lklfs_kernel::nt::{
    self, FILE_READ_ATTRIBUTES, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, NTSTATUS,
};
use lklfs_kernel::text::{self, units};
use lklfs_kernel::{clock, pool, stack};
use lklfs_nt::NtStatus;

/// The largest input: a record and its longest texts.
const MOST_INPUT: u32 = 128 * 1024;

/// A request to a control device.
///
/// IRQL: PASSIVE_LEVEL.
pub fn control(irp: Irp, interface: Interface) -> NTSTATUS {
    match u32::from(irp.major()) {
        IRP_MJ_CREATE => match driver().map(|driver| driver.standby.control_opened(interface)) {
            Some(Ok(())) => irp.complete(Outcome::success(0)),
            Some(Err(status)) => irp.fail(status),
            None => irp.fail(NtStatus::DEVICE_NOT_READY),
        },
        IRP_MJ_CLEANUP => irp.complete(Outcome::success(0)),
        IRP_MJ_CLOSE => {
            if let Some(driver) = driver() {
                driver.standby.control_closed();
            }
            irp.complete(Outcome::success(0))
        }
        IRP_MJ_DEVICE_CONTROL => match driver() {
            Some(driver) => device_control(driver, irp, interface),
            None => irp.fail(NtStatus::DEVICE_NOT_READY),
        },
        _ => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
    }
}

fn device_control(driver: &Driver, mut irp: Irp, interface: Interface) -> NTSTATUS {
    let parameters = irp.control();
    let (code, length) = (parameters.code, parameters.output_length);
    if code & 3 != 0 {
        return irp.fail(NtStatus::INVALID_DEVICE_REQUEST);
    }
    if parameters.input_length > MOST_INPUT {
        return irp.fail(NtStatus::INVALID_PARAMETER);
    }
    // Input and output share one buffer.
    let input = match text::copy(irp.system_buffer(parameters.input_length)) {
        Ok(input) => input,
        Err(status) => return irp.fail(status),
    };
    #[cfg(feature = "selftest")]
    if code == crate::control::selftest::IOCTL {
        let out = irp.system_buffer(length);
        let outcome = stack::on_large_stack(|| crate::control::selftest::run(out));
        return irp
            .complete(outcome.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into()));
    }
    #[cfg(feature = "selftest")]
    if code == crate::control::selftest::IOCTL_OF {
        let outcome = on_large_stack(|| crate::control::selftest::one(driver, &input));
        return irp.complete(outcome);
    }
    let request = match control::parse(interface, code, &input, length as usize) {
        Ok(request) => request,
        Err(refusal) => return irp.fail(refused(refusal)),
    };
    let is_served = matches!(
        request,
        Request::Version | Request::Status | Request::Log { .. } | Request::Stop { .. } | Request::Resume
    );
    if driver.standby.is_on() && !is_served {
        return irp.fail(NtStatus::DEVICE_NOT_READY);
    }
    if !may_block(driver, &request) {
        let out = irp.system_buffer(length);
        let outcome = match request {
            // Linux is not asked, and so needs no larger stack.
            Request::Version | Request::Status | Request::List { .. } if driver.linux.booted().is_none() => {
                outcome(answer(driver, request, out))
            }
            _ => on_large_stack(|| answer(driver, request, out)),
        };
        return irp.complete(outcome);
    }
    // SAFETY: the file object of an IRP that is ours.
    let file = unsafe { FileRef::new(irp.file_object()) };
    // Only a path of his may mean something else for him than for the system.
    let client = match &request {
        Request::Mount(_) => Client::current().map(Some),
        _ => Ok(None),
    };
    let client = match client {
        Ok(client) => client,
        Err(status) => return irp.fail(status),
    };
    let kept = Kept { open: None, file };
    request::post(
        irp,
        Arc::clone(&driver.posts),
        None,
        kept,
        move |request, scratch| in_worker(request, scratch, (interface, code, length), &input, client),
    )
}

/// Whether a request may wait for a disk, a server or another file system.
fn may_block(driver: &Driver, request: &Request<'_>) -> bool {
    match request {
        Request::Version | Request::Status | Request::Log { .. } | Request::Policies { .. } => false,
        Request::List { .. } => driver.linux.booted().is_some(),
        Request::Mount(_)
        | Request::Unmount { .. }
        | Request::Places { .. }
        | Request::Superblock { .. }
        | Request::Stop { .. }
        | Request::Resume
        | Request::SetPolicy { .. } => true,
    }
}

/// Does what is asked in a worker thread, in the client's name if there is one. What nobody waits for any more is not left
/// mounted.
fn in_worker(
    request: request::Request,
    scratch: &mut Scratch,
    (interface, code, length): (Interface, u32, u32),
    input: &[u8],
    client: Option<Client>,
) -> NTSTATUS {
    let Some(driver) = driver() else {
        return request.fail(NtStatus::DEVICE_NOT_READY);
    };
    let room = match scratch.zeros(length) {
        Ok(room) => room,
        Err(status) => return request.fail(status),
    };
    let asked = match control::parse(interface, code, input, room.len()) {
        Ok(asked) => asked,
        Err(refusal) => return request.fail(refused(refusal)),
    };
    let an_image =
        matches!(&asked, Request::Mount(mount) if matches!(mount.source, control::Source::Image(_)));
    let mut act = || on_large_stack(|| answer(driver, asked, room));
    let outcome = match client {
        Some(mut client) => client.act(act).unwrap_or_else(Outcome::failed),
        None => act(),
    };
    let answered = request.answer(outcome, room, Output::Buffered);
    answered.unwrap_or_else(|gone| {
        if an_image
            && let Ok((mounted, _)) = reply::read::<reply::Mounted>(room)
            && nt::succeeded(outcome.status)
        {
            log::line(format_args!(
                "volume {} is not wanted any more",
                mounted.volume.get()
            ));
            let unmount = || driver.mounts.unmount(driver, Some(mounted.volume.get()), true);
            let _ = stack::insist(unmount);
        }
        // It has kept the driver.
        drop(gone);
        nt::raw_status(NtStatus::CANCELLED)
    })
}

fn on_large_stack(act: impl FnOnce() -> Result<usize, NtStatus>) -> Outcome {
    let answered = stack::on_large_stack(act);
    outcome(answered.unwrap_or(Err(NtStatus::INSUFFICIENT_RESOURCES)))
}

fn outcome(answered: Result<usize, NtStatus>) -> Outcome {
    match answered {
        Ok(length) => Outcome::success(length),
        Err(status) => Outcome::failed(status),
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
            driver.mounts.unmount(driver, volume, force)?;
            reply::write(out, reply::Done::default(), &[])
        }
        Request::Stop { force } => {
            standby::enter(driver, force)?;
            reply::write(out, reply::Done::default(), &[])
        }
        Request::Resume => {
            standby::leave(driver)?;
            reply::write(out, reply::Done::default(), &[])
        }
        Request::Log { source, position } => return log(driver, source, position, out),
        Request::Places { after } => return places(driver, after, out),
        Request::Policies { after } => return policies(driver, after, out),
        Request::Superblock { device } => return superblock(device, out),
        Request::SetPolicy { key, policy } => {
            let settings = match &policy {
                Some(policy) => Settings::of(&policy.settings)?,
                None => Settings::default(),
            };
            // What could never be mounted is not kept.
            drop(settings.decide(&Settings::default(), Medium::Fixed)?);
            let name = units_of(key)?;
            driver.policies.set(key, policy.as_ref())?;
            log::line(format_args!("the policy of {} has changed", Wide(&name)));
            driver.mounts.policy_changed(driver, &name)?;
            reply::write(out, reply::Done::default(), &[])
        }
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
    let (panics, is_over) = driver.linux.deaths();
    let (mut flags, mut free) = (0, 0);
    match &kernel {
        Some(kernel) if !kernel.is_dead() => {
            flags |= status_flags::LINUX_RUNNING;
            free = kernel.free_bytes().unwrap_or(0);
        }
        Some(_) => flags |= status_flags::LINUX_DEAD,
        None if is_over => flags |= status_flags::LINUX_DEAD,
        None => {}
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
        pool_held: (pool::held() as u64).into(),
        ..reply::Status::default()
    })
}

/// The volumes whose number is greater than `after`, in the order of their numbers.
fn list(driver: &Driver, after: u64, out: &mut [u8]) -> Result<usize, NtStatus> {
    let mut volumes = driver.volumes.all()?;
    volumes.sort_unstable_by_key(|volume| volume.id);
    let mut writer = ListWriter::new(out).map_err(refused)?;
    for volume in volumes.iter().filter(|volume| volume.id > after) {
        let known = driver.mounts.known(volume).unwrap_or(Known {
            letter: 0,
            source: Vec::new(),
            is_image: false,
        });
        let record = describe(volume, &known);
        let label = lklfs_fsd::volinfo::label(&volume.vcb).unwrap_or_default();
        let fs_name = units(volume.vcb.volume().mounted().fs_name())?;
        let uuid = volume.key.as_deref().unwrap_or_default();
        if !writer.push(&record, [&label, &fs_name, &known.source, uuid]) {
            break;
        }
    }
    writer.finish().map_err(refused)
}

/// The places whose number is greater than `after`, in the order of their numbers.
fn places(driver: &Driver, after: u64, out: &mut [u8]) -> Result<usize, NtStatus> {
    let volumes = driver.volumes.all()?;
    let mut writer = ListWriter::new(out).map_err(refused)?;
    let mut at = after;
    loop {
        let next = driver.places.next(at, |number, seen| -> Result<_, NtStatus> {
            let superblock = seen.superblock.as_ref();
            Ok((
                number,
                place(number, seen),
                units(superblock.map_or("", |superblock| superblock.kind.name()))?,
                units(superblock.map_or("", |superblock| superblock.label.as_str()))?,
                text::copy(seen.key.as_deref().unwrap_or_default())?,
                text::copy(&seen.device)?,
            ))
        });
        let Some(shown) = next else { break };
        let (number, mut record, kind, label, uuid, device) = shown?;
        at = number;
        // Nothing is held while the device and the mount manager are asked.
        let now = inventory::now(driver, &device);
        record.letter = u16::from(now.letter.unwrap_or(0)).into();
        let ours = volumes.iter().find(|volume| {
            volume.state.lock().refusal().is_none() && now.real.as_ref() == Some(&volume.mounted_on)
        });
        record.volume = ours.map_or(0, |volume| volume.id).into();
        let mut flags = record.flags.get();
        if now.mounter == Mounter::Other {
            flags |= place_flags::OTHER;
        }
        if !uuid.is_empty() && driver.policies.get(&uuid)?.never {
            flags |= place_flags::NEVER;
        }
        record.flags = flags.into();
        if !writer.push(&record, [&kind, &label, &uuid, &device]) {
            break;
        }
    }
    writer.finish().map_err(refused)
}

/// What was seen at a place.
fn place(number: u64, seen: &Seen) -> PlaceRecord {
    let ours = seen.superblock.as_ref();
    let flags = [
        (seen.removable, place_flags::REMOVABLE),
        (
            ours.is_some_and(|superblock| !superblock.kind.is_windows_own()),
            place_flags::LINUX,
        ),
    ];
    let set = flags.iter().filter(|(is, _)| *is);
    PlaceRecord {
        place: number.into(),
        bytes: seen.bytes.into(),
        start: seen.start.into(),
        disk: seen.disk.into(),
        partition: seen.partition.into(),
        flags: set.fold(0, |sum, (_, flag)| sum | flag).into(),
        sector: seen.sector.into(),
        ..PlaceRecord::default()
    }
}

/// The policies behind the first `after`.
fn policies(driver: &Driver, after: u64, out: &mut [u8]) -> Result<usize, NtStatus> {
    let mut writer = ListWriter::new(out).map_err(refused)?;
    let mut index = u32::try_from(after).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    while let Some((key, kept)) = driver.policies.nth(index)? {
        let policy = kept.as_policy();
        let entry = PolicyEntry::new(&policy, kept.last_letter).map_err(refused)?;
        let settings = &policy.settings;
        let fs_name = units_of(settings.fs_name.unwrap_or_default())?;
        let (options, owners) = (units_of(settings.options)?, units_of(settings.owners)?);
        if !writer.push(&entry, [&key, &fs_name, &options, &owners]) {
            break;
        }
        index = index.saturating_add(1);
    }
    writer.finish().map_err(refused)
}

/// What is at the place of the superblock of the file system on a device; nothing where none is recognised.
fn superblock(device: Text<'_>, out: &mut [u8]) -> Result<usize, NtStatus> {
    let opened = Opened::open(&units_of(device)?, FILE_READ_ATTRIBUTES)?;
    let top = DeviceRef::top(&opened)?;
    // SAFETY: the device is referenced.
    let disk = unsafe { DeviceReader::open(top.as_ptr()) }?;
    let found = signature::look(&disk)?.0;
    let (offset, length) = found.kind.superblock_range();
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    bytes.resize(length, 0u8);
    signature::Signature::new(&disk)
        .read_at(offset, &mut bytes)
        .map_err(|_| NtStatus::IO_DEVICE_ERROR)?;
    let head = reply::Superblock {
        offset: offset.into(),
        ..reply::Superblock::default()
    };
    reply::write(out, head, &bytes).map_err(refused)
}

fn units_of(text: Text<'_>) -> Result<Vec<u16>, NtStatus> {
    text.to_units().map_err(refused)
}

fn describe(volume: &MountedVolume, known: &Known) -> VolumeRecord {
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
        (known.is_image, volume_flags::IMAGE),
        (
            stats.as_ref().is_some_and(|stats| stats.overlay_bytes > 0),
            volume_flags::REPLAYED,
        ),
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
        letter: u16::from(known.letter).into(),
        ..VolumeRecord::default()
    }
}

/// Mounts a device or an image.
fn mount(driver: &Driver, mount: &Mount<'_>) -> Result<reply::Mounted, NtStatus> {
    let wanted = match mount.letter {
        Some(letter) => Wanted::This(letter),
        None if mount.no_letter => Wanted::No,
        None => Wanted::Any,
    };
    let settings = Settings::of(&mount.settings)?;
    let (name, is_image) = match mount.source {
        control::Source::Device(name) => (units_of(name)?, false),
        control::Source::Image(path) => (units_of(path)?, true),
    };
    let source = match is_image {
        false => Source::Device(&name),
        true => Source::Image {
            path: &name,
            partition: mount.partition,
            format: mount.format,
        },
    };
    let mounted = driver.mounts.mount(driver, source, wanted, settings)?;
    let flags = [
        (is_image, volume_flags::IMAGE),
        (mounted.stale, volume_flags::STALE),
    ];
    let set = flags.iter().filter(|(is, _)| *is);
    Ok(reply::Mounted {
        volume: mounted.volume.into(),
        letter: u16::from(mounted.letter).into(),
        flags: set.fold(0, |sum, (_, flag)| sum | flag).into(),
        ..reply::Mounted::default()
    })
}

/// Bytes of log text that one reply brings at most.
const LOG_PIECE: usize = 16 * 1024;

/// What Linux printed, or the driver, from `position` on.
fn log(driver: &Driver, source: LogSource, position: u64, out: &mut [u8]) -> Result<usize, NtStatus> {
    let room = out.len().saturating_sub(size_of::<reply::Log>()).min(LOG_PIECE);
    let mut text = Vec::new();
    text.try_reserve_exact(room)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    text.resize(room, 0u8);
    let (start, length) = match (source, driver.linux.booted()) {
        (LogSource::Driver, _) => log::read(position, &mut text),
        (LogSource::Linux, Some(kernel)) => kernel.read_log(position, &mut text),
        (LogSource::Linux, None) => (0, 0),
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
