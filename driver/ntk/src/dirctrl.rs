//! `IRP_MJ_DIRECTORY_CONTROL`: listings go to the core with the caller's buffer locked; notifications are pended with
//! FsRtl, which completes them when the handle goes.
//
// UNSAFETY: FsRtl's notification list.

use crate::irp::Irp;
use crate::nt::{
    self, FsRtlNotifyFullChangeDirectory, IRP_MN_NOTIFY_CHANGE_DIRECTORY, IRP_MN_QUERY_DIRECTORY, NTSTATUS,
    SL_INDEX_SPECIFIED, SL_RESTART_SCAN, SL_RETURN_SINGLE_ENTRY, SL_WATCH_TREE, STRING, raw_status,
};
use crate::open::Open;
use crate::pended::Held;
use crate::{buffer, fault, verify, work};
use core::ptr::null_mut;
use lkl_host_ntk::stack;
use lklfs_fsd::Outcome;
use lklfs_fsd::dirctrl::{self, NotifyPlan, Query};
use lklfs_nt::{FileInformationClass, NtStatus};

/// Answers a directory control, or posts a listing when it may not wait.
///
/// IRQL: PASSIVE_LEVEL.
pub fn directory_control(irp: Irp, open: &Open, may_wait: bool) -> NTSTATUS {
    match u32::from(irp.minor()) {
        IRP_MN_QUERY_DIRECTORY => query(irp, open, may_wait),
        IRP_MN_NOTIFY_CHANGE_DIRECTORY => notify(irp, open),
        _ => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
    }
}

fn query(mut irp: Irp, open: &Open, may_wait: bool) -> NTSTATUS {
    let length = irp.query_directory().length;
    if let Err(status) = buffer::lock(&mut irp, length) {
        return irp.fail(status);
    }
    if !may_wait {
        return work::post(irp, &open.volume);
    }
    let flags = irp.stack_flags();
    let parameters = irp.query_directory();
    // The pattern belongs to the IRP, like the buffer; a copy lets both be used at once.
    let mut pattern = alloc::vec::Vec::new();
    if let Some(units) = parameters.pattern {
        if pattern.try_reserve_exact(units.len()).is_err() {
            return irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
        }
        pattern.extend_from_slice(units);
    }
    let (class, index) = (parameters.class, parameters.index);
    let query = Query {
        class: FileInformationClass(class),
        pattern: Some(pattern.as_slice()).filter(|pattern| !pattern.is_empty()),
        restart: flags & SL_RESTART_SCAN != 0,
        single: flags & SL_RETURN_SINGLE_ENTRY != 0,
        index: (flags & SL_INDEX_SPECIFIED != 0).then_some(index),
    };
    let mut list = || match buffer::bytes(&mut irp, length) {
        Ok(out) => {
            let listed = stack::on_large_stack(|| {
                let mut cursors = open.cursors.lock();
                dirctrl::query(
                    &open.volume.vcb,
                    &open.fcb.fcb,
                    &open.ccb,
                    &mut cursors.directory,
                    &query,
                    out,
                )
            });
            listed.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
        }
        Err(status) => status.into(),
    };
    let mut outcome: Outcome = list();
    if verify::again(&open.volume, !nt::succeeded(outcome.status)) {
        outcome = list();
    }
    irp.complete(outcome)
}

fn notify(irp: Irp, open: &Open) -> NTSTATUS {
    match dirctrl::notify(&open.fcb.fcb, &open.ccb) {
        NotifyPlan::Done(outcome) => irp.complete(outcome),
        NotifyPlan::Pend => {
            let filter = irp.notify_filter();
            let watch_tree = irp.stack_flags() & SL_WATCH_TREE != 0;
            let (sync, list) = open.volume.notifications();
            let context = (&raw const *open).cast_mut().cast();
            let held = match Held::new(&irp, open) {
                Ok(held) => held,
                Err(status) => return irp.fail(status),
            };
            // FsRtl matches names only when changes are reported, and nothing ever changes: any name will do.
            let mut name = STRING {
                Length: 0,
                MaximumLength: 0,
                Buffer: null_mut(),
            };
            let raw = irp.hand_over();
            let act = || {
                // SAFETY: all of it lives at least as long as the open, whose cleanup takes the IRP out.
                unsafe {
                    FsRtlNotifyFullChangeDirectory(
                        sync,
                        list,
                        context,
                        &mut name,
                        u8::from(watch_tree),
                        0,
                        filter,
                        raw.as_ptr(),
                        None,
                        null_mut(),
                    )
                }
            };
            // SAFETY: FsRtl marks the IRP pending, keeps it, and completes it at cleanup or cancel. It raises only for
            // lack of memory, before it has taken the IRP.
            let pended = unsafe { fault::guarded(act) };
            match pended {
                Ok(()) => {
                    held.settle();
                    raw_status(NtStatus::PENDING)
                }
                Err(_) => {
                    // SAFETY: FsRtl did not take it.
                    let irp = unsafe { Irp::adopt(raw) };
                    irp.fail(NtStatus::INSUFFICIENT_RESOURCES)
                }
            }
        }
    }
}
