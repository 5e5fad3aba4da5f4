//! This machine's own files, as a tree that is copied: Windows.
//!
//! What Linux wants to know besides is made up: root owns all, files have mode 0644 and folders 0755, and without the bits for
//! writing if they are read-only. Several names of one file become files.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use lkl_session::exit::{Exit, Failure};
use lkl_session::text::shown;
use lkl_tree::volume::{Errno, Kind, Stat, Time, Volume};

const FILE_ATTRIBUTE_SPARSE_FILE: u32 = 0x200;
/// Asks where a file has data.
const FSCTL_QUERY_ALLOCATED_RANGES: u32 = 0x0009_40cf;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_PRIVILEGE_NOT_HELD: i32 = 1314;

/// All that is at a path and below.
#[derive(Debug)]
pub struct HostTree {
    top: PathBuf,
}

impl HostTree {
    /// What is at this path; a link there is the link itself, unless the path ends with a slash.
    pub fn new(top: PathBuf) -> HostTree {
        HostTree { top }
    }
}

/// An error of Windows' as one of Linux's.
pub(crate) fn errno(error: io::Error) -> Errno {
    match (error.raw_os_error(), error.kind()) {
        (Some(ERROR_PRIVILEGE_NOT_HELD), _) => Errno::EPERM,
        (Some(ERROR_SHARING_VIOLATION), _) => Errno::EBUSY,
        (_, io::ErrorKind::NotFound) => Errno::ENOENT,
        (_, io::ErrorKind::PermissionDenied) => Errno::EACCES,
        (_, io::ErrorKind::AlreadyExists) => Errno::EEXIST,
        (_, io::ErrorKind::NotADirectory) => Errno::ENOTDIR,
        (_, io::ErrorKind::IsADirectory) => Errno::EISDIR,
        (_, io::ErrorKind::DirectoryNotEmpty) => Errno::ENOTEMPTY,
        (_, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Errno::ENOSPC,
        (_, io::ErrorKind::ReadOnlyFilesystem) => Errno::EROFS,
        (_, io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput) => Errno::EINVAL,
        (_, io::ErrorKind::Unsupported) => Errno::EOPNOTSUPP,
        (_, io::ErrorKind::OutOfMemory) => Errno::ENOMEM,
        _ => Errno::EIO,
    }
}

/// A number that stands for what is at a path: no link is followed on the way, so each object has one path.
fn number(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// A name of Linux's as Windows can have it.
pub(crate) fn native_name(name: &[u8]) -> OsString {
    match name {
        b"" | b"." | b".." => String::from_utf8_lossy(name).into_owned().into(),
        // For lack of memory only; whatever is done next lacks it as well.
        name => OsString::from_wide(&lklfs_nt::names::to_windows(name).unwrap_or_default()),
    }
}

fn linux_name(name: &OsString) -> Result<Vec<u8>, Errno> {
    let units: Vec<u16> = name.encode_wide().collect();
    lklfs_nt::names::to_linux(&units).map_err(|_| Errno::EINVAL)
}

fn time(time: io::Result<SystemTime>) -> Time {
    let time = time.unwrap_or(UNIX_EPOCH);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Time {
            seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: after.subsec_nanos(),
        },
        Err(before) => {
            let before = before.duration();
            let part = before.subsec_nanos();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            Time {
                seconds: -seconds - i64::from(part > 0),
                nanoseconds: if part > 0 { 1_000_000_000 - part } else { 0 },
            }
        }
    }
}

fn stat(path: &Path, found: &Metadata) -> Stat {
    let kind = if found.is_symlink() {
        Kind::Link
    } else if found.is_dir() {
        Kind::Directory
    } else {
        Kind::File
    };
    let mode = match (kind, found.permissions().readonly()) {
        (Kind::Link, _) => 0o777,
        (Kind::Directory, _) => 0o755,
        (_, true) => 0o444,
        (_, false) => 0o644,
    };
    let has_holes = found.file_attributes() & FILE_ATTRIBUTE_SPARSE_FILE != 0;
    Stat {
        kind,
        mode,
        uid: 0,
        gid: 0,
        links: 1,
        size: found.file_size(),
        blocks: if has_holes {
            0
        } else {
            found.file_size().div_ceil(512)
        },
        modified: time(found.modified()),
        accessed: time(found.accessed()),
        inode: number(path),
        device: 0,
        node_device: (0, 0),
    }
}

impl Volume for HostTree {
    type Node = PathBuf;
    type File = File;

    fn root(&self) -> Result<PathBuf, Errno> {
        let follow = self.top.as_os_str().as_encoded_bytes().ends_with(b"/");
        let found = match follow {
            true => self.top.metadata(),
            false => self.top.symlink_metadata(),
        };
        found.map_err(errno)?;
        match follow {
            true => self.top.canonicalize().map_err(errno),
            false => Ok(self.top.clone()),
        }
    }

    fn child(&self, directory: &PathBuf, name: &[u8]) -> Result<PathBuf, Errno> {
        let path = directory.join(native_name(name));
        path.symlink_metadata().map_err(errno)?;
        Ok(path)
    }

    fn stat(&self, node: &PathBuf) -> Result<Stat, Errno> {
        node.symlink_metadata()
            .map(|found| stat(node, &found))
            .map_err(errno)
    }

    fn read_link(&self, node: &PathBuf) -> Result<Vec<u8>, Errno> {
        let target = fs::read_link(node).map_err(errno)?;
        let mut bytes = Vec::new();
        let units: Vec<u16> = target.as_os_str().encode_wide().collect();
        for (at, word) in units
            .split(|unit| [u16::from(b'\\'), u16::from(b'/')].contains(unit))
            .enumerate()
        {
            if at > 0 {
                bytes.push(b'/');
            }
            bytes.extend(linux_name(&OsString::from_wide(word))?);
        }
        Ok(bytes)
    }

    fn list(
        &self,
        directory: &PathBuf,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        for (entry, at) in fs::read_dir(directory).map_err(errno)?.zip(1..) {
            let name = linux_name(&entry.map_err(errno)?.file_name())?;
            if sink(&name, at).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, node: &PathBuf) -> Result<File, Errno> {
        File::open(node).map_err(errno)
    }

    fn read(&self, file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.seek_read(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if done == 0 => return Err(errno(error)),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn next_data(&self, file: &File, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        // FILE_ALLOCATED_RANGE_BUFFER: offset and length. One range is wanted; that there are more is an error of its own.
        let (mut wanted, mut found) = ([0; 16], [0; 16]);
        let rest = i64::MAX - i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        wanted[..8].copy_from_slice(&offset.to_ne_bytes());
        wanted[8..].copy_from_slice(&rest.to_ne_bytes());
        let code = FSCTL_QUERY_ALLOCATED_RANGES;
        let asked = lkl_host_nt::overlapped::control(file, code, &wanted, &mut found);
        let number = |at: usize| {
            let bytes = found.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        match asked {
            Ok(0) => Ok(None),
            _ if number(8) > 0 => {
                let start = number(0).max(offset);
                Ok(Some(start..number(0).saturating_add(number(8))))
            }
            // A file system that does not say.
            _ => Ok(Some(offset..u64::MAX)),
        }
    }

    fn failure(&self, path: &[u8], errno: Errno) -> Failure {
        let path = shown(path);
        let (exit, advice) = match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::EINVAL => (Exit::Path, "name what is there"),
            Errno::EACCES | Errno::EPERM => (Exit::Rights, "choose what you may read"),
            Errno::EBUSY => (Exit::Other, "close the program that uses it"),
            _ => (Exit::Other, "check the disk that it is on"),
        };
        Failure::new(exit, format_args!("{path}: {errno}; {advice}"))
    }
}
