//! Mounts for those who need one, in a folder of its own, gone afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::subject::Kind;

/// How a volume is mounted.
pub struct How<'a> {
    /// The image.
    pub image: &'a Path,
    /// For writing.
    pub write: bool,
    /// Our program that mounts by FUSE.
    pub lklfuse: &'a Path,
}

/// Runs `work` with the image mounted for `kind`, when it needs that.
pub fn with<T>(kind: Kind, how: &How<'_>, work: impl FnOnce(Option<&Path>) -> Result<T>) -> Result<T> {
    let access = if how.write { "rw" } else { "ro" };
    let lklfuse = how.lklfuse.to_string_lossy();
    let (program, options) = match kind {
        Kind::Posix | Kind::Driver => return work(None),
        Kind::Native => ("mount", format!("loop,noatime,{access}")),
        Kind::Fuse2fs => ("fuse2fs", access.to_owned()),
        Kind::Lklfuse => (&*lklfuse, access.to_owned()),
    };
    let place = Mount::new(program, &options, how.image)?;
    let result = work(Some(&place.folder));
    drop(place);
    if kind == Kind::Lklfuse {
        // It writes after umount has returned, and has the image locked until then.
        std::fs::File::open(how.image)?.lock()?;
    }
    result
}

/// A mounted image; unmounted when dropped.
pub struct Mount {
    /// Where. There is one at a time.
    pub folder: PathBuf,
}

impl Mount {
    /// Mounts by a program that is called as mount is.
    pub fn new(program: &str, options: &str, image: &Path) -> Result<Mount> {
        let folder = std::env::temp_dir().join(format!("lklfs-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        // It owns the folder from here on, whether the mount works or not.
        let place = Mount { folder };
        // Image and folder come before the options: fuse2fs wants it so, and mount does not mind.
        let output = Command::new(program)
            .arg(image)
            .arg(&place.folder)
            .args(["-o", options])
            .output();
        let output = output.with_context(|| format!("cannot run {program}"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{program}: {}",
                text.lines().next().unwrap_or("it failed without a word")
            );
        }
        Ok(place)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What was never mounted cannot be unmounted; the folder says whether anything is left.
        let _ = Command::new("umount").arg(&self.folder).output();
        if let Err(error) = std::fs::remove_dir(&self.folder) {
            eprintln!("bench: {} is still there: {error}", self.folder.display());
        }
    }
}
