//! `IRP_MJ_PNP` on a volume: its disk may be taken away, politely or not.

use lklfs_nt::NtStatus;

use crate::{Outcome, REMOVAL, VolumeState};

/// The minor functions that a file system decides; all others are passed down as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Minor {
    /// `IRP_MN_QUERY_REMOVE_DEVICE` (0x01).
    QueryRemove,
    /// `IRP_MN_REMOVE_DEVICE` (0x02).
    Remove,
    /// `IRP_MN_CANCEL_REMOVE_DEVICE` (0x03).
    CancelRemove,
    /// `IRP_MN_SURPRISE_REMOVAL` (0x17).
    SurpriseRemoval,
    /// Any other.
    Other(u8),
}

impl Minor {
    /// From the stack location's minor function.
    pub const fn from_code(code: u8) -> Self {
        match code {
            0x01 => Self::QueryRemove,
            0x02 => Self::Remove,
            0x03 => Self::CancelRemove,
            0x17 => Self::SurpriseRemoval,
            other => Self::Other(other),
        }
    }
}

/// What a PNP request leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Pass it down; nothing changes.
    PassDown,
    /// Nothing is open, and the volume is locked in `state` ([`REMOVAL`]) so that it stays so. Purge what only the
    /// cache keeps open; then [`leave`] decides.
    Leave,
    /// The device is gone, marked in `state`: pass the request down, end what is pended, let handles close.
    GoneAndPassDown,
    /// Complete with this, without passing it down.
    Done(Outcome),
}

/// Decides a PNP request on the volume.
///
/// # IRQL
///
/// PASSIVE_LEVEL; never blocks.
pub fn pnp(state: &mut VolumeState, minor: Minor) -> Plan {
    match minor {
        // Already on its way out.
        Minor::QueryRemove if state.refusal().is_some() => Plan::PassDown,
        Minor::QueryRemove if state.handles > 0 || state.opening > 0 || state.locked_by.is_some() => {
            Plan::Done(Outcome::failed(NtStatus::ACCESS_DENIED))
        }
        Minor::QueryRemove => {
            state.locked_by = Some(REMOVAL);
            Plan::Leave
        }
        Minor::Remove | Minor::SurpriseRemoval => {
            state.removed = true;
            Plan::GoneAndPassDown
        }
        // What a query dismounted is mounted afresh by the next open.
        Minor::CancelRemove | Minor::Other(_) => Plan::PassDown,
    }
}

/// After [`Plan::Leave`] and the purge: the volume is dismounted, and the request may be passed down; or somebody has
/// something of it still (a mapped file), and the request ends with ACCESS_DENIED. The lock is released either way.
///
/// # IRQL
///
/// <= APC_LEVEL; never blocks.
pub fn leave(state: &mut VolumeState) -> Plan {
    if state.locked_by == Some(REMOVAL) {
        state.locked_by = None;
    }
    if state.references > 0 {
        return Plan::Done(Outcome::failed(NtStatus::ACCESS_DENIED));
    }
    state.dismounted = true;
    Plan::PassDown
}
