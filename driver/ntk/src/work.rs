//! Posting: an IRP that may have to wait, from a caller who may not, goes on in a system worker thread.
//
// UNSAFETY: work items and their callback.

use crate::dispatch;
use crate::irp::Irp;
use crate::nt::{
    _WORK_QUEUE_TYPE, IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem, NTSTATUS, PDEVICE_OBJECT,
    PIO_WORKITEM, PVOID, raw_status,
};
use alloc::boxed::Box;
use lklfs_nt::NtStatus;

struct Posted {
    irp: Irp,
    item: PIO_WORKITEM,
}

/// Queues the IRP for a worker thread, where [`dispatch::route`] runs with leave to wait. Buffers that only the
/// caller's address space shows must be locked before.
///
/// IRQL: <= DISPATCH_LEVEL. Returns what the dispatch routine returns.
pub fn post(irp: Irp) -> NTSTATUS {
    let device = irp.device();
    // SAFETY: the IRP was sent to this device of ours.
    let item = unsafe { IoAllocateWorkItem(device) };
    if item.is_null() {
        return irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
    }
    irp.mark_pending();
    let Some(posted) = lkl::try_box(Posted { irp, item }) else {
        // The IRP went with the box and is complete; it was marked, so the answer is still PENDING.
        // SAFETY: allocated above, not queued.
        unsafe { IoFreeWorkItem(item) };
        return raw_status(NtStatus::PENDING);
    };
    let context: PVOID = Box::into_raw(posted).cast();
    // SAFETY: the item is ours, and the context is taken back by the callback.
    unsafe { IoQueueWorkItem(item, Some(perform), _WORK_QUEUE_TYPE::CriticalWorkQueue, context) };
    raw_status(NtStatus::PENDING)
}

unsafe extern "C" fn perform(_device: PDEVICE_OBJECT, context: PVOID) {
    // SAFETY: post() made it of a box, and the callback runs once.
    let posted = unsafe { Box::from_raw(context.cast::<Posted>()) };
    let Posted { irp, item } = *posted;
    let _ = dispatch::inside_file_system(irp, |irp| dispatch::route(irp, true));
    // SAFETY: the item is not queued any more.
    unsafe { IoFreeWorkItem(item) };
}
