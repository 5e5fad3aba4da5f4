//! A file system on a writable disk, mounted for writing, and its files by path.
//!
//! A volume has a folder of its own in Linux's own tree, below `/mnt`. Paths here begin at the volume's root and are bytes, with
//! or without a slash in front. No symbolic link is followed, so that no path leads out of the volume: not by accident, and
//! not by what an image says.

use crate::calls::{self, Fd};
use crate::device::WritableDevice;
use crate::file::{File, OpenOptions};
use lkl::{Errno, Kernel};
use std::ffi::CString;
use std::fmt;

const MS_NOSUID: i64 = 2;
const MS_NODEV: i64 = 4;
const MS_NOEXEC: i64 = 8;
const MS_NOSYMFOLLOW: i64 = 256;

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
        let node = device.dev_path()?;
        let name = node.as_bytes().strip_prefix(b"/dev/").ok_or(Errno::ENODEV)?;
        let root = [b"/mnt/", name].concat();
        for folder in [b"/mnt", &root[..]] {
            match calls::mkdir(kernel, &calls::path(folder)?, 0o755) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        let (device, at) = (calls::path(node.as_bytes())?, calls::path(root.clone())?);
        let flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW;
        calls::mount(
            kernel,
            &device,
            &at,
            &calls::path(fs)?,
            flags,
            &calls::path(options)?,
        )?;
        Ok(Volume {
            kernel: kernel.clone(),
            root,
        })
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
        self.folder(b"")?.trim()
    }

    /// Opens or makes a file.
    pub fn open(&self, path: &[u8], options: OpenOptions) -> Result<File, Errno> {
        Fd::open(&self.kernel, &self.path(path)?, options.flags(), 0o644).map(File)
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
        calls::mkdir(&self.kernel, &self.path(path)?, 0o755)
    }

    /// Removes an empty folder.
    pub fn remove_dir(&self, path: &[u8]) -> Result<(), Errno> {
        calls::unlink(&self.kernel, &self.path(path)?, true)
    }

    /// Removes a file or a link.
    pub fn remove_file(&self, path: &[u8]) -> Result<(), Errno> {
        calls::unlink(&self.kernel, &self.path(path)?, false)
    }

    /// Gives a file or folder another path, in place of a file or empty folder that has it.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        calls::rename(&self.kernel, &self.path(from)?, &self.path(to)?)
    }

    /// Gives a file one more path.
    pub fn hard_link(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        calls::link(&self.kernel, &self.path(from)?, &self.path(to)?)
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> Result<(), Errno> {
        calls::symlink(&self.kernel, &calls::path(target)?, &self.path(path)?)
    }

    /// What a symbolic link says.
    pub fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        const PATH_MAX: usize = 4096;
        let mut target = vec![0; PATH_MAX];
        let len = calls::readlink(&self.kernel, &self.path(path)?, &mut target)?;
        target.truncate(len);
        Ok(target)
    }

    /// Makes durable what was made, removed or renamed in a folder.
    pub fn sync_dir(&self, path: &[u8]) -> Result<(), Errno> {
        self.folder(path)?.fsync(false)
    }

    /// What is in a folder, without `.` and `..`, in the file system's order.
    pub fn entries(&self, path: &[u8]) -> Result<Vec<Entry>, Errno> {
        let folder = self.folder(path)?;
        let mut buffer = vec![0; 32 << 10];
        let mut entries = Vec::new();
        loop {
            let len = folder.getdents64(&mut buffer)?;
            if len == 0 {
                return Ok(entries);
            }
            let mut rest = buffer.get(..len).unwrap_or_default();
            while !rest.is_empty() {
                let (entry, size) = record(rest).ok_or(Errno::EIO)?;
                if entry.name != b"." && entry.name != b".." {
                    entries.push(entry);
                }
                rest = rest.get(size..).ok_or(Errno::EIO)?;
            }
        }
    }

    fn folder(&self, path: &[u8]) -> Result<Fd, Errno> {
        const O_DIRECTORY: i64 = 0o200000;
        const O_CLOEXEC: i64 = 0o2000000;
        Fd::open(&self.kernel, &self.path(path)?, O_DIRECTORY | O_CLOEXEC, 0)
    }

    /// A path in Linux's own tree. EINVAL for one that climbs out.
    fn path(&self, path: &[u8]) -> Result<CString, Errno> {
        if path.split(|byte| *byte == b'/').any(|name| name == b"..") {
            return Err(Errno::EINVAL);
        }
        calls::path([&self.root, &b"/"[..], path].concat())
    }
}

/// The first `struct linux_dirent64` of some, and its size.
fn record(bytes: &[u8]) -> Option<(Entry, usize)> {
    const NAME: usize = 19;
    let inode = u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?);
    let size = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
    let name = bytes.get(NAME..size)?.split(|byte| *byte == 0).next()?;
    let entry = Entry {
        name: name.to_vec(),
        inode,
        kind: lkl::EntryKind::from_d_type(*bytes.get(18)?),
    };
    Some((entry, size))
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
