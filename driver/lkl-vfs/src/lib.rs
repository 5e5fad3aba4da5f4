//! `fsd`'s [`Volume`] over real Linux.
//!
//! [`LklVolume`] is a mounted file system with the disk below it. Its [`Node`] is a place in the tree, opened as
//! `O_PATH`: that costs one `openat2`, never follows a link, never crosses a mount and never touches a device. What
//! is needed for data is opened from there when it is first wanted, and only for what may be opened: a regular file
//! for reading, a directory for listing. FIFOs, sockets and device nodes never are.
//!
//! # Blocking
//! Every method calls Linux. [`Volume`] says which of them never wait for the disk; all others may. No lock is held
//! meanwhile: descriptors are set once without a lock (`Placed::data`) or taken out of their slot for the time of a
//! listing (`Placed::listing`).
//!
//! When Linux has died, the first request after that waits for the next life ([`Origin`]), and each node once for being found
//! again: [`Volume::metadata`] too.
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
mod life;
mod node;

pub use life::{Devices, Origin, keeps_inode_numbers};
pub use node::Node;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use convert::{errno, metadata};
use core::fmt::Write as _;
use core::ops::{ControlFlow, Range};
use life::{Life, Lives};
use lkl::{BlockDevice, FsKind, Kernel, Mount, MountError, MountOptions, OpenMode};
use lklfs_fsd::{DirEntry, Errno, Metadata, Volume, VolumeInfo};
use node::Placed;

/// Room for every UUID or serial number as it is printed: 36 characters for the longest.
const UUID_TEXT: usize = 48;

/// How many deaths of Linux a request lives through. It only reads, so that it is done again.
const DEATHS: u32 = 3;

/// A file system that Linux has mounted.
///
/// Dropping it unmounts, then takes the disk away from Linux. Nodes that are still alive then keep the mount busy
/// until they go; the disk is gone for them.
///
/// When Linux dies the volume goes with it; but with an [`Origin`] ([`LklVolume::lives_on`]) it is mounted in the next Linux by
/// the request that finds out, and that request, like all nodes, goes on there.
pub struct LklVolume {
    lives: Lives,
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
        LklVolume::of(mount, device).map_err(MountError::of)
    }

    /// What is mounted, and the disk below it.
    pub fn of(mount: Mount, device: BlockDevice) -> Result<Self, lkl::Errno> {
        let kernel = mount.kernel().clone();
        let first = Life::new(0, kernel, mount, device)?;
        Ok(LklVolume {
            lives: Lives::new(first),
        })
    }

    /// Has the volume live on in another Linux when this one dies. Of FAT and exFAT, whose inodes have no numbers of their own, the
    /// files cannot be told again: `origin` is told that the volume is over.
    pub fn lives_on(&mut self, origin: Box<dyn Origin>) {
        let lasts = self.lives.tells_files();
        self.lives.set_origin(origin, lasts);
    }

    /// As [`Self::lives_on`]; a volume whose files cannot be told again is mounted again, too, but all nodes except the root stay
    /// behind: ESTALE.
    pub fn comes_back(&mut self, origin: Box<dyn Origin>) {
        self.lives.set_origin(origin, true);
    }

    /// Whether a node has stayed behind, or will with its next use: it is to be looked up again. Does not wait.
    pub fn is_left_behind(&self, node: &Node) -> bool {
        let life = self.lives.current();
        node.ends_with(life) && (node.at_once(life).is_none() || life.kernel.is_dead())
    }

    /// The mount that it began with: what it says of names and of the superblock holds for all.
    pub fn mounted(&self) -> &Mount {
        &self.lives.first().mount
    }

    /// The disk as Linux knows it now.
    pub fn device(&self) -> &BlockDevice {
        &self.lives.current().device
    }

    /// How many Linuxes it has outlived.
    pub fn deaths(&self) -> u32 {
        self.lives.current().number
    }

    /// Does something in the present life, and again in the next if Linux dies of it or meanwhile.
    fn live<T>(&self, mut act: impl FnMut(&Life) -> Result<T, lkl::Errno>) -> Result<T, Errno> {
        let mut life = self.lives.current();
        let last = life.number.saturating_add(DEATHS);
        loop {
            let was_dead = life.kernel.is_dead();
            match act(life) {
                Err(lkl::Errno::ENODEV) if life.number < last && life.kernel.is_dead() => {
                    if !was_dead && !self.lives.does_again(life) {
                        return Err(errno(lkl::Errno::ENODEV));
                    }
                    life = self.lives.after(life).map_err(errno)?;
                }
                result => return result.map_err(errno),
            }
        }
    }

    /// As [`Self::live`], with a node in that life.
    fn with<T>(
        &self,
        node: &Node,
        mut act: impl FnMut(&Placed) -> Result<T, lkl::Errno>,
    ) -> Result<T, Errno> {
        self.live(|life| act(node.placed(life)?))
    }
}

