//! Locations of an IRP's stack.
//
// UNSAFETY: reads the fields of IRPs.

use crate::nt::{IO_STACK_LOCATION, IRP};

/// Where `IoGetNextIrpStackLocation` points.
///
/// # Safety
/// `irp` has a stack location left.
pub unsafe fn next_stack_location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: promised by the caller.
    let tail = unsafe { &(*irp).Tail };
    // SAFETY: this is what the union holds while an IRP is on its way.
    let overlay = unsafe { &tail.Overlay };
    // SAFETY: the members of the inner unions are the location's address, whichever is asked for.
    let current = unsafe { overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation };
    // SAFETY: the current location is one past the next one.
    unsafe { current.sub(1) }
}
