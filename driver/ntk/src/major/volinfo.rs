//! `IRP_MJ_QUERY_VOLUME_INFORMATION`.

use crate::irp::Irp;
use crate::object::open::Open;
use crate::workque::request::{self, Blocking, Output};
use lklfs_fsd::{Outcome, volinfo};
use lklfs_kernel::nt::NTSTATUS;
use lklfs_kernel::stack;
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
    request::ask(
        irp,
        open,
        blocking,
        (length, Output::Buffered),
        move |open, room| answer(open, class, room),
    )
}

fn answer(open: &Open, class: FsInformationClass, out: &mut [u8]) -> Outcome {
    let answered = stack::on_large_stack(|| volinfo::query(&open.volume.vcb, class, out));
    answered.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into())
}
