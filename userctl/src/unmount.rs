//! `userctl unmount`: lets go of a volume.

use std::io::Write;
use std::path::{Path, PathBuf};

use lklfs_client::{CallError, Driver, NtStatus};
use serde::Serialize;

use crate::driver::{self, failed, refused, write_json};
use crate::exit::{Exit, Failure};
use crate::folders;

/// What to let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The volume with this drive letter.
    Letter(char),
    /// The volume with this number.
    Number(u64),
    /// The one in this folder, on Linux.
    Folder(PathBuf),
    /// All.
    All,
}

/// What was unmounted, as `--json` writes it.
#[derive(Debug, Serialize)]
struct Report<T> {
    /// Numbers of volumes, or folders.
    unmounted: Vec<T>,
}

/// A drive letter, with or without its colon.
pub fn letter(text: &str) -> Option<char> {
    let mut characters = text.strip_suffix(':').unwrap_or(text).chars();
    let letter = characters.next().filter(char::is_ascii_alphabetic)?;
    characters.next().is_none().then(|| letter.to_ascii_uppercase())
}

/// Reads what the command line names.
pub fn what(text: &str) -> Result<What, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(What::All);
    }
    if let Some(letter) = letter(text) {
        return Ok(What::Letter(letter));
    }
    match text.parse() {
        // The interface has no volume 0: that is "all" there, and would be a surprise.
        Ok(number) if number > 0 => Ok(What::Number(number)),
        Err(_) if cfg!(unix) && (text.contains('/') || Path::new(text).is_dir()) => {
            Ok(What::Folder(text.into()))
        }
        _ => Err("name a drive letter (E:), the number of a volume, or all".to_string()),
    }
}

/// Asks the driver, or takes a volume out of its folder.
pub fn run(what: What, force: bool, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let in_folders = match &what {
        What::Folder(folder) => Some(vec![folder.clone()]),
        What::All if !lklfs_client::can_be_here() => Some(
            folders::list()
                .into_iter()
                .map(|there| there.folder.into())
                .collect(),
        ),
        _ => None,
    };
    if let Some(unmounted) = in_folders {
        for folder in &unmounted {
            folders::unmount(folder, force)?;
        }
        return if json {
            write_json(&Report { unmounted }, out)
        } else {
            Ok(())
        };
    }
    let driver = driver::change()?;
    let before = numbers(&driver)?;
    let (volume, name) = match what {
        What::All | What::Folder(_) => (None, "all".to_string()),
        What::Number(number) => (Some(number), format!("volume {number}")),
        What::Letter(letter) => (Some(at(&driver, letter)?), format!("{letter}:")),
    };
    driver.unmount(volume, force).map_err(|error| match error {
        CallError::Refused(NtStatus::ACCESS_DENIED | NtStatus::SHARING_VIOLATION) => {
            let whose = if volume.is_some() { "it" } else { "a volume" };
            Failure::new(
                Exit::InUse,
                format_args!(
                    "{name}: files on {whose} are open; close the programs that use them, or unmount with --force"
                ),
            )
        }
        CallError::Refused(NtStatus::OBJECT_NAME_NOT_FOUND) => Failure::new(
            Exit::Volume,
            format_args!("{name}: no such volume is mounted; see userctl list"),
        ),
        other => refused(&name, other),
    })?;
    if !json {
        return Ok(());
    }
    let after = numbers(&driver)?;
    let unmounted = before.into_iter().filter(|number| !after.contains(number));
    write_json(
        &Report {
            unmounted: unmounted.collect(),
        },
        out,
    )
}

/// The numbers of the mounted volumes. One that was dismounted is listed for as long as a program has a file of it open.
fn numbers(driver: &Driver) -> Result<Vec<u64>, Failure> {
    let volumes = driver.list().map_err(failed)?;
    let mounted = volumes
        .iter()
        .filter(|volume| !volume.state.dismounted && !volume.state.removed);
    Ok(mounted.map(|volume| volume.number).collect())
}

/// The volume with this letter.
fn at(driver: &Driver, letter: char) -> Result<u64, Failure> {
    let volumes = driver.list().map_err(failed)?;
    let found = volumes.iter().find(|volume| volume.letter == Some(letter));
    found.map(|volume| volume.number).ok_or_else(|| {
        Failure::new(
            Exit::Volume,
            format_args!("{letter}: no volume of the driver's is there; see userctl list"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named() {
        for (text, meant) in [
            ("e:", What::Letter('E')),
            ("E", What::Letter('E')),
            ("3", What::Number(3)),
            ("ALL", What::All),
        ] {
            assert_eq!(what(text), Ok(meant), "{text}");
        }
        for bad in ["", ":", "0", "-1", "EE:", "é:", "E:\\", "E::"] {
            assert!(what(bad).is_err(), "{bad}");
        }
    }
}
