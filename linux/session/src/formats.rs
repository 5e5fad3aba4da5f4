//! Image formats other than raw: finds the files that an image is made of, and reads the disk in them.
//!
//! `disk_images` knows the formats and trusts nothing; here are the files. A name in an image is tried as it is, from
//! the image's own folder, and for one that was written on Windows also as a mere file name there, because images and
//! their parents are moved together.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use disk_images::{
    Base, Cache, Encoding, Error, Format, Name, ReadAt, ReadError, Reference, Role, Unresolved,
};

use crate::image::{Sharing, read_exact_at};
use crate::text::shown;

/// A disk in one or more files.
#[derive(Debug)]
pub struct Formatted {
    disk: disk_images::Image<Part>,
    /// Those that no thread uses now: never more than threads that read at once.
    caches: Mutex<Vec<Cache>>,
}

/// One of its files.
#[derive(Debug)]
struct Part {
    file: File,
    size: u64,
    /// Without links, so that two names of a file are one.
    path: PathBuf,
}

impl Part {
    fn new(file: File, path: &Path) -> io::Result<Part> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Part {
            file,
            size: metadata.len(),
            path: path.canonicalize()?,
        })
    }
}

impl ReadAt for Part {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        read_exact_at(&self.file, buffer, offset).map_err(|_| ReadError)
    }
}

impl disk_images::File for Part {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn is_same(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Formatted {
    /// Looks at the content of the file at `path`; `Ok(None)`: it is the disk itself. An error says in a few words what is
    /// wrong and what to do.
    pub fn open(path: &Path, file: &File, sharing: Sharing) -> Result<Option<Formatted>, String> {
        let part = file.try_clone().and_then(|file| Part::new(file, path));
        let part = part.map_err(|error| crate::exit::reason(&error))?;
        let mut paths = vec![part.path.clone()];
        let mut wanted = String::new();
        let mut resolve = |reference: &Reference| {
            let folder = paths.get(reference.file).and_then(|path| path.parent());
            let folder = folder.unwrap_or(Path::new(""));
            for candidate in reference.names.iter().flat_map(|name| candidates(folder, name)) {
                // What is no file (a FIFO would be waited for) is passed over.
                if !candidate.is_file() {
                    continue;
                }
                let opened = sharing.open(&candidate);
                if let Ok(part) = opened.and_then(|file| Part::new(file, &candidate)) {
                    paths.push(part.path.clone());
                    return Ok(part);
                }
            }
            wanted = match reference.names.first() {
                Some(name) => name
                    .text()
                    .map_or(shown(&name.bytes), |text| shown(text.as_bytes())),
                None => String::new(),
            };
            Err(Unresolved)
        };
        let disk = match disk_images::open(part, &mut resolve) {
            Ok(disk) => disk,
            Err(error) => return Err(explained(&error, &wanted, &paths)),
        };
        if disk.format() == Format::Raw {
            return Ok(None);
        }
        Ok(Some(Formatted {
            disk,
            caches: Mutex::default(),
        }))
    }

    /// Its format's name.
    pub fn format(&self) -> &'static str {
        self.disk.format().name()
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.disk.virtual_size()
    }

    /// Bytes of the disk's sectors.
    pub fn sector_size(&self) -> u32 {
        self.disk.logical_sector_size()
    }

    /// Fills `buffer` from the byte `offset` of the disk on.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let idle = self.caches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut cache = match idle {
            Some(cache) => cache,
            None => Cache::new().map_err(failed)?,
        };
        let result = self.disk.read_at(&mut cache, offset, buffer).map_err(failed);
        self.caches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(cache);
        result
    }
}

fn failed(error: Error) -> io::Error {
    let kind = match error {
        Error::Beyond | Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
        Error::NoMemory => io::ErrorKind::OutOfMemory,
        Error::Read { .. } => io::ErrorKind::Other,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error.to_string())
}

/// What is wrong, with which of the files, and what to do.
fn explained(error: &Error, wanted: &str, paths: &[PathBuf]) -> String {
    let below = |file: usize| match file {
        0 => String::new(),
        _ => paths
            .get(file)
            .map(|path| format!("{}, which it needs, ", path.display()))
            .unwrap_or_default(),
    };
    let (file, advice) = match error {
        Error::Unresolved { role, .. } => {
            let what = match role {
                Role::Parent => "its parent",
                Role::Data => "its data file",
            };
            return format!(
                "{what} {wanted} is not there or cannot be read; put it where the image expects it"
            );
        }
        Error::Read { file, .. } => (*file, "check the disk that it is on"),
        Error::Truncated { file, .. } => (*file, "get all of it"),
        Error::WrongParent { file } => (*file, "find the parent as it was"),
        Error::Foreign { remedy, .. } => {
            return format!("{error}; make a raw image of it with {remedy}");
        }
        Error::Unsupported { .. } | Error::UnknownFeature { .. } => {
            (0, "convert it with qemu-img convert -O raw")
        }
        _ => (0, "repair a copy of it"),
    };
    format!("{}{error}; {advice}", below(file))
}

/// Where a file of that name may be.
fn candidates(folder: &Path, name: &Name) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Some(native) = native(name) else {
        return found;
    };
    if name.base != Base::Image || cfg!(windows) || name.encoding == Encoding::Bytes {
        found.push(folder.join(&native));
    }
    if name.encoding != Encoding::Bytes
        && let Some(text) = name.text()
    {
        if name.base != Base::Root {
            found.push(folder.join(text.replace('\\', "/")));
        }
        if let Some(last) = text.rsplit(['\\', '/']).next() {
            found.push(folder.join(last));
        }
    }
    found
}

/// The name as this system writes it.
fn native(name: &Name) -> Option<PathBuf> {
    #[cfg(unix)]
    if name.encoding == Encoding::Bytes {
        let bytes = name.bytes.strip_prefix(b"file:").unwrap_or(&name.bytes);
        return Some(PathBuf::from(
            <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes),
        ));
    }
    let text = name.text()?;
    Some(PathBuf::from(text.strip_prefix("file:").unwrap_or(&text)))
}
