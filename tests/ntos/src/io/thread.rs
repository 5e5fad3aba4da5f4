//! What the I/O manager keeps for a thread: its top-level IRP; and what must be as before when a driver
//! returns.

use crate::nt::*;
use crate::ps;

/// The thread's top-level IRP, or one of the small numbers that mean a component.
pub fn top_level() -> usize {
    ps::current().top_level_irp.get()
}

/// Sets the top-level IRP and returns the one before.
pub fn set_top_level(value: usize) -> usize {
    ps::current().top_level_irp.replace(value)
}

/// What a dispatch routine must leave as it found it, besides what [`crate::ke::call_driver`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    top_level: usize,
}

impl State {
    /// As it is now.
    pub fn now() -> State {
        State {
            top_level: ps::current().top_level_irp.get(),
        }
    }

    /// What is different now, in words.
    pub fn change(&self) -> Option<String> {
        let now = State::now();
        if now.top_level != self.top_level {
            Some(format!(
                "top-level IRP {:#x} instead of {:#x}",
                now.top_level, self.top_level
            ))
        } else {
            None
        }
    }
}

/// `IoGetTopLevelIrp`.
pub unsafe extern "win64" fn IoGetTopLevelIrp() -> PIRP {
    ps::current().top_level_irp.get() as PIRP
}

/// `IoSetTopLevelIrp`.
pub unsafe extern "win64" fn IoSetTopLevelIrp(packet: PIRP) {
    ps::current().top_level_irp.set(packet as usize);
}

crate::table! {
    /// Per-thread state.
    pub static IMPORTS = {
        IoGetTopLevelIrp <= HIGH;
        IoSetTopLevelIrp <= HIGH;
    }
}
