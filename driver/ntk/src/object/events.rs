//! Events of volumes, for Explorer, indexers and virus scanners: who listens closes the handles that are in the way of a lock or
//! a dismount, and opens them again afterwards.
//!
//! They are told at the moments at which FAT and NTFS do: LOCK and DISMOUNT before it is decided, in the thread that asks and
//! with no lock held, since the PnP manager waits there for listeners, who come back to this driver to close their handles;
//! the failure, or the end of a lock, when it is known; MOUNT by a worker thread, when the mount is complete.
//
// UNSAFETY: hands file objects to FsRtl.

use crate::device;
use crate::letter::letters::Opened;
use crate::object::volume::MountedVolume;
use crate::workque::deferred;
use lklfs_kernel::nt::{FILE_READ_ATTRIBUTES, FsRtlNotifyVolumeEvent, PFILE_OBJECT};

/// What happens to a volume, by FSRTL_VOLUME_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// It is about to be dismounted.
    Dismount = 1,
    /// It was not dismounted after all.
    DismountFailed = 2,
    /// It is about to be locked.
    Lock = 3,
    /// It was not locked after all.
    LockFailed = 4,
    /// It is not locked any more.
    Unlock = 5,
    /// It is mounted.
    Mount = 6,
}

/// Tells whoever listens; no failure of that is one of the request's.
///
/// IRQL: PASSIVE_LEVEL, with no lock held; waits for listeners.
///
/// # Safety
/// `file` is a file object of the volume itself, kept by the caller for the time of the call.
pub unsafe fn tell(file: PFILE_OBJECT, event: Event) {
    // SAFETY: promised by the caller.
    let _ = unsafe { FsRtlNotifyVolumeEvent(file, event as u32) };
}

/// Has a worker tell that a volume is mounted: by a file object of the device below it, as the mount has none. Without memory
/// for that, listeners find out by themselves.
///
/// IRQL: PASSIVE_LEVEL.
pub fn mounted(volume: &MountedVolume) {
    let Ok(name) = volume.mounted_on.name() else {
        return;
    };
    let _ = deferred::queue(move || {
        // With no more than this right nothing is mounted.
        if let Ok(opened) = Opened::open(&name, FILE_READ_ATTRIBUTES) {
            // SAFETY: the file object is kept for the time of the call.
            let _ = device::with_file(&opened, |file| unsafe { tell(file, Event::Mount) });
        }
    });
}
