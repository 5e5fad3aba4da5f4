//! This machine's own files, as a tree that is copied.
//!
//! What is found is held as a place (O_PATH), so a FIFO or a device is never started, and each step is relative to the folder
//! before it, so what is renamed meanwhile leads nowhere else.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ops::{ControlFlow, Range};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use lkl_session::exit::{Exit, Failure};
use lkl_session::text::shown;
use lkl_tree::volume::{Errno, Kind, Stat, Time, Volume, Xattr};
use rustix::fs::{self, AtFlags, Mode, OFlags, SeekFrom, StatxFlags, StatxTimestamp};
use rustix::io;

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

/// An error of this machine's Linux as one of the other's: they have the same numbers.
pub(crate) fn errno(error: io::Errno) -> Errno {
    u16::try_from(error.raw_os_error())
        .ok()
        .and_then(Errno::from_number)
        .unwrap_or(Errno::EIO)
}

/// The path in `/proc` that leads to what a descriptor stands for.
pub(crate) fn path_of(node: impl AsFd) -> CString {
    CString::new(format!("/proc/self/fd/{}", node.as_fd().as_raw_fd())).unwrap_or_default()
}

const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens for reading; without changing the time of the last access, where that is allowed.
fn open_quietly(act: impl Fn(OFlags) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match act(flags | OFlags::NOATIME) {
        Err(io::Errno::PERM) => act(flags),
        opened => opened,
    }
}

impl Volume for HostTree {
    type Node = OwnedFd;
    type File = OwnedFd;

    fn root(&self) -> Result<OwnedFd, Errno> {
        let follow = self.top.as_os_str().as_bytes().ends_with(b"/");
        let flags = if follow {
            PLACE.difference(OFlags::NOFOLLOW)
        } else {
            PLACE
        };
        fs::open(&self.top, flags, Mode::empty()).map_err(errno)
    }

    fn child(&self, directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        fs::openat(directory, name, PLACE, Mode::empty()).map_err(errno)
    }

    fn stat(&self, node: &OwnedFd) -> Result<Stat, Errno> {
        let stat = fs::statx(node, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map_err(errno)?;
        let time = |time: StatxTimestamp| Time {
            seconds: time.tv_sec,
            nanoseconds: time.tv_nsec,
        };
        Ok(Stat {
            kind: Kind::from_mode(u32::from(stat.stx_mode)).ok_or(Errno::EUCLEAN)?,
            mode: u32::from(stat.stx_mode) & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            links: u64::from(stat.stx_nlink),
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            modified: time(stat.stx_mtime),
            accessed: time(stat.stx_atime),
            inode: stat.stx_ino,
            device: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            node_device: (stat.stx_rdev_major, stat.stx_rdev_minor),
        })
    }

    fn read_link(&self, node: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let target = fs::readlinkat(node, "", Vec::new()).map_err(errno)?;
        Ok(target.into_bytes())
    }

    fn list(
        &self,
        directory: &OwnedFd,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let flags = OFlags::DIRECTORY;
        let open = open_quietly(|more| fs::openat(directory, ".", flags | more, Mode::empty()));
        let open = open.map_err(errno)?;
        let mut buffer = vec![MaybeUninit::<u8>::uninit(); 64 << 10];
        let mut entries = fs::RawDir::new(open, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(errno)?;
            if sink(entry.file_name().to_bytes(), entry.next_entry_cookie()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, node: &OwnedFd) -> Result<OwnedFd, Errno> {
        let path = path_of(node);
        open_quietly(|flags| fs::open(&path, flags, Mode::empty())).map_err(errno)
    }

    fn read(&self, file: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match io::pread(file, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(io::Errno::INTR) => {}
                Err(error) if done == 0 => return Err(errno(error)),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn next_data(&self, file: &OwnedFd, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        let start = match fs::seek(file, SeekFrom::Data(offset)) {
            Err(io::Errno::NXIO) => return Ok(None),
            start => start.map_err(errno)?,
        };
        let end = fs::seek(file, SeekFrom::Hole(start)).map_err(errno)?;
        Ok(Some(start..end))
    }

    fn xattrs(&self, node: &OwnedFd) -> Result<Vec<Xattr>, Errno> {
        let path = path_of(node);
        let names = match whole(
            || fs::listxattr_query(&path),
            |buffer| fs::listxattr(&path, buffer),
        ) {
            Ok(names) => names,
            Err(io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(errno(error)),
        };
        let mut found = Vec::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match whole(
                || fs::getxattr_query(&path, name),
                |buffer| fs::getxattr(&path, name, buffer),
            ) {
                Ok(value) => found.push(Xattr {
                    name: name.to_vec(),
                    value,
                }),
                // It has gone, or this user may not have it.
                Err(io::Errno::NODATA | io::Errno::OPNOTSUPP | io::Errno::PERM | io::Errno::ACCESS) => {}
                Err(error) => return Err(errno(error)),
            }
        }
        Ok(found)
    }

    fn failure(&self, path: &[u8], errno: Errno) -> Failure {
        let path = shown(path);
        let (exit, advice) = match errno {
            Errno::ENOENT => (Exit::Path, "name what is there"),
            Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG => (Exit::Path, "name what is there"),
            Errno::EACCES | Errno::EPERM => {
                (Exit::Rights, "choose what you may read, or run this as its owner")
            }
            _ => (Exit::Other, "check the disk that it is on"),
        };
        Failure::new(exit, format_args!("{path}: {errno}; {advice}"))
    }
}

/// Calls `read` with buffers until one suffices; `len` says which should.
fn whole(
    len: impl Fn() -> io::Result<usize>,
    read: impl Fn(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Vec<u8>> {
    loop {
        let wanted = len()?;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; wanted];
        match read(&mut buffer) {
            // It grew in between.
            Err(io::Errno::RANGE) => {}
            len => {
                buffer.truncate(len?);
                return Ok(buffer);
            }
        }
    }
}
