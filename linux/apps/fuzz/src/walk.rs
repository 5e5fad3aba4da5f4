//! What is done with a volume: it is mounted, all that it shows is looked at, within bounds, and it is unmounted.

use crate::image::ImageDisk;
use lkl::{FileType, Kernel, OpenMode, OwnedFd};
use lkl_write::{MountFlags, Volume, WritableDevice};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of a piece that is read of a file.
const PIECE: usize = 16 << 10;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Entries of directories in all.
    pub entries: usize,
    /// Files, links and directories that are opened, in all: of the rest only the inode is looked at.
    pub opened: usize,
    /// Bytes of files in all.
    pub bytes: usize,
    /// Levels of directories.
    pub depth: usize,
    /// Bytes of directories that lookups may go through in all. There are file systems that read all of a directory for a name that is not
    /// there, and a changed one may say that it has 2^40 bytes.
    pub searched: u64,
}

impl Extent {
    /// Whether one more lookup may be made in a directory of so many bytes. It counts as made.
    fn may_look_up(&mut self, size: u64) -> bool {
        let left = self.searched.checked_sub(size);
        self.searched = left.unwrap_or(self.searched);
        left.is_some()
    }
}

/// Files and links that are opened in one directory.
const OPENED_HERE: usize = 6;

/// All of a small volume.
pub const WHOLE: Extent = Extent {
    entries: 200,
    opened: 24,
    bytes: 256 << 10,
    depth: 6,
    searched: 64 << 20,
};

/// What lies before the contents of files.
pub const STRUCTURE: Extent = Extent { bytes: 0, ..WHOLE };

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// It was mounted.
    pub mounted: bool,
    /// Entries that were looked at.
    pub entries: usize,
    /// Bytes that were read.
    pub bytes: usize,
}

/// A disk that Linux has, and what it shows.
#[derive(Debug)]
pub struct Device {
    /// Linux's end.
    pub linux: WritableDevice,
    /// The other one.
    pub disk: Arc<ImageDisk>,
}

/// Mounts the volume on a device as `fs`, read-only, looks at it and unmounts it.
pub fn visit(kernel: &Kernel, device: &Device, fs: &str, recovery: bool, extent: &Extent) -> Visit {
    let mut visit = Visit::default();
    let flags = MountFlags {
        read_only: true,
        ..MountFlags::default()
    };
    let Ok(volume) = Volume::mount_with(kernel, &device.linux, fs, &options_of(fs, recovery), flags) else {
        return visit;
    };
    visit.mounted = true;
    if let Ok(root) = volume.root() {
        let _ = root.statfs();
        let mut left = *extent;
        if let Ok(root) = root.open_at(b".", OpenMode::Directory) {
            directory(&root, &mut left, extent.depth);
        }
        visit.entries = extent.entries - left.entries;
        visit.bytes = extent.bytes - left.bytes;
    }
    let _ = volume.unmount();
    visit
}

/// What Linux must be told of a volume in `seeds/`: its UFS does not look which of its kinds it has, and ext4 may not be told by a superblock to
/// panic.
pub fn options_of(fs: &str, recovery: bool) -> String {
    let always = match fs {
        "ufs" => "ufstype=44bsd",
        "ext4" => "errors=continue",
        _ => "",
    };
    let quiet = match fs {
        _ if recovery => "",
        "ext4" => "noload",
        "xfs" | "f2fs" => "norecovery",
        "btrfs" => "rescue=nologreplay",
        _ => "",
    };
    let comma = if always.is_empty() || quiet.is_empty() {
        ""
    } else {
        ","
    };
    format!("{always}{comma}{quiet}")
}

fn directory(open: &OwnedFd, left: &mut Extent, depth: usize) {
    attributes(open);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let _ = open.read_dir(0, &mut |entry| {
        if left.entries == 0 {
            return ControlFlow::Break(());
        }
        left.entries -= 1;
        if entry.name != b"." && entry.name != b".." {
            names.push(entry.name.to_vec());
        }
        ControlFlow::Continue(())
    });
    let size = open.statx().map_or(0, |stat| stat.size);
    // One that is not there: what a lookup does besides.
    if left.may_look_up(size) {
        let _ = open.statx_at(b"absent");
    }
    let mut folders = Vec::new();
    let mut here = OPENED_HERE;
    for name in names {
        if !left.may_look_up(size) {
            break;
        }
        let Ok(stat) = open.statx_at(&name) else { continue };
        match stat.file_type() {
            FileType::Directory if depth > 0 => folders.push(name),
            _ if here.min(left.opened) == 0 => {}
            FileType::Symlink => {
                here -= 1;
                left.opened -= 1;
                if let Ok(link) = open.open_at(&name, OpenMode::Path) {
                    attributes(&link);
                    let _ = link.read_link();
                }
            }
            FileType::Regular => {
                here -= 1;
                left.opened -= 1;
                if let Ok(file) = open.open_at(&name, OpenMode::Read) {
                    attributes(&file);
                    contents(&file, stat.size, left);
                }
            }
            _ => {}
        }
    }
    for name in folders {
        if left.opened > 0
            && let Ok(folder) = open.open_at(&name, OpenMode::Directory)
        {
            left.opened -= 1;
            directory(&folder, left, depth - 1);
        }
    }
}

fn attributes(entry: &OwnedFd) {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let _ = entry.list_xattr(&mut |name| {
        if names.len() < 16 {
            names.push(name.to_vec());
        }
    });
    for name in names {
        let _ = entry.get_xattr(&name);
    }
}

/// The first bytes of a file, the last ones, and those of its stretches that are no holes.
fn contents(file: &OwnedFd, size: u64, left: &mut Extent) {
    if left.bytes == 0 {
        return;
    }
    let mut buffer = vec![0; PIECE];
    let mut starts = vec![0, size.saturating_sub(PIECE as u64 / 2)];
    let mut at = 0;
    for _ in 0..4 {
        let Ok(Some(stretch)) = file.next_data(at) else {
            break;
        };
        starts.push(stretch.start);
        at = stretch.end;
    }
    starts.sort_unstable();
    starts.dedup();
    for start in starts {
        let count = buffer.len().min(left.bytes);
        if count > 0 {
            left.bytes -= file.pread(&mut buffer[..count], start).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_end_when_directories_say_that_they_are_large() {
        let mut extent = WHOLE;
        assert!((0..200).all(|_| extent.may_look_up(64 << 10)));
        assert!(!extent.may_look_up(1 << 40));
        let large = (0..200).filter(|_| extent.may_look_up(16 << 20)).count();
        assert_eq!(large, 3);
        assert!(extent.may_look_up(4096));
    }
}
