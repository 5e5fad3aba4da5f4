//! A mounted volume: the core's [`Vcb`], the disk, and the volume device object behind whose extension it stands.
//!
//! Who keeps it alive: the device's extension has one count, each open another. [`MountedVolume::tear_down`] takes the
//! extension's count away, disconnects the VPB and deletes the device ([`crate::object::teardown`]); the last open then lets Linux
//! unmount.
//
// UNSAFETY: device extensions, VPBs, and the notification list that FsRtl keeps.

use crate::device::DeviceRef;
use crate::letter::policy::{self, VolumeKey};
use crate::object::cache;
use crate::object::extension::{self, Kind, extension};
use crate::object::open::FcbHandle;
use crate::object::pending::Pended;
use crate::object::signature::Found;
use crate::object::teardown;
use crate::workque::cancel::Posts;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use lkl_host_ntk::DeviceDisk;
use lkl_vfs::LklVolume;
use lklfs_fsd::known::KnownIds;
use lklfs_fsd::{FcbTable, Vcb, VolumeState};
use lklfs_kernel::nt::{
    self, FsRtlNotifyInitializeSync, FsRtlNotifyUninitializeSync, LIST_ENTRY, ObfDereferenceObject,
    ObfReferenceObject, PDEVICE_OBJECT, PNOTIFY_SYNC, PVPB,
};
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::sync::SpinLock;
use lklfs_kernel::{pool, stack};
use lklfs_nt::NtStatus;

/// Volumes that have a device.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Numbers of volumes; never given twice.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number for one more volume.
pub fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A mounted volume.
pub struct MountedVolume {
    /// Its number.
    pub id: u64,
    /// The volume as the core sees it. Dropped on a large stack: that unmounts in Linux.
    pub vcb: ManuallyDrop<Vcb<LklVolume>>,
    /// The inodes in use.
    pub table: SpinLock<FcbTable<FcbHandle>>,
    /// The identities that were handed out.
    pub known: Guarded<KnownIds>,
    /// What changes about it.
    pub state: Guarded<VolumeState>,
    /// What its files end requests with since it is dismounted or its device is gone; 0 while they do not.
    offline: AtomicU32,
    /// What was on the disk when it was mounted, if it was known by its signature.
    pub found: Option<Found>,
    /// The disk below, for reads of the volume itself and for what is passed down.
    pub disk: Arc<DeviceDisk>,
    /// Requests that worker threads do.
    pub posts: Arc<Posts>,
    /// Reads of sectors by the handle that has dismounted the volume: they go on when its other requests are ended.
    pub sector_posts: Arc<Posts>,
    /// The file objects that have requests pended.
    pub pended: Pended,
    /// The device that is mounted, below any filter, for as long as the volume lives.
    pub mounted_on: DeviceRef,
    /// What tells it from others wherever it is.
    pub key: Option<VolumeKey>,
    device: AtomicPtr<nt::DEVICE_OBJECT>,
    vpb: AtomicPtr<nt::VPB>,
    /// The device of the VPB, referenced.
    real: AtomicPtr<nt::DEVICE_OBJECT>,
    /// Inodes that may have a cache map or a section, for [`MountedVolume::purge`].
    cached: SpinLock<Vec<Weak<FcbHandle>>>,
    notify_sync: PNOTIFY_SYNC,
    notify_list: Box<UnsafeCell<LIST_ENTRY>>,
}

// SAFETY: FsRtl guards the list by the sync object; the rest is Send and Sync by itself.
unsafe impl Send for MountedVolume {}
// SAFETY: as above.
unsafe impl Sync for MountedVolume {}

