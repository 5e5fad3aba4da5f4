//! What is done with a volume: it is mounted, all that it shows is looked at, within bounds, and it is unmounted.

use crate::image::ImageDisk;
use lkl::{DiskOptions, EntryKind, FileType, FsKind, Kernel, MountOptions, OpenMode, OwnedFd};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of an overlay: a volume's journal, replayed.
const OVERLAY: u64 = 16 << 20;
/// Bytes of a piece that is read of a file.
const PIECE: usize = 16 << 10;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Entries of directories in all.
    pub entries: usize,
    /// Bytes of files in all.
    pub bytes: usize,
    /// Levels of directories.
    pub depth: usize,
}

/// All of a small volume.
pub const WHOLE: Extent = Extent {
    entries: 200,
    bytes: 1 << 20,
    depth: 6,
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

/// Mounts the volume on a disk as `fs`, looks at it and unmounts it.
pub fn visit(kernel: &Kernel, disk: Arc<ImageDisk>, fs: &str, recovery: bool, extent: &Extent) -> Visit {
    let mut visit = Visit::default();
    let options = DiskOptions {
        overlay_limit: Some(OVERLAY),
        ..DiskOptions::default()
    };
    let Ok(device) = kernel.add_disk(disk, options) else {
        return visit;
    };
    let options = MountOptions {
        extra: options_of(fs),
        recovery,
    };
    if let Ok(mount) = kernel.mount(&device, FsKind::Named(fs), &options) {
        visit.mounted = true;
        let _ = mount.statfs();
        if let Ok(root) = mount.root() {
            let mut left = *extent;
            directory(&root, &mut left, extent.depth);
            visit.entries = extent.entries - left.entries;
            visit.bytes = extent.bytes - left.bytes;
        }
        mount.unmount();
    }
    let _ = device.remove();
    visit
}

/// What Linux must be told of a volume in `seeds/`: its UFS does not look which of its kinds it has.
fn options_of(fs: &str) -> &'static str {
    match fs {
        "ufs" => "ufstype=44bsd",
        _ => "",
    }
}

fn directory(folder: &OwnedFd, left: &mut Extent, depth: usize) {
    attributes(folder);
    let Ok(open) = folder.reopen(OpenMode::Directory) else {
        return;
    };
    let mut names: Vec<(Vec<u8>, EntryKind)> = Vec::new();
    let _ = open.read_dir(0, &mut |entry| {
        if left.entries == 0 {
            return ControlFlow::Break(());
        }
        left.entries -= 1;
        if entry.name != b"." && entry.name != b".." {
            names.push((entry.name.to_vec(), entry.kind));
        }
        ControlFlow::Continue(())
    });
    // One that is not there: what a lookup does besides.
    let _ = folder.statx_at(b"absent");
    for (name, _) in names {
        let Ok(entry) = folder.open_at(&name, OpenMode::Path) else {
            continue;
        };
        let Ok(stat) = entry.statx() else { continue };
        match stat.file_type() {
            FileType::Directory if depth > 0 => directory(&entry, left, depth - 1),
            FileType::Symlink => {
                attributes(&entry);
                let _ = entry.read_link();
            }
            FileType::Regular => {
                attributes(&entry);
                contents(&entry, stat.size, left);
            }
            _ => attributes(&entry),
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
fn contents(entry: &OwnedFd, size: u64, left: &mut Extent) {
    if left.bytes == 0 {
        return;
    }
    let Ok(file) = entry.reopen(OpenMode::Read) else {
        return;
    };
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
