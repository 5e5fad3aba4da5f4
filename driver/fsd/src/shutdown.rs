//! `IRP_MJ_SHUTDOWN`: the system goes down; nothing is dirty, so nothing is left to do.

use crate::{Outcome, VolumeState};

/// Marks a volume so that no new open starts; the edge then halts Linux once every volume is marked.
///
/// # IRQL
///
/// PASSIVE_LEVEL; never blocks.
pub fn shutdown(state: &mut VolumeState) -> Outcome {
    state.dismounted = true;
    Outcome::success(0)
}
