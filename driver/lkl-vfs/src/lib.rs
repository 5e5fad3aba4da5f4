//! `fsd`'s [`Volume`] over real Linux.
//!
//! [`LklVolume`] is a mounted file system with the disk below it. Its [`Node`] is a place in the tree, opened as
//! `O_PATH`: that costs one `openat2`, never follows a link, never crosses a mount and never touches a device. What
//! is needed for data is opened from there when it is first wanted, and only for what may be opened: a regular file
//! for reading, a directory for listing. FIFOs, sockets and device nodes never are.
//!
//! # Blocking
//! Every method calls Linux. [`Volume`] says which of them never wait for the disk; all others may. No lock is held
//! meanwhile: descriptors are set once without a lock ([`Node::data`]) or taken out of their slot for the time of a
//! listing ([`Node::listing`]).
//!
//! This code is safe Rust, allocates fallibly where sizes come from outside, and does not panic: it runs in the NT
//! kernel.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

extern crate alloc;

mod convert;
mod node;

pub use node::Node;

use alloc::string::String;
use alloc::vec::Vec;
use convert::{errno, metadata};
use core::fmt::Write as _;
use core::ops::{ControlFlow, Range};
use lkl::{BlockDevice, FsKind, Kernel, Mount, MountError, MountOptions, OpenMode};
use lklfs_fsd::{DirEntry, Errno, Metadata, Volume, VolumeInfo};

/// Room for every UUID or serial number as it is printed: 36 characters for the longest.
const UUID_TEXT: usize = 48;

/// A file system that Linux has mounted.
///
/// Dropping it unmounts, then takes the disk away from Linux. Nodes that are still alive then keep the mount busy
/// until they go; the disk is gone for them.
pub struct LklVolume {
    // Dropped in this order.
    mount: Mount,
    device: BlockDevice,
}

impl LklVolume {
    /// Mounts `device` with the file system that is found on it or named; a journal is replayed into the overlay in RAM
    /// unless the options say otherwise.
    pub fn mount(
        kernel: &Kernel,
        device: BlockDevice,
        kind: FsKind<'_>,
        options: &MountOptions<'_>,
    ) -> Result<Self, MountError> {
        let mount = kernel.mount(&device, kind, options)?;
        Ok(LklVolume { mount, device })
    }

    /// The mount itself.
    pub fn mounted(&self) -> &Mount {
        &self.mount
    }

    /// The disk as Linux knows it.
    pub fn device(&self) -> &BlockDevice {
        &self.device
    }
}

impl Volume for LklVolume {
    type Node = Node;

    fn root(&self) -> Result<Node, Errno> {
        Ok(Node::new(self.mount.root().map_err(errno)?))
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Node, Errno> {
        Ok(Node::new(
            directory.place().open_at(name, OpenMode::Path).map_err(errno)?,
        ))
    }

    fn lookup_cached(&self, directory: &Node, name: &[u8]) -> Result<Node, Errno> {
        match directory.place().open_at_cached(name) {
            Ok(place) => Ok(Node::new(place)),
            Err(lkl::Errno::ELOOP) => Err(Errno::EAGAIN),
            Err(error) => Err(errno(error)),
        }
    }

    fn metadata(&self, node: &Node) -> Result<Metadata, Errno> {
        let statx = node.place().statx().map_err(errno)?;
        // A damaged inode of no known type.
        metadata(&statx).ok_or(Errno::EUCLEAN)
    }

    fn read_link(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        node.place().read_link().map_err(|error| match error {
            // readlink of an empty path says ENOENT for what is no link.
            lkl::Errno::ENOENT => Errno::EINVAL,
            error => errno(error),
        })
    }

    fn read(&self, node: &Node, offset: u64, out: &mut [u8]) -> Result<usize, Errno> {
        node.data()
            .and_then(|file| file.pread(out, offset))
            .map_err(errno)
    }

    fn next_data(&self, node: &Node, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        node.data().and_then(|file| file.next_data(offset)).map_err(errno)
    }

    fn read_dir(
        &self,
        directory: &Node,
        cookie: u64,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        directory
            .listing(|folder| {
                folder.read_dir(cookie, &mut |entry| {
                    sink(DirEntry {
                        ino: entry.ino,
                        cookie: entry.cookie,
                        kind: convert::entry_kind(entry.kind),
                        name: entry.name,
                    })
                })
            })
            .map(|_| ())
            .map_err(errno)
    }

    fn list_xattrs(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        let mut short = false;
        let listed = node.place().list_xattr(&mut |name| {
            if names.try_reserve(name.len().saturating_add(1)).is_err() {
                short = true;
                return;
            }
            names.extend_from_slice(name);
            names.push(0);
        });
        match listed {
            _ if short => Err(Errno::ENOMEM),
            Ok(()) => Ok(names),
            // File systems without attributes have none.
            Err(lkl::Errno::EOPNOTSUPP) => Ok(names),
            Err(error) => Err(errno(error)),
        }
    }

    fn xattr(&self, node: &Node, name: &[u8]) -> Result<Vec<u8>, Errno> {
        node.place().get_xattr(name).map_err(|error| match error {
            lkl::Errno::EOPNOTSUPP => Errno::ENODATA,
            error => errno(error),
        })
    }

    fn info(&self) -> Result<VolumeInfo, Errno> {
        let sizes = self.mount.statfs().map_err(errno)?;
        let superblock = self.mount.superblock();
        let mut fs_name = String::new();
        let name = self.mount.fs_name();
        fs_name.try_reserve_exact(name.len()).map_err(|_| Errno::ENOMEM)?;
        fs_name.push_str(name);
        let mut label = Vec::new();
        if let Some(superblock) = superblock {
            let text = superblock.label.as_str().as_bytes();
            label.try_reserve_exact(text.len()).map_err(|_| Errno::ENOMEM)?;
            label.extend_from_slice(text);
        }
        let mut uuid_text = String::new();
        if let Some(uuid) = superblock.and_then(|found| found.uuid) {
            uuid_text.try_reserve(UUID_TEXT).map_err(|_| Errno::ENOMEM)?;
            // Writing to a string fails for lack of memory only, and there is room.
            let _ = write!(uuid_text, "{uuid}");
        }
        let unit = if sizes.fragment_size == 0 {
            sizes.block_size
        } else {
            sizes.fragment_size
        };
        Ok(VolumeInfo {
            fs_name,
            label,
            uuid: superblock
                .and_then(|found| found.uuid)
                .map_or([0; 16], convert::uuid),
            uuid_text,
            block_size: u32::try_from(unit).unwrap_or(u32::MAX).max(1),
            blocks: sizes.blocks,
            blocks_free: sizes.blocks_free,
            blocks_available: sizes.blocks_available,
            io_size: sizes.block_size,
            inodes: sizes.files,
            inodes_free: sizes.files_free,
            name_max: u32::try_from(sizes.name_max).unwrap_or(u32::MAX),
            created: None,
            stale: self.mount.stale(),
        })
    }
}
