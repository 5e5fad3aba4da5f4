//! How a volume is mounted: what an administrator asked for, over what its policy says, over what the driver does of
//! itself.

use alloc::string::String;
use alloc::vec::Vec;
use lkl::{FsKind, MountOptions};
use lklfs_control as control;
use lklfs_control::{Refusal, Text};
use lklfs_fsd::{Medium, OwnerMap, VolumeOptions};
use lklfs_nt::NtStatus;

/// [`control::Settings`] that own their texts, as bytes of UTF-16.
#[derive(Debug, Default)]
pub struct Settings {
    /// As there.
    pub no_recovery: bool,
    /// As there.
    pub everyone: Option<bool>,
    /// As there.
    pub hide_dot_files: Option<bool>,
    /// As there; empty for none.
    pub fs_name: Vec<u8>,
    /// As there.
    pub options: Vec<u8>,
    /// As there.
    pub owners: Vec<u8>,
}

/// A copy of a text's bytes.
pub fn bytes(text: Text<'_>) -> Result<Vec<u8>, NtStatus> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(text.len().saturating_mul(2))
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    copy.extend(text.units().flat_map(u16::to_le_bytes));
    Ok(copy)
}

/// Texts that only UTF-16 with a NUL would make something else of.
fn text(bytes: &[u8]) -> Text<'_> {
    Text::new(bytes).unwrap_or_default()
}

fn string(bytes: &[u8]) -> Result<String, NtStatus> {
    text(bytes)
        .to_string_lossy()
        .map_err(|refusal: Refusal| NtStatus(refusal.status()))
}

/// What was decided.
pub struct How {
    fs_name: String,
    options: String,
    recovery: bool,
    /// How the core shows it.
    pub volume: VolumeOptions,
}

impl How {
    /// The file system is not what the signature says, but what an administrator does.
    pub fn names_it(&self) -> bool {
        !self.fs_name.is_empty()
    }

    /// The file system to mount, and how.
    pub fn for_linux(&self) -> (FsKind<'_>, MountOptions<'_>) {
        let kind = match self.fs_name.as_str() {
            "" => FsKind::Probe,
            name => FsKind::Named(name),
        };
        let options = MountOptions {
            extra: &self.options,
            recovery: self.recovery,
        };
        (kind, options)
    }
}

impl Settings {
    /// Copies them.
    pub fn of(settings: &control::Settings<'_>) -> Result<Self, NtStatus> {
        Ok(Settings {
            no_recovery: settings.no_recovery,
            everyone: settings.everyone,
            hide_dot_files: settings.hide_dot_files,
            fs_name: bytes(settings.fs_name.unwrap_or_default())?,
            options: bytes(settings.options)?,
            owners: bytes(settings.owners)?,
        })
    }

    /// One more copy.
    pub fn try_clone(&self) -> Result<Self, NtStatus> {
        Self::of(&self.as_control())
    }

    /// As the control interface has them.
    pub fn as_control(&self) -> control::Settings<'_> {
        control::Settings {
            no_recovery: self.no_recovery,
            everyone: self.everyone,
            hide_dot_files: self.hide_dot_files,
            fs_name: Some(text(&self.fs_name)).filter(|name| !name.is_empty()),
            options: text(&self.options),
            owners: text(&self.owners),
        }
    }

    /// Nothing is said.
    pub fn are_default(&self) -> bool {
        self.as_control() == control::Settings::default()
    }

    /// What these, over `kept` where they say nothing, come to for a volume on `medium`.
    ///
    /// # Errors
    /// INVALID_PARAMETER for an option that no reader may have, and for a map of owners that is none.
    pub fn decide(&self, kept: &Settings, medium: Medium) -> Result<How, NtStatus> {
        let first = |mine: &Vec<u8>, its: &Vec<u8>| string(if mine.is_empty() { its } else { mine });
        let default = VolumeOptions::default();
        let options = first(&self.options, &kept.options)?;
        if lkl::refused_option(&options).is_some() {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        Ok(How {
            fs_name: first(&self.fs_name, &kept.fs_name)?,
            options,
            recovery: !self.no_recovery && !kept.no_recovery,
            volume: VolumeOptions {
                hide_dot_files: self
                    .hide_dot_files
                    .or(kept.hide_dot_files)
                    .unwrap_or(default.hide_dot_files),
                everyone_reads: self
                    .everyone
                    .or(kept.everyone)
                    .unwrap_or(medium.is_for_everyone()),
                owners: OwnerMap::parse(first(&self.owners, &kept.owners)?.as_bytes())?,
            },
        })
    }
}
