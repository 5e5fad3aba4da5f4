//! Work queues: `ExQueueWorkItem` and the I/O manager's work items, run by system worker threads.
//!
//! Worker threads are NT threads at PASSIVE_LEVEL. There are a few of them, started on demand, and they look
//! for work in the queue's order; a routine that returns above PASSIVE_LEVEL, in a critical region or with a
//! top-level IRP set is a failure. `IoQueueWorkItem` references the device until the routine has returned.

use super::kernel;
use crate::nt::*;
use crate::verifier::{fail, fault, ledger as holdings};
use crate::{mm::pool, ob, ps};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Most worker threads at a time.
const MAX_WORKERS: usize = 32;
const TAG: u32 = u32::from_le_bytes(*b"IoWi");

/// Something to run on a worker thread: what it is called, and the act.
struct Job {
    what: String,
    act: Box<dyn FnOnce() + Send>,
}

struct Queue {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    running: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    jobs: VecDeque::new(),
    workers: 0,
    idle: 0,
    running: 0,
});
/// Signalled once for each job.
static WORK: kernel::HostSemaphore = kernel::HostSemaphore::new();

fn queue() -> std::sync::MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `act` on a worker thread.
pub fn post(what: String, act: impl FnOnce() + Send + 'static) {
    let start = {
        let mut queue = queue();
        queue.jobs.push_back(Job {
            what,
            act: Box::new(act),
        });
        let start = queue.jobs.len() > queue.idle && queue.workers < MAX_WORKERS;
        queue.workers += usize::from(start);
        start
    };
    if start {
        ps::spawn_system("worker", work);
    }
    WORK.up();
}

/// Jobs that are queued or running.
pub fn busy() -> usize {
    let queue = queue();
    queue.jobs.len() + queue.running
}

/// Waits until nothing is queued or running. Not for worker threads.
pub fn drain() {
    while busy() != 0 {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

fn work() {
    loop {
        queue().idle += 1;
        WORK.down();
        let job = {
            let mut queue = queue();
            queue.idle -= 1;
            let job = queue.jobs.pop_front();
            queue.running += usize::from(job.is_some());
            job
        };
        let Some(job) = job else { continue };
        let before = super::thread::State::now();
        (job.act)();
        if let Some(change) = before.change() {
            fail!(IrqlMismatch, "{} returned with {change}", job.what);
        }
        queue().running -= 1;
    }
}

/// `ExQueueWorkItem`.
pub unsafe extern "win64" fn ExQueueWorkItem(item: PWORK_QUEUE_ITEM, _queue: WORK_QUEUE_TYPE) {
    // SAFETY: the driver keeps the item until its routine is called, and the routine may free it.
    unsafe {
        if !(*item).List.Flink.is_null() {
            fail!(
                BadArgument,
                "ExQueueWorkItem on {item:p}, which is queued already or was not initialised"
            );
        }
        let (routine, parameter) = ((*item).WorkerRoutine, (*item).Parameter as usize);
        let Some(routine) = routine else {
            fail!(BadArgument, "ExQueueWorkItem without a routine")
        };
        (*item).List.Flink = (&raw mut (*item).List).cast();
        let (item, routine) = (item as usize, routine as usize);
        holdings::add(holdings::Kind::WorkItem, item, "ExQueueWorkItem");
        post(format!("work item {item:#x}"), move || {
            holdings::remove(holdings::Kind::WorkItem, item);
            (*(item as PWORK_QUEUE_ITEM)).List.Flink = std::ptr::null_mut();
            kernel::call(routine as *const (), [parameter]);
        });
    }
}

/// What an `IO_WORKITEM` is here.
#[repr(C)]
struct WorkItem {
    /// The device or driver object.
    object: usize,
    queued: std::sync::atomic::AtomicBool,
}

/// `IoAllocateWorkItem`.
pub unsafe extern "win64" fn IoAllocateWorkItem(device: PDEVICE_OBJECT) -> PIO_WORKITEM {
    if fault::should_fail(fault::Site::WorkItem) {
        return std::ptr::null_mut();
    }
    let item: *mut WorkItem = kernel::take(std::mem::size_of::<WorkItem>(), TAG).cast();
    if !item.is_null() {
        // SAFETY: the block is new and of this size.
        unsafe {
            item.write(WorkItem {
                object: device as usize,
                queued: false.into(),
            })
        };
        holdings::add(holdings::Kind::WorkItem, item as usize, "IoAllocateWorkItem");
    }
    item.cast()
}

/// `IoFreeWorkItem`.
pub unsafe extern "win64" fn IoFreeWorkItem(item: PIO_WORKITEM) {
    let item: *mut WorkItem = item.cast();
    if !holdings::remove(holdings::Kind::WorkItem, item as usize) {
        fail!(
            BadFree,
            "IoFreeWorkItem of {item:p}, which IoAllocateWorkItem did not make"
        );
    }
    // SAFETY: the ledger knew it, so it is a live item.
    unsafe {
        if (*item).queued.load(std::sync::atomic::Ordering::Acquire) {
            fail!(FreedInUse, "IoFreeWorkItem of {item:p} while it is queued");
        }
        pool::free(item.cast(), TAG);
    }
}

/// Queues `item` to call its routine, with the item itself as last argument when `extended`.
unsafe fn queue_item(item: PIO_WORKITEM, routine: *const (), context: PVOID, extended: bool) {
    let item: *mut WorkItem = item.cast();
    // SAFETY: the driver keeps the item until its routine runs.
    unsafe {
        if (*item).queued.swap(true, std::sync::atomic::Ordering::AcqRel) {
            fail!(
                BadArgument,
                "IoQueueWorkItem on {item:p}, which is queued already"
            );
        }
        let object = (*item).object;
        ob::reference(object as *mut std::ffi::c_void);
        let (item, routine, context) = (item as usize, routine as usize, context as usize);
        post(format!("I/O work item {item:#x}"), move || {
            (*(item as *mut WorkItem))
                .queued
                .store(false, std::sync::atomic::Ordering::Release);
            if extended {
                kernel::call(routine as *const (), [object, context, item]);
            } else {
                kernel::call(routine as *const (), [object, context]);
            }
            ob::dereference(object as *mut std::ffi::c_void);
        });
    }
}

/// `IoQueueWorkItem`.
pub unsafe extern "win64" fn IoQueueWorkItem(
    item: PIO_WORKITEM,
    routine: PVOID,
    _queue: WORK_QUEUE_TYPE,
    context: PVOID,
) {
    // SAFETY: the driver's contract is ours.
    unsafe { queue_item(item, routine as *const (), context, false) }
}

/// `IoQueueWorkItemEx`.
pub unsafe extern "win64" fn IoQueueWorkItemEx(
    item: PIO_WORKITEM,
    routine: PVOID,
    _queue: WORK_QUEUE_TYPE,
    context: PVOID,
) {
    // SAFETY: the driver's contract is ours.
    unsafe { queue_item(item, routine as *const (), context, true) }
}

crate::table! {
    /// Work queues.
    pub static IMPORTS = {
        ExQueueWorkItem <= DISPATCH;
        IoAllocateWorkItem <= DISPATCH;
        IoFreeWorkItem <= DISPATCH;
        IoQueueWorkItem <= DISPATCH;
        IoQueueWorkItemEx <= DISPATCH since Nt60;
    }
}
