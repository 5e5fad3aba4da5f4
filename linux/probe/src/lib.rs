//! Tells file systems by their superblocks, without Linux.
//!
//! [`probe`] reads a few blocks of a volume and says which file system is there, with its label and UUID. It is what
//! the driver's recogniser asks before it lets Linux near a disk, and what `mount` asks for the name to mount by. It
//! believes nothing: every field is read with checked offsets ([`window`]), and where a magic number is short or weak,
//! the superblock must make sense too.
//!
//! Offsets and magic numbers are those of Linux's own headers (`include/uapi/linux/magic.h` and each file system's
//! superblock structure). One file per family holds the recognisers: [`native`] for file systems that grew up with
//! Linux, [`image`] for read-only and small ones, [`microsoft`], [`optical`], [`unix`]. [`Kind`] is the list of what can
//! be told. [`signature`] names what is no file system, or none that Linux can mount, for people. [`change`] tells whether somebody has written to a volume since it was last looked at.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod change;
mod image;
mod kind;
mod label;
mod md5;
mod microsoft;
mod native;
mod optical;
mod others;
pub mod signature;
mod superblock;
mod unix;
mod window;
mod xfs_log;

pub use change::{Fingerprint, fingerprint};
pub use kind::Kind;
pub use label::Label;
pub use superblock::{Superblock, Uuid};

use window::Window;

/// A volume that can be read at any offset.
pub trait ReadAt {
    /// Fills the buffer with the bytes at `offset`. An error when any of them cannot be read, as beyond the end.
    /// [`probe`] asks for whole blocks of 4096 bytes at multiples of 4096 first, and for less only when that fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError>;

    /// Bytes that there are, where that is known. Some file systems are found from the end of their volume.
    fn size(&self) -> Option<u64> {
        None
    }
}

/// Bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadError;

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).map_err(|_| ReadError)?;
        let end = start.checked_add(buffer.len()).ok_or(ReadError)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(ReadError)?);
        Ok(())
    }

    fn size(&self) -> Option<u64> {
        u64::try_from(self.len()).ok()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_at(offset, buffer)
    }

    fn size(&self) -> Option<u64> {
        (**self).size()
    }
}

/// A recogniser: looks at a volume, may move the window.
type Recogniser<V> = fn(&mut Window<'_, V>) -> Option<Superblock>;

/// Says which file system is on a volume; `None` when none is recognised. Reads some 160 KiB at most, in pieces of
/// 4 KiB or less, with one buffer of that size from the heap; what cannot be read is taken for not recognised.
///
/// The order matters where one volume bears two signatures: long and checked ones come before short ones, and the
/// boot sector of FAT, which has no magic number worth the name, comes late. Behind it are only those whose places a FAT may
/// fill with something that looks like them.
pub fn probe<V: ReadAt + ?Sized>(volume: &V) -> Option<Superblock> {
    let recognisers: [Recogniser<V>; 29] = [
        image::squashfs,
        native::xfs,
        image::romfs,
        image::cramfs,
        microsoft::exfat,
        microsoft::ntfs,
        native::bcachefs,
        native::btrfs,
        native::reiserfs,
        native::f2fs,
        image::erofs,
        native::ext,
        native::jfs,
        native::nilfs2,
        optical::udf,
        optical::iso9660,
        unix::hfs,
        unix::ufs,
        others::befs,
        others::qnx6,
        others::omfs,
        others::bfs,
        others::affs,
        others::efs,
        others::qnx4,
        microsoft::vfat,
        image::minix,
        others::sysv,
        others::adfs,
    ];
    let mut window = Window::new(volume)?;
    recognisers.iter().find_map(|recognise| recognise(&mut window))
}
