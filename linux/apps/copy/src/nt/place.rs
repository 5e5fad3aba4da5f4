//! This machine's own files, as a place for copies: Windows.
//!
//! NTFS keeps names, contents with their holes, times, the read-only bit, several names of one file, and links where the user may
//! make them. Names that Windows cannot have get other characters, as the driver shows them. The rest is left out, and said once.

use std::cell::Cell;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt, symlink_dir, symlink_file};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lkl::{DeviceNumber, Timestamp};
use lkl_tree::volume::{Errno, Kind};

use crate::destination::Destination;
use crate::host_tree::{errno, native_name};

/// What is not kept.
pub const NOT_KEPT: Option<&str> =
    Some("owners, attributes, access lists, and of modes all but the read-only bit are not kept on Windows");

/// Has a file give back the room of its holes.
const FSCTL_SET_SPARSE: u32 = 0x0009_00c4;
const FILE_WRITE_ATTRIBUTES: u32 = 0x100;
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostPlace;

/// An object: where it is, and a file that was made here.
#[derive(Debug)]
pub struct Object {
    path: PathBuf,
    file: Option<File>,
    /// How far it was written.
    end: Cell<u64>,
}

impl Object {
    fn at(path: PathBuf) -> Object {
        Object {
            path,
            file: None,
            end: Cell::new(0),
        }
    }

    fn file(&self) -> Result<&File, Errno> {
        self.file.as_ref().ok_or(Errno::EBADF)
    }

    /// What follows its end is a hole.
    fn reach(&self, offset: u64) {
        if let Some(file) = self.file.as_ref().filter(|_| offset > self.end.get()) {
            // A file system that has no holes writes zeros.
            let _ = lkl_host_nt::overlapped::control(file, FSCTL_SET_SPARSE, &[], &mut []);
        }
    }
}

impl HostPlace {
    /// As the user who runs this.
    pub fn new() -> HostPlace {
        HostPlace
    }

