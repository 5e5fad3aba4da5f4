//! What was mounted on request: image files, which become disks, and disks that are there already; with the letter of
//! each. And the letters and the end of all other volumes, as far as this driver has a say in them.
//!
//! The way of an image: the file is opened in the thread of whoever asks; its format, its partition table and the
//! signature of the file system are told in safe code; a disk device is made for the chosen window
//! ([`crate::image::disk`]); opening that device makes the I/O manager offer it to every file system, so that an image of
//! a Windows file system is mounted by Windows' own. A device goes the second half of that way. Whatever fails, all
//! before is taken back.
//!
//! What an administrator asked for is kept with the device for as long as it is mounted on request, so that a volume that
//! the I/O manager mounts again is mounted in the same way ([`Mounts::asked`]).
//!
//! This file is long because all of it works on the one list, and the order in which its lock is taken and left is what
//! must be seen at one glance.

use crate::device::{DeviceRef, Mounter};
use crate::image::disk::ImageDisk;
use crate::image::file::{choose, identity, mark, open};
use crate::letter::assignment::{Wanted, Whose, give_letter, remember_letter, suggested_link};
use crate::letter::dismount::dismount;
use crate::letter::inventory::{self, Seen};
use crate::letter::letters::{self, Assigned, Opened};
use crate::letter::policy::{self, Kept, VolumeKey};
use crate::letter::settings::Settings;
use crate::log::{self, Wide};
use crate::object::volume::{self, MountedVolume};
use crate::state::{self, Driver};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use lklfs_control::reply::UNKNOWN;
use lklfs_control::{Format, LetterRule};
use lklfs_kernel::nt::{FILE_READ_ATTRIBUTES, FILE_READ_DATA};
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::text::copy;
use lklfs_nt::NtStatus;

/// Something that was mounted on request.
struct Entry {
    /// Tells it from all others.
    token: u64,
    /// The number that it has while another file system has mounted it.
    number: u64,
    /// The device that it is on.
    real: DeviceRef,
    /// The name of that device.
    device: Vec<u16>,
    /// The image, if it is one, and its path.
    image: Option<(Arc<ImageDisk>, Vec<u16>)>,
    letter: Option<Assigned>,
    /// Which letter was asked for. One, or none, is kept to as long as it is mounted, whatever its policy becomes.
    wanted: Wanted,
    /// How it was to be mounted.
    asked: Settings,
    /// Why this driver did not mount it, which whoever asked is told rather than what became of it then.
    refused: Option<NtStatus>,
}

impl Entry {
    /// An image fails from now on, so that nobody waits for a file system below it that hangs.
    fn fail(&self) {
        if let Some((disk, _)) = &self.image {
            disk.fail();
        }
    }
}

/// Tells entries apart.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// All of them.
pub struct Mounts {
    list: Guarded<Vec<Entry>>,
}

/// What is to be mounted.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A disk device, by its NT name.
    Device(&'a [u16]),
    /// An image file, by its NT path.
    Image {
        /// The path.
        path: &'a [u16],
        /// This partition (0 for the whole), or the first with a file system.
        partition: Option<u32>,
        /// Its format, or what its content says.
        format: Option<Format>,
    },
}

/// What became of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The volume's number.
    pub volume: u64,
    /// `b'A'` to `b'Z'`; 0 when it has none.
    pub letter: u8,
    /// It is shown without a replay that it needs.
    pub stale: bool,
}

/// What is known of a mounted volume besides what Linux says.
#[derive(Debug)]
pub struct Known {
    /// Its letter, or 0.
    pub letter: u8,
    /// The NT name of its device, or of its image file.
    pub source: Vec<u16>,
    /// It is an image.
    pub is_image: bool,
}

/// What an entry says of its letter.
#[derive(Clone, Copy, Debug)]
struct Requested {
    letter: Option<Assigned>,
    wanted: Wanted,
    is_image: bool,
}

/// Whether the letter of a policy was given to one of the devices that hold its volume; a copy beside it has another.
#[derive(Default)]
struct Followed {
    given: bool,
    refused: bool,
}

