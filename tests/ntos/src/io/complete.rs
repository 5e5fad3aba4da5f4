//! `IofCompleteRequest`: the walk back up an IRP's stack, and what the I/O manager does at its end.
//!
//! For each stack location from the current one upwards: SL_PENDING_RETURNED becomes `PendingReturned`, the
//! location's completion routine is called when its flags match the outcome, and otherwise the pending mark
//! is handed up. A routine that returns STATUS_MORE_PROCESSING_REQUIRED stops the walk and owns the IRP. At
//! the top:
//!
//! - an associated IRP counts down its master;
//! - synchronous paging I/O and close: status block and event only, the MDL stays with its owner;
//! - everything else: buffered data is copied out, MDLs are unlocked and freed, status block, event, file
//!   object's event and APC follow, and the IRP is freed.
//!
//! A driver may only complete at <= DISPATCH_LEVEL, with no cancel routine set and a final status.

use super::ledger::{self, Owner};
use super::{irp, kernel, request};
use crate::nt::*;
use crate::{mm, verifier::fail};
use std::ptr;

/// `IofCompleteRequest`.
pub unsafe extern "win64" fn IofCompleteRequest(packet: PIRP, _boost: CCHAR) {
    // SAFETY: the driver's contract is ours.
    unsafe { complete(packet) }
}

/// Completes `packet`, whose `IoStatus` is set.
///
/// # Safety
/// The caller owns the IRP and gives it up.
pub unsafe fn complete(packet: PIRP) {
    if let Err(fault) = ledger::completing(packet) {
        fail!(IrpCompletedTwice, "IofCompleteRequest: {fault}");
    }
    // SAFETY: the ledger knows the IRP and says that it is in flight, so its memory is valid and ours to
    // walk.
    unsafe {
        let status = irp::status_of(&(*packet).IoStatus);
        if status == STATUS_PENDING || status == -1 {
            fail!(Irp, "IRP {packet:p} is completed with status {}", name(status));
        }
        if (*packet).CancelRoutine.is_some() {
            fail!(
                Irp,
                "IRP {packet:p} is completed with its cancel routine still set"
            );
        }
        let top = (*packet).StackCount + 1;
        if (*packet).CurrentLocation > top {
            fail!(Irp, "IRP {packet:p} is completed above its stack (0x44)");
        }
        while (*packet).CurrentLocation < top {
            let location = irp::current(packet);
            let number = (*packet).CurrentLocation;
            (*packet).CurrentLocation += 1;
            irp::set_current(packet, location.add(1));
            let control = u32::from((*location).Control);
            let pending = control & SL_PENDING_RETURNED != 0;
            (*packet).PendingReturned = u8::from(pending);
            let status = irp::status_of(&(*packet).IoStatus);
            if let Some(fault) = ledger::passing(packet, number, status, pending)
                .into_iter()
                .next()
            {
                fail!(Irp, "{fault}");
            }
            let cancelled = (*packet).Cancel != 0 && control & SL_INVOKE_ON_CANCEL != 0;
            let wanted = if nt_success(status) {
                SL_INVOKE_ON_SUCCESS
            } else {
                SL_INVOKE_ON_ERROR
            };
            let (routine, context) = ((*location).CompletionRoutine, (*location).Context);
            let at_top = (*packet).CurrentLocation == top;
            match routine {
                Some(routine) if cancelled || control & wanted != 0 => {
                    clear(location);
                    let device = if at_top {
                        ptr::null_mut()
                    } else {
                        (*irp::current(packet)).DeviceObject
                    };
                    // From here on the routine's driver owns the IRP; we have it back unless the routine
                    // keeps it.
                    let kept = ledger::offered(packet);
                    let answer = kernel::call(
                        routine as *const (),
                        [device as usize, packet as usize, context as usize],
                    ) as NTSTATUS;
                    if answer == STATUS_MORE_PROCESSING_REQUIRED {
                        return;
                    }
                    if let Err(fault) = ledger::resumed(packet, kept) {
                        fail!(Irp, "completion routine: {fault}");
                    }
                }
                _ => {
                    clear(location);
                    if pending && !at_top {
                        (*irp::current(packet)).Control |= SL_PENDING_RETURNED as u8;
                    }
                }
            }
        }
        finish(packet);
    }
}

/// Wipes a location that the walk has passed, so that nobody relies on it, keeping what completion routines
/// may read.
///
/// # Safety
/// `location` is a location of a live IRP.
unsafe fn clear(location: PIO_STACK_LOCATION) {
    // SAFETY: by contract.
    unsafe {
        (*location).MinorFunction = 0;
        (*location).Flags = 0;
        (*location).Control = 0;
        (*location).CompletionRoutine = None;
        (*location).Context = ptr::null_mut();
        (*location).FileObject = ptr::null_mut();
        ptr::write_bytes(&raw mut (*location).Parameters, 0, 1);
    }
}

/// What the I/O manager does when no driver is left.
///
/// # Safety
/// The IRP has passed its whole stack.
unsafe fn finish(packet: PIRP) {
    // SAFETY: the walk is over, so the IRP belongs to the I/O manager.
    unsafe {
        let flags = (*packet).Flags;
        if flags & IRP_ASSOCIATED_IRP != 0 {
            let master = (*packet).AssociatedIrp.MasterIrp;
            free_mdls(packet);
            irp::free(packet);
            let count = (&raw mut (*master).AssociatedIrp.IrpCount).cast::<i32>();
            if std::sync::atomic::AtomicI32::from_ptr(count).fetch_sub(1, std::sync::atomic::Ordering::AcqRel)
                == 1
            {
                complete(master);
            }
            return;
        }
        if ledger::owner(packet).is_ok_and(|owner| owner != Owner::Manager) {
            fail!(
                Irp,
                "IRP {packet:p}, which a driver allocated, went through its whole stack: a completion routine must \
                 return STATUS_MORE_PROCESSING_REQUIRED and free it"
            );
        }
        if flags & (IRP_PAGING_IO | IRP_CLOSE_OPERATION) != 0 {
            let (block, event) = ((*packet).UserIosb, (*packet).UserEvent);
            if !block.is_null() {
                *block = (*packet).IoStatus;
            }
            irp::free(packet);
            if !event.is_null() {
                kernel::event_set(event);
            }
            return;
        }
        request::finish(packet);
    }
}

/// Unlocks and frees the IRP's chain of MDLs.
///
/// # Safety
/// The IRP belongs to the I/O manager.
pub unsafe fn free_mdls(packet: PIRP) {
    // SAFETY: the chain is the IRP's own.
    unsafe {
        let mut mdl = std::mem::take(&mut (*packet).MdlAddress);
        while !mdl.is_null() {
            let next = (*mdl).Next;
            if i32::from((*mdl).MdlFlags) & MDL_PAGES_LOCKED as i32 != 0 {
                mm::mdl::MmUnlockPages(mdl);
            }
            mm::mdl::IoFreeMdl(mdl);
            mdl = next;
        }
    }
}

crate::table! {
    /// Completion.
    pub static IMPORTS = {
        IofCompleteRequest <= DISPATCH;
    }
}
