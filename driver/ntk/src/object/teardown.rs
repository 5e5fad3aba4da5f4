//! How a volume goes: what it has pended is ended, what the cache keeps of it is purged, its VPB and its device are given
//! back.
//!
//! A VPB may be in use although no file object of the volume is left: the I/O manager counts an open in it (under the VPB
//! lock) before it sends the CREATE. So a VPB that is in use is not emptied but replaced by a new one, into which the
//! next open mounts; the old one and the volume's device go when the last user has left them, which the *reaper*, a
//! worker thread, waits for.
//
// UNSAFETY: VPBs and the volume device.

use crate::object::extension;
use crate::object::volume::MountedVolume;
use crate::state;
use crate::workque::deferred;
use alloc::sync::Arc;
use core::ptr::{self, null_mut};
use lklfs_kernel::nt::{
    CcWaitForCurrentLazyWriterActivity, DEVICE_OBJECT, FILE_DEVICE_DISK, IoAcquireVpbSpinLock,
    IoCreateDevice, IoDeleteDevice, IoReleaseVpbSpinLock, KIRQL, NO, ObfDereferenceObject, PDEVICE_OBJECT,
    PVPB, VPB_MOUNTED, VPB_PERSISTENT, VPB_REMOVE_PENDING,
};
use lklfs_kernel::pool;

/// How often a drain looks for file objects that are left, with a pause of 10 ms in between.
const ATTEMPTS: u32 = 50;

impl MountedVolume {
    /// Purges until no more than `most` file objects are left; whether that came to pass. The cache manager may take a
    /// moment to let go of those that only it keeps.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks for half a second at most.
    pub fn drain(&self, most: u32) -> bool {
        for _ in 0..ATTEMPTS {
            self.purge();
            // SAFETY: PASSIVE_LEVEL, and no lock is held.
            let _ = unsafe { CcWaitForCurrentLazyWriterActivity() };
            if self.state.lock().references <= most {
                return true;
            }
            deferred::pause();
        }
        false
    }

    /// Has a worker purge, for as long as somebody may be about to let go: a page on its way, a file that is being read ahead.
    /// Without memory for that, the cache keeps what it has until it lets go by itself.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn drain_later(self: &Arc<Self>, most: u32) {
        let volume = Arc::clone(self);
        let _ = deferred::queue(move || {
            let _ = volume.drain(most);
        });
    }

    /// Has the I/O manager leave the VPB to this driver, which needs it until the tear-down: it is about to put another one in
    /// its place.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn keep_vpb(&self) {
        let mut irql: KIRQL = 0;
        // SAFETY: the saved IRQL goes back below.
        unsafe { IoAcquireVpbSpinLock(&mut irql) };
        // SAFETY: the volume has not let go of its VPB yet.
        if let Some(vpb) = unsafe { self.vpb().as_mut() } {
            vpb.Flags |= VPB_PERSISTENT as u16;
        }
        // SAFETY: taken above.
        unsafe { IoReleaseVpbSpinLock(irql) };
    }

    /// Gives the device of the VPB a new one, so that its next open mounts afresh. The file objects of this volume keep the
    /// old one, which goes with the tear-down. Without memory for a new one, the device has the old one until then.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn let_go_of_vpb(&self) {
        let spare = new_vpb(self.vpb());
        let mut irql: KIRQL = 0;
        // SAFETY: the saved IRQL goes back below.
        unsafe { IoAcquireVpbSpinLock(&mut irql) };
        // SAFETY: the lock is held; the VPB lives as long as this volume has not let go of it.
        let spare = unsafe { replace_vpb(self.vpb(), spare) };
        // SAFETY: taken above.
        unsafe { IoReleaseVpbSpinLock(irql) };
        // SAFETY: made by new_vpb(), and in no device's place.
        unsafe { free_vpb(spare) };
    }

    /// Disconnects the VPB and deletes the device, once, when nobody uses the volume any more. The volume itself lives
    /// on until its last open is closed.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks when this was the last count.
    pub fn tear_down(self: &Arc<Self>) {
        let device = self.take_device();
        if device.is_null() {
            return;
        }
        // SAFETY: the device is still there: it was taken above, so nobody else deletes it.
        let counted = unsafe { extension::disconnect(device) };
        let spare = new_vpb(self.vpb());
        let mut irql: KIRQL = 0;
        // SAFETY: the saved IRQL goes back below.
        unsafe { IoAcquireVpbSpinLock(&mut irql) };
        // SAFETY: the lock is held; the VPB lives as long as this volume has not let go of it.
        let (free, spare) = unsafe { release_vpb(self.vpb(), spare) };
        // SAFETY: taken above.
        unsafe { IoReleaseVpbSpinLock(irql) };
        // SAFETY: made by new_vpb(), and in no device's place.
        unsafe { free_vpb(spare) };
        let remains = Remains {
            device,
            vpb: self.forget_vpb(),
            real: self.forget_real_device(),
        };
        if free {
            remains.bury();
        } else if !deferred::queue(move || remains.reap()) {
            remains.reap();
        }
        drop(counted);
    }
}

/// What is left of a volume that nobody uses. The volume itself is gone, or kept by its last file.
#[derive(Clone, Copy)]
struct Remains {
    device: PDEVICE_OBJECT,
    vpb: PVPB,
    /// The device of the VPB, referenced.
    real: PDEVICE_OBJECT,
}

// SAFETY: referenced objects, which any thread may give back.
unsafe impl Send for Remains {}

impl Remains {
    /// The reaper.
    fn reap(self) {
        while in_use(self.vpb) {
            deferred::pause();
        }
        self.bury();
    }