impl Followed {
    fn note(&mut self, kept: &Kept, now: Option<u8>) {
        if let (LetterRule::This(wanted), Some(now)) = (kept.letter, now) {
            self.given |= now == wanted;
            self.refused |= now != wanted;
        }
    }
}

/// What an unmount is about.
enum Target {
    Entry(u64),
    Volume(Arc<MountedVolume>),
}

impl Mounts {
    /// None yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Mounts {
            list: Guarded::new(Vec::new())?,
        })
    }

    /// Mounts `source` and gives it a letter.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn mount(
        &self,
        driver: &Driver,
        source: Source<'_>,
        wanted: Wanted,
        asked: Settings,
    ) -> Result<Mounted, NtStatus> {
        let mut entry = match source {
            Source::Device(name) => self.of_device(name, wanted, asked)?,
            Source::Image {
                path,
                partition,
                format,
            } => of_image(driver, path, (partition, format), wanted, asked)?,
        };
        let is_image = entry.image.is_some();
        let (token, device) = (entry.token, copy(&entry.device)?);
        // The mount asks for the settings by the device, so they are there before it is mounted.
        let real = DeviceRef::real(&Opened::open(&device, FILE_READ_ATTRIBUTES)?)?;
        {
            let mut list = self.list.lock();
            if list.try_reserve(1).is_err() {
                drop(list);
                remove(entry);
                return Err(NtStatus::INSUFFICIENT_RESOURCES);
            }
            // Mounted on request before: this is the newer request.
            if let Some(at) = list.iter().position(|known| known.real == entry.real) {
                entry.letter = list.swap_remove(at).letter;
            }
            list.push(entry);
        }
        match mount_and_assign(driver, &device, &real, wanted, is_image) {
            Ok((mounted, letter)) => {
                let mut list = self.list.lock();
                if let Some(entry) = list.iter_mut().find(|entry| entry.token == token) {
                    entry.number = mounted.volume;
                    entry.letter = letter.or(entry.letter);
                }
                log::line(format_args!("volume {} is on {}", mounted.volume, Wide(&device)));
                Ok(mounted)
            }
            Err(status) => {
                let entry = self.take(token);
                let status = entry.as_ref().and_then(|entry| entry.refused).unwrap_or(status);
                match entry {
                    Some(entry) if entry.image.is_some() => {
                        entry.fail();
                        let _ = dismount(&entry.device, true);
                        remove(entry);
                    }
                    // The letters of a disk that is there are none of this mount's.
                    Some(entry) => {
                        letters::release_own(entry.letter);
                    }
                    None => {}
                }
                log::line(format_args!("{} is not mounted: {status:?}", Wide(&device)));
                Err(status)
            }
        }
    }

    fn take(&self, token: u64) -> Option<Entry> {
        let mut list = self.list.lock();
        let at = list.iter().position(|entry| entry.token == token)?;
        Some(list.swap_remove(at))
    }

    /// A device that is there, as far as it can be told before it is mounted.
    fn of_device(&self, name: &[u16], wanted: Wanted, asked: Settings) -> Result<Entry, NtStatus> {
        // With no more than this right nothing is mounted.
        let real = DeviceRef::real(&Opened::open(name, FILE_READ_ATTRIBUTES)?)?;
        let device = real.name()?;
        match real.mounter() {
            // It was not known when it was first opened, or is to be mounted in another way now.
            Mounter::Raw => dismount(&device, false)?,
            Mounter::Us if !asked.are_default() => dismount(&device, false)?,
            Mounter::Us | Mounter::Other | Mounter::Nobody => {}
        }
        Ok(Entry {
            token: NEXT.fetch_add(1, Ordering::Relaxed),
            number: 0,
            real,
            device,
            image: None,
            letter: None,
            wanted,
            asked,
            refused: None,
        })
    }

    /// What was asked for the volume on this device, if it was mounted on request.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn asked(&self, real: &DeviceRef) -> Result<Option<Settings>, NtStatus> {
        let list = self.list.lock();
        let entry = list.iter().find(|entry| entry.real == *real);
        entry.map(|entry| entry.asked.try_clone()).transpose()
    }

    /// This driver does not mount the volume on this device, for this reason.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn refused(&self, real: &DeviceRef, status: NtStatus) {
        let mut list = self.list.lock();
        if let Some(entry) = list.iter_mut().find(|entry| entry.real == *real) {
            entry.refused = Some(status);
        }
    }

    /// Unmounts a volume, or all for `None`. Without `force`, ACCESS_DENIED when files on it are open.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn unmount(&self, driver: &Driver, volume: Option<u64>, force: bool) -> Result<(), NtStatus> {
        let mut result = Ok(());
        let targets = self.targets(driver, volume)?;
        if targets.is_empty() && volume.is_some() {
            return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        for target in targets {
            let done = match target {
                Target::Entry(token) => self.unmount_entry(token, force),
                Target::Volume(volume) => unmount_volume(driver, &volume, force),
            };
            if let Err(status) = done {
                result = Err(status);
            }
        }
        result
    }

    fn targets(&self, driver: &Driver, volume: Option<u64>) -> Result<Vec<Target>, NtStatus> {
        let volumes = driver.volumes.all()?;
        let list = self.list.lock();
        let mut targets = Vec::new();
        targets
            .try_reserve_exact(volumes.len().saturating_add(list.len()))
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        for entry in list.iter() {
            let ours = volumes.iter().find(|volume| volume.mounted_on == entry.real);
            let number = ours.map_or(entry.number, |volume| volume.id);
            if volume.is_none_or(|wanted| wanted == number) {
                targets.push(Target::Entry(entry.token));
            }
        }
        for mounted in volumes {
            let on_request = list.iter().any(|entry| entry.real == mounted.mounted_on);
            let gone = mounted.state.lock().refusal().is_some();
            if !on_request && !gone && volume.is_none_or(|wanted| wanted == mounted.id) {
                targets.push(Target::Volume(mounted));
            }
        }
        Ok(targets)
    }

    fn unmount_entry(&self, token: u64, force: bool) -> Result<(), NtStatus> {
        // Taken out meanwhile, so that nobody else unmounts it too.
        let Some(entry) = self.take(token) else {
            return Ok(());
        };
        if force {
            entry.fail();
        }
        match dismount(&entry.device, force) {
            Ok(()) => {
                log::line(format_args!("{} is unmounted", Wide(&entry.device)));
                remove(entry);
                Ok(())
            }
            Err(status) => {
                let mut list = self.list.lock();
                if list.try_reserve(1).is_ok() {
                    list.push(entry);
                }
                Err(status)
            }
        }
    }

    /// The device has gone: what was asked for it goes, too.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn device_gone(&self, real: &DeviceRef) {
        let gone = {
            let mut list = self.list.lock();
            let at = list
                .iter()
                .position(|entry| entry.real == *real && entry.image.is_none());
            at.map(|at| list.swap_remove(at))
        };
        // A letter that its place has goes with the place.
        let place_has_one = |entry: &Entry| {
            state::driver().is_some_and(|driver| driver.places.own_letter(&entry.device).is_some())
        };
        if let Some(entry) = gone.filter(|entry| !place_has_one(entry)) {
            letters::release_own(entry.letter);
        }
    }

    /// Takes every image away, whatever is open on it: the driver is unloaded.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn clear(&self) {
        loop {
            let next = self.list.lock().pop();
            let Some(entry) = next else { break };
            remove(entry);
        }
    }

    /// What is known of a volume.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn known(&self, volume: &MountedVolume) -> Result<Known, NtStatus> {
        let device = volume.mounted_on.name()?;
        let (assigned, path) = self.requested(volume)?;
        let own = state::driver().and_then(|driver| driver.places.own_letter(&device));
        let letter = letters::current(&device, own.or(assigned));
        Ok(Known {
            letter: letter.unwrap_or(0),
            is_image: path.is_some(),
            source: path.unwrap_or(device),
        })
    }

    /// The letter that a volume was given on request, and the path of its image.
    fn requested(&self, volume: &MountedVolume) -> Result<(Option<Assigned>, Option<Vec<u16>>), NtStatus> {
        let list = self.list.lock();
        let Some(entry) = list.iter().find(|entry| entry.real == volume.mounted_on) else {
            return Ok((None, None));
        };
        let path = entry.image.as_ref().map(|(_, path)| copy(path));
        Ok((entry.letter, path.transpose()?))
    }

    /// The policy of the volume with this key has changed: its letters follow at once, unless its mount asked for one or for
    /// none, and what is mounted and not in use is mounted afresh. What is in use keeps its ways until it is mounted again.
    ///
    /// # Errors
    /// OBJECT_NAME_COLLISION when the letter that the policy says is another volume's: the letter stays as it was, and all
    /// else is done.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn policy_changed(&self, driver: &Driver, key: &[u16]) -> Result<(), NtStatus> {
        let kept = driver.policies.get(key)?;
        let mut devices = driver.places.with_key(key)?;
        for volume in driver.volumes.all()? {
            if volume.key.as_deref() == Some(key) && volume.state.lock().refusal().is_none() {
                let device = volume.mounted_on.name()?;
                if !devices.iter().any(|known| inventory::same_name(known, &device)) {
                    devices
                        .try_reserve(1)
                        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
                    devices.push(device);
                }
            }
        }
        let mut result = Ok(());
        let mut letters = Followed::default();
        for device in devices {
            let requested = self.entry_on(&device);
            let on_request = requested.is_some();
            if requested.is_none_or(|requested| requested.wanted == Wanted::Any) {
                match follow_letter_rule(driver, &device, key, &kept, requested) {
                    Ok(now) => {
                        self.set_letter(&device, now);
                        letters.note(&kept, now.map(|now| now.letter));
                    }
                    Err(status) => {
                        log::line(format_args!("{} keeps its letter: {status:?}", Wide(&device)));
                        result = Err(status);
                    }
                }
            }
            let mounted_by_us = inventory::now(driver, &device).mounter == Mounter::Us;
            if mounted_by_us && dismount(&device, false).is_ok() && (on_request || !kept.never) {
                let _ = Opened::open(&device, FILE_READ_DATA | FILE_READ_ATTRIBUTES);
            }
        }
        match letters.refused && !letters.given {
            true => result.and(Err(NtStatus::OBJECT_NAME_COLLISION)),
            false => result,
        }
    }

    /// What was mounted on request on this device, as far as its letter goes.
    fn entry_on(&self, device: &[u16]) -> Option<Requested> {
        let list = self.list.lock();
        let entry = list
            .iter()
            .find(|entry| inventory::same_name(&entry.device, device))?;
        Some(Requested {
            letter: entry.letter,
            wanted: entry.wanted,
            is_image: entry.image.is_some(),
        })
    }

    fn set_letter(&self, device: &[u16], letter: Option<Assigned>) {
        let mut list = self.list.lock();
        if let Some(entry) = list
            .iter_mut()
            .find(|entry| inventory::same_name(&entry.device, device))
        {
            entry.letter = letter;
        }
    }
}

