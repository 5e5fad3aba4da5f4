//! `userctl`'s trait of volumes, answered by requests that every file system knows: classes of information, listings,
//! reparse points, reads. [`root`] is for `userctl`'s own way, which asks the driver by controls of its own.
//!
//! Each object is opened by its whole path, with its exact name and without following a link. What a request fails with
//! goes to stderr as NT's status; the trait's callers get EIO, or ENOENT for a name that is not there.

use std::ops::ControlFlow;
use std::rc::Rc;

use lklfs_client::files::{File, OpenAs};
use lklfs_nt::{AccessMask, ControlCode, CreateOptions, FileInformationClass, NtStatus, names};
use userctl::volume::{Errno, Kind, Stat, Volume};

use crate::io_manager::{IoManager, Opened, Opener};
use crate::records::{self, Malformed};

/// Bytes of one listing.
const LIST_BYTES: usize = 16 << 10;
/// Bytes of one read through the cache: pieces that begin and end anywhere in a page.
const CACHED_PIECE: usize = 99_991;
/// What offsets and lengths of reads past the cache are multiples of: whole sectors of every disk.
const SECTOR: usize = 4096;
/// Bytes of the largest reparse point.
const REPARSE_BYTES: usize = 16 << 10;

/// How files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As programs do by default.
    Cached,
    /// FILE_NO_INTERMEDIATE_BUFFERING: whole sectors, past the cache.
    Direct,
}

/// What is mounted on a device.
pub struct DriverVolume {
    manager: Rc<IoManager>,
    /// The device's path, or a drive letter's.
    device: Vec<u16>,
    reading: Reading,
}

/// An object, open for its attributes.
pub struct Node {
    /// From the root, each name with a backslash before it; empty for the root itself.
    path: Vec<u16>,
    opened: Opened,
}

/// The root of what is mounted on a device, as `userctl` takes it.
pub fn root(manager: &Rc<IoManager>, device: &str) -> Result<File, NtStatus> {
    let path: Vec<u16> = device.encode_utf16().chain([u16::from(b'\\')]).collect();
    let OpenAs { access, options, .. } = OpenAs::LOOK;
    let opened = Opened::open(manager, Opener::Kernel, &path, access, options)?;
    Ok(File::over(Box::new(opened)))
}

impl DriverVolume {
    /// The volume on the device at a path of NT's.
    pub fn new(manager: Rc<IoManager>, device: &str, reading: Reading) -> DriverVolume {
        DriverVolume {
            manager,
            device: device.encode_utf16().collect(),
            reading,
        }
    }

    fn open_as(
        &self,
        opener: Opener,
        path: &[u16],
        access: AccessMask,
        options: CreateOptions,
    ) -> Result<Opened, NtStatus> {
        let mut whole = self.device.clone();
        if path.is_empty() {
            whole.push(u16::from(b'\\'));
        }
        whole.extend(path);
        let options = options | CreateOptions::FILE_OPEN_REPARSE_POINT;
        Opened::open(&self.manager, opener, &whole, access, options)
    }

    fn open(&self, path: &[u16], access: AccessMask, options: CreateOptions) -> Result<Opened, Errno> {
        self.open_as(Opener::Kernel, path, access, options)
            .map_err(|status| told("open", path, status))
    }

    /// Whether somebody may open an object with this access. Anything but "yes" and "no" is an error.
    pub fn may(&self, opener: Opener, node: &Node, access: AccessMask) -> Result<bool, Errno> {
        match self.open_as(opener, &node.path, access, CreateOptions::empty()) {
            Ok(_) => Ok(true),
            Err(NtStatus::ACCESS_DENIED) => Ok(false),
            Err(status) => Err(told("open", &node.path, status)),
        }
    }

    fn node(&self, path: Vec<u16>) -> Result<Node, Errno> {
        let opened = self.open(&path, AccessMask::FILE_READ_ATTRIBUTES, CreateOptions::empty())?;
        Ok(Node { path, opened })
    }
}

