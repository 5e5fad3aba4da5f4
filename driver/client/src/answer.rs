//! What the calls answer with: the records of `lklfs_control::reply`, owned and in this machine's own integers.

use lklfs_control::reply::{self, UNKNOWN, place_flags, status_flags, volume_flags};
use lklfs_control::{LetterRule, Refusal, Text};

use crate::{Letter, Policy, Settings};

/// Which versions are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Of the control interface: major << 16 | minor.
    pub interface: u32,
    /// Of the driver: major, minor, patch.
    pub driver: (u32, u16, u16),
    /// Linux's release.
    pub linux_release: String,
}

/// How Linux is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linux {
    /// No volume has needed it yet.
    NotStarted,
    /// It runs.
    Running,
    /// It has stopped by a panic.
    Dead,
}

/// How the driver is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How Linux is doing.
    pub linux: Linux,
    /// How often it has panicked since the driver was loaded.
    pub linux_panics: u32,
    /// Bytes of the pool that Linux manages.
    pub pool_size: u64,
    /// Bytes of it that are free.
    pub pool_free: u64,
    /// Nanoseconds that Linux's boot took.
    pub boot_time: u64,
    /// Nanoseconds since it ended.
    pub running_time: u64,
    /// Bytes of the NT pools that the driver holds.
    pub pool_held: u64,
    /// Mounted volumes.
    pub volumes: u32,
    /// Open handles on them.
    pub handles: u32,
    /// Write requests that were refused.
    pub refused_writes: u64,
}

/// A mounted volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its number, never given twice.
    pub number: u64,
    /// Its drive letter.
    pub letter: Option<char>,
    /// Its label; may be empty.
    pub label: String,
    /// Linux's name of its file system.
    pub fs_name: String,
    /// The NT name of its device, or the NT path of its image.
    pub source: String,
    /// The same as it is, for going back to the driver.
    pub source_units: Vec<u16>,
    /// Its UUID, date or serial number, as `blkid` prints it.
    pub uuid: Option<String>,
    /// Bytes in all.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// Bytes read from the disk below.
    pub bytes_read: u64,
    /// Read requests to the disk below.
    pub reads: u64,
    /// Bytes that Linux wrote, journals above all, and that are in memory only.
    pub overlay: u64,
    /// Open handles.
    pub handles: u32,
    /// How it is.
    pub state: VolumeState,
}

/// How a volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeState {
    /// It is dismounted; handles are still open.
    pub dismounted: bool,
    /// The disk is gone.
    pub removed: bool,
    /// Linux wrote while it mounted it, as a replay of a journal does; what it wrote is in memory only.
    pub replayed: bool,
    /// It was dirty and is shown without a replay.
    pub stale: bool,
    /// It is in an image file.
    pub image: bool,
}

/// A place where a volume may be: a partition, or a whole disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, never given twice.
    pub number: u64,
    /// The number of the volume that the driver has mounted there.
    pub volume: Option<u64>,
    /// Its drive letter.
    pub letter: Option<char>,
    /// The number of the disk, as in `\\.\PhysicalDrive1`.
    pub disk: Option<u32>,
    /// The number of the partition; 0 for a whole disk.
    pub partition: Option<u32>,
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes in a sector.
    pub sector: u32,
    /// The file system that is recognised there.
    pub fs_name: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Its UUID, date or serial number, as `blkid` prints it.
    pub uuid: Option<String>,
    /// NT name of the device.
    pub device: String,
    /// The same as it is, for going back to the driver.
    pub device_units: Vec<u16>,
    /// Another file system has mounted it.
    pub other: bool,
    /// The medium, or the disk, can be taken out.
    pub removable: bool,
    /// What is there is a file system of Linux's, which Windows does not read.
    pub linux: bool,
    /// Its policy says that it is not mounted by itself.
    pub never: bool,
}

/// What is kept for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPolicy {
    /// The UUID, date or serial number of the volume.
    pub uuid: String,
    /// The policy.
    pub policy: Policy,
    /// The letter that the volume had last.
    pub last_letter: Option<char>,
}

/// What was mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The volume's number.
    pub volume: u64,
    /// Its drive letter.
    pub letter: Option<char>,
    /// How it is.
    pub state: VolumeState,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// Its bytes; empty at the end of the log.
    pub text: Vec<u8>,
    /// Where the next request goes on.
    pub next: u64,
    /// Bytes that were overwritten before they could be read.
    pub lost: u64,
}

impl VolumeState {
    fn from_bits(bits: u32) -> VolumeState {
        VolumeState {
            dismounted: bits & volume_flags::DISMOUNTED != 0,
            removed: bits & volume_flags::REMOVED != 0,
            replayed: bits & volume_flags::REPLAYED != 0,
            stale: bits & volume_flags::STALE != 0,
            image: bits & volume_flags::IMAGE != 0,
        }
    }
}

