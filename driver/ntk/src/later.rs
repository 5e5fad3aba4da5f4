//! Work that cannot be done where it turns up, because the I/O manager is still busy with the volume there: a worker thread
//! does it. The unload waits for all of it.
//
// UNSAFETY: work items and their callback.

use crate::entry;
use crate::nt::{
    _WORK_QUEUE_TYPE, IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem, KERNEL_MODE,
    KeDelayExecutionThread, NO, PDEVICE_OBJECT, PIO_WORKITEM, PVOID, large,
};
use alloc::boxed::Box;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};
use lkl_host_ntk::stack;

/// 10 ms, relative.
const PAUSE: i64 = -100_000;

struct Task {
    item: PIO_WORKITEM,
    act: Box<dyn FnOnce() + Send>,
}

/// Tasks that are queued or under way.
static TASKS: AtomicU32 = AtomicU32::new(0);

/// Waits for a moment (10 ms).
///
/// IRQL: PASSIVE_LEVEL.
pub fn pause() {
    let mut interval = large(PAUSE);
    // SAFETY: kernel mode, not alertable; the interval is readable.
    let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &mut interval) };
}

/// Has a worker thread do `act`: on a large stack, at PASSIVE_LEVEL; it may block. False for lack of memory: nobody will,
/// and it is dropped here.
///
/// IRQL: <= DISPATCH_LEVEL.
#[must_use]
pub fn queue(act: impl FnOnce() + Send + 'static) -> bool {
    match Later::reserve() {
        Some(later) => {
            later.queue(act);
            true
        }
        None => false,
    }
}

/// Room for work that is queued later: so that what it is about is not lost when there is none.
pub struct Later<F> {
    item: PIO_WORKITEM,
    act: Box<MaybeUninit<F>>,
    task: Box<MaybeUninit<Task>>,
}

impl<F: FnOnce() + Send + 'static> Later<F> {
    /// `None` for lack of memory.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn reserve() -> Option<Self> {
        let driver = entry::driver()?;
        let act = lkl::try_box(MaybeUninit::uninit())?;
        let task = lkl::try_box(MaybeUninit::uninit())?;
        // SAFETY: a device of ours, which lives as long as the driver.
        let item = unsafe { IoAllocateWorkItem(driver.any_device()) };
        (!item.is_null()).then_some(Later { item, act, task })
    }

    /// As [`queue`].
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn queue(self, act: F) {
        let Later {
            item,
            act: place,
            task,
        } = self;
        let act = Box::write(place, act);
        let task = Box::write(task, Task { item, act });
        TASKS.fetch_add(1, Ordering::AcqRel);
        let context: PVOID = Box::into_raw(task).cast();
        // SAFETY: the item is ours, and the context is taken back by the callback.
        unsafe { IoQueueWorkItem(item, Some(perform), _WORK_QUEUE_TYPE::DelayedWorkQueue, context) };
    }
}

unsafe extern "C" fn perform(_device: PDEVICE_OBJECT, context: PVOID) {
    // SAFETY: queue() made it of a box, and the callback runs once.
    let Task { item, act } = *unsafe { Box::from_raw(context.cast::<Task>()) };
    let mut act = Some(act);
    // Without a larger stack this cannot be done: so it tries until there is one.
    while act.is_some() {
        let _ = stack::on_large_stack(|| {
            if let Some(act) = act.take() {
                act();
            }
        });
    }
    // SAFETY: the item is not queued any more.
    unsafe { IoFreeWorkItem(item) };
    // The unload waits for this; nothing of the driver's state is used afterwards.
    TASKS.fetch_sub(1, Ordering::AcqRel);
}

/// Whether nothing is queued or under way. Any IRQL.
pub fn is_idle() -> bool {
    TASKS.load(Ordering::Acquire) == 0
}

/// Waits until all is done.
///
/// IRQL: PASSIVE_LEVEL; blocks.
pub fn wait_for_all() {
    while TASKS.load(Ordering::Acquire) != 0 {
        pause();
    }
}
