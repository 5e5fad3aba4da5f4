//! `IRP_MJ_QUERY_VOLUME_INFORMATION`.

use crate::irp::Irp;
use crate::nt::NTSTATUS;
use crate::open::Open;
use lkl_host_ntk::stack;
use lklfs_fsd::{Outcome, volinfo};
use lklfs_nt::{FsInformationClass, NtStatus};

/// Answers a query of the volume into the system buffer.
///
/// IRQL: PASSIVE_LEVEL; may block.
pub fn query(mut irp: Irp, open: &Open) -> NTSTATUS {
    let (length, class) = irp.query_volume();
    let out = irp.system_buffer(length);
    let answered = stack::on_large_stack(|| volinfo::query(&open.volume.vcb, FsInformationClass(class), out));
    let outcome: Outcome = answered.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into());
    irp.complete(outcome)
}