    /// A folder that is there.
    pub fn folder(path: &Path) -> io::Result<Object> {
        match path.metadata()?.is_dir() {
            true => Ok(Object::at(path.to_path_buf())),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

/// The error of something that could not be made. A name that differs from the one that is there, in case for example, is taken by
/// another entry, which is not to be replaced.
fn taken(path: &Path, error: io::Error) -> Errno {
    if error.kind() != io::ErrorKind::AlreadyExists {
        return errno(error);
    }
    let here = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut names = here
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    match names.any(|name| Some(name.as_os_str()) == path.file_name()) {
        true => Errno::EEXIST,
        false => Errno::EINVAL,
    }
}

impl Destination for HostPlace {
    type Node = Object;

    fn child(&self, folder: &Object, name: &[u8]) -> Result<Object, Errno> {
        let path = match name {
            b"." => folder.path.clone(),
            name => folder.path.join(native_name(name)),
        };
        path.symlink_metadata().map_err(errno)?;
        Ok(Object::at(path))
    }

    fn kind(&self, node: &Object) -> Result<(Kind, u64), Errno> {
        let found = node.path.symlink_metadata().map_err(errno)?.file_type();
        let kind = if found.is_symlink() {
            Kind::Link
        } else if found.is_dir() {
            Kind::Directory
        } else {
            Kind::File
        };
        Ok((kind, 0))
    }

    fn make_folder(&self, folder: &Object, name: &[u8]) -> Result<(), Errno> {
        let path = folder.path.join(native_name(name));
        fs::create_dir(&path).map_err(|error| taken(&path, error))
    }

    fn create(&self, folder: &Object, name: &[u8]) -> Result<Object, Errno> {
        let path = folder.path.join(native_name(name));
        let opened = File::options().write(true).create_new(true).open(&path);
        let file = opened.map_err(|error| taken(&path, error))?;
        Ok(Object {
            file: Some(file),
            ..Object::at(path)
        })
    }

    fn create_unnamed(&self, _folder: &Object) -> Option<Object> {
        None
    }

    fn make_link(&self, folder: &Object, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        let path = folder.path.join(native_name(name));
        let words: Vec<_> = target.split(|byte| *byte == b'/').map(native_name).collect();
        let target = words.join("\\".as_ref());
        // Windows asks what it leads to. If that is not there yet, it is taken for a file.
        let made = match folder.path.join(&target).is_dir() {
            true => symlink_dir(&target, &path),
            false => symlink_file(&target, &path),
        };
        made.map_err(|error| taken(&path, error))?;
        // Wine says that it has made one.
        path.symlink_metadata().map(drop).map_err(|_| Errno::EOPNOTSUPP)
    }

    fn make_node(&self, _: &Object, _: &[u8], _: Kind, _: DeviceNumber) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn left_out(&self, kind: Kind, errno: Errno) -> Option<&'static str> {
        match (kind, errno) {
            (Kind::Link, Errno::EPERM | Errno::EACCES) => {
                Some("left out, a symbolic link, which this user may not make")
            }
            (Kind::Link, Errno::EOPNOTSUPP) => Some("left out, a symbolic link, which cannot be made there"),
            (_, Errno::EOPNOTSUPP) => Some("left out, Windows has nothing like it"),
            _ => None,
        }
    }

    fn link(&self, folder: &Object, name: &[u8], node: &Object) -> Result<(), Errno> {
        let path = folder.path.join(native_name(name));
        fs::hard_link(&node.path, &path).map_err(|error| taken(&path, error))
    }

    fn rename(&self, folder: &Object, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        let to = folder.path.join(native_name(to));
        set_read_only(&to, false);
        fs::rename(folder.path.join(native_name(from)), to).map_err(errno)
    }

    fn remove(&self, folder: &Object, name: &[u8]) -> Result<(), Errno> {
        let path = folder.path.join(native_name(name));
        set_read_only(&path, false);
        fs::remove_file(&path)
            // A link to a folder.
            .or_else(|_| fs::remove_dir(&path))
            .map_err(errno)
    }

    fn write(&self, node: &Object, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        node.reach(offset);
        let (file, mut done) = (node.file()?, 0);
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match file.seek_write(rest, offset + done as u64) {
                Ok(0) => return Err(Errno::EIO),
                Ok(more) => done += more,
                Err(error) => return Err(errno(error)),
            }
        }
        node.end.set(node.end.get().max(offset + done as u64));
        Ok(())
    }

    fn set_len(&self, node: &Object, len: u64) -> Result<(), Errno> {
        node.reach(len);
        node.file()?.set_len(len).map_err(errno)
    }

    fn may_give(&self) -> bool {
        false
    }

    fn set_owner(&self, _: &Object, _: u32, _: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn set_mode(&self, node: &Object, mode: u32) -> Result<(), Errno> {
        // Of a folder the bit means something else.
        if mode & 0o222 == 0 && !node.path.is_dir() {
            set_read_only(&node.path, true);
        }
        Ok(())
    }

    fn set_times(&self, node: &Object, accessed: Timestamp, modified: Timestamp) -> Result<(), Errno> {
        let times = FileTimes::new()
            .set_accessed(time(accessed).ok_or(Errno::EINVAL)?)
            .set_modified(time(modified).ok_or(Errno::EINVAL)?);
        let opened = File::options()
            .access_mode(FILE_WRITE_ATTRIBUTES)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(&node.path);
        opened.and_then(|file| file.set_times(times)).map_err(errno)
    }

    fn has_xattr(&self, _: &Object, _: &[u8]) -> bool {
        false
    }

    fn set_xattr(&self, _: &Object, _: &[u8], _: &[u8]) -> Result<(), Errno> {
        // Said by NOT_KEPT.
        Ok(())
    }

    fn remove_xattr(&self, _: &Object, _: &[u8]) -> Result<(), Errno> {
        Ok(())
    }
}

/// What cannot be changed is found out by what comes next.
fn set_read_only(path: &Path, wanted: bool) {
    let Ok(found) = path.symlink_metadata() else {
        return;
    };
    let mut permissions = found.permissions();
    if !found.is_symlink() && permissions.readonly() != wanted {
        permissions.set_readonly(wanted);
        let _ = fs::set_permissions(path, permissions);
    }
}

/// A time that Windows can have.
fn time(stamp: Timestamp) -> Option<SystemTime> {
    let seconds = Duration::from_secs(stamp.sec.unsigned_abs());
    let whole = match stamp.sec < 0 {
        true => UNIX_EPOCH.checked_sub(seconds)?,
        false => UNIX_EPOCH.checked_add(seconds)?,
    };
    whole.checked_add(Duration::from_nanos(stamp.nsec.into()))
}
