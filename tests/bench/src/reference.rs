//! Mounts for those who need one, in a folder of its own, gone afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::subject::Kind;

/// Runs `work` with the image mounted for `kind`, when it needs that.
pub fn with<T>(kind: Kind, image: &Path, work: impl FnOnce(Option<&Path>) -> Result<T>) -> Result<T> {
    let (mount, unmount): (&[&str], &[&str]) = match kind {
        Kind::Posix | Kind::Driver => return work(None),
        Kind::Native => (&["mount", "-o", "loop,ro,noatime"], &["umount"]),
        Kind::Fuse2fs => (&["fuse2fs", "-o", "ro"], &["umount"]),
    };
    let place = Mount::new(mount, unmount, image)?;
    work(Some(&place.folder))
}

/// A mounted image; unmounted when dropped.
struct Mount {
    folder: PathBuf,
    unmount: Vec<String>,
}

impl Mount {
    fn new(mount: &[&str], unmount: &[&str], image: &Path) -> Result<Mount> {
        let folder = std::env::temp_dir().join(format!("lklfs-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        // It owns the folder from here on, whether the mount works or not.
        let place = Mount {
            folder,
            unmount: unmount.iter().map(|word| (*word).to_owned()).collect(),
        };
        let (program, options) = mount.split_first().context("no program")?;
        // Image and folder come before the options: fuse2fs wants it so, and mount does not mind.
        let output = Command::new(program)
            .arg(image)
            .arg(&place.folder)
            .args(options)
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
        let mut words = self.unmount.iter();
        if let Some(program) = words.next() {
            // What was never mounted cannot be unmounted; the folder says whether anything is left.
            let _ = Command::new(program).args(words).arg(&self.folder).output();
        }
        if let Err(error) = std::fs::remove_dir(&self.folder) {
            eprintln!("bench: {} is still there: {error}", self.folder.display());
        }
    }
}
