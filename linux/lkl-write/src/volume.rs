//! A file system on a writable disk, mounted for writing: its root, and its files by path.
//!
//! A volume has a folder of its own in Linux's own tree, below `/mnt`. [`Volume::root`] is where a program begins that goes by
//! descriptors ([`crate::FolderChanges`]); the functions here are the same calls for programs that go by paths. Paths begin at the volume's root and are bytes, with
//! or without a slash in front. No symbolic link is followed, so that no path leads out of the volume: not by accident, and
//! not by what an image says.

use crate::calls::{self, At};
use crate::content::ContentChanges;
use crate::device::WritableDevice;
use crate::file::{File, OpenOptions};
use lkl::{Errno, Kernel, OwnedFd};
use std::ffi::CString;
use std::fmt;
use std::ops::ControlFlow;

const MS_RDONLY: i64 = 1;
const MS_NOSUID: i64 = 2;
const MS_NODEV: i64 = 4;
const MS_NOEXEC: i64 = 8;
const MS_SYNCHRONOUS: i64 = 16;
const MS_NOSYMFOLLOW: i64 = 256;
const MS_NOATIME: i64 = 1024;
const MS_LAZYTIME: i64 = 1 << 25;

const O_DIRECTORY: i64 = 0o200_000;
const O_CLOEXEC: i64 = 0o2_000_000;

/// How a volume is mounted, whatever its file system is. No device is ever opened on it, no program run and no symbolic link
/// followed, by this Linux; all of them can be made and looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MountFlags {
    /// Nothing can be changed. The file system may still replay its journal, on the disk.
    pub read_only: bool,
    /// Reading a file does not change the time of its last access.
    pub no_access_times: bool,
    /// Times are written with other changes, or when the volume is synced.
    pub lazy_times: bool,
    /// Each change is durable when its call returns.
    pub synchronous: bool,
}

impl MountFlags {
    fn words(self) -> i64 {
        let chosen = [
            (self.read_only, MS_RDONLY),
            (self.no_access_times, MS_NOATIME),
            (self.lazy_times, MS_LAZYTIME),
            (self.synchronous, MS_SYNCHRONOUS),
        ];
        let on = chosen.iter().filter(|(on, _)| *on);
        let always = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW;
        on.fold(always, |flags, (_, flag)| flags | flag)
    }
}

/// A mounted volume. Dropping it unmounts it, if no file of it is open; errors are lost then.
pub struct Volume {
    kernel: Kernel,
    /// `/mnt/hostblk0`; empty once unmounted.
    root: Vec<u8>,
}

/// Why a volume is not cleanly unmounted.
#[derive(Debug)]
pub struct UnmountError {
    /// EBUSY: a file is open. Another error: not all of what was written has come to the disk.
    pub errno: Errno,
    /// The volume, if it is mounted still.
    pub volume: Option<Volume>,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// The number of the file.
    pub inode: u64,
    /// What it is, if the file system says so in its folders.
    pub kind: lkl::EntryKind,
}

impl Volume {
    /// Mounts a device for writing. `fs` is what Linux calls the file system, `options` are its own. Why it failed is in
    /// [`Kernel::log`].
    pub fn mount(kernel: &Kernel, device: &WritableDevice, fs: &str, options: &str) -> Result<Volume, Errno> {
        Volume::mount_with(kernel, device, fs, options, MountFlags::default())
    }

