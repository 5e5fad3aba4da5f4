//! `IRP_MJ_QUERY_INFORMATION` and `IRP_MJ_SET_INFORMATION`.
//
// UNSAFETY: the file object's position and flags.

use crate::irp::Irp;
use crate::object::open::Open;
use crate::workque::request::{self, Blocking, Output};
use lklfs_fsd::fileinfo::{self, FileObjectState, SetPlan};
use lklfs_fsd::{Outcome, known};
use lklfs_kernel::nt::{self, FILE_OBJECT, NTSTATUS, large};
use lklfs_kernel::stack;
use lklfs_nt::{CreateOptions, FileInformationClass, NtStatus};

/// What the file object knows beside the open: its position, and its flags as the create options that they came from.
fn state_of(file: &FILE_OBJECT) -> FileObjectState {
    let mut mode = CreateOptions::empty();
    for (flag, option) in [
        (nt::FO_WRITE_THROUGH, CreateOptions::FILE_WRITE_THROUGH),
        (nt::FO_SEQUENTIAL_ONLY, CreateOptions::FILE_SEQUENTIAL_ONLY),
        (
            nt::FO_NO_INTERMEDIATE_BUFFERING,
            CreateOptions::FILE_NO_INTERMEDIATE_BUFFERING,
        ),
    ] {
        if file.Flags & flag != 0 {
            mode |= option;
        }
    }
    if file.Flags & nt::FO_SYNCHRONOUS_IO != 0 {
        mode |= if file.Flags & nt::FO_ALERTABLE_IO != 0 {
            CreateOptions::FILE_SYNCHRONOUS_IO_ALERT
        } else {
            CreateOptions::FILE_SYNCHRONOUS_IO_NONALERT
        };
    }
    FileObjectState {
        position: nt::quad(&file.CurrentByteOffset),
        mode: mode.0,
    }
}

/// Answers a query into the system buffer, at once if nothing has to be waited for.
///
/// IRQL: PASSIVE_LEVEL.
pub fn query(mut irp: Irp, open: &Open, blocking: Blocking) -> NTSTATUS {
    let (length, class) = irp.query_file();
    let class = FileInformationClass(class);
    let state = irp.file().map(state_of).unwrap_or_default();
    if !fileinfo::may_block(&open.fcb.fcb, class) {
        let outcome = answer(open, state, class, irp.system_buffer(length));
        return irp.complete(outcome);
    }
    request::ask(
        irp,
        open,
        blocking,
        (length, Output::Buffered),
        move |open, room| answer(open, state, class, room),
    )
}

fn answer(open: &Open, state: FileObjectState, class: FileInformationClass, out: &mut [u8]) -> Outcome {
    let (vcb, fcb, ccb) = (&open.volume.vcb, &open.fcb.fcb, &open.ccb);
    let answered = stack::on_large_stack(|| fileinfo::query(vcb, fcb, ccb, state, class, out));
    let outcome: Outcome = answered.unwrap_or_else(|stack::NoStack| NtStatus::INSUFFICIENT_RESOURCES.into());
    if outcome.information > 0 && known::tells_id(class) {
        open.volume.known.lock().remember(vcb, fcb, ccb);
    }
    outcome
}

/// Sets the position, or refuses.
pub fn set(mut irp: Irp, open: &Open) -> NTSTATUS {
    let (length, class) = irp.query_file();
    let file = irp.file_object();
    let input = irp.system_buffer(length);
    let plan = fileinfo::set(
        &open.volume.vcb,
        &open.fcb.fcb,
        &open.ccb,
        FileInformationClass(class),
        input,
    );
    match plan {
        SetPlan::Position(position) => {
            // SAFETY: the IRP keeps the file object; the I/O manager serialises changes of the position.
            unsafe { (*file).CurrentByteOffset = large(position) };
            irp.complete(Outcome::success(0))
        }
        SetPlan::Done(outcome) => irp.complete(outcome),
    }
}