/// Tells what failed, and what the callers get.
fn told(what: &str, path: &[u16], status: NtStatus) -> Errno {
    if status == NtStatus::OBJECT_NAME_NOT_FOUND {
        return Errno::ENOENT;
    }
    eprintln!("{what} {}: {status:?}", String::from_utf16_lossy(path));
    Errno::EIO
}

fn wrong(path: &[u16], Malformed(what): Malformed) -> Errno {
    eprintln!("{}: {what}", String::from_utf16_lossy(path));
    Errno::EIO
}

impl Volume for DriverVolume {
    type Node = Node;
    type File = (Vec<u16>, Opened);

    fn root(&self) -> Result<Node, Errno> {
        self.node(Vec::new())
    }

    fn child(&self, directory: &Node, name: &[u8]) -> Result<Node, Errno> {
        let mut path = directory.path.clone();
        path.push(u16::from(b'\\'));
        path.extend(names::to_windows(name).map_err(|status| told("name", &path, status))?);
        self.node(path)
    }

    fn stat(&self, node: &Node) -> Result<Stat, Errno> {
        let class = FileInformationClass::FileStatLxInformation.0;
        let bytes = node.opened.query(class, 256);
        let bytes = bytes.map_err(|status| told("query", &node.path, status))?;
        let mut stat = records::stat(&bytes).map_err(|malformed| wrong(&node.path, malformed))?;
        if stat.kind == Kind::Link {
            stat.size = self.read_link(node)?.len() as u64;
        }
        Ok(stat)
    }

    fn read_link(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        let code = ControlCode::FSCTL_GET_REPARSE_POINT.0;
        let bytes = node.opened.control(code, &[], REPARSE_BYTES);
        let bytes = bytes.map_err(|status| told("reparse point of", &node.path, status))?;
        records::target(&bytes).map_err(|malformed| wrong(&node.path, malformed))
    }

    fn list(
        &self,
        directory: &Node,
        sink: &mut dyn FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let opened = self.open(
            &directory.path,
            AccessMask::FILE_LIST_DIRECTORY,
            CreateOptions::FILE_DIRECTORY_FILE,
        )?;
        let class = FileInformationClass::FileNamesInformation.0;
        let (mut count, mut restart) = (0u64, true);
        loop {
            match opened.list(class, restart, LIST_BYTES) {
                Ok(bytes) => {
                    restart = false;
                    let more = records::names(&bytes);
                    for name in more.map_err(|malformed| wrong(&directory.path, malformed))? {
                        count += 1;
                        if sink(&name, count).is_break() {
                            return Ok(());
                        }
                    }
                }
                Err(NtStatus::NO_MORE_FILES | NtStatus::NO_SUCH_FILE) => return Ok(()),
                Err(status) => return Err(told("list", &directory.path, status)),
            }
        }
    }

    fn open(&self, node: &Node) -> Result<(Vec<u16>, Opened), Errno> {
        let options = match self.reading {
            Reading::Cached => CreateOptions::FILE_NON_DIRECTORY_FILE,
            Reading::Direct => {
                CreateOptions::FILE_NON_DIRECTORY_FILE | CreateOptions::FILE_NO_INTERMEDIATE_BUFFERING
            }
        };
        let opened = DriverVolume::open(self, &node.path, AccessMask::FILE_READ_DATA, options)?;
        Ok((node.path.clone(), opened))
    }

    fn read(&self, (path, opened): &Self::File, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while done < buffer.len() {
            let (at, rest) = (offset + done as u64, buffer.len() - done);
            let (skip, wanted) = match self.reading {
                Reading::Cached => (0, rest.min(CACHED_PIECE)),
                Reading::Direct => {
                    let skip = (at % SECTOR as u64) as usize;
                    (skip, (skip + rest).next_multiple_of(SECTOR))
                }
            };
            let bytes = match opened.read(at - skip as u64, wanted) {
                Err(NtStatus::END_OF_FILE) => break,
                other => other.map_err(|status| told("read", path, status))?,
            };
            let part = bytes.get(skip..).unwrap_or_default();
            let part = &part[..part.len().min(rest)];
            buffer[done..done + part.len()].copy_from_slice(part);
            done += part.len();
            if bytes.len() < wanted {
                break;
            }
        }
        Ok(done)
    }
}
