//! The image: a file or a device that is only ever read, and a part of it as a disk of Linux. Where the file is an image
//! of a disk in a format of its own (VHD, VHDX, qcow2), the image is that disk: see `formats`.
//!
//! Linux has one CPU and its disks must not wait on it: what this system has in memory is copied at once, and a few
//! threads read the rest. What lies beyond the end of the file fails with EIO: a truncated image gives what it has and says
//! where it ends. The sector that a file ends in is whole, with zeros behind the end.
//!
//! Who reads for long can ask that the bytes stay as they are: see [`Sharing`].

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use lkl::{Disk, Errno, ReadRequest};

use crate::exit::{Exit, Failure, reason};
use crate::formats::Formatted;
use crate::watchdog;

/// Bytes of a sector of a file that is the disk itself.
const SECTOR: u64 = 512;
/// Threads that read; as many reads are under way at once.
const READERS: usize = 8;

/// Who may write to an image while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// It is not asked: what is there is read.
    Any,
    /// Programs on Linux as a library may not: the image is locked, as readers do it (`flock`, shared; on NT by its share modes),
    /// and so are the files that it needs.
    Readers,
}

impl Sharing {
    /// Opens a file for reading. ResourceBusy when another program writes to it and that is not to be.
    pub(crate) fn open(self, path: &Path) -> io::Result<File> {
        match self {
            Sharing::Any => open_any(path),
            Sharing::Readers => open_locked(path),
        }
    }
}

#[cfg(unix)]
fn open_any(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// For overlapped I/O, without which NT would serve one read after another.
#[cfg(windows)]
fn open_any(path: &Path) -> io::Result<File> {
    lkl_host_nt::overlapped::options().read(true).open(path)
}

#[cfg(unix)]
fn open_locked(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.try_lock_shared() {
        // A file system without locks has no writers that hold one.
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
        Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
    }
}

#[cfg(windows)]
fn open_locked(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ: u32 = 1;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let mut options = lkl_host_nt::overlapped::options();
    let opened = options.read(true).share_mode(FILE_SHARE_READ).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(ERROR_SHARING_VIOLATION) => io::ErrorKind::ResourceBusy.into(),
        _ => error,
    })
}

/// An opened image.
#[derive(Clone, Debug)]
pub struct Image {
    /// As it was named.
    pub path: PathBuf,
    /// Its length in bytes: the disk's, not the file's.
    pub size: u64,
    /// The name of its format.
    pub format: &'static str,
    /// Bytes of its sectors, where it says.
    pub sector_size: Option<u32>,
    content: Arc<Content>,
}

/// Where the disk is.
#[derive(Debug)]
enum Content {
    /// The file is the disk.
    Plain {
        file: File,
        /// Bytes of the file; the disk has whole sectors.
        bytes: u64,
    },
    /// The disk is in the file, in a format.
    Formatted(Formatted),
}

impl Image {
    /// Opens the image at `path` for reading, whether or not a program writes to it.
    pub fn open(path: &Path) -> Result<Image, Failure> {
        Image::open_shared(path, Sharing::Any)
    }

