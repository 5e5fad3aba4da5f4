//! Commands that change something: STOR and its like, and what is done to names, times and modes.

use super::command::{Wrong, wrong};
use crate::tree::Time;
use crate::when;

/// What a client wants changed. Paths are not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// STOR: a file, in place of one that is there.
    Store(Vec<u8>),
    /// APPE: at the end of a file, which need not be there.
    Append(Vec<u8>),
    /// STOU: a file of a name that none has; what is given is its beginning.
    StoreUnique(Vec<u8>),
    /// DELE.
    Delete(Vec<u8>),
    /// MKD.
    MakeFolder(Vec<u8>),
    /// RMD.
    RemoveFolder(Vec<u8>),
    /// RNFR.
    RenameFrom(Vec<u8>),
    /// RNTO.
    RenameTo(Vec<u8>),
    /// MFMT: the time of the last change.
    SetModified(Time, Vec<u8>),
    /// SITE CHMOD.
    SetMode(u32, Vec<u8>),
    /// SITE SYMLINK.
    MakeLink {
        /// What the link says.
        target: Vec<u8>,
        /// Where it is made.
        path: Vec<u8>,
    },
}

/// Verbs that [`parse`] knows.
pub const VERBS: &[&str] = &[
    "APPE", "DELE", "MFMT", "MKD", "RMD", "RNFR", "RNTO", "SITE", "STOR", "STOU", "XMKD", "XRMD",
];

impl Change {
    /// The verb that asks for it.
    pub fn verb(&self) -> &'static str {
        match self {
            Change::Store(_) => "STOR",
            Change::Append(_) => "APPE",
            Change::StoreUnique(_) => "STOU",
            Change::Delete(_) => "DELE",
            Change::MakeFolder(_) => "MKD",
            Change::RemoveFolder(_) => "RMD",
            Change::RenameFrom(_) => "RNFR",
            Change::RenameTo(_) => "RNTO",
            Change::SetModified(..) => "MFMT",
            Change::SetMode(..) | Change::MakeLink { .. } => "SITE",
        }
    }
}

/// Reads a command of one of [`VERBS`].
pub fn parse(verb: &str, argument: &[u8]) -> Result<Change, Wrong> {
    if argument.is_empty() && verb != "STOU" {
        return Err(wrong(501, format!("{verb} needs an argument.")));
    }
    let path = argument.to_vec();
    Ok(match verb {
        "STOR" => Change::Store(path),
        "APPE" => Change::Append(path),
        "STOU" => Change::StoreUnique(path),
        "DELE" => Change::Delete(path),
        "MKD" | "XMKD" => Change::MakeFolder(path),
        "RMD" | "XRMD" => Change::RemoveFolder(path),
        "RNFR" => Change::RenameFrom(path),
        "RNTO" => Change::RenameTo(path),
        "MFMT" => {
            let (time, path) = two(argument, "MFMT YYYYMMDDHHMMSS path")?;
            let time = when::parse_digits(time).ok_or_else(|| wrong(501, "MFMT YYYYMMDDHHMMSS path"))?;
            Change::SetModified(time, path.to_vec())
        }
        _ => site(argument)?,
    })
}

fn site(argument: &[u8]) -> Result<Change, Wrong> {
    let (what, rest) = two(argument, "SITE CHMOD or SITE SYMLINK, with their arguments")?;
    match &what.to_ascii_uppercase()[..] {
        b"CHMOD" => {
            let usage = "SITE CHMOD mode path, as in SITE CHMOD 644 file";
            let (mode, path) = two(rest, usage)?;
            Ok(Change::SetMode(
                octal(mode).ok_or_else(|| wrong(501, usage))?,
                path.to_vec(),
            ))
        }
        b"SYMLINK" => {
            let (target, path) = two(rest, "SITE SYMLINK target path")?;
            Ok(Change::MakeLink {
                target: target.to_vec(),
                path: path.to_vec(),
            })
        }
        _ => Err(wrong(504, "There are SITE CHMOD and SITE SYMLINK.")),
    }
}

/// A word, and behind one space the rest.
fn two<'a>(argument: &'a [u8], usage: &str) -> Result<(&'a [u8], &'a [u8]), Wrong> {
    let at = argument.iter().position(|byte| *byte == b' ');
    let parts = at.and_then(|at| argument.split_at_checked(at));
    match parts {
        Some((word, [_, rest @ ..])) if !word.is_empty() && !rest.is_empty() => Ok((word, rest)),
        _ => Err(wrong(501, usage)),
    }
}

fn octal(text: &[u8]) -> Option<u32> {
    let text = str::from_utf8(text).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| digits && *mode <= 0o7777)
}
