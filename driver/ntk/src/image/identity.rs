//! What tells image disks from each other to the mount manager: the identity of the volume on each; and of two copies of one
//! volume, what their images are called, too.

use crate::log;
use alloc::vec::Vec;
use lklfs_kernel::sync::SpinLock;
use lklfs_nt::NtStatus;

/// Identities of the disks that there are, by their numbers.
static IDENTITIES: SpinLock<Vec<(u32, Vec<u8>)>> = SpinLock::new(Vec::new());

/// Makes an identity one that no other disk has, and notes it: copies of one volume are told apart by `mark`, what their
/// images are called, so that each is the same whenever it comes second.
pub fn settle(number: u32, mut identity: Vec<u8>, mark: u64) -> Result<Vec<u8>, NtStatus> {
    let no_memory = |_| NtStatus::INSUFFICIENT_RESOURCES;
    identity.try_reserve_exact(8).map_err(no_memory)?;
    let mut noted = Vec::new();
    noted
        .try_reserve_exact(identity.len().saturating_add(8))
        .map_err(no_memory)?;
    let mut list = IDENTITIES.lock();
    list.try_reserve(1).map_err(no_memory)?;
    let is_copy = list.iter().any(|(_, other)| *other == identity);
    if is_copy {
        identity.extend_from_slice(&mark.to_le_bytes());
    }
    noted.extend_from_slice(&identity);
    list.push((number, noted));
    drop(list);
    if is_copy {
        log::line(format_args!(
            "image disk {number} holds a copy of a volume that is there already (the same UUID); both are shown"
        ));
    }
    Ok(identity)
}

/// Forgets the identity of a disk. The list's own memory goes with the last one.
pub fn forget(number: u32) {
    let mut list = IDENTITIES.lock();
    let at = list.iter().position(|(other, _)| *other == number);
    let gone = at.map(|at| list.swap_remove(at));
    let memory = if list.is_empty() {
        core::mem::take(&mut *list)
    } else {
        Vec::new()
    };
    drop(list);
    drop((gone, memory));
}