    /// Opens the image at `path` for reading.
    pub fn open_shared(path: &Path, sharing: Sharing) -> Result<Image, Failure> {
        let fail = |why: String| Failure::new(Exit::Image, format_args!("{}: {why}", path.display()));
        let explain = |error: io::Error| {
            if error.kind() == io::ErrorKind::ResourceBusy {
                let why = "another program writes to it; wait until it has ended, or end it";
                return Failure::new(Exit::InUse, format_args!("{}: {why}", path.display()));
            }
            let advice = match error.kind() {
                io::ErrorKind::NotFound => "name an existing image",
                io::ErrorKind::PermissionDenied => {
                    "choose an image that you may read, or run this as its owner"
                }
                _ => "check the image and the disk that it is on",
            };
            fail(format!("{}; {advice}", reason(&error)))
        };
        // A FIFO would be waited for; look first.
        let metadata = std::fs::metadata(path).map_err(explain)?;
        if metadata.is_dir() {
            return Err(fail("is a directory; name an image file or a disk".to_string()));
        }
        if !metadata.is_file() && !is_disk(&metadata) {
            return Err(fail(
                "is neither a file nor a disk; name an image file or a disk".to_string(),
            ));
        }
        let mut file = sharing.open(path).map_err(explain)?;
        let size = io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(explain)?;
        let mut image = Image {
            path: path.to_path_buf(),
            size: size.next_multiple_of(SECTOR),
            format: "raw",
            sector_size: None,
            content: Arc::new(Content::Plain { file, bytes: size }),
        };
        if size == 0 {
            return Err(fail(
                "is empty; name an image that holds a file system".to_string(),
            ));
        }
        // Reading may be refused although opening was not.
        let mut first = [0; 512];
        image.read_at(&mut first, 0).map_err(explain)?;
        let formatted = match &*image.content {
            Content::Plain { file, .. } if metadata.is_file() => {
                Formatted::open(path, file, sharing).map_err(fail)?
            }
            _ => None,
        };
        if let Some(formatted) = formatted {
            if formatted.size() == 0 {
                return Err(fail(
                    "holds an empty disk; name an image that holds a file system".to_string(),
                ));
            }
            image.size = formatted.size();
            image.format = formatted.format();
            image.sector_size = Some(formatted.sector_size());
            image.content = Arc::new(Content::Formatted(formatted));
        }
        Ok(image)
    }

    /// Fills `buffer` from the byte `offset` of the image on.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &*self.content {
            Content::Plain { file, bytes } => read_sectors_at(file, *bytes, buffer, offset),
            Content::Formatted(formatted) => formatted.read_at(buffer, offset),
        }
    }
}

#[cfg(unix)]
fn is_disk(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type())
}

#[cfg(windows)]
fn is_disk(_metadata: &std::fs::Metadata) -> bool {
    // The length of a disk cannot be asked for by seeking there.
    false
}