/// A letter of a record: 0 for none. What is no letter is none, either.
fn letter(unit: u16) -> Option<char> {
    char::from_u32(u32::from(unit)).filter(char::is_ascii_uppercase)
}

impl From<reply::Version> for Version {
    fn from(record: reply::Version) -> Version {
        let release = record.linux_release.split(|byte| *byte == 0).next();
        let driver = record.driver.get();
        // Truncation is what takes the parts apart.
        Version {
            interface: record.interface.get(),
            driver: ((driver >> 32) as u32, (driver >> 16) as u16, driver as u16),
            linux_release: String::from_utf8_lossy(release.unwrap_or_default()).into_owned(),
        }
    }
}

impl From<reply::Status> for Status {
    fn from(record: reply::Status) -> Status {
        let flags = record.flags.get();
        Status {
            linux: match flags {
                _ if flags & status_flags::LINUX_DEAD != 0 => Linux::Dead,
                _ if flags & status_flags::LINUX_RUNNING != 0 => Linux::Running,
                _ => Linux::NotStarted,
            },
            linux_panics: record.linux_panics.get(),
            pool_size: record.pool_size.get(),
            pool_free: record.pool_free.get(),
            boot_time: record.boot_time.get(),
            running_time: record.running_time.get(),
            pool_held: record.pool_held.get(),
            volumes: record.volumes.get(),
            handles: record.handles.get(),
            refused_writes: record.refused_writes.get(),
        }
    }
}

impl From<reply::Mounted> for Mounted {
    fn from(record: reply::Mounted) -> Mounted {
        Mounted {
            volume: record.volume.get(),
            letter: letter(record.letter.get()),
            state: VolumeState::from_bits(record.flags.get()),
        }
    }
}

impl TryFrom<reply::Volume<'_>> for Volume {
    type Error = Refusal;

    fn try_from(volume: reply::Volume<'_>) -> Result<Volume, Refusal> {
        let record = volume.record;
        Ok(Volume {
            number: record.volume.get(),
            letter: letter(record.letter.get()),
            label: volume.label.to_string_lossy()?,
            fs_name: volume.fs_name.to_string_lossy()?,
            source: volume.source.to_string_lossy()?,
            source_units: volume.source.to_units()?,
            uuid: some(volume.uuid)?,
            total: record.total.get(),
            free: record.free.get(),
            bytes_read: record.bytes_read.get(),
            reads: record.reads.get(),
            overlay: record.overlay.get(),
            handles: record.handles.get(),
            state: VolumeState::from_bits(record.flags.get()),
        })
    }
}

/// A text that may be empty.
fn some(text: Text<'_>) -> Result<Option<String>, Refusal> {
    Ok(Some(text.to_string_lossy()?).filter(|text| !text.is_empty()))
}

impl TryFrom<reply::Place<'_>> for Place {
    type Error = Refusal;

    fn try_from(place: reply::Place<'_>) -> Result<Place, Refusal> {
        let record = place.record;
        let known = |number: u32| Some(number).filter(|number| *number != UNKNOWN);
        let flag = |bit: u32| record.flags.get() & bit != 0;
        Ok(Place {
            number: record.place.get(),
            volume: Some(record.volume.get()).filter(|volume| *volume != 0),
            letter: letter(record.letter.get()),
            disk: known(record.disk.get()),
            partition: known(record.partition.get()),
            start: record.start.get(),
            bytes: record.bytes.get(),
            sector: record.sector.get(),
            fs_name: some(place.kind)?,
            label: some(place.label)?,
            uuid: some(place.uuid)?,
            device: place.device.to_string_lossy()?,
            device_units: place.device.to_units()?,
            other: flag(place_flags::OTHER),
            removable: flag(place_flags::REMOVABLE),
            linux: flag(place_flags::LINUX),
            never: flag(place_flags::NEVER),
        })
    }
}

impl TryFrom<reply::KeptPolicy<'_>> for KeptPolicy {
    type Error = Refusal;

    fn try_from(kept: reply::KeptPolicy<'_>) -> Result<KeptPolicy, Refusal> {
        let policy = kept.policy;
        let settings = policy.settings;
        Ok(KeptPolicy {
            uuid: kept.key.to_string_lossy()?,
            policy: Policy {
                never: policy.never,
                letter: match policy.letter {
                    LetterRule::Any => Letter::Any,
                    LetterRule::This(letter) => Letter::This(char::from(letter)),
                    LetterRule::Hidden => Letter::Hidden,
                },
                settings: Settings {
                    no_recovery: settings.no_recovery,
                    everyone: settings.everyone,
                    hide_dot_files: settings.hide_dot_files,
                    fs_name: some(settings.fs_name.unwrap_or_default())?,
                    options: settings.options.to_string_lossy()?,
                    owners: settings.owners.to_string_lossy()?,
                },
            },
            last_letter: kept.last_letter.map(char::from),
        })
    }
}