    /// The last of it: the VPB, if it is not the disk's own any more, and the device.
    fn bury(self) {
        // SAFETY: the real device is referenced.
        let current = unsafe { self.real.as_ref() }.map(|real| real.Vpb);
        if !self.vpb.is_null() && current != Some(self.vpb) {
            // SAFETY: a VPB that was replaced belongs to its file system, and nobody counts in it any more.
            unsafe { pool::free_foreign(self.vpb.cast()) };
        }
        // SAFETY: created by the mount, deleted once; no open is on its way to it.
        unsafe { IoDeleteDevice(self.device) };
        extension::count_device(false);
        if !self.real.is_null() {
            // SAFETY: referenced by the volume, which has handed the reference over.
            unsafe { ObfDereferenceObject(self.real.cast()) };
        }
    }
}

/// Whether somebody counts in the VPB.
fn in_use(vpb: PVPB) -> bool {
    let mut irql: KIRQL = 0;
    // SAFETY: the saved IRQL goes back below.
    unsafe { IoAcquireVpbSpinLock(&mut irql) };
    // SAFETY: the volume has not let go of its VPB yet.
    let used = unsafe { vpb.as_ref() }.is_some_and(|vpb| vpb.ReferenceCount != 0);
    // SAFETY: taken above.
    unsafe { IoReleaseVpbSpinLock(irql) };
    used
}

/// A VPB for the device that `like` is for. Null for lack of memory.
///
/// It stays with that device when this driver is unloaded, so the I/O manager makes it, with a device that is a disk's by
/// its type: memory of this driver's own would be told as left behind.
///
/// IRQL: PASSIVE_LEVEL.
fn new_vpb(like: PVPB) -> PVPB {
    // SAFETY: the volume has not let go of its VPB yet.
    let (Some(like), Some(driver)) = (unsafe { like.as_ref() }, state::driver()) else {
        return null_mut();
    };
    let mut device: PDEVICE_OBJECT = null_mut();
    // SAFETY: the driver object is ours, and the pointer outlives the call.
    let status = unsafe {
        IoCreateDevice(
            driver.object(),
            0,
            null_mut(),
            FILE_DEVICE_DISK,
            0,
            NO,
            &mut device,
        )
    };
    if status < 0 {
        return null_mut();
    }
    // SAFETY: the device is new, and known to this function only.
    let vpb = core::mem::take(unsafe { &mut (*device).Vpb });
    // SAFETY: null, or a new VPB.
    if let Some(vpb) = unsafe { vpb.as_mut() } {
        vpb.RealDevice = like.RealDevice;
    }
    // SAFETY: made above; it has no VPB any more, as most devices have none.
    unsafe { IoDeleteDevice(device) };
    vpb
}

/// Gives back a VPB of [`new_vpb`] that no device has.
///
/// # Safety
/// `spare` is null, or such a VPB, and not used again.
unsafe fn free_vpb(spare: PVPB) {
    if !spare.is_null() {
        // SAFETY: promised by the caller; the I/O manager has made it, and left it to this driver.
        unsafe { pool::free_foreign(spare.cast()) };
    }
}

/// Lets go of a VPB: empties one that nobody uses, replaces one that is used by `spare`. Whether it is not used; and the
/// spare one, if it was not needed.
///
/// # Safety
/// The VPB lock is held; `vpb` is null or a VPB that was mounted by this driver, `spare` null or a new one.
unsafe fn release_vpb(vpb: PVPB, spare: PVPB) -> (bool, PVPB) {
    // SAFETY: promised by the caller.
    let Some(old) = (unsafe { vpb.as_mut() }) else {
        return (true, spare);
    };
    if old.ReferenceCount == 0 {
        old.DeviceObject = null_mut();
        old.Flags &= !((VPB_MOUNTED | VPB_PERSISTENT) as u16);
        return (true, spare);
    }
    // SAFETY: promised by the caller.
    (false, unsafe { replace_vpb(vpb, spare) })
}

/// Puts `spare` in the place of a VPB, unless its device has another one already; the spare one, if it was not needed.
///
/// # Safety
/// As for [`release_vpb`].
unsafe fn replace_vpb(vpb: PVPB, spare: PVPB) -> PVPB {
    // SAFETY: promised by the caller.
    let Some(old) = (unsafe { vpb.as_mut() }) else {
        return spare;
    };
    // SAFETY: the volume has a reference to the real device.
    let real: &mut DEVICE_OBJECT = unsafe { &mut *old.RealDevice };
    // Whoever counts in it still goes to the volume's device, and is told there that the volume is gone. Persistent: the
    // I/O manager leaves it to its file system.
    old.Flags |= VPB_PERSISTENT as u16;
    if !ptr::eq(real.Vpb, vpb) || spare.is_null() {
        return spare;
    }
    // SAFETY: new, and known to nobody.
    unsafe { (*spare).Flags = old.Flags & VPB_REMOVE_PENDING as u16 };
    real.Vpb = spare;
    null_mut()
}

/// Whether `status` may stand for a disk that went away under Linux, which has one name for all that a disk cannot do.
pub fn may_hide_removal(status: lklfs_nt::NtStatus) -> bool {
    use lklfs_nt::NtStatus as S;
    matches!(
        status,
        S::IO_DEVICE_ERROR
            | S::DEVICE_DOES_NOT_EXIST
            | S::FILE_CORRUPT_ERROR
            | S::DISK_CORRUPT_ERROR
            | S::UNSUCCESSFUL
            | S::VERIFY_REQUIRED
    )
}