/// Fills `buffer` from the byte `offset` of a file of `bytes` bytes on, with zeros for the rest of its last sector.
fn read_sectors_at(file: &File, bytes: u64, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let end = offset.saturating_add(buffer.len() as u64);
    if end <= bytes || end > bytes.next_multiple_of(SECTOR) {
        return read_exact_at(file, buffer, offset);
    }
    let inside = usize::try_from(bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
    let (there, behind) = buffer.split_at_mut(inside.min(buffer.len()));
    behind.fill(0);
    read_exact_at(file, there, offset)
}

/// Fills `buffer` from the byte `offset` of the file on.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` from the byte `offset` of the file on.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match lkl_host_nt::overlapped::read_at(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A part of an image, as Linux sees it. Its threads end when it is dropped, and with them it lets go of the image.
pub struct Section {
    offset: u64,
    size: u64,
    block_size: u32,
    image: Image,
    /// `None` only while it is dropped.
    requests: Option<Sender<ReadRequest>>,
    threads: Vec<JoinHandle<()>>,
}

impl Section {
    /// `size` bytes of `image` from `offset` on, in blocks of `block_size` bytes.
    pub fn new(image: &Image, offset: u64, size: u64, block_size: u32) -> io::Result<Arc<Section>> {
        let (requests, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let (receiver, image) = (Arc::clone(&receiver), image.clone());
            let thread = std::thread::Builder::new()
                .name("reader".into())
                .spawn(move || serve(&receiver, &image, offset))?;
            threads.push(thread);
        }
        Ok(Arc::new(Section {
            offset,
            size,
            block_size,
            image: image.clone(),
            requests: Some(requests),
            threads,
        }))
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.requests = None;
        for thread in self.threads.drain(..) {
            // The last reference may be one that a request holds: then one of the threads drops it.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl std::fmt::Debug for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Section")
            .field("offset", &self.offset)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Disk for Section {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        self.block_size
    }

    fn read(&self, mut request: ReadRequest) {
        if let Content::Plain { file, .. } = &*self.image.content
            && read_at_hand(file, self.offset, &mut request)
        {
            watchdog::progress();
            return request.complete(Ok(()));
        }
        // The threads live as long as `self`; a request that cannot be sent is dropped, which answers EIO.
        if let Some(requests) = &self.requests {
            let _ = requests.send(request);
        }
    }
}

/// Fills the request from what this system has in its page cache, without waiting. False: some of it is not there, and
/// the whole is to be read by one who may wait.
#[cfg(target_os = "linux")]
fn read_at_hand(file: &File, base: u64, request: &mut ReadRequest) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    /// Pieces in one system call (IOV_MAX).
    const PIECES: usize = 1024;
    let Some(offset) = base.checked_add(request.offset()) else {
        return false;
    };
    let length = request.len();
    let mut pieces: Vec<io::IoSliceMut<'_>> = request.segments().map(io::IoSliceMut::new).collect();
    pieces.len() <= PIECES && preadv2(file, &mut pieces, offset, ReadWriteFlags::NOWAIT) == Ok(length)
}

/// Elsewhere there is no such question to ask.
#[cfg(not(target_os = "linux"))]
fn read_at_hand(_file: &File, _base: u64, _request: &mut ReadRequest) -> bool {
    false
}

/// One reading thread: answers requests until the section is gone.
fn serve(requests: &Mutex<Receiver<ReadRequest>>, image: &Image, base: u64) {
    loop {
        let request = requests
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .recv();
        let Ok(mut request) = request else { return };
        let mut offset = base.checked_add(request.offset());
        let mut result = Ok(());
        for segment in request.segments() {
            result = match offset {
                Some(offset) => image.read_at(segment, offset).map_err(|_| Errno::EIO),
                None => Err(Errno::EIO),
            };
            if result.is_err() {
                break;
            }
            offset = offset.and_then(|offset| offset.checked_add(segment.len() as u64));
        }
        watchdog::progress();
        request.complete(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_named() {
        let place = tempfile::tempdir().unwrap();
        let empty = place.path().join("empty.img");
        std::fs::write(&empty, "").unwrap();
        for path in [
            place.path().join("missing.img"),
            place.path().to_path_buf(),
            empty,
        ] {
            let failure = Image::open(&path).unwrap_err();
            assert_eq!(failure.exit, Exit::Image);
            assert!(failure.message.starts_with(&*path.to_string_lossy()), "{failure}");
            assert!(failure.message.contains("; name an"), "{failure}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_locked_image_is_read_by_those_who_do_not_ask() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("i");
        std::fs::write(&path, [1; 512]).unwrap();
        let writer = File::open(&path).unwrap();
        let readers = || Image::open_shared(&path, Sharing::Readers);
        let first = readers().unwrap();
        readers().unwrap();
        assert!(writer.try_lock().is_err());
        drop(first);
        writer.try_lock().unwrap();
        let failure = readers().unwrap_err();
        assert_eq!(failure.exit, Exit::InUse);
        assert!(
            failure.message.contains("another program writes to it"),
            "{failure}"
        );
        Image::open(&path).unwrap();
    }

    #[test]
    fn nothing_is_read_beyond_the_last_sector() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("i");
        std::fs::write(&path, [1, 2, 3, 4, 5]).unwrap();
        let image = Image::open(&path).unwrap();
        let mut two = [0; 2];
        image.read_at(&mut two, 3).unwrap();
        assert_eq!(two, [4, 5]);
        // The rest of the sector is zeros.
        image.read_at(&mut two, 4).unwrap();
        assert_eq!(two, [5, 0]);
        image.read_at(&mut two, 510).unwrap();
        assert_eq!((image.size, two), (512, [0, 0]));
        let error = image.read_at(&mut two, 511).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
