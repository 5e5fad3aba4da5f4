//! What this machine's own Linux reads from an image that was made here.
//!
//! Only a [`Made`] can be mounted, and only read-only: an image from elsewhere never meets this machine's kernel. Root
//! rights are needed. [`Mounted`] unmounts when it goes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::make::Made;
use crate::manifest::Manifest;

/// An image mounted by this machine's Linux, read-only.
#[derive(Debug)]
pub struct Mounted {
    place: Option<tempfile::TempDir>,
}

/// Why this machine cannot mount images of this kind; `None` if it can.
pub fn obstacle(made: &Made) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".into());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("no loop devices".into());
    }
    let linux = made.kind.linux;
    (!made.kind.is_native()).then(|| format!("this kernel knows no {linux}"))
}

impl Mounted {
    /// Mounts the image read-only through a loop device.
    pub fn new(made: &Made) -> io::Result<Mounted> {
        let place = tempfile::tempdir()?;
        let mut options = "ro,loop,nodev,nosuid,noexec".to_string();
        if !made.kind.options.is_empty() {
            options = format!("{options},{}", made.kind.options);
        }
        let output = Command::new("mount")
            .args(["-t", made.kind.linux, "-o", &options])
            .args([&made.image, &place.path().to_path_buf()])
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
            return Err(io::Error::other(format!(
                "mount {}: {said}",
                made.image.display()
            )));
        }
        Ok(Mounted { place: Some(place) })
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.place
            .as_ref()
            .map(|place| place.path().to_path_buf())
            .unwrap_or_default()
    }

    /// What is on it.
    pub fn manifest(&self) -> io::Result<Manifest> {
        Manifest::of_directory(&self.path())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let unmount = |options: &[&str]| {
            Command::new("umount")
                .args(options)
                .arg(place.path())
                .output()
                .is_ok_and(|output| output.status.success())
        };
        // Something else on this machine may look into a new mount for a moment.
        for _ in 0..50 {
            if unmount(&[]) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        if !unmount(&["-l"]) {
            // The directory must not be emptied while something is mounted on it.
            eprintln!("{}: cannot be unmounted", place.path().display());
            let _ = place.keep();
        }
    }
}
