//! The objects of the driver: a volume ([`Vcb`]), an inode in use ([`Fcb`]), an open of it ([`Ccb`]).
//!
//! The edge embeds each in its own structure beside what NT needs there: a [`Vcb`] in the volume device object's
//! extension, an [`Fcb`] behind `FsContext` after the advanced FCB header, a [`Ccb`] behind `FsContext2`.

use alloc::{
    sync::{Arc, Weak},
    vec::Vec,
};

use core::sync::atomic::{AtomicU64, Ordering};
use lklfs_nt::{AccessMask, CreateOptions, NtStatus};

use crate::{
    OwnerMap,
    errno::Context,
    linksup::LinkView,
    volume::{FileKind, Metadata, Volume, VolumeInfo},
};

/// What makes two names the same file: device (on btrfs the subvolume) and inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileKey {
    /// The device, as in [`Metadata::dev`].
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

impl FileKey {
    /// The key of the volume itself, which no inode has: inode 0 is never in use.
    pub const VOLUME: Self = Self { dev: 0, ino: 0 };
}

/// The disk below a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Bytes in a sector, a power of two, at least 512: the unit of non-cached I/O.
    pub sector_size: u32,
    /// Bytes in a physical sector; the logical size when unknown.
    pub physical_sector_size: u32,
    /// Bytes on the device.
    pub size: u64,
    /// `DEVICE_OBJECT.Characteristics` of the device (removable, read-only, ...).
    pub characteristics: u32,
    /// `DEVICE_OBJECT.DeviceType` that volumes report (`FILE_DEVICE_DISK`, `FILE_DEVICE_CD_ROM`).
    pub device_type: u32,
    /// `DEVICE_OBJECT.AlignmentRequirement`: 0 byte, 1 word, ... 511.
    pub alignment_requirement: u32,
}

/// What a volume is on, as far as it decides who may read it when nobody has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// An image, which an administrator has mounted.
    Image,
    /// A medium or a disk that is carried from machine to machine: its users are not this machine's.
    Removable,
    /// A disk of this machine's.
    Fixed,
}

impl Medium {
    /// `BusTypeUsb`, `BusType1394`, `BusTypeSd`, `BusTypeMmc`: disks on these are carried about, though their media are
    /// fixed. Not so a bus that allows it and is mostly not used for it, as SATA.
    const CARRIED: [u32; 4] = [7, 4, 12, 13];
    /// `BusTypeFileBackedVirtual`: an image that Windows itself has attached.
    const FILE_BACKED: u32 = 15;

    /// What a disk is that is no image of the driver's own. `removable` is what the device says of its media, `bus` the
    /// `STORAGE_BUS_TYPE` that it is on, if it says that.
    pub fn of(removable: bool, bus: Option<u32>) -> Self {
        match bus {
            _ if removable => Medium::Removable,
            Some(bus) if Self::CARRIED.contains(&bus) => Medium::Removable,
            Some(Self::FILE_BACKED) => Medium::Image,
            Some(_) | None => Medium::Fixed,
        }
    }

    /// Whether everyone may read everything on it by default.
    pub const fn is_for_everyone(self) -> bool {
        !matches!(self, Medium::Fixed)
    }
}

/// What a volume's policy decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeOptions {
    /// Names that begin with a dot carry the attribute HIDDEN.
    pub hide_dot_files: bool,
    /// Everyone may read everything; otherwise owner and mode decide.
    pub everyone_reads: bool,
    /// Who the volume's owners are.
    pub owners: OwnerMap,
}

impl Default for VolumeOptions {
    fn default() -> Self {
        Self {
            hide_dot_files: true,
            everyone_reads: true,
            owners: OwnerMap::default(),
        }
    }
}

/// A mounted volume. Nothing in it changes after the mount.
pub struct Vcb<V: Volume> {
    volume: V,
    info: VolumeInfo,
    geometry: Geometry,
    options: VolumeOptions,
    root: Metadata,
}