impl MountedVolume {
    /// A volume that has no device yet, under a number of [`next_id`]'s. `None` for lack of memory.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn new(
        id: u64,
        vcb: Vcb<LklVolume>,
        disk: Arc<DeviceDisk>,
        found: Option<Found>,
        mounted_on: DeviceRef,
    ) -> Option<Arc<Self>> {
        let key = vcb.volume().mounted().superblock().and_then(policy::key);
        let list = fallible::try_box(UnsafeCell::new(LIST_ENTRY::default()))?;
        let posts = pool::try_arc(Posts::new())?;
        let sector_posts = pool::try_arc(Posts::new())?;
        let state = Guarded::new(VolumeState::default())?;
        let known = Guarded::new(KnownIds::new())?;
        let head = list.get();
        // SAFETY: the list head is ours and where it will stay.
        unsafe {
            *head = LIST_ENTRY {
                Flink: head,
                Blink: head,
            }
        };
        let mut sync: PNOTIFY_SYNC = null_mut();
        let make = || {
            // SAFETY: FsRtl allocates the object.
            unsafe { FsRtlNotifyInitializeSync(&mut sync) }
        };
        // SAFETY: it raises only for lack of pool, which guarded() turns into an error.
        let made = unsafe { lklfs_kernel::fault::guarded(make) };
        if made.is_err() {
            return None;
        }
        pool::try_arc(MountedVolume {
            id,
            vcb: ManuallyDrop::new(vcb),
            table: SpinLock::new(FcbTable::new()),
            known,
            state,
            offline: AtomicU32::new(0),
            found,
            disk,
            posts,
            sector_posts,
            pended: Pended::new(),
            mounted_on,
            key,
            device: AtomicPtr::new(null_mut()),
            vpb: AtomicPtr::new(null_mut()),
            real: AtomicPtr::new(null_mut()),
            cached: SpinLock::new(Vec::new()),
            notify_sync: sync,
            notify_list: list,
        })
    }

    /// Puts the volume behind its device and its VPB.
    ///
    /// # Safety
    /// `device` is a new device of this driver, `vpb` the one of the MOUNT_VOLUME that this driver is working on.
    pub unsafe fn connect(self: &Arc<Self>, device: PDEVICE_OBJECT, vpb: PVPB) {
        COUNT.fetch_add(1, Ordering::Relaxed);
        extension::count_device(true);
        self.device.store(device, Ordering::Release);
        self.vpb.store(vpb, Ordering::Release);
        // SAFETY: the VPB of a mount under way is that of a live device.
        let real = unsafe { (*vpb).RealDevice };
        // SAFETY: as above; given back by drop(). A VPB goes with its device's memory at the latest.
        unsafe { ObfReferenceObject(real.cast()) };
        self.real.store(real, Ordering::Release);
        // SAFETY: promised by the caller.
        unsafe { extension::set_kind(device, Kind::Volume) };
        let counted = Arc::into_raw(Arc::clone(self)).cast_mut();
        // SAFETY: promised by the caller.
        unsafe { extension(device) }
            .volume
            .store(counted, Ordering::Release);
        // SAFETY: until the mount is complete the VPB is ours to fill.
        unsafe { (*vpb).DeviceObject = device };
    }

    /// Has the volume's files follow its state, after a change of the latter.
    pub fn follow(&self, state: &VolumeState) {
        let status = state.refusal().map_or(0, |status| status.0);
        self.offline.store(status, Ordering::Release);
    }

    /// What requests for the volume's files end with, when it is dismounted or its device is gone. Any IRQL.
    pub fn refusal(&self) -> Option<NtStatus> {
        match self.offline.load(Ordering::Acquire) {
            0 => None,
            status => Some(NtStatus(status)),
        }
    }

    /// What a request for the volume failed with: that the volume is given up or its disk gone, if that is why. Any IRQL.
    pub fn reason(&self, status: NtStatus) -> NtStatus {
        if !teardown::may_hide_removal(status) {
            return status;
        }
        let disk = self.disk.is_gone().then_some(NtStatus::NO_SUCH_DEVICE);
        self.refusal().or(disk).unwrap_or(status)
    }

    /// How many volumes are mounted.
    pub fn count() -> u32 {
        COUNT.load(Ordering::Relaxed)
    }

    /// Waits until the device that this volume was on has another VPB, which the I/O manager gives it after the volume was
    /// given up.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn wait_for_successor(&self, attempts: u32) {
        for _ in 0..attempts {
            // SAFETY: referenced by the volume.
            let vpb = unsafe { self.real_device().as_ref() }.map(|real| real.Vpb);
            if vpb != Some(self.vpb()) {
                break;
            }
            crate::workque::deferred::pause();
        }
    }

    /// The VPB, for file objects.
    pub fn vpb(&self) -> PVPB {
        self.vpb.load(Ordering::Acquire)
    }

    /// The device of the VPB, whose flags say whether what is on it must be verified.
    pub fn real_device(&self) -> PDEVICE_OBJECT {
        self.real.load(Ordering::Acquire)
    }

    /// What FsRtl's notification calls take.
    pub fn notifications(&self) -> (PNOTIFY_SYNC, *mut LIST_ENTRY) {
        (self.notify_sync, self.notify_list.get())
    }

    /// Lets a reference to an FCB go; the last one closes it in Linux.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks.
    pub fn leave(&self, fcb: Arc<FcbHandle>) {
        let key = fcb.fcb.key();
        let last = self.table.lock().leave(key, fcb);
        drop(last);
    }

    /// Remembers that an inode may get a cache map or a section. IRQL: <= APC_LEVEL.
    pub fn note_cached(&self, fcb: &Arc<FcbHandle>) {
        if fcb.cached.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut cached = self.cached.lock();
        if cached.len() == cached.capacity() {
            cached.retain(|member| member.strong_count() > 0);
            // Without room the inode is not purged, and its volume stays busy until the cache lets go by itself.
            if cached.try_reserve(16).is_err() {
                return;
            }
        }
        cached.push(Arc::downgrade(fcb));
    }

    /// Throws away what the cache and memory managers hold of this volume's files, which lets go of file objects that only
    /// they still refer to; perhaps not at once, so the inodes stay noted until they are gone.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn purge(&self) {
        let noted = core::mem::take(&mut *self.cached.lock());
        for member in noted {
            let Some(fcb) = member.upgrade() else { continue };
            fcb.cached.store(false, Ordering::Release);
            let _ = cache::purge(&fcb);
            self.note_cached(&fcb);
            // This may be the last reference now.
            stack::insist(|| self.leave(fcb));
        }
    }

    /// The device, for whoever tears it down: once.
    pub fn take_device(&self) -> PDEVICE_OBJECT {
        let device = self.device.swap(null_mut(), Ordering::AcqRel);
        if !device.is_null() {
            COUNT.fetch_sub(1, Ordering::Relaxed);
        }
        device
    }

    /// The VPB, for whoever gives it back: once.
    pub fn forget_vpb(&self) -> PVPB {
        self.vpb.swap(null_mut(), Ordering::AcqRel)
    }

    /// The device of the VPB with its reference, for whoever gives that back: once.
    pub fn forget_real_device(&self) -> PDEVICE_OBJECT {
        self.real.swap(null_mut(), Ordering::AcqRel)
    }
}

impl Drop for MountedVolume {
    /// IRQL: PASSIVE_LEVEL; blocks. Whoever has the last count, on whatever stack.
    fn drop(&mut self) {
        // SAFETY: made by new(); no notification is pended any more, because every open is gone.
        unsafe { FsRtlNotifyUninitializeSync(&mut self.notify_sync) };
        stack::insist(|| {
            // SAFETY: once, and nothing can reach the volume any more.
            unsafe { ManuallyDrop::drop(&mut self.vcb) };
        });
        let real = self.real.load(Ordering::Acquire);
        if !real.is_null() {
            // SAFETY: referenced by connect().
            unsafe { ObfDereferenceObject(real.cast()) };
        }
    }
}