/// Makes a disk of an image.
fn of_image(
    driver: &Driver,
    path: &[u16],
    (partition, format): (Option<u32>, Option<Format>),
    wanted: Wanted,
    asked: Settings,
) -> Result<Entry, NtStatus> {
    let kept = copy(path)?;
    let image = open(path, format)?;
    let (image, window, superblock) = choose(image, partition, !asked.fs_name.is_empty())?;
    let identity = identity(superblock.as_ref(), window)?;
    let key = superblock.as_ref().and_then(policy::key);
    let seen = Seen {
        device: Vec::new(),
        disk: UNKNOWN,
        partition: window.partition,
        start: window.start,
        bytes: window.bytes,
        sector: image.sector(),
        removable: false,
        whole_disk: false,
        key,
        superblock,
    };
    let link = suggested_link(driver, seen.key.as_deref(), wanted);
    let disk = ImageDisk::create(driver, image, window, identity, mark(path, window), link)?;
    let device = copy(disk.name())?;
    driver.places.came(&device);
    driver.places.saw(
        &device,
        Seen {
            device: copy(&device)?,
            ..seen
        },
    );
    Ok(Entry {
        token: NEXT.fetch_add(1, Ordering::Relaxed),
        number: 0,
        real: disk.device_ref(),
        device,
        image: Some((disk, kept)),
        letter: None,
        wanted,
        asked,
        refused: None,
    })
}

