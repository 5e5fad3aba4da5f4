//! The places where volumes may be: every partition and disk that the PnP manager has told of, and every disk made of an
//! image, with what their superblocks said when they came. It is what `userctl list` shows besides what is mounted.

use crate::device::{DeviceRef, Mounter};
use crate::letter::letters::{self, Assigned, Opened};
use crate::letter::policy::VolumeKey;
use crate::state::Driver;
use alloc::vec::Vec;
use lkl::probe::Superblock;
use lklfs_control::reply::UNKNOWN;
use lklfs_kernel::disk::DeviceReader;
use lklfs_kernel::nt::FILE_READ_ATTRIBUTES;
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::text::copy;
use lklfs_nt::NtStatus;
use lklfs_nt::diskio::{self, DeviceNumber, HotplugInfo, PartitionInformationEx};
use lklfs_nt::record::{Field, Record};

/// What was seen at a place.
#[derive(Debug)]
pub struct Seen {
    /// The device's NT name.
    pub device: Vec<u16>,
    /// As [`lklfs_control::reply::PlaceRecord`] has it.
    pub disk: u32,
    /// As there.
    pub partition: u32,
    /// As there.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes in a sector.
    pub sector: u32,
    /// The medium, or the disk, can be taken out.
    pub removable: bool,
    /// It is a disk without a table, which is none of the mount manager's clients.
    pub whole_disk: bool,
    /// What file system is there.
    pub superblock: Option<Superblock>,
    /// The volume's UUID, date or serial number.
    pub key: Option<VolumeKey>,
}

/// A place.
struct Place {
    number: u64,
    /// What the PnP manager calls it; for a disk of ours the device's name.
    link: Vec<u16>,
    /// Nothing yet for one that has just come.
    seen: Option<Seen>,
    /// A letter that is a link of ours: a whole disk's.
    own: Option<Assigned>,
}

impl Place {
    fn is_on(&self, device: &[u16]) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| same_name(&seen.device, device))
    }
}

/// All of them.
pub struct Places {
    list: Guarded<(u64, Vec<Place>)>,
}

/// What is at a place now.
#[derive(Debug)]
pub struct Now {
    /// Its letter.
    pub letter: Option<u8>,
    /// Who has mounted it.
    pub mounter: Mounter,
    /// The device, while it is there.
    pub real: Option<DeviceRef>,
}

/// Whether two names of devices are the same: the name space has no case.
pub fn same_name(one: &[u16], other: &[u16]) -> bool {
    let fold = |unit: &u16| u8::try_from(*unit).map_or(*unit, |byte| u16::from(byte.to_ascii_uppercase()));
    one.iter().map(fold).eq(other.iter().map(fold))
}

