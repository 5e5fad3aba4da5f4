//! Who may open what: every file and folder is opened by an administrator and by a standard user, for reading and for
//! running. Either everyone reads everything, or the answers must be those that the mode gives; then Wine's server checks
//! the descriptors that the driver makes.
//!
//! The standard user is nobody whom the volume's owners and groups know, so "others" is the class that counts.

use lklfs_nt::AccessMask;
use userctl::volume::{Kind, Volume};
use userctl::walk::{Step, walk};

use crate::io_manager::Opener;
use crate::volume::DriverVolume;

/// How many opens there were.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opens {
    /// Allowed.
    pub allowed: u32,
    /// Denied.
    pub denied: u32,
}

/// Opens everything; an error names the first wrong answer. `everyone`: everyone reads.
pub fn check(volume: &DriverVolume, everyone: bool) -> Result<Opens, String> {
    let mut opens = Opens::default();
    let mut wrong = None;
    let root = volume.root().map_err(|errno| errno.to_string())?;
    walk(volume, root, b"/", &mut |step| {
        let (path, node, stat) = match step {
            Step::Entry { path, node, stat } => (path, node, stat),
            Step::Leave { .. } => return Ok(()),
            Step::Damaged { path, errno } => {
                wrong.get_or_insert(format!("{}: {errno}", String::from_utf8_lossy(path)));
                return Ok(());
            }
        };
        if !matches!(stat.kind, Kind::File | Kind::Directory) {
            return Ok(());
        }
        for (opener, access, expected) in [
            (Opener::Administrator, AccessMask::FILE_READ_DATA, true),
            (Opener::StandardUser, AccessMask::FILE_READ_ATTRIBUTES, true),
            (
                Opener::StandardUser,
                AccessMask::FILE_READ_DATA,
                everyone || stat.mode & 4 != 0,
            ),
            (
                Opener::StandardUser,
                AccessMask::FILE_EXECUTE,
                everyone || stat.mode & 1 != 0,
            ),
        ] {
            let answer = volume.may(opener, node, access);
            match answer {
                Ok(true) => opens.allowed += 1,
                Ok(false) => opens.denied += 1,
                // Told already.
                Err(_) => {}
            }
            if answer != Ok(expected) {
                wrong.get_or_insert(format!(
                    "{}: mode {:04o}, and {opener:?} asks for {access:?}",
                    String::from_utf8_lossy(path),
                    stat.mode
                ));
            }
        }
        Ok(())
    })
    .map_err(|failure| failure.to_string())?;
    match wrong {
        Some(wrong) => Err(wrong),
        None => Ok(opens),
    }
}