impl Volume for LklVolume {
    type Node = Node;

    fn root(&self) -> Result<Node, Errno> {
        self.live(|life| Ok(Node::root(life.number, life.mount.root()?)))
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Node, Errno> {
        self.live(|life| {
            let place = directory.placed(life)?.place.open_at(name, OpenMode::Path)?;
            directory.entry(name, life.number, place)
        })
    }

    fn lookup_cached(&self, directory: &Node, name: &[u8]) -> Result<Node, Errno> {
        let life = self.lives.current();
        // What has to be found again waits for the disk, as does the next life.
        let Some(placed) = directory.at_once(life) else {
            return Err(Errno::EAGAIN);
        };
        match placed.place.open_at_cached(name) {
            Ok(place) => directory.entry(name, life.number, place).map_err(errno),
            Err(lkl::Errno::ELOOP) => Err(Errno::EAGAIN),
            Err(lkl::Errno::ENODEV) if life.kernel.is_dead() => Err(Errno::EAGAIN),
            Err(error) => Err(errno(error)),
        }
    }

    fn metadata(&self, node: &Node) -> Result<Metadata, Errno> {
        let (statx, device) = self.live(|life| {
            let statx = node.placed(life)?.place.statx()?;
            Ok((statx, self.lives.device_of(life, &statx)))
        })?;
        node.note(&statx);
        // A damaged inode of no known type.
        metadata(&statx, device).ok_or(Errno::EUCLEAN)
    }

    fn entry_metadata(&self, directory: &Node, name: &[u8]) -> Result<Metadata, Errno> {
        let (statx, device) = self.live(|life| {
            let statx = directory.placed(life)?.place.statx_at(name)?;
            Ok((statx, self.lives.device_of(life, &statx)))
        })?;
        metadata(&statx, device).ok_or(Errno::EUCLEAN)
    }

    fn read_link(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        self.with(node, |placed| match placed.place.read_link() {
            // readlink of an empty path says ENOENT for what is no link.
            Err(lkl::Errno::ENOENT) => Err(lkl::Errno::EINVAL),
            result => result,
        })
    }

    fn read(&self, node: &Node, offset: u64, out: &mut [u8]) -> Result<usize, Errno> {
        self.with(node, |placed| placed.data()?.pread(out, offset))
    }

    fn next_data(&self, node: &Node, offset: u64) -> Result<Option<Range<u64>>, Errno> {
        self.with(node, |placed| placed.data()?.next_data(offset))
    }

    fn read_dir(
        &self,
        directory: &Node,
        cookie: u64,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        // Where it goes on in another life.
        let mut at = cookie;
        self.with(directory, |placed| {
            placed.listing(|folder| {
                folder.read_dir(at, &mut |entry| {
                    at = entry.cookie;
                    sink(DirEntry {
                        ino: entry.ino,
                        cookie: entry.cookie,
                        kind: convert::entry_kind(entry.kind),
                        name: entry.name,
                    })
                })
            })
        })
        .map(|_| ())
    }

    fn list_xattrs(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        self.with(node, |placed| {
            let mut names = Vec::new();
            let mut short = false;
            let listed = placed.place.list_xattr(&mut |name| {
                if names.try_reserve(name.len().saturating_add(1)).is_err() {
                    short = true;
                    return;
                }
                names.extend_from_slice(name);
                names.push(0);
            });
            match listed {
                _ if short => Err(lkl::Errno::ENOMEM),
                // File systems without attributes have none.
                Ok(()) | Err(lkl::Errno::EOPNOTSUPP) => Ok(names),
                Err(error) => Err(error),
            }
        })
    }

    fn xattr(&self, node: &Node, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.with(node, |placed| match placed.place.get_xattr(name) {
            Err(lkl::Errno::EOPNOTSUPP) => Err(lkl::Errno::ENODATA),
            result => result,
        })
    }

    fn info(&self) -> Result<VolumeInfo, Errno> {
        let sizes = self.live(|life| life.mount.statfs())?;
        let mount = self.mounted();
        let superblock = mount.superblock();
        let mut fs_name = String::new();
        let name = mount.fs_name();
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
            stale: mount.stale(),
        })
    }
}
