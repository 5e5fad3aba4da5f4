//! The list of mounted volumes.

use crate::sync::SpinLock;
use crate::volume::MountedVolume;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use lklfs_nt::NtStatus;

/// The volumes that are or were mounted, as long as they live.
pub struct Volumes {
    list: SpinLock<Vec<Weak<MountedVolume>>>,
}

impl Volumes {
    /// None yet.
    pub fn new() -> Self {
        Volumes {
            list: SpinLock::new(Vec::new()),
        }
    }

    /// Notes one more. Without memory it is mounted, but not listed.
    pub fn note(&self, volume: &Arc<MountedVolume>) {
        let mut list = self.list.lock();
        list.retain(|member| member.strong_count() > 0);
        if list.try_reserve(1).is_ok() {
            list.push(Arc::downgrade(volume));
        }
    }

    /// Those that live. INSUFFICIENT_RESOURCES for lack of memory.
    ///
    /// IRQL: PASSIVE_LEVEL; the last count of one may be among what the caller drops, so on a large stack.
    pub fn all(&self) -> Result<Vec<Arc<MountedVolume>>, NtStatus> {
        let mut all = Vec::new();
        let room = self.list.lock().len();
        all.try_reserve(room)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        for member in self.list.lock().iter().take(room) {
            if let Some(volume) = member.upgrade() {
                all.push(volume);
            }
        }
        Ok(all)
    }
}

impl Volumes {
    /// The last living one before `place` of the list, and its own place: for a walk from `usize::MAX` down that takes no memory.
    /// What leaves the list meanwhile moves others down, so none is passed over.
    ///
    /// IRQL: PASSIVE_LEVEL; the caller may drop the last count, so on a large stack.
    pub fn before(&self, place: usize) -> Option<(usize, Arc<MountedVolume>)> {
        let list = self.list.lock();
        let mut members = list.iter().enumerate().take(place).rev();
        // The first that lives: no count is dropped under the lock.
        members.find_map(|(at, member)| Some((at, member.upgrade()?)))
    }
}

impl Default for Volumes {
    fn default() -> Self {
        Volumes::new()
    }
}