impl<V: Volume> Vcb<V> {
    /// Takes a volume that Linux has mounted.
    ///
    /// # IRQL
    ///
    /// PASSIVE_LEVEL; may block.
    pub fn new(volume: V, geometry: Geometry, options: VolumeOptions) -> Result<Self, NtStatus> {
        let mounting = |errno: crate::Errno| errno.to_status(Context::Mounting);
        let info = volume.info().map_err(mounting)?;
        let root = volume.root().map_err(mounting)?;
        let root = volume.metadata(&root).map_err(mounting)?;
        if root.kind != FileKind::Directory || !geometry.sector_size.is_power_of_two() {
            return Err(NtStatus::UNRECOGNIZED_VOLUME);
        }
        Ok(Self {
            volume,
            info,
            geometry,
            options,
            root,
        })
    }

    /// The file system below.
    pub fn volume(&self) -> &V {
        &self.volume
    }

    /// The volume's identity and sizes at mount.
    pub fn info(&self) -> &VolumeInfo {
        &self.info
    }

    /// The disk below.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The volume's policy.
    pub fn options(&self) -> &VolumeOptions {
        &self.options
    }

    /// The root directory's metadata.
    pub fn root_metadata(&self) -> &Metadata {
        &self.root
    }

    /// Gives the file system back, to be unmounted.
    pub fn into_volume(self) -> V {
        self.volume
    }
}

/// What an [`Fcb`] stands for, as far as requests treat it differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FcbKind {
    /// The volume itself (an open of the device with no path).
    Volume,
    /// A directory.
    Directory,
    /// A regular file: the only kind with data.
    File,
    /// A symbolic link, FIFO, socket or device node: visible as a reparse point, without data.
    Reparse,
}

/// One inode in use, or the volume itself. Nothing in it changes while it lives.
pub struct Fcb<V: Volume> {
    node: Option<V::Node>,
    metadata: Metadata,
    key: FileKey,
    kind: FcbKind,
    /// Bytes of its extended attributes in a list, once Linux was asked for them; above `u32::MAX` before.
    ea_size: AtomicU64,
}

impl<V: Volume> Fcb<V> {
    /// The Fcb of an inode.
    pub fn new(node: V::Node, metadata: Metadata) -> Self {
        let kind = match metadata.kind {
            FileKind::Directory => FcbKind::Directory,
            FileKind::File => FcbKind::File,
            _ => FcbKind::Reparse,
        };
        Self {
            node: Some(node),
            key: metadata.key(),
            metadata,
            kind,
            ea_size: AtomicU64::new(u64::MAX),
        }
    }

    /// The bytes of a list of its extended attributes, if Linux was asked for them already.
    pub fn ea_size(&self) -> Option<u32> {
        u32::try_from(self.ea_size.load(Ordering::Relaxed)).ok()
    }

    /// Keeps what [`Fcb::ea_size`] says.
    pub(crate) fn set_ea_size(&self, size: u32) {
        self.ea_size.store(size.into(), Ordering::Relaxed);
    }

    /// The Fcb of the volume itself: times and owner are the root's, the size is the device's.
    pub fn volume(vcb: &Vcb<V>) -> Self {
        let metadata = Metadata {
            size: vcb.geometry.size,
            allocated: vcb.geometry.size,
            ino: FileKey::VOLUME.ino,
            dev: FileKey::VOLUME.dev,
            nlink: 1,
            ..vcb.root
        };
        Self {
            node: None,
            metadata,
            key: FileKey::VOLUME,
            kind: FcbKind::Volume,
            ea_size: AtomicU64::new(u64::MAX),
        }
    }

    /// The inode; `None` for the volume.
    pub fn node(&self) -> Option<&V::Node> {
        self.node.as_ref()
    }

    /// What the inode is like.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The key in the [`FcbTable`].
    pub fn key(&self) -> FileKey {
        self.key
    }

    /// What it stands for.
    pub fn kind(&self) -> FcbKind {
        self.kind
    }