/// Gives a volume the letter that its policy says now, or takes it away; the letter that it has then.
fn follow_letter_rule(
    driver: &Driver,
    device: &[u16],
    key: &[u16],
    kept: &Kept,
    requested: Option<Requested>,
) -> Result<Option<Assigned>, NtStatus> {
    let before = requested.and_then(|requested| requested.letter);
    if kept.letter == LetterRule::Hidden || (kept.never && requested.is_none()) {
        inventory::hide(driver, device, before);
        return Ok(None);
    }
    let whose = match requested {
        Some(requested) if requested.is_image => Whose::Image,
        Some(_) => Whose::Disk,
        None if driver.places.is_whole_disk(device) => Whose::WholeDisk,
        None => Whose::Arrived,
    };
    match give_letter(driver, device, Some(key), Wanted::Any, whose) {
        // Without a mount manager a volume that came by itself has none.
        Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND) if whose == Whose::Arrived => {
            Ok(None)
        }
        // Of a volume that was hidden the mount manager remembers that it wants no letter. Its policy says otherwise now.
        Ok(None) if whose == Whose::Arrived => {
            give_letter(driver, device, Some(key), Wanted::Any, Whose::Disk)
        }
        given => given,
    }
}

/// Gives the letter back, and removes the disk of an image.
fn remove(entry: Entry) {
    let driver = state::driver();
    if let Some(driver) = driver {
        let key = driver.places.key_of(&entry.device);
        remember_letter(driver, &entry.device, key.as_deref());
    }
    if let Some((disk, _)) = &entry.image {
        letters::release(&entry.device, entry.letter);
        if let Some(driver) = driver {
            driver.places.went(&entry.device);
        }
        disk.remove();
    } else if let Some(driver) = driver {
        inventory::hide(driver, &entry.device, entry.letter);
    }
}

