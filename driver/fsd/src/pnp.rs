//! `IRP_MJ_PNP` on a volume: its disk may be taken away, politely or not.

use lklfs_nt::NtStatus;

use crate::{Outcome, VolumeState};

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
    /// The volume is dismounted in `state`: pass the request down, then disconnect the VPB; undo by
    /// [`Minor::CancelRemove`] when the stack below refuses.
    DismountAndPassDown,
    /// The device is gone, marked in `state`: fail outstanding I/O, let handles close, pass the request down.
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
        Minor::QueryRemove if state.handles > 0 => Plan::Done(Outcome::failed(NtStatus::ACCESS_DENIED)),
        Minor::QueryRemove => {
            state.dismounted = true;
            Plan::DismountAndPassDown
        }
        Minor::CancelRemove => {
            state.dismounted = false;
            Plan::PassDown
        }
        Minor::Remove | Minor::SurpriseRemoval => {
            state.removed = true;
            Plan::GoneAndPassDown
        }
        Minor::Other(_) => Plan::PassDown,
    }
}
