//! A mounted volume as a tree of entries, read by IRPs.
//!
//! Entries are opened one by one with their exact names and without following links, so that every entry is
//! seen once, as it is.

use super::handle::{Handle, OpenAs};
use super::machine::Machine;
use super::records::{self, DirectoryEntry, FileFacts, Reparse};
use crate::disk;
use crate::io::mount;
use crate::io::names::wide;
use crate::mm::user::UserRegion;
use crate::nt::*;

/// Bytes of a directory query and of a read.
const LIST_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 1 << 20;
/// Bytes of the largest reparse point.
const REPARSE_BYTES: usize = 16 << 10;

/// FileIdBothDirectoryInformation.
const ID_BOTH: u32 = 37;

/// A volume on a disk of a machine.
pub struct Volume<'m> {
    machine: &'m Machine,
    device: String,
}

/// An entry of the tree.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path from the volume's root, beginning with a backslash.
    pub path: Vec<u16>,
    /// What a handle of it says.
    pub facts: FileFacts,
}

/// What could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The path.
    pub path: Vec<u16>,
    /// The status of the request that failed.
    pub status: NTSTATUS,
    /// More, where the status does not say it.
    pub detail: String,
}

impl Trouble {
    fn new(path: &[u16], status: NTSTATUS) -> Trouble {
        Trouble {
            path: path.to_vec(),
            status,
            detail: String::new(),
        }
    }

    fn wrong(path: &[u16], detail: String) -> Trouble {
        Trouble {
            path: path.to_vec(),
            status: STATUS_FILE_CORRUPT_ERROR,
            detail,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {}",
            String::from_utf16_lossy(&self.path),
            name(self.status)
        )?;
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.detail)
        }
    }
}

impl std::error::Error for Trouble {}

