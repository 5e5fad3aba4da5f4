//! What is kept for a volume, by its UUID: whether and where it is shown, and how.

use alloc::vec::Vec;

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Header;
use crate::refusal::Refusal;
use crate::settings::{Settings, SettingsRecord, take};
use crate::text::{Text, append};

/// Units of the longest key: a UUID has 36, a date 22.
const LONGEST_KEY: usize = 40;

/// Which letter a volume gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LetterRule {
    /// The one that it had before, or the next that is free.
    #[default]
    Any,
    /// This one, `A` to `Z`; another when it is taken.
    This(u8),
    /// None: the volume is hidden, and mounted when it is asked for by name.
    Hidden,
}

/// What is kept for a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy<'a> {
    /// It is not mounted unless an administrator asks for it.
    pub never: bool,
    /// Which letter it gets.
    pub letter: LetterRule,
    /// How it is mounted and shown.
    pub settings: Settings<'a>,
}

/// In [`PolicyFields::letter`]: [`LetterRule::Hidden`].
const HIDDEN: u16 = 0xffff;
/// In [`PolicyFields::flags`]: [`Policy::never`].
const NEVER: u32 = 1;

/// A policy in a record, where the texts of its settings follow.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct PolicyFields {
    flags: U32,
    letter: U16,
    reserved: U16,
    pub(crate) settings: SettingsRecord,
}
const _: () = assert!(size_of::<PolicyFields>() == 24);

/// The request to keep a policy. The key follows, then the texts of the settings.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct PolicyRecord {
    header: Header,
    /// 1: keep it, 2: forget what is kept.
    act: U32,
    key_length: U32,
    fields: PolicyFields,
}
const _: () = assert!(size_of::<PolicyRecord>() == 48);

const KEEP: u32 = 1;
const FORGET: u32 = 2;

impl PolicyFields {
    /// Reads the policy of an entry of a list, which has the texts of the settings in its own way.
    pub(crate) fn policy_without_texts<'a>(mut self) -> Result<Policy<'a>, Refusal> {
        self.settings.without_texts();
        self.policy(&mut &[][..])
    }

    /// Reads the policy, the texts of whose settings are at the front of `rest`.
    pub(crate) fn policy<'a>(&self, rest: &mut &'a [u8]) -> Result<Policy<'a>, Refusal> {
        if self.flags.get() & !NEVER != 0 || self.reserved.get() != 0 {
            return Err(Refusal::Invalid("a part of the policy is not known"));
        }
        let letter = match self.letter.get() {
            0 => LetterRule::Any,
            HIDDEN => LetterRule::Hidden,
            letter => LetterRule::This(
                u8::try_from(letter)
                    .ok()
                    .filter(u8::is_ascii_uppercase)
                    .ok_or(Refusal::Invalid("a drive letter is one of A to Z"))?,
            ),
        };
        Ok(Policy {
            never: self.flags.get() & NEVER != 0,
            letter,
            settings: self.settings.settings(rest)?,
        })
    }
}

impl Policy<'_> {
    /// The fields; the texts of the settings are added to `texts`.
    pub(crate) fn fields(&self, texts: &mut Vec<u8>) -> Result<PolicyFields, Refusal> {
        Ok(PolicyFields {
            flags: u32::from(self.never).into(),
            letter: match self.letter {
                LetterRule::Any => 0,
                LetterRule::This(letter) => u16::from(letter),
                LetterRule::Hidden => HIDDEN,
            }
            .into(),
            reserved: 0.into(),
            settings: self.settings.record(texts)?,
        })
    }
}

impl PolicyRecord {
    /// The volume's key, and what is to be kept for it; `None`: nothing.
    pub(crate) fn read<'a>(&self, mut texts: &'a [u8]) -> Result<(Text<'a>, Option<Policy<'a>>), Refusal> {
        let key = take(&mut texts, self.key_length.get(), LONGEST_KEY)?;
        let of_key =
            |unit: u16| u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if key.is_empty() || !key.units().all(of_key) {
            return Err(Refusal::Invalid("a volume has no such UUID"));
        }
        let policy = self.fields.policy(&mut texts)?;
        if !texts.is_empty() {
            return Err(Refusal::Invalid("something follows the request"));
        }
        match self.act.get() {
            KEEP => Ok((key, Some(policy))),
            FORGET if policy == Policy::default() => Ok((key, None)),
            FORGET => Err(Refusal::Invalid("a policy is both given and to be forgotten")),
            _ => Err(Refusal::Invalid("a policy is either kept or forgotten")),
        }
    }

    /// The record of a request; its texts are added to `texts`.
    pub(crate) fn write(
        key: Text<'_>,
        policy: Option<&Policy<'_>>,
        texts: &mut Vec<u8>,
    ) -> Result<PolicyRecord, Refusal> {
        Ok(PolicyRecord {
            header: Header::default(),
            act: match policy {
                Some(_) => KEEP,
                None => FORGET,
            }
            .into(),
            key_length: append(texts, &key.to_units()?)?.into(),
            fields: policy.copied().unwrap_or_default().fields(texts)?,
        })
    }
}
