//! A part that was mounted before, in another Linux: what it was mounted from, and what the one before said last.

use std::sync::Arc;

use disk_partitions::Part;
use lkl::{BlockDevice, DiskOptions, Errno, FsKind, Kernel, Mount, MountError, MountOptions};

use super::{Mounted, Session, look};
use crate::image::Section;

impl Mounted {
    /// What is mounted, the device in Linux, and the disk below it.
    pub fn into_parts(self) -> (Mount, BlockDevice, Arc<Section>) {
        (self.mount, self.device, self.disk)
    }
}

impl Session {
    /// Mounts a part as it was mounted first, from the same disk, in a Linux that came after that one.
    ///
    /// # Errors
    /// ESTALE when the image holds something else there than it did.
    pub fn mount_again(
        &self,
        kernel: &Kernel,
        part: u32,
        disk: &Arc<Section>,
    ) -> Result<(Mount, BlockDevice), MountError> {
        let now = look(&self.image).map_err(|_| MountError::of(Errno::EIO))?;
        let there: Option<&Part> = now.part(part);
        if there.is_none() || there != self.survey.part(part) {
            return Err(MountError::of(Errno::ESTALE));
        }
        let disk = Arc::clone(disk) as Arc<dyn lkl::Disk>;
        let device = kernel
            .add_disk(disk, DiskOptions::default())
            .map_err(MountError::of)?;
        let options = MountOptions {
            recovery: self.recovery,
            extra: self.options.as_deref().unwrap_or_default(),
        };
        let kind = self.fs.as_deref().map_or(FsKind::Probe, FsKind::Named);
        let mount = kernel.mount(&device, kind, &options)?;
        Ok((mount, device))
    }
}

/// Why a Linux stopped, in its own words, in parentheses behind a space; empty if they are not in its log.
pub fn last_words(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let mut lines = log.lines().rev();
    let line = lines.find(|line| line.contains("Kernel panic") || line.contains("kernel BUG"));
    let words = line.map(|line| line.rsplit_once("] ").map_or(line, |(_, words)| words).trim());
    words
        .map(|words| format!(" ({})", crate::text::shown(words.as_bytes())))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_panic_of_a_log_is_why_linux_stopped() {
        let log = b"[    0.1] Kernel panic - not syncing: one\n[    0.2] Kernel panic - not syncing: t\x1bwo\n[    0.3] more\n";
        assert_eq!(last_words(log), " (Kernel panic - not syncing: t\\x1bwo)");
        assert_eq!(last_words(b"[    0.1] all is well\n"), "");
    }
}
