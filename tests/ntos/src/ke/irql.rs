//! The interrupt request level, one for each thread.
//!
//! A thread of the double never shares a processor with another, so a raised level keeps nobody away: it only decides
//! what the thread may call. That allows every interleaving that NT allows on a machine with many processors.

#![allow(non_snake_case)]

use crate::{nt::*, ps};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeGetCurrentIrql <= HIGH since Nt60;
        KfRaiseIrql <= HIGH since Nt60;
        KeRaiseIrqlToDpcLevel <= DISPATCH;
        KeLowerIrql <= HIGH;
        KfLowerIrql = KeLowerIrql, <= HIGH since Nt60;
        KeEnterCriticalRegion <= APC;
        KeLeaveCriticalRegion <= APC;
        KeEnterGuardedRegion <= APC;
        KeLeaveGuardedRegion <= APC;
        KeAreApcsDisabled <= APC;
        KeAreAllApcsDisabled <= DISPATCH;
    }
}

/// The current level.
pub fn irql() -> KIRQL {
    ps::current().irql.get()
}

/// The current level, or 0 in a thread that is no NT thread.
pub fn irql_or_zero() -> KIRQL {
    ps::current_if_attached().map_or(0, |thread| thread.irql.get())
}

/// Raises the level and returns the old one.
pub fn raise_irql(new: KIRQL) -> KIRQL {
    let thread = ps::current();
    let old = thread.irql.get();
    if new < old {
        crate::fail!(IrqlMismatch, "the IRQL is raised from {old} to {new}");
    }
    thread.irql.replace(new)
}

/// Lowers the level.
pub fn lower_irql(new: KIRQL) {
    let thread = ps::current();
    let old = thread.irql.get();
    if new > old {
        crate::fail!(IrqlMismatch, "the IRQL is lowered from {old} to {new}");
    }
    if new < 2 {
        let spin = thread.held().iter().find(|lock| lock.spins()).copied();
        if let Some(lock) = spin {
            crate::fail!(
                IrqlMismatch,
                "the IRQL is lowered to {new} with spin lock {:#x} held",
                lock.address
            );
        }
    }
    thread.irql.set(new);
}

/// Stops when the level is higher than `ceiling`.
pub fn assert_irql_at_most(ceiling: KIRQL, what: &str) {
    let now = irql_or_zero();
    if now > ceiling {
        crate::fail!(IrqlTooHigh, "{what} at IRQL {now}, allowed is <= {ceiling}");
    }
}

/// Normal kernel APCs cannot come: a critical or guarded region, or APC_LEVEL.
pub fn apcs_disabled() -> bool {
    let thread = ps::current();
    thread.critical_regions.get() > 0 || thread.guarded_regions.get() > 0 || thread.irql.get() >= 1
}

unsafe extern "win64" fn KeGetCurrentIrql() -> KIRQL {
    irql()
}

unsafe extern "win64" fn KfRaiseIrql(new: KIRQL) -> KIRQL {
    raise_irql(new)
}

unsafe extern "win64" fn KeRaiseIrqlToDpcLevel() -> KIRQL {
    raise_irql(2)
}

unsafe extern "win64" fn KeLowerIrql(new: KIRQL) {
    lower_irql(new);
}

/// `KeEnterCriticalRegion`.
pub unsafe extern "win64" fn KeEnterCriticalRegion() {
    let regions = &ps::current().critical_regions;
    regions.set(regions.get() + 1);
}

/// `KeLeaveCriticalRegion`.
pub unsafe extern "win64" fn KeLeaveCriticalRegion() {
    let thread = ps::current();
    let count = thread.critical_regions.get();
    if count == 0 {
        crate::fail!(
            CriticalRegion,
            "KeLeaveCriticalRegion without KeEnterCriticalRegion"
        );
    }
    thread.critical_regions.set(count - 1);
}

unsafe extern "win64" fn KeEnterGuardedRegion() {
    let regions = &ps::current().guarded_regions;
    regions.set(regions.get() + 1);
}

unsafe extern "win64" fn KeLeaveGuardedRegion() {
    let thread = ps::current();
    let count = thread.guarded_regions.get();
    if count == 0 {
        crate::fail!(
            CriticalRegion,
            "KeLeaveGuardedRegion without KeEnterGuardedRegion"
        );
    }
    thread.guarded_regions.set(count - 1);
}

unsafe extern "win64" fn KeAreApcsDisabled() -> BOOLEAN {
    u8::from(apcs_disabled())
}

unsafe extern "win64" fn KeAreAllApcsDisabled() -> BOOLEAN {
    let thread = ps::current();
    u8::from(thread.guarded_regions.get() > 0 || thread.irql.get() >= 1)
}
