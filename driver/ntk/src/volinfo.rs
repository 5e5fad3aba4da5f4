//! `IRP_MJ_QUERY_VOLUME_INFORMATION`.
//
// UNSAFETY: references the file object.

use crate::irp::Irp;
use crate::nt::NTSTATUS;
use crate::open::{FileRef, Open};
use crate::work::Blocking;
use crate::{verify, work};
use lkl_host_ntk::stack;
use lklfs_fsd::{Outcome, volinfo};
use lklfs_nt::{FsInformationClass, NtStatus};

/// Answers a query of the volume into the system buffer, at once if nothing has to be waited for.
///
/// IRQL: PASSIVE_LEVEL.
pub fn query(mut irp: Irp, open: &Open, blocking: Blocking) -> NTSTATUS {
    let (length, class) = irp.query_volume();
    let class = FsInformationClass(class);
    if !volinfo::may_block(class) {
        let outcome = answer(open, class, irp.system_buffer(length));
        return irp.complete(outcome);
    }
    // SAFETY: the file object of an IRP that is ours.
    let file = unsafe { FileRef::new(irp.file_object()) };
    work::run(irp, &open.volume, file, blocking, move |request, scratch| {
        let room = match scratch.zeros(length) {
            Ok(room) => room,
            Err(status) => return request.fail(status),
        };
        let outcome = match request.open() {
            Some(open) => match verify::ensure(&open.volume) {
                Ok(()) => answer(open, class, room),
                Err(status) => status.into(),
            },
            None => NtStatus::INVALID_DEVICE_REQUEST.into(),
        };
        request.answer_buffered(outcome, room)
    })
}

fn answer(open: &Open, class: FsInformationClass, out: &mut [u8]) -> Outcome {
    let answered = stack::on_large_stack(|| volinfo::query(&open.volume.vcb, class, out));
    answered.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
}