    /// Bytes of data: `FileSize` and `ValidDataLength` of the FCB header. 0 for directories and reparse points.
    pub fn file_size(&self) -> u64 {
        match self.kind {
            FcbKind::File | FcbKind::Volume => self.metadata.size,
            FcbKind::Directory | FcbKind::Reparse => 0,
        }
    }

    /// Bytes for the cache manager: `AllocationSize` of the FCB header. At least the file's size (a sparse or compressed
    /// file takes less on the disk, which only queries show), in whole sectors.
    pub fn allocation_size(&self, sector_size: u32) -> u64 {
        let unit = u64::from(sector_size.max(1));
        self.file_size()
            .checked_next_multiple_of(unit)
            .unwrap_or(u64::MAX)
    }
}

/// One open of an Fcb: what belongs to the file object and not to the inode. Nothing in it changes while it lives.
#[derive(Clone, Debug)]
pub struct Ccb {
    /// The path by which it was opened, from the volume's root, in the names' true case: `\` for the root, empty for
    /// the volume itself.
    pub path: Vec<u16>,
    /// The rights that were granted, generic rights and MAXIMUM_ALLOWED resolved.
    pub granted: AccessMask,
    /// The opener may manage volumes (SeManageVolumePrivilege, or the kernel itself): known for opens of the volume itself.
    pub manages_volumes: bool,
    /// The options of the open.
    pub options: CreateOptions,
    /// Names below this handle are compared with case.
    pub case_sensitive: bool,
    /// The metadata of the directory above, shown as `..`; its own when it has none.
    pub parent: Metadata,
    /// How a link or special file shows itself under this path.
    pub link: Option<LinkView>,
}

impl Ccb {
    /// Whether this open of the volume may lock and dismount it: by the privilege, or since it may read and write the whole
    /// volume.
    pub const fn may_take_away(&self) -> bool {
        const BOTH: AccessMask = AccessMask(AccessMask::FILE_READ_DATA.0 | AccessMask::FILE_WRITE_DATA.0);
        self.manages_volumes || self.granted.contains(BOTH)
    }
}

/// The Fcbs of a volume by key: the same inode is always the same Fcb.
///
/// `F` is the edge's structure around [`Fcb`]. The table does not keep its members alive; each file object holds an
/// `Arc`. The edge keeps the table under the volume's table lock.
pub struct FcbTable<F> {
    /// Sorted by key.
    members: Vec<(FileKey, Weak<F>)>,
}

impl<F> Default for FcbTable<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> FcbTable<F> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// Where `key` is, or where it belongs.
    fn search(&self, key: FileKey) -> Result<usize, usize> {
        self.members.binary_search_by_key(&key, |(key, _)| *key)
    }

    /// The member with `key`, or the one that `make` makes, entered. `true` when it is new.
    ///
    /// There is no variant that goes on without entering: two Fcbs of one inode would not see each other's share access
    /// and byte-range locks.
    ///
    /// # Errors
    ///
    /// INSUFFICIENT_RESOURCES when the table cannot grow; `make` is not called then.
    pub fn try_enter(
        &mut self,
        key: FileKey,
        make: impl FnOnce() -> Arc<F>,
    ) -> Result<(Arc<F>, bool), NtStatus> {
        if let Some(found) = self.get(key) {
            return Ok((found, false));
        }
        self.members
            .try_reserve(1)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        Ok((self.insert(key, make()), true))
    }

    /// Puts a member where it belongs; there is room for it.
    fn insert(&mut self, key: FileKey, made: Arc<F>) -> Arc<F> {
        let member = (key, Arc::downgrade(&made));
        match self.search(key) {
            // The old one was dropped without `leave`.
            Ok(at) => {
                if let Some(place) = self.members.get_mut(at) {
                    *place = member;
                }
            }
            Err(at) => self.members.insert(at, member),
        }
        made
    }

    /// The member with `key`, if it is in use.
    pub fn get(&self, key: FileKey) -> Option<Arc<F>> {
        let at = self.search(key).ok()?;
        self.members.get(at).and_then(|(_, member)| member.upgrade())
    }

    /// Lets one reference go. `Some` when it was the last: the entry is gone, and the caller drops the value after it
    /// has released the table's lock (dropping calls Linux).
    pub fn leave(&mut self, key: FileKey, member: Arc<F>) -> Option<F> {
        let address = Arc::as_ptr(&member);
        let last = Arc::into_inner(member)?;
        if let Ok(at) = self.search(key)
            && self
                .members
                .get(at)
                .is_some_and(|(_, entered)| core::ptr::addr_eq(entered.as_ptr(), address))
        {
            self.members.remove(at);
        }
        Some(last)
    }

    /// The members in use.
    pub fn len(&self) -> usize {
        self.members
            .iter()
            .filter(|(_, member)| member.strong_count() > 0)
            .count()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What changes about a volume while it is mounted. The edge keeps it under the volume's lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VolumeState {
    /// Handles that are open (CREATE counts up, CLEANUP down), the volume's own included.
    pub handles: u32,
    /// File objects that are referenced (CREATE counts up, CLOSE down).
    pub references: u32,
    /// CREATEs that were let in and have not ended.
    pub opening: u32,
    /// The handle (by an identity that the edge chooses, e.g. the file object's address) that holds the volume lock.
    pub locked_by: Option<u64>,
    /// Dismounted: every request on old handles but CLEANUP and CLOSE ends with VOLUME_DISMOUNTED.
    pub dismounted: bool,
    /// The handle of the volume itself that has dismounted it, if one has: it goes on reading sectors.
    pub dismounted_by: Option<u64>,
    /// The device is gone.
    pub removed: bool,
    /// What is on the device now is another volume, or this one after somebody else has changed it.
    pub replaced: bool,
    /// Linux has died of it.
    pub fatal: bool,
}

