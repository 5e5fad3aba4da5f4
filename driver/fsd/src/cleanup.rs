//! `IRP_MJ_CLEANUP`: the last handle of a file object is gone; the object itself may live on in the cache manager.

use crate::{Ccb, Fcb, FcbKind, Volume, VolumeState};

/// What the edge does, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Complete the directory notifications of this file object (`FsRtlNotifyCleanup`).
    pub complete_notifications: bool,
    /// Release all byte-range locks of this file object and process (`FsRtlFastUnlockAll`).
    pub unlock_ranges: bool,
    /// Check the oplock (`FsRtlCheckOplock`) with the CLEANUP.
    pub check_oplock: bool,
    /// `CcUninitializeCacheMap`.
    pub uninitialize_cache: bool,
    /// `IoRemoveShareAccess`, if the open took share access.
    pub remove_share_access: bool,
    /// The volume lock that this handle held is released: announce it (`FSRTL_VOLUME_UNLOCK`).
    pub volume_unlocked: bool,
    /// Set `FO_CLEANUP_COMPLETE`.
    pub cleanup_complete: bool,
}

/// Decides a CLEANUP; `handle` is the identity that a volume lock was taken with. Always succeeds.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
pub fn cleanup<V: Volume>(fcb: &Fcb<V>, _ccb: &Ccb, state: &mut VolumeState, handle: u64) -> Plan {
    state.handles = state.handles.saturating_sub(1);
    let volume_unlocked = state.locked_by == Some(handle);
    if volume_unlocked {
        state.locked_by = None;
    }
    let file = fcb.kind() == FcbKind::File;
    Plan {
        complete_notifications: fcb.kind() == FcbKind::Directory,
        unlock_ranges: file,
        check_oplock: file || fcb.kind() == FcbKind::Directory,
        uninitialize_cache: file,
        remove_share_access: true,
        volume_unlocked,
        cleanup_complete: true,
    }
}
