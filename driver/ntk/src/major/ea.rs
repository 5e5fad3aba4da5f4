//! `IRP_MJ_QUERY_EA`.
//
// UNSAFETY: copies the caller's list of names, which may be in user memory.

use crate::buffer;
use crate::irp::Irp;
use crate::object::open::Open;
use crate::workque::request;
use crate::workque::request::{Blocking, Output};
use alloc::vec::Vec;
use lklfs_fsd::Outcome;
use lklfs_fsd::ea::{self, Query};
use lklfs_kernel::fault;
use lklfs_kernel::nt::{NTSTATUS, SL_INDEX_SPECIFIED, SL_RESTART_SCAN, SL_RETURN_SINGLE_ENTRY};
use lklfs_kernel::stack;
use lklfs_nt::NtStatus;

/// The longest list of names that is looked at, bytes: what one request may carry.
const MOST_NAMES: u32 = 64 * 1024;

/// Answers a query of extended attributes.
///
/// IRQL: PASSIVE_LEVEL.
pub fn query(mut irp: Irp, open: &Open, blocking: Blocking) -> NTSTATUS {
    let (length, list, list_length, index) = irp.query_ea();
    if let Err(status) = buffer::lock(&mut irp, length) {
        return irp.fail(status);
    }
    let mut names: Vec<u8> = Vec::new();
    if !list.is_null() && list_length > 0 {
        let wanted = list_length.min(MOST_NAMES) as usize;
        if names.try_reserve_exact(wanted).is_err() {
            return irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
        }
        names.resize(wanted, 0);
        let to = names.as_mut_ptr();
        let act = || {
            // SAFETY: `to` has room for `wanted` bytes.
            unsafe { core::ptr::copy_nonoverlapping(list.cast::<u8>().cast_const(), to, wanted) }
        };
        // SAFETY: the I/O manager captured the list of a user's request; should it fault all the same, that is caught.
        let copied = unsafe { fault::guarded(act) };
        if copied.is_err() {
            return irp.fail(NtStatus::INVALID_USER_BUFFER);
        }
    }
    let flags = irp.stack_flags();
    let asked = Asked {
        names,
        restart: flags & SL_RESTART_SCAN != 0,
        single: flags & SL_RETURN_SINGLE_ENTRY != 0,
        index: (flags & SL_INDEX_SPECIFIED != 0).then_some(index),
    };
    request::ask(
        irp,
        open,
        blocking,
        (length, Output::Locked),
        move |open, room| asked.answer(open, room),
    )
}

/// What a query asks for.
struct Asked {
    names: Vec<u8>,
    restart: bool,
    single: bool,
    index: Option<u32>,
}

impl Asked {
    fn answer(&self, open: &Open, room: &mut [u8]) -> Outcome {
        let query = Query {
            list: Some(self.names.as_slice()).filter(|names| !names.is_empty()),
            restart: self.restart,
            single: self.single,
            index: self.index,
        };
        let answered = stack::on_large_stack(|| {
            let mut cursors = open.cursors.lock();
            ea::query(
                &open.volume.vcb,
                &open.fcb.fcb,
                &open.ccb,
                &mut cursors.ea,
                &query,
                room,
            )
        });
        answered.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
    }
}