impl Places {
    /// None yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Places {
            list: Guarded::new((0, Vec::new()))?,
        })
    }

    /// A place has come, and will be looked at. For lack of memory it is not listed.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn came(&self, link: &[u16]) {
        let Ok(link) = copy(link) else { return };
        let (last, list) = &mut *self.list.lock();
        if list.iter().any(|place| place.link == link) || list.try_reserve(1).is_err() {
            return;
        }
        *last = last.saturating_add(1);
        list.push(Place {
            number: *last,
            link,
            seen: None,
            own: None,
        });
    }

    /// What was seen there. A place that has gone meanwhile stays gone.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn saw(&self, link: &[u16], seen: Seen) {
        let (_, list) = &mut *self.list.lock();
        if let Some(place) = list.iter_mut().find(|place| place.link == link) {
            place.seen = Some(seen);
        }
    }

    /// A place has gone, and its own letter with it.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn went(&self, link: &[u16]) {
        let gone = {
            let (_, list) = &mut *self.list.lock();
            let at = list.iter().position(|place| place.link == link);
            at.map(|at| list.remove(at))
        };
        if let Some(place) = gone {
            letters::release_own(place.own);
        }
    }

    /// Whether a device is a disk without a table.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn is_whole_disk(&self, device: &[u16]) -> bool {
        let (_, list) = &*self.list.lock();
        let seen = list.iter().filter(|place| place.is_on(device));
        seen.filter_map(|place| place.seen.as_ref())
            .any(|seen| seen.whole_disk)
    }

    /// The letter of ours that a device has.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn own_letter(&self, device: &[u16]) -> Option<Assigned> {
        let (_, list) = &*self.list.lock();
        list.iter().find(|place| place.is_on(device))?.own
    }

    /// A device has this letter of ours now. False: the place has gone, and nobody keeps the letter.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn set_own_letter(&self, device: &[u16], letter: Option<Assigned>) -> bool {
        let (_, list) = &mut *self.list.lock();
        match list.iter_mut().find(|place| place.is_on(device)) {
            Some(place) => {
                place.own = letter;
                true
            }
            None => false,
        }
    }

    /// Shows the first place behind number `after`, with its number, if it was looked at. `None`: there are no more.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn next<T>(&self, after: u64, show: impl FnOnce(u64, &Seen) -> T) -> Option<T> {
        let (_, list) = &*self.list.lock();
        let mut behind = list.iter().filter(|place| place.number > after);
        let (number, seen) = behind.find_map(|place| Some((place.number, place.seen.as_ref()?)))?;
        Some(show(number, seen))
    }

    /// The key of the volume that was seen on a device.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn key_of(&self, device: &[u16]) -> Option<VolumeKey> {
        let (_, list) = &*self.list.lock();
        let place = list.iter().find(|place| place.is_on(device))?;
        copy(place.seen.as_ref()?.key.as_deref()?).ok()
    }

    /// The names of the devices that hold the volume with this key.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn with_key(&self, key: &[u16]) -> Result<Vec<Vec<u16>>, NtStatus> {
        let (_, list) = &*self.list.lock();
        let mut found = Vec::new();
        let seen = list.iter().filter_map(|place| place.seen.as_ref());
        for seen in seen.filter(|seen| seen.key.as_deref() == Some(key)) {
            found
                .try_reserve(1)
                .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
            found.push(copy(&seen.device)?);
        }
        Ok(found)
    }
}

/// Looks at an open device.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn look(
    opened: &Opened,
    disk: &DeviceReader,
    device: &[u16],
    superblock: Option<Superblock>,
) -> Result<Seen, NtStatus> {
    let number = asked::<DeviceNumber>(opened, diskio::IOCTL_STORAGE_GET_DEVICE_NUMBER);
    let place = asked::<PartitionInformationEx>(opened, diskio::IOCTL_DISK_GET_PARTITION_INFO_EX);
    let hotplug = asked::<HotplugInfo>(opened, diskio::IOCTL_STORAGE_GET_HOTPLUG_INFO);
    let removable =
        hotplug.is_some_and(|info| info.media_removable || info.media_hotplug || info.device_hotplug);
    Ok(Seen {
        device: copy(device)?,
        disk: number.as_ref().map_or(UNKNOWN, |number| number.device_number),
        partition: number.as_ref().map_or(UNKNOWN, |number| number.partition_number),
        start: place.map_or(0, |place| place.starting_offset),
        bytes: disk.bytes(),
        sector: disk.block_bytes(),
        removable,
        whole_disk: false,
        key: superblock.as_ref().and_then(crate::letter::policy::key),
        superblock,
    })
}

/// A record that a device answers with, if it does.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn asked<R: Record + Field>(opened: &Opened, code: u32) -> Option<R> {
    let mut answer = [0u8; 256];
    let length = letters::control(opened, code, &mut [], &mut answer).ok()?;
    R::get(answer.get(..length)?)
}

/// The letter that a device has, ours or the mount manager's.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn letter(driver: &Driver, device: &[u16]) -> Option<u8> {
    letters::current(device, driver.places.own_letter(device))
}

/// Takes the letters of a device away that stays; `assigned` is one that it was given on request.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn hide(driver: &Driver, device: &[u16], assigned: Option<Assigned>) {
    let own = driver.places.own_letter(device);
    if own.is_some() {
        driver.places.set_own_letter(device, None);
    }
    letters::hide(device, own.or(assigned));
}

/// How a place is now. A device that is gone has no letter, and nobody has mounted it.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn now(driver: &Driver, device: &[u16]) -> Now {
    let opened = Opened::open(device, FILE_READ_ATTRIBUTES);
    let real = opened.and_then(|opened| DeviceRef::real(&opened)).ok();
    Now {
        letter: letter(driver, device),
        mounter: real.as_ref().map_or(Mounter::Nobody, DeviceRef::mounter),
        real,
    }
}
