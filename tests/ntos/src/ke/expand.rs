//! Expanded stacks: a callout on a fresh stack of the asked size.
//!
//! NT leaves the current stack when too little of it remains; the double always does, so that what the callout uses can
//! be measured (under the name `expanded`).

#![allow(non_snake_case)]

use crate::{
    ke::{
        gate,
        stack::{self, CALLER_SHARE, LARGEST},
    },
    mm::PAGE_SIZE,
    nt::*,
    ps,
    verifier::fault::{self, Site},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeExpandKernelStackAndCallout <= APC;
        KeExpandKernelStackAndCalloutEx <= DISPATCH since Nt61;
    }
}

/// MAXIMUM_EXPANSION_SIZE: what may be asked for, in bytes.
const MAXIMUM: usize = LARGEST - PAGE_SIZE / 2;

/// Where a callout's first frame returns to lies so near to the end of its stack, in bytes.
const NEAR_THE_TOP: usize = CALLER_SHARE + PAGE_SIZE / 2;

/// Whether the stretch of driver code whose outermost frame was called at `rsp` is a callout itself, not what something
/// called from one has called.
pub(crate) fn is_callout(thread: &ps::Thread, rsp: usize) -> bool {
    let (low, high) = thread.limits.get();
    thread.expansions.get() > 0 && (low..high).contains(&rsp) && high - rsp <= NEAR_THE_TOP
}

fn expand(callout: *const (), parameter: PVOID, size: usize) -> NTSTATUS {
    if size > MAXIMUM {
        return STATUS_INVALID_PARAMETER_3;
    }
    if fault::should_fail(Site::Stack) {
        return STATUS_NO_MEMORY;
    }
    let thread = ps::current();
    let whole = size + PAGE_SIZE + CALLER_SHARE;
    let stack = stack::take_expansion(whole);
    let range = stack.range();
    let outer = thread.limits.replace((range.start, range.end));
    thread.expansions.set(thread.expansions.get() + 1);
    let irql = thread.irql.get();
    // SAFETY: the driver passed the callout; the stack is ours and unused.
    unsafe { gate::call(thread, callout, &[parameter as u64], stack.top()) };
    if thread.irql.get() != irql {
        crate::fail!(
            IrqlMismatch,
            "an expanded-stack callout returned at IRQL {}, not {irql}",
            thread.irql.get()
        );
    }
    thread.expansions.set(thread.expansions.get() - 1);
    thread.limits.set(outer);
    stack::give_expansion_back(whole, stack);
    STATUS_SUCCESS
}

unsafe extern "win64" fn KeExpandKernelStackAndCallout(
    callout: *const (),
    parameter: PVOID,
    size: SIZE_T,
) -> NTSTATUS {
    expand(callout, parameter, size as usize)
}

unsafe extern "win64" fn KeExpandKernelStackAndCalloutEx(
    callout: *const (),
    parameter: PVOID,
    size: SIZE_T,
    _wait: BOOLEAN,
    context: PVOID,
) -> NTSTATUS {
    if !context.is_null() {
        return STATUS_INVALID_PARAMETER_5;
    }
    expand(callout, parameter, size as usize)
}
