//! `IRP_MJ_DIRECTORY_CONTROL`: listings are made by a worker and copied to the caller's buffer; notifications are pended
//! with FsRtl, which completes them when the handle goes. A listing that was cancelled may have moved the handle's place in
//! the directory.
//
// UNSAFETY: FsRtl's notification list.

use crate::buffer;
use crate::irp::Irp;
use crate::object::open::Open;
use crate::object::pending::Held;
use crate::object::verify;
use crate::workque::request;
use crate::workque::request::{Blocking, Output};
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use lklfs_fsd::Outcome;
use lklfs_fsd::dirctrl::{self, NotifyPlan, Query};
use lklfs_kernel::fault;
use lklfs_kernel::nt::{
    self, FsRtlNotifyFullChangeDirectory, NTSTATUS, SL_INDEX_SPECIFIED, SL_RESTART_SCAN,
    SL_RETURN_SINGLE_ENTRY, SL_WATCH_TREE, STRING, raw_status,
};
use lklfs_kernel::stack;
use lklfs_nt::{FileInformationClass, NtStatus};

/// The name that every notification is pended with. FsRtl keeps the pointer until the handle goes, and matches names only when
/// changes are reported; nothing ever changes, so any name will do.
struct Name(UnsafeCell<STRING>);

// SAFETY: FsRtl only reads it.
unsafe impl Sync for Name {}

static NAME: Name = Name(UnsafeCell::new(STRING {
    Length: 0,
    MaximumLength: 0,
    Buffer: null_mut(),
}));

/// What a listing is asked for.
struct Asked {
    class: u32,
    pattern: Vec<u16>,
    restart: bool,
    single: bool,
    index: Option<u32>,
}

/// Answers QUERY_DIRECTORY.
///
/// IRQL: PASSIVE_LEVEL.
pub fn query(mut irp: Irp, open: &Open, blocking: Blocking) -> NTSTATUS {
    let flags = irp.stack_flags();
    let parameters = irp.query_directory();
    let (class, index, length) = (parameters.class, parameters.index, parameters.length);
    let mut pattern = Vec::new();
    let units = parameters.pattern.unwrap_or_default();
    if pattern.try_reserve_exact(units.len()).is_err() {
        return irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
    }
    pattern.extend_from_slice(units);
    if let Err(status) = buffer::lock(&mut irp, length) {
        return irp.fail(status);
    }
    let asked = Asked {
        class,
        pattern,
        restart: flags & SL_RESTART_SCAN != 0,
        single: flags & SL_RETURN_SINGLE_ENTRY != 0,
        index: (flags & SL_INDEX_SPECIFIED != 0).then_some(index),
    };
    request::ask(
        irp,
        open,
        blocking,
        (length, Output::Locked),
        move |open, room| asked.list(open, room),
    )
}

impl Asked {
    fn list(&self, open: &Open, room: &mut [u8]) -> Outcome {
        let query = Query {
            class: FileInformationClass(self.class),
            pattern: Some(self.pattern.as_slice()).filter(|pattern| !pattern.is_empty()),
            restart: self.restart,
            single: self.single,
            index: self.index,
        };
        let mut list = || {
            let listed = stack::on_large_stack(|| {
                let mut cursors = open.cursors.lock();
                dirctrl::query(
                    &open.volume.vcb,
                    &open.fcb.fcb,
                    &open.ccb,
                    &mut cursors.directory,
                    &query,
                    room,
                )
            });
            listed.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
        };
        let outcome: Outcome = list();
        match verify::again(&open.volume, !nt::succeeded(outcome.status)) {
            Ok(true) => list(),
            Ok(false) => outcome,
            Err(status) => status.into(),
        }
    }
}

/// Pends NOTIFY_CHANGE_DIRECTORY until the handle goes, or until it is cancelled.
///
/// IRQL: PASSIVE_LEVEL.
pub fn notify(irp: Irp, open: &Open) -> NTSTATUS {
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
            let raw = irp.hand_over();
            let act = || {
                // SAFETY: all of it lives at least as long as the open, whose cleanup takes the IRP out.
                unsafe {
                    FsRtlNotifyFullChangeDirectory(
                        sync,
                        list,
                        context,
                        NAME.0.get(),
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