/// The holder of the volume lock while a polite removal is being decided; no file object has this address.
pub const REMOVAL: u64 = 0;

impl VolumeState {
    /// What every request for a file of the volume ends with, whatever it is: NO_SUCH_DEVICE since its device is gone or Linux
    /// has died of it, WRONG_VOLUME since another volume is in its place, VOLUME_DISMOUNTED since it is dismounted.
    pub const fn refusal(&self) -> Option<NtStatus> {
        if self.removed || self.fatal {
            Some(NtStatus::NO_SUCH_DEVICE)
        } else if self.replaced {
            Some(NtStatus::WRONG_VOLUME)
        } else if self.dismounted {
            Some(NtStatus::VOLUME_DISMOUNTED)
        } else {
            None
        }
    }

    /// What a read of the volume's sectors through this handle ends with, whatever they are: as [`VolumeState::refusal`],
    /// but that the handle that has dismounted the volume goes on. Programs lock and dismount a volume to have its
    /// sectors to themselves.
    pub fn refusal_of_sectors(&self, handle: u64) -> Option<NtStatus> {
        self.refusal()
            .filter(|status| *status != NtStatus::VOLUME_DISMOUNTED || self.dismounted_by != Some(handle))
    }

    /// Lets a CREATE in, or says why not. One that was let in ends by [`VolumeState::end_opening`].
    pub const fn begin_opening(&mut self) -> Result<(), NtStatus> {
        if let Some(status) = self.refusal() {
            return Err(status);
        }
        if self.locked_by.is_some() {
            return Err(NtStatus::ACCESS_DENIED);
        }
        self.opening = self.opening.saturating_add(1);
        Ok(())
    }

    /// A CREATE has ended: with a file object, or without one. `true` when the volume was given up meanwhile and this
    /// was the last that stood in its way, as for [`close`](crate::close::close).
    #[must_use]
    pub const fn end_opening(&mut self, opened: bool) -> bool {
        self.opening = self.opening.saturating_sub(1);
        if opened {
            self.handles = self.handles.saturating_add(1);
            self.references = self.references.saturating_add(1);
        }
        self.is_over()
    }

    /// Whether the volume is given up and nobody uses it any more, so that its device can be torn down.
    pub const fn is_over(&self) -> bool {
        self.references == 0 && self.opening == 0 && self.refusal().is_some()
    }
}
