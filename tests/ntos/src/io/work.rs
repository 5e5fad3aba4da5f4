//! Work queues: `ExQueueWorkItem` and the I/O manager's work items, run by system worker threads.
//!
//! Worker threads are NT threads at PASSIVE_LEVEL, started on demand, and they look for work in the queue's order. Those that run
//! drivers' items are few, as NT's are, and everybody's: a driver whose items take all of them for long while others wait
//! breaks a rule. What the I/O manager and the cache manager defer themselves has threads of its own here. A routine that returns above PASSIVE_LEVEL, in a critical region or with a
//! top-level IRP set is a failure. `IoQueueWorkItem` references the device until the routine has returned.

use super::kernel;
use crate::nt::*;
use crate::verifier::{fail, fault, ledger as holdings};
use crate::{mm::pool, ob, ps};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most worker threads for the double's own work at a time.
const MAX_WORKERS: usize = 32;
/// Most for drivers' items.
const MAX_DRIVERS: usize = 5;
/// How long an item may wait for a thread.
const PATIENCE: Duration = Duration::from_secs(10);
const TAG: u32 = u32::from_le_bytes(*b"IoWi");

/// Something to run on a worker thread: what it is called, and the act.
struct Job {
    number: u64,
    what: String,
    act: Box<dyn FnOnce() + Send>,
}

struct Queue {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    /// What runs now.
    running: BTreeMap<u64, String>,
}

/// Worker threads and what they are to do.
struct Pool {
    queue: Mutex<Queue>,
    /// Signalled once for each job.
    work: kernel::HostSemaphore,
    most: usize,
}

impl Pool {
    const fn new(most: usize) -> Pool {
        Pool {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                workers: 0,
                idle: 0,
                running: BTreeMap::new(),
            }),
            work: kernel::HostSemaphore::new(),
            most,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on a worker thread. True: all of them are taken.
    fn post(&'static self, number: u64, what: String, act: Box<dyn FnOnce() + Send>) -> bool {
        let (start, full) = {
            let mut queue = self.queue();
            queue.jobs.push_back(Job { number, what, act });
            let short = queue.jobs.len() > queue.idle;
            let start = short && queue.workers < self.most;
            queue.workers += usize::from(start);
            (start, short && !start)
        };
        if start {
            ps::spawn_system("worker", move || self.work());
        }
        self.work.up();
        full
    }

    fn busy(&self) -> usize {
        let queue = self.queue();
        queue.jobs.len() + queue.running.len()
    }

    fn work(&self) {
        loop {
            self.queue().idle += 1;
            self.work.down();
            let job = {
                let mut queue = self.queue();
                queue.idle -= 1;
                let job = queue.jobs.pop_front();
                if let Some(job) = &job {
                    queue.running.insert(job.number, job.what.clone());
                }
                job
            };
            let Some(job) = job else { continue };
            let before = super::thread::State::now();
            (job.act)();
            if let Some(change) = before.change() {
                fail!(IrqlMismatch, "{} returned with {change}", job.what);
            }
            self.queue().running.remove(&job.number);
        }
    }
}

static OWN: Pool = Pool::new(MAX_WORKERS);
static DRIVERS: Pool = Pool::new(MAX_DRIVERS);
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Runs `act` on a worker thread for what the double itself defers.
pub fn post(what: String, act: impl FnOnce() + Send + 'static) {
    OWN.post(NUMBER.fetch_add(1, Ordering::Relaxed), what, Box::new(act));
}

/// Runs a driver's item on one of the system's few worker threads.
fn post_item(what: String, act: impl FnOnce() + Send + 'static) {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    if DRIVERS.post(number, what, Box::new(act)) {
        let look = move || {
            std::thread::sleep(PATIENCE);
            let queue = DRIVERS.queue();
            if let Some(job) = queue.jobs.iter().find(|job| job.number == number) {
                let taken: Vec<&str> = queue.running.values().map(String::as_str).collect();
                fail!(
                    Hang,
                    "{} has waited for a system worker thread for {PATIENCE:?}: all are taken by {}",
                    job.what,
                    taken.join(", ")
                );
            }
        };
        std::thread::Builder::new()
            .name("patience".to_owned())
            .spawn(look)
            .expect("the host has threads");
    }
}

/// Queues an item as another driver would; whether a system worker thread runs it within `limit`.
pub fn another_drivers_item(limit: Duration) -> bool {
    let (tell, told) = std::sync::mpsc::channel();
    post_item("another driver's work item".into(), move || {
        // Nobody may listen any more.
        let _ = tell.send(());
    });
    told.recv_timeout(limit).is_ok()
}

/// Jobs that are queued or running.
pub fn busy() -> usize {
    OWN.busy() + DRIVERS.busy()
}

/// Waits until nothing is queued or running. Not for worker threads.
pub fn drain() {
    while busy() != 0 {
        std::thread::sleep(Duration::from_micros(200));
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
        let what = format!("the work item of {}", crate::loader::describe(routine));
        post_item(what, move || {
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
        let what = format!("the work item of {}", crate::loader::describe(routine));
        post_item(what, move || {
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
