//! `IRP_MJ_CLOSE`: the last reference to a file object is gone.
//!
//! The edge takes `FsContext2`'s Ccb back and drops it, and lets its reference of the Fcb go by
//! [`FcbTable::leave`](crate::FcbTable::leave); when that returns the Fcb it was the last, and dropping it (with no lock
//! held, at PASSIVE_LEVEL) closes the Linux descriptor.

use crate::VolumeState;

/// Counts a CLOSE. `true` when the volume was given up (dismounted, removed, replaced) and this was its last file object:
/// the edge then tears the volume device down.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
#[must_use]
pub fn close(state: &mut VolumeState) -> bool {
    state.references = state.references.saturating_sub(1);
    state.is_over()
}
