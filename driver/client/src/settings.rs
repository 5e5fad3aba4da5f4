//! How a volume is mounted and shown: [`lklfs_control::Settings`] and [`lklfs_control::Policy`] with strings of their own.

use lklfs_control::{self as control, LetterRule, Refusal, Text, utf16};

/// How a volume is mounted and shown. What is left open ([`Default`]) is decided by the volume's policy, else by the
/// driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Do not replay a journal.
    pub no_recovery: bool,
    /// Everyone may read everything, or owners and modes decide.
    pub everyone: Option<bool>,
    /// Names that begin with a dot are hidden, or are not.
    pub hide_dot_files: Option<bool>,
    /// Linux's name of the file system; `None` for what is recognised.
    pub fs_name: Option<String>,
    /// Options as for `mount -o`; may be empty.
    pub options: String,
    /// Which users of this machine are which of the volume's: `uid:1000=S-1-5-21-1-2-3-1001,gid:100=S-1-5-32-545`; may
    /// be empty.
    pub owners: String,
}

/// Which letter a volume gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Letter {
    /// The one that it had before, or the next that is free.
    #[default]
    Any,
    /// This one; another when it is taken.
    This(char),
    /// None: the volume is hidden.
    Hidden,
}

/// What is kept for a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// It is not mounted unless an administrator asks for it.
    pub never: bool,
    /// Which letter it gets.
    pub letter: Letter,
    /// How it is mounted and shown.
    pub settings: Settings,
}

/// A text of a record, from the bytes of [`utf16`].
pub(crate) fn text<'a>(bytes: &'a [u8], wrong: &'static str) -> Result<Text<'a>, Refusal> {
    Text::new(bytes).ok_or(Refusal::Invalid(wrong))
}

/// A drive letter of a record.
pub(crate) fn letter(letter: char) -> Result<u8, Refusal> {
    u8::try_from(letter)
        .ok()
        .filter(u8::is_ascii_uppercase)
        .ok_or(Refusal::Invalid("a drive letter is one of A to Z"))
}

impl Settings {
    /// Calls `act` with the settings as they go into a record.
    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(control::Settings<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let fs_name = utf16(self.fs_name.as_deref().unwrap_or_default())?;
        let (options, owners) = (utf16(&self.options)?, utf16(&self.owners)?);
        act(control::Settings {
            no_recovery: self.no_recovery,
            everyone: self.everyone,
            hide_dot_files: self.hide_dot_files,
            fs_name: match self.fs_name {
                Some(_) => Some(text(&fs_name, "a file system has no such name")?),
                None => None,
            },
            options: text(&options, "there is a NUL in the options")?,
            owners: text(&owners, "there is a NUL in the map of owners")?,
        })
    }
}

impl Letter {
    pub(crate) fn rule(self) -> Result<LetterRule, Refusal> {
        Ok(match self {
            Letter::Any => LetterRule::Any,
            Letter::This(wanted) => LetterRule::This(letter(wanted)?),
            Letter::Hidden => LetterRule::Hidden,
        })
    }
}
