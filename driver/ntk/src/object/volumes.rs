//! The list of mounted volumes.

use crate::object::volume::MountedVolume;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use lklfs_kernel::sync::SpinLock;
use lklfs_nt::NtStatus;

/// The volumes that are or were mounted, as long as they live.
pub struct Volumes {
    list: SpinLock<List>,
}

struct List {
    members: Vec<Weak<MountedVolume>>,
    /// Places that are reserved: the members have room for so many more.
    reserved: usize,
}

/// A place for a volume that is about to be mounted. It has to be had before: a volume that is not listed is never verified.
pub struct Place<'a>(&'a Volumes);

impl Place<'_> {
    /// Lists the volume.
    pub fn fill(self, volume: &Arc<MountedVolume>) {
        self.0.list.lock().members.push(Arc::downgrade(volume));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut list = self.0.list.lock();
        list.reserved = list.reserved.saturating_sub(1);
    }
}

impl Volumes {
    /// None yet.
    pub fn new() -> Self {
        Volumes {
            list: SpinLock::new(List {
                members: Vec::new(),
                reserved: 0,
            }),
        }
    }

    /// A place for one more.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES for lack of memory.
    pub fn reserve(&self) -> Result<Place<'_>, NtStatus> {
        let mut list = self.list.lock();
        list.members.retain(|member| member.strong_count() > 0);
        let reserved = list.reserved.saturating_add(1);
        list.members
            .try_reserve(reserved)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        list.reserved = reserved;
        Ok(Place(self))
    }

    /// Those that live. INSUFFICIENT_RESOURCES for lack of memory.
    ///
    /// IRQL: PASSIVE_LEVEL; the last count of one may be among what the caller drops, so on a large stack.
    pub fn all(&self) -> Result<Vec<Arc<MountedVolume>>, NtStatus> {
        let mut all = Vec::new();
        let room = self.list.lock().members.len();
        all.try_reserve(room)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        for member in self.list.lock().members.iter().take(room) {
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
        let mut members = list.members.iter().enumerate().take(place).rev();
        // The first that lives: no count is dropped under the lock.
        members.find_map(|(at, member)| Some((at, member.upgrade()?)))
    }
}

impl Default for Volumes {
    fn default() -> Self {
        Volumes::new()
    }
}
