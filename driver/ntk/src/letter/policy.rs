//! What is kept for each volume, by its UUID, in the registry: `Parameters\Volumes\<UUID>` below the service's key.
//!
//! | value | type | meaning |
//! |---|---|---|
//! | `Never` | REG_DWORD | 1: not mounted by itself |
//! | `Letter` | REG_SZ | `E`: this letter; `-`: none |
//! | `Everyone`, `HideDotFiles`, `NoRecovery` | REG_DWORD | 1: yes, 0: no |
//! | `FileSystem`, `Options`, `Owners` | REG_SZ | see [`lklfs_control::Settings`] |
//! | `LastLetter` | REG_SZ | the letter that it had last, for images and other disks that the mount manager forgets |
//!
//! An administrator may write them with other tools, too: a value of the wrong type is none, and what makes no sense keeps
//! the volume from being mounted, which the log says.

use crate::letter::settings::{self, Settings};
use alloc::vec::Vec;
use lkl::probe::{Superblock, Uuid};
use lklfs_control::{LetterRule, Policy, Text};
use lklfs_kernel::registry::Key;
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::text::{copy, units};
use lklfs_nt::NtStatus;

const PARAMETERS: &str = "Parameters";
const VOLUMES: &str = "Volumes";

/// What tells a volume from others wherever it is: its UUID, date or serial number, as `blkid` prints it.
pub type VolumeKey = Vec<u16>;

/// The key of a volume. `None` when its file system has none, or for lack of memory.
pub fn key(superblock: &Superblock) -> Option<VolumeKey> {
    superblock.uuid.and_then(text)
}

/// An identity as `blkid` prints it. `None` for lack of memory.
pub fn text(uuid: Uuid) -> Option<Vec<u16>> {
    struct Units(Vec<u16>);
    impl core::fmt::Write for Units {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0.try_reserve(text.len()).map_err(|_| core::fmt::Error)?;
            self.0.extend(text.encode_utf16());
            Ok(())
        }
    }
    let mut units = Units(Vec::new());
    core::fmt::Write::write_fmt(&mut units, format_args!("{uuid}")).ok()?;
    Some(units.0)
}

/// What is kept for a volume.
#[derive(Debug, Default)]
pub struct Kept {
    /// Not mounted by itself.
    pub never: bool,
    /// Which letter it gets.
    pub letter: LetterRule,
    /// The letter that it had last.
    pub last_letter: Option<u8>,
    /// How it is mounted and shown.
    pub settings: Settings,
}

impl Kept {
    /// As the control interface has it.
    pub fn as_policy(&self) -> Policy<'_> {
        Policy {
            never: self.never,
            letter: self.letter,
            settings: self.settings.as_control(),
        }
    }
}

/// The policies.
pub struct Policies {
    /// The service's key; the lock is held while keys are changed.
    service: Guarded<Vec<u16>>,
}

fn letter(text: &[u8]) -> Option<u8> {
    match text {
        [letter, 0] if letter.is_ascii_alphabetic() => Some(letter.to_ascii_uppercase()),
        _ => None,
    }
}

impl Policies {
    /// Those below the key of the driver's service. `None` for lack of memory.
    pub fn new(service: &[u16]) -> Option<Self> {
        Some(Policies {
            service: Guarded::new(copy(service).ok()?)?,
        })
    }

    /// `Parameters\Volumes`; OBJECT_NAME_NOT_FOUND when there is none and none is made.
    fn volumes(service: &[u16], make: bool) -> Result<Key, NtStatus> {
        // The service's own key is there as long as the driver is.
        let service = Key::open(None, service, false)?;
        let parameters = Key::open(Some(&service), &units(PARAMETERS)?, make)?;
        Key::open(Some(&parameters), &units(VOLUMES)?, make)
    }

    /// What is kept for a volume; nothing ([`Default`]) where nothing is.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn get(&self, volume: &[u16]) -> Result<Kept, NtStatus> {
        let service = self.service.lock();
        match Self::volumes(&service, false).and_then(|volumes| Key::open(Some(&volumes), volume, false)) {
            Ok(key) => read(&key),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND) => Ok(Kept::default()),
            Err(status) => Err(status),
        }
    }

    /// Keeps a policy, or forgets it. The last letter stays.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn set(&self, volume: Text<'_>, policy: Option<&Policy<'_>>) -> Result<(), NtStatus> {
        let name = volume.to_units().map_err(|refusal| NtStatus(refusal.status()))?;
        let service = self.service.lock();
        let volumes = Self::volumes(&service, true)?;
        let key = Key::open(Some(&volumes), &name, true)?;
        let Some(policy) = policy else {
            return key.delete();
        };
        let flag = |set: bool| set.then_some(1);
        let choice = |choice: Option<bool>| choice.map(u32::from);
        let shown = match policy.letter {
            LetterRule::Any => Vec::new(),
            LetterRule::This(letter) => copy(&[letter, 0])?,
            LetterRule::Hidden => copy(b"-\0")?,
        };
        let settings = &policy.settings;
        key.set_number("Never", flag(policy.never))?;
        key.set_text("Letter", &shown)?;
        key.set_number("Everyone", choice(settings.everyone))?;
        key.set_number("HideDotFiles", choice(settings.hide_dot_files))?;
        key.set_number("NoRecovery", flag(settings.no_recovery))?;
        key.set_text(
            "FileSystem",
            &settings::bytes(settings.fs_name.unwrap_or_default())?,
        )?;
        key.set_text("Options", &settings::bytes(settings.options)?)?;
        key.set_text("Owners", &settings::bytes(settings.owners)?)
    }

    /// Remembers a volume's letter. A volume that has it already costs no write.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn remember(&self, volume: &[u16], letter: u8) -> Result<(), NtStatus> {
        let service = self.service.lock();
        let volumes = Self::volumes(&service, true)?;
        let key = Key::open(Some(&volumes), volume, true)?;
        let text = copy(&[letter, 0])?;
        if key.text("LastLetter")? == text {
            return Ok(());
        }
        key.set_text("LastLetter", &text)
    }

    /// The key and the policy with this number, counted from 0; `None` behind the last.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn nth(&self, index: u32) -> Result<Option<(VolumeKey, Kept)>, NtStatus> {
        let service = self.service.lock();
        let volumes = match Self::volumes(&service, false) {
            Ok(volumes) => volumes,
            Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND) => return Ok(None),
            Err(status) => return Err(status),
        };
        let Some(name) = volumes.subkey(index)? else {
            return Ok(None);
        };
        let key = Key::open(Some(&volumes), &name, false)?;
        let kept = read(&key)?;
        Ok(Some((name, kept)))
    }
}

fn read(key: &Key) -> Result<Kept, NtStatus> {
    let yes =
        |name: &str| -> Result<Option<bool>, NtStatus> { Ok(key.number(name)?.map(|number| number != 0)) };
    let shown = key.text("Letter")?;
    Ok(Kept {
        never: yes("Never")? == Some(true),
        letter: match letter(&shown) {
            Some(letter) => LetterRule::This(letter),
            None if shown == *b"-\0" => LetterRule::Hidden,
            None => LetterRule::Any,
        },
        last_letter: letter(&key.text("LastLetter")?),
        settings: Settings {
            no_recovery: yes("NoRecovery")? == Some(true),
            everyone: yes("Everyone")?,
            hide_dot_files: yes("HideDotFiles")?,
            fs_name: key.text("FileSystem")?,
            options: key.text("Options")?,
            owners: key.text("Owners")?,
        },
    })
}