/// Unmounts a volume that nobody asked for, and takes its letters, so that nothing mounts it again by itself.
fn unmount_volume(driver: &Driver, volume: &Arc<MountedVolume>, force: bool) -> Result<(), NtStatus> {
    let device = volume.mounted_on.name()?;
    dismount(&device, force)?;
    remember_letter(driver, &device, volume.key.as_deref());
    inventory::hide(driver, &device, None);
    log::line(format_args!("{} is unmounted", Wide(&device)));
    Ok(())
}

/// Has the I/O manager mount what is on the device, and gives it a letter. The number is that of our volume, or a new one
/// for what another file system has mounted.
fn mount_and_assign(
    driver: &Driver,
    device: &[u16],
    real: &DeviceRef,
    wanted: Wanted,
    is_image: bool,
) -> Result<(Mounted, Option<Assigned>), NtStatus> {
    drop(Opened::open(device, FILE_READ_DATA | FILE_READ_ATTRIBUTES)?);
    match real.mounter() {
        Mounter::Us => {}
        // An image of a Windows file system; a disk with one is Windows' business.
        Mounter::Other if is_image => {}
        Mounter::Other | Mounter::Raw | Mounter::Nobody => return Err(NtStatus::UNRECOGNIZED_VOLUME),
    }
    let volumes = driver.volumes.all()?;
    let ours = volumes
        .iter()
        .find(|volume| volume.mounted_on == *real && volume.state.lock().refusal().is_none());
    let key: Option<&VolumeKey> = ours.and_then(|volume| volume.key.as_ref());
    let whose = if is_image { Whose::Image } else { Whose::Disk };
    let letter = give_letter(driver, device, key.map(Vec::as_slice), wanted, whose)?;
    let mounted = Mounted {
        volume: ours.map_or_else(volume::next_id, |volume| volume.id),
        letter: letter.map_or(0, |assigned| assigned.letter),
        stale: ours.is_some_and(|volume| volume.vcb.volume().mounted().stale()),
    };
    Ok((mounted, letter))
}
