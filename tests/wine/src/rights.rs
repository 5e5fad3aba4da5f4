//! Who may open what: every file and folder is opened by an administrator and by a standard user, for reading and for
//! running. Either everyone reads everything, or the answers must be those that the mode gives; then Wine's server checks
//! the descriptors that the driver makes.

use lklfs_nt::AccessMask;
use userctl::volume::{Kind, Stat, Volume};
use userctl::walk::{Step, walk};

use crate::io_manager::Opener;
use crate::volume::DriverVolume;

/// Who the standard user is to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// One of everyone, and everyone reads.
    Everyone,
    /// Nobody whom its owners and groups know: one of the others.
    Other,
    /// The owner with this number.
    Owner(u32),
}

impl Who {
    /// `everyone`, `other`, or an owner's number.
    pub fn parse(text: &str) -> Option<Who> {
        match text {
            "everyone" => Some(Who::Everyone),
            "other" => Some(Who::Other),
            number => number.parse().ok().map(Who::Owner),
        }
    }

    /// The bits of the mode that count, 0 to 7.
    fn bits(self, stat: &Stat) -> u32 {
        match self {
            Who::Everyone => 7,
            Who::Owner(uid) if uid == stat.uid => stat.mode >> 6 & 7,
            Who::Other | Who::Owner(_) => stat.mode & 7,
        }
    }
}

/// How many opens there were.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opens {
    /// Allowed.
    pub allowed: u32,
    /// Denied.
    pub denied: u32,
}

/// Opens everything; an error names the first wrong answer.
pub fn check(volume: &DriverVolume, who: Who) -> Result<Opens, String> {
    let mut opens = Opens::default();
    let mut wrong = None;
    let root = volume.root().map_err(|errno| errno.to_string())?;
    walk(volume, root, b"/", &mut |step| {
        let (path, node, stat) = match step {
            Step::Entry { path, node, stat } => (path, node, stat),
            Step::Leave { .. } => return Ok(()),
            Step::Damaged { path, trouble } => {
                wrong.get_or_insert(format!("{}: {trouble}", String::from_utf8_lossy(path)));
                return Ok(());
            }
        };
        if !matches!(stat.kind, Kind::File | Kind::Directory) {
            return Ok(());
        }
        let bits = who.bits(stat);
        for (opener, access, expected) in [
            (Opener::Administrator, AccessMask::FILE_READ_DATA, true),
            (Opener::StandardUser, AccessMask::FILE_READ_ATTRIBUTES, true),
            (Opener::StandardUser, AccessMask::FILE_READ_DATA, bits & 4 != 0),
            (Opener::StandardUser, AccessMask::FILE_EXECUTE, bits & 1 != 0),
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