    /// As [`Volume::mount`], with a say in how.
    pub fn mount_with(
        kernel: &Kernel,
        device: &WritableDevice,
        fs: &str,
        options: &str,
        flags: MountFlags,
    ) -> Result<Volume, Errno> {
        let node = device.dev_path()?;
        let name = node.as_bytes().strip_prefix(b"/dev/").ok_or(Errno::ENODEV)?;
        let root = [b"/mnt/", name].concat();
        // The modes of new files are those that callers give.
        calls::umask(kernel, 0)?;
        for folder in [b"/mnt", &root[..]] {
            match calls::mkdir(kernel, At::path(&calls::path(folder)?), 0o755) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        let (device, at) = (calls::path(node.as_bytes())?, calls::path(root.clone())?);
        let (fs, options) = (calls::path(fs)?, calls::path(options)?);
        calls::mount(kernel, &device, &at, &fs, flags.words(), &options)?;
        Ok(Volume {
            kernel: kernel.clone(),
            root,
        })
    }

    /// The root folder, as [`lkl::OpenMode::Path`]. Like every descriptor of the volume's it keeps it from being unmounted.
    pub fn root(&self) -> Result<OwnedFd, Errno> {
        const O_PATH: i64 = 0o10_000_000;
        self.open_path(b"", O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
    }

    /// The Linux that has it.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Writes everything to the disk and unmounts. May block for as long as the disk takes.
    pub fn unmount(mut self) -> Result<(), UnmountError> {
        let synced = self.sync();
        let unmounted = calls::path(self.root.clone()).and_then(|at| calls::unmount(&self.kernel, &at));
        match unmounted {
            Ok(()) => {
                self.root.clear();
                synced.map_err(|errno| UnmountError { errno, volume: None })
            }
            Err(errno) => Err(UnmountError {
                errno,
                volume: Some(self),
            }),
        }
    }

    /// Makes durable whatever was done to the volume.
    pub fn sync(&self) -> Result<(), Errno> {
        self.folder(b"")?.syncfs()
    }

    /// Discards the blocks that the file system does not use; the bytes of them that it says.
    pub fn trim(&self) -> Result<u64, Errno> {
        calls::trim(&self.folder(b"")?)
    }

    /// Opens or makes a file.
    pub fn open(&self, path: &[u8], options: OpenOptions) -> Result<File, Errno> {
        self.open_path(path, options.flags(), 0o644).map(File)
    }

    /// All bytes of a file.
    pub fn read(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let file = self.open(path, OpenOptions::default())?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| Errno::EFBIG)?];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, done as u64)? {
                0 => break,
                len => done += len,
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Makes a file of these bytes, or puts them in the place of what it has. Does not sync.
    pub fn write(&self, path: &[u8], bytes: &[u8]) -> Result<(), Errno> {
        let options = OpenOptions {
            write: true,
            create: true,
            truncate: true,
            ..OpenOptions::default()
        };
        self.open(path, options)?.write_all_at(bytes, 0)
    }

    /// Makes a folder.
    pub fn create_dir(&self, path: &[u8]) -> Result<(), Errno> {
        calls::mkdir(&self.kernel, At::path(&self.path(path)?), 0o755)
    }

    /// Removes an empty folder.
    pub fn remove_dir(&self, path: &[u8]) -> Result<(), Errno> {
        calls::unlink(&self.kernel, At::path(&self.path(path)?), true)
    }

    /// Removes a file or a link.
    pub fn remove_file(&self, path: &[u8]) -> Result<(), Errno> {
        calls::unlink(&self.kernel, At::path(&self.path(path)?), false)
    }

    /// Gives a file or folder another path, in place of a file or empty folder that has it.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        calls::rename(&self.kernel, At::path(&from), At::path(&to), 0)
    }

    /// Gives a file one more path.
    pub fn hard_link(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        calls::link(&self.kernel, At::path(&from), At::path(&to))
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> Result<(), Errno> {
        calls::symlink(&self.kernel, &calls::path(target)?, At::path(&self.path(path)?))
    }

    /// What a symbolic link says.
    pub fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        const PATH_MAX: usize = 4096;
        let mut target = vec![0; PATH_MAX];
        let len = calls::readlink(&self.kernel, At::path(&self.path(path)?), &mut target)?;
        target.truncate(len);
        Ok(target)
    }

    /// Makes durable what was made, removed or renamed in a folder.
    pub fn sync_dir(&self, path: &[u8]) -> Result<(), Errno> {
        self.folder(path)?.fsync()
    }

    /// What is in a folder, without `.` and `..`, in the file system's order.
    pub fn entries(&self, path: &[u8]) -> Result<Vec<Entry>, Errno> {
        let mut entries = Vec::new();
        self.folder(path)?.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                entries.push(Entry {
                    name: entry.name.to_vec(),
                    inode: entry.ino,
                    kind: entry.kind,
                });
            }
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    fn folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_path(path, O_DIRECTORY | O_CLOEXEC, 0)
    }

    fn open_path(&self, path: &[u8], flags: i64, mode: u32) -> Result<OwnedFd, Errno> {
        let path = self.path(path)?;
        calls::open(&self.kernel, At::path(&path), flags, mode)
    }

    /// A path in Linux's own tree. EINVAL for one that climbs out.
    fn path(&self, path: &[u8]) -> Result<CString, Errno> {
        if path.split(|byte| *byte == b'/').any(|name| name == b"..") {
            return Err(Errno::EINVAL);
        }
        calls::path([&self.root, &b"/"[..], path].concat())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.root.is_empty() {
            return;
        }
        // See the type: there is no one to tell of an error.
        if let Ok(at) = calls::path(self.root.clone()) {
            let _ = calls::unmount(&self.kernel, &at);
        }
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volume({})", self.root.escape_ascii())
    }
}

impl fmt::Display for UnmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.volume {
            Some(_) => write!(f, "the volume is still mounted: {}", self.errno),
            None => write!(
                f,
                "the volume is unmounted, and not everything was written: {}",
                self.errno
            ),
        }
    }
}

impl std::error::Error for UnmountError {}