impl<'m> Volume<'m> {
    /// The volume on `device`, mounted if it can be. The error has what the file systems said.
    pub fn mount(
        machine: &'m Machine,
        device: &str,
        object: PDEVICE_OBJECT,
    ) -> Result<Volume<'m>, Vec<NTSTATUS>> {
        let volume = Volume {
            machine,
            device: device.to_owned(),
        };
        match volume.open(&wide("\\"), OpenAs::look()) {
            Ok(_) => Ok(volume),
            Err(status) => {
                let mut refusals = mount::refusals(object);
                if refusals.is_empty() {
                    refusals.push(status);
                }
                Err(refusals)
            }
        }
    }

    /// The first volume of `disk` that mounts: its partitions by number, then the whole disk.
    pub fn first(machine: &'m Machine, disk: &disk::Disk) -> Result<(u32, Volume<'m>), Vec<NTSTATUS>> {
        let mut refusals = Vec::new();
        for candidate in disk.volumes() {
            match Volume::mount(machine, &candidate.path(), candidate.device()) {
                Ok(volume) => return Ok((candidate.partition, volume)),
                Err(more) => refusals.extend(more),
            }
        }
        if !disk.layout.partitions().is_empty() {
            let (path, object) = disk.whole();
            match Volume::mount(machine, &path, object) {
                Ok(volume) => return Ok((0, volume)),
                Err(more) => refusals.extend(more),
            }
        }
        Err(refusals)
    }

    /// Its device's path.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Opens `path`, from the volume's root.
    pub fn open(&self, path: &[u16], how: OpenAs) -> Result<Handle, NTSTATUS> {
        let mut full = wide(&self.device);
        full.extend_from_slice(path);
        let _ = self.machine;
        Handle::open(full, None, how)
    }

    /// The entry at `path` itself.
    pub fn entry(&self, path: &[u16]) -> Result<Entry, Trouble> {
        let handle = self
            .open(path, OpenAs::look().exact_case())
            .map_err(|status| Trouble::new(path, status))?;
        let facts = facts_of(&handle).map_err(|status| Trouble::new(path, status))?;
        Ok(Entry {
            path: path.to_vec(),
            facts,
        })
    }

    /// The entries of the directory at `path`, without `.` and `..`, in the driver's order.
    pub fn list(&self, path: &[u16]) -> Result<Vec<DirectoryEntry>, Trouble> {
        let how = OpenAs::read()
            .with(FILE_DIRECTORY_FILE)
            .with(FILE_OPEN_REPARSE_POINT)
            .exact_case();
        let directory = self
            .open(path, how)
            .map_err(|status| Trouble::new(path, status))?;
        let mut entries = Vec::new();
        loop {
            let outcome = directory.query_directory(ID_BOTH, LIST_BYTES, None, 0);
            match outcome.status {
                STATUS_SUCCESS => {
                    let more = records::id_both_entries(&outcome.bytes);
                    entries.extend(more.map_err(|what| Trouble::wrong(path, what))?);
                }
                STATUS_NO_MORE_FILES | STATUS_NO_SUCH_FILE => break,
                status => return Err(Trouble::new(path, status)),
            }
        }
        entries.retain(|entry| ![".", ".."].iter().any(|dots| entry.name == wide(dots)));
        Ok(entries)
    }

    /// The reparse point at `path`.
    pub fn reparse(&self, path: &[u16]) -> Result<Reparse, Trouble> {
        let trouble = |status| Trouble::new(path, status);
        let handle = self.open(path, OpenAs::look().exact_case()).map_err(trouble)?;
        let bytes = handle
            .fsctl(FSCTL_GET_REPARSE_POINT, &[], REPARSE_BYTES)
            .into_result()
            .map_err(trouble)?;
        records::reparse(&bytes).map_err(|what| Trouble::wrong(path, what))
    }

    /// Hands the data of the file at `path` to `sink`, from its beginning to its end; returns the bytes.
    pub fn read(
        &self,
        path: &[u16],
        how: OpenAs,
        sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, ReadError> {
        let trouble = |status| ReadError::Volume(Trouble::new(path, status));
        let handle = self
            .open(path, how.with(FILE_NON_DIRECTORY_FILE | FILE_SEQUENTIAL_ONLY))
            .map_err(trouble)?;
        let buffer = UserRegion::new(READ_BYTES);
        let mut offset = 0;
        loop {
            let (status, len) = handle.read_into(&buffer, Some(offset), READ_BYTES);
            match status {
                STATUS_END_OF_FILE => return Ok(offset),
                status if !nt_success(status) => return Err(trouble(status)),
                _ if len == 0 || len > READ_BYTES => {
                    let what = format!("a read of {READ_BYTES} bytes gave {len}");
                    return Err(ReadError::Volume(Trouble::wrong(path, what)));
                }
                _ => {
                    // SAFETY: the buffer has this length and the request has ended.
                    let data = unsafe { std::slice::from_raw_parts(buffer.ptr(), len) };
                    sink(data).map_err(ReadError::Sink)?;
                    offset += len as u64;
                }
            }
        }
    }

    /// Every entry below and with the root, in no order. What cannot be listed or opened goes to `troubles`.
    pub fn walk(&self, troubles: &mut Vec<Trouble>) -> Vec<Entry> {
        let mut found = Vec::new();
        let mut todo = vec![wide("\\")];
        while let Some(path) = todo.pop() {
            let entry = match self.entry(&path) {
                Ok(entry) => entry,
                Err(trouble) => {
                    troubles.push(trouble);
                    continue;
                }
            };
            let plain = entry.facts.attributes & FILE_ATTRIBUTE_REPARSE_POINT == 0;
            if plain && entry.facts.attributes & FILE_ATTRIBUTE_DIRECTORY != 0 {
                match self.list(&path) {
                    Ok(entries) => todo.extend(entries.into_iter().map(|child| join(&path, &child.name))),
                    Err(trouble) => troubles.push(trouble),
                }
            }
            found.push(entry);
        }
        found
    }
}

/// Why a file was not read to its end.
#[derive(Debug)]
pub enum ReadError {
    /// The volume refused.
    Volume(Trouble),
    /// The sink did.
    Sink(std::io::Error),
}

/// `directory` and `name` as one path.
pub fn join(directory: &[u16], name: &[u16]) -> Vec<u16> {
    let mut path = directory.to_vec();
    if path.last() != Some(&u16::from(b'\\')) {
        path.push(u16::from(b'\\'));
    }
    path.extend_from_slice(name);
    path
}

/// What `handle` says about its file.
pub fn facts_of(handle: &Handle) -> Result<FileFacts, NTSTATUS> {
    let basic = handle
        .query_information(_FILE_INFORMATION_CLASS_FileBasicInformation as i32, 40)
        .into_result()?;
    let standard = handle
        .query_information(_FILE_INFORMATION_CLASS_FileStandardInformation as i32, 24)
        .into_result()?;
    records::facts(&basic, &standard).ok_or(STATUS_INFO_LENGTH_MISMATCH)
}
