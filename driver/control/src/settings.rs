//! How a volume is mounted and shown: what a mount may ask for, and what a policy keeps.

use alloc::vec::Vec;

use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::refusal::Refusal;
use crate::text::{Text, append};

/// Units of the longest name of a file system.
const LONGEST_FS_NAME: usize = 31;
/// Units of the longest text of options: a page of Linux, without the end.
const LONGEST_OPTIONS: usize = 4095;
/// Units of the longest map of owners.
const LONGEST_OWNERS: usize = 8191;

/// How a volume is mounted and shown. What is left open ([`Default`]) is decided by the volume's policy, else by the
/// driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings<'a> {
    /// Do not replay a journal.
    pub no_recovery: bool,
    /// Everyone may read everything, or owners and modes decide.
    pub everyone: Option<bool>,
    /// Names that begin with a dot are hidden, or are not.
    pub hide_dot_files: Option<bool>,
    /// Linux's name of the file system; `None` for what is recognised. ASCII.
    pub fs_name: Option<Text<'a>>,
    /// Options as for `mount -o`; may be empty. Without control characters.
    pub options: Text<'a>,
    /// Which users of this machine are which of the volume's: `uid:1000=S-1-5-21-1-2-3-1001,gid:100=S-1-5-32-545`; may
    /// be empty. ASCII. The driver refuses what makes no sense.
    pub owners: Text<'a>,
}

/// As it stands in a record. The texts follow that record's own, in the order of their lengths.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct SettingsRecord {
    flags: U32,
    // Bytes of the texts.
    fs_name_length: U32,
    options_length: U32,
    owners_length: U32,
}
const _: () = assert!(size_of::<SettingsRecord>() == 16);

const NO_RECOVERY: u32 = 1;
const EVERYONE: u32 = 2;
const NOT_EVERYONE: u32 = 4;
const HIDE_DOT_FILES: u32 = 8;
const SHOW_DOT_FILES: u32 = 16;

/// Takes one text off the front of those that follow a record.
pub(crate) fn take<'a>(rest: &mut &'a [u8], length: u32, longest: usize) -> Result<Text<'a>, Refusal> {
    let length = usize::try_from(length).map_err(|_| Refusal::TooSmall)?;
    let (bytes, behind) = rest
        .split_at_checked(length)
        .ok_or(Refusal::Invalid("a text goes beyond the request"))?;
    *rest = behind;
    Text::new(bytes)
        .filter(|text| text.len() <= longest)
        .ok_or(Refusal::Invalid(
            "a text is too long, or has half a character or a NUL in it",
        ))
}

/// Whether all units are ASCII letters, digits, or among `more`.
fn plain(text: Text<'_>, more: &[u8]) -> bool {
    text.units()
        .all(|unit| u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte)))
}

/// One of two bits, or none.
fn choice(bits: u32, yes: u32, no: u32) -> Result<Option<bool>, Refusal> {
    match (bits & yes != 0, bits & no != 0) {
        (false, false) => Ok(None),
        (true, true) => Err(Refusal::Invalid("a setting is both wanted and not wanted")),
        (yes, _) => Ok(Some(yes)),
    }
}

impl SettingsRecord {
    /// Says that no texts follow.
    pub(crate) fn without_texts(&mut self) {
        (self.fs_name_length, self.options_length, self.owners_length) = Default::default();
    }

    /// Reads the settings, whose texts are at the front of `rest`.
    pub(crate) fn settings<'a>(&self, rest: &mut &'a [u8]) -> Result<Settings<'a>, Refusal> {
        let bits = self.flags.get();
        if bits & !(NO_RECOVERY | EVERYONE | NOT_EVERYONE | HIDE_DOT_FILES | SHOW_DOT_FILES) != 0 {
            return Err(Refusal::Invalid("a setting is not known"));
        }
        let fs_name = take(rest, self.fs_name_length.get(), LONGEST_FS_NAME)?;
        let options = take(rest, self.options_length.get(), LONGEST_OPTIONS)?;
        let owners = take(rest, self.owners_length.get(), LONGEST_OWNERS)?;
        if !plain(fs_name, b"_-.") {
            return Err(Refusal::Invalid("a file system has no such name"));
        }
        if options.units().any(|unit| unit < 0x20 || unit == 0x7f) {
            return Err(Refusal::Invalid("there is a control character in the options"));
        }
        if !plain(owners, b":=-,") {
            return Err(Refusal::Invalid(
                "the map of owners has a character that it cannot have",
            ));
        }
        Ok(Settings {
            no_recovery: bits & NO_RECOVERY != 0,
            everyone: choice(bits, EVERYONE, NOT_EVERYONE)?,
            hide_dot_files: choice(bits, HIDE_DOT_FILES, SHOW_DOT_FILES)?,
            fs_name: Some(fs_name).filter(|name| !name.is_empty()),
            options,
            owners,
        })
    }
}

impl Settings<'_> {
    /// The record; the texts are added to `texts`.
    pub(crate) fn record(&self, texts: &mut Vec<u8>) -> Result<SettingsRecord, Refusal> {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = bit(self.no_recovery, NO_RECOVERY)
            | bit(self.everyone == Some(true), EVERYONE)
            | bit(self.everyone == Some(false), NOT_EVERYONE)
            | bit(self.hide_dot_files == Some(true), HIDE_DOT_FILES)
            | bit(self.hide_dot_files == Some(false), SHOW_DOT_FILES);
        let mut add = |text: Text<'_>| append(texts, &text.to_units()?);
        Ok(SettingsRecord {
            flags: flags.into(),
            fs_name_length: add(self.fs_name.unwrap_or_default())?.into(),
            options_length: add(self.options)?.into(),
            owners_length: add(self.owners)?.into(),
        })
    }
}
