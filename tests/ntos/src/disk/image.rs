//! The bytes behind a disk: an image file (or a block device), opened for reading only.
//!
//! An image has whole sectors, as a loop device has: what follows the last whole sector of the file does not
//! exist. The file is opened without write access and there is no function here that could change it; a write
//! that the driver sends to the disk is counted by the disk's dispatch routine and refused. In a drive with removable
//! media, [`Image::swap`] puts another file of the same size in its place.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// Why an image cannot be used. Each message names the image and says what to do.
#[derive(Debug)]
pub enum ImageError {
    /// The file cannot be opened or read.
    Io(PathBuf, io::Error),
    /// The file is a directory or a pipe: it has no sectors.
    NotSeekable(PathBuf),
    /// The file is shorter than one sector.
    TooSmall(PathBuf, u64, u32),
    /// A medium has another size than the one that it replaces.
    OtherSize(PathBuf, u64, u64),
}

impl std::fmt::Display for ImageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ImageError::Io(path, error) => write!(f, "cannot read image {}: {error}", path.display()),
            ImageError::NotSeekable(path) => {
                write!(
                    f,
                    "{} is neither a regular file nor a block device; give a disk image",
                    path.display()
                )
            }
            ImageError::OtherSize(path, size, wanted) => write!(
                f,
                "image {} has {size} bytes and replaces one of {wanted}; give one of the same size",
                path.display()
            ),
            ImageError::TooSmall(path, size, sector) => write!(
                f,
                "image {} has {size} bytes, less than one sector of {sector}; give a complete image",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ImageError {}

/// An open image. Offsets and sizes are in bytes.
#[derive(Debug)]
pub struct Image {
    file: RwLock<File>,
    path: PathBuf,
    size: u64,
    sector: u32,
}

impl Image {
    /// Opens `path` for reading as a disk with sectors of `sector` bytes (a power of two).
    pub fn open(path: &Path, sector: u32) -> Result<Image, ImageError> {
        let fail = |error| ImageError::Io(path.to_path_buf(), error);
        let mut file = File::open(path).map_err(fail)?;
        let kind = file.metadata().map_err(fail)?.file_type();
        use std::os::unix::fs::FileTypeExt;
        if !(kind.is_file() || kind.is_block_device()) {
            return Err(ImageError::NotSeekable(path.to_path_buf()));
        }
        let bytes = file.seek(SeekFrom::End(0)).map_err(fail)?;
        let size = bytes - bytes % u64::from(sector);
        if size == 0 {
            return Err(ImageError::TooSmall(path.to_path_buf(), bytes, sector));
        }
        Ok(Image {
            file: RwLock::new(file),
            path: path.to_path_buf(),
            size,
            sector,
        })
    }

    /// Puts another file in the place of this one, of as many sectors.
    pub fn swap(&self, path: &Path) -> Result<(), ImageError> {
        let other = Image::open(path, self.sector)?;
        if other.size != self.size {
            return Err(ImageError::OtherSize(path.to_path_buf(), other.size, self.size));
        }
        let file = other.file.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Where the image that it began with is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the disk in bytes, a multiple of the sector size.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes in a sector.
    pub fn sector(&self) -> u32 {
        self.sector
    }

    /// Fills `buffer` from byte `offset`. The whole range must lie on the disk.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset
            .checked_add(buffer.len() as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        if end > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.read_exact_at(buffer, offset)
    }
}
