//! Work that cannot be done where it turns up, because the I/O manager is still busy with the volume there, because the IRQL is
//! too high, or because it would wait under a lock: a thread of the driver's own does it. The unload waits for all of it.
//!
//! Such work may wait for a disk, and so it is none for the system's worker threads, which are few and everybody's. One thread
//! is there from the start; a thread that takes work first sees to it that another one is idle. So what waits for a disk that
//! hangs keeps nothing else waiting, up to [`MOST`] of them; what comes then waits for the first that is done.
//
// UNSAFETY: the threads' entry; a work item that gives back the last reference to a file object.

use crate::state;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};
use lklfs_kernel::nt::{
    _WORK_QUEUE_TYPE, IoAllocateWorkItem, IoFreeWorkItem, IoGetTopLevelIrp, IoQueueWorkItem,
    IoSetTopLevelIrp, KERNEL_MODE, KeDelayExecutionThread, NO, ObfDereferenceObject, PDEVICE_OBJECT,
    PFILE_OBJECT, PIO_WORKITEM, PVOID, large,
};
use lklfs_kernel::stack;
use lklfs_kernel::sync::Semaphore;
use lklfs_kernel::sync::SpinLock;
use lklfs_kernel::thread::Thread;

/// The most threads.
const MOST: usize = 32;
/// 10 ms, relative.
const PAUSE: i64 = -100_000;
/// `FSRTL_FSP_TOP_LEVEL_IRP`: the thread's top-level "IRP" while it is inside this file system without one.
const INSIDE: usize = 1;

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

/// Does `act` as a thread that is inside a file system: a CLOSE that comes meanwhile, in this thread, is finished elsewhere.
pub fn inside<R>(act: impl FnOnce() -> R) -> R {
    // SAFETY: may be called by any thread.
    let outside = unsafe { IoGetTopLevelIrp() }.is_null();
    if outside {
        // SAFETY: this thread's own mark; taken away again below.
        unsafe { IoSetTopLevelIrp(core::ptr::without_provenance_mut(INSIDE)) };
    }
    let result = act();
    if outside {
        // SAFETY: as above.
        unsafe { IoSetTopLevelIrp(null_mut()) };
    }
    result
}

/// Something that is done once.
pub trait Act: Send {
    /// Does it, if it was not done yet.
    fn act(&mut self);
}

/// A closure that is called once.
pub struct Once<F>(Option<F>);

impl<F: FnOnce() + Send> Act for Once<F> {
    fn act(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

/// What is to be done, in a list.
struct Node<A: ?Sized> {
    next: Option<Box<Node<dyn Act>>>,
    what: A,
}

type Task = Box<Node<dyn Act>>;

/// Has a thread do `act`: on a large stack, at PASSIVE_LEVEL; it may block. False for lack of memory: no thread will, and it is
/// dropped here.
///
/// IRQL: <= DISPATCH_LEVEL.
#[must_use]
pub fn queue(act: impl FnOnce() + Send + 'static) -> bool {
    match Room::reserve() {
        Some(room) => {
            room.queue(Once(Some(act)));
            true
        }
        None => false,
    }
}

/// Room for work that is queued later: so that what it is about is not lost when there is none.
pub struct Room<A: Act + 'static>(Box<MaybeUninit<Node<A>>>);

/// Room for a closure.
pub type Later<F> = Room<Once<F>>;

impl<F: FnOnce() + Send + 'static> Room<Once<F>> {
    /// As [`Room::queue`].
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn call(self, act: F) {
        self.queue(Once(Some(act)));
    }
}

impl<A: Act + 'static> Room<A> {
    /// `None` for lack of memory.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn reserve() -> Option<Self> {
        fallible::try_box(MaybeUninit::uninit()).map(Room)
    }

    /// Has a thread do `what`.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn queue(self, what: A) {
        let task: Task = Box::write(self.0, Node { next: None, what });
        TASKS.fetch_add(1, Ordering::AcqRel);
        match state::driver() {
            Some(driver) => driver.later.push(task),
            // Before the end of DriverEntry there is nothing to be done later, and after the unload nothing is left.
            None => {
                drop(task);
                TASKS.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

struct State {
    /// What came last is first here.
    came: Option<Task>,
    /// What is next is first here: as soon as it is empty, all that came is turned round.
    ready: Option<Task>,
    /// Threads that wait and were not woken.
    idle: u32,
    threads: Vec<Thread>,
    /// Threads that are being started; the list has room for them.
    starting: usize,
    stopping: bool,
}

impl State {
    fn pop(&mut self) -> Option<Task> {
        if self.ready.is_none() {
            while let Some(mut task) = self.came.take() {
                self.came = task.next.take();
                task.next = self.ready.take();
                self.ready = Some(task);
            }
        }
        let mut task = self.ready.take()?;
        self.ready = task.next.take();
        Some(task)
    }
}

/// The threads, and what they are to do.
pub struct Threads {
    state: SpinLock<State>,
    wake: Box<Semaphore>,
}

impl Threads {
    /// No thread yet. `None` for lack of memory.
    pub fn new() -> Option<Self> {
        Some(Threads {
            state: SpinLock::new(State {
                came: None,
                ready: None,
                idle: 0,
                threads: Vec::new(),
                starting: 0,
                stopping: false,
            }),
            wake: Semaphore::new(0)?,
        })
    }

    /// Starts one more thread, unless there are enough. Whether there is one more.
    ///
    /// IRQL: PASSIVE_LEVEL.
    ///
    /// # Safety
    /// The threads stay where they are until [`Threads::stop`] has returned.
    pub unsafe fn start_one(&self) -> bool {
        {
            let mut state = self.state.lock();
            let starting = state.starting.saturating_add(1);
            if state.threads.len().saturating_add(starting) > MOST
                || state.threads.try_reserve(starting).is_err()
            {
                return false;
            }
            state.starting = starting;
        }
        let started = Thread::spawn_with(Place(self), serve);
        let mut state = self.state.lock();
        state.starting = state.starting.saturating_sub(1);
        match started {
            Ok(thread) => {
                if state.threads.is_empty() {
                    // It is there as long as any disk is.
                    lklfs_kernel::disk::issue_reads_for(Some(&thread));
                }
                // There is room: see above.
                state.threads.push(thread);
                true
            }
            Err(_) => false,
        }
    }

    /// IRQL: <= DISPATCH_LEVEL.
    fn push(&self, mut task: Task) {
        let wakes = {
            let mut state = self.state.lock();
            task.next = state.came.take();
            state.came = Some(task);
            let wakes = state.idle > 0;
            state.idle = state.idle.saturating_sub(1);
            wakes
        };
        if wakes {
            self.wake.up();
        }
    }

    /// What a thread does next, and whether no other is idle. `None`: it ends.
    fn next(&self) -> Option<(Task, bool)> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(task) = state.pop() {
                    return Some((task, state.idle == 0 && state.starting == 0));
                }
                if state.stopping {
                    return None;
                }
                state.idle = state.idle.saturating_add(1);
            }
            self.wake.down();
        }
    }

    /// Ends all threads. Nothing is queued any more ([`wait_for_all`]).
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn stop(&self) {
        let (idle, threads) = {
            let mut state = self.state.lock();
            state.stopping = true;
            (
                core::mem::take(&mut state.idle),
                core::mem::take(&mut state.threads),
            )
        };
        for _ in 0..idle {
            self.wake.up();
        }
        lklfs_kernel::disk::issue_reads_for(None);
        for thread in threads {
            thread.join();
        }
    }
}

/// Where the threads' list is.
struct Place(*const Threads);

// SAFETY: the list is shared by all threads, and outlives each, as the caller of start_one() promises.
unsafe impl Send for Place {}

fn serve(Place(threads): Place) {
    // SAFETY: start_one() passes the threads, which outlive each of them.
    let threads = unsafe { &*threads };
    while let Some((mut task, alone)) = threads.next() {
        if alone {
            // Without one, what comes meanwhile waits for this.
            // SAFETY: as above.
            let _ = unsafe { threads.start_one() };
        }
        stack::insist(|| task.what.act());
        drop(task);
        // The unload waits for this.
        TASKS.fetch_sub(1, Ordering::AcqRel);
    }
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

/// What a work item lets go of.
struct Release {
    item: PIO_WORKITEM,
    file: PFILE_OBJECT,
}

/// Gives back a reference to a file object of this driver's that may be the last one, with which the driver may be unloaded.
/// The thread that does that must not be in the driver's code then: a work item keeps a device of the driver, and lets go of it
/// after its routine has returned. The CLOSE that may come of it does not wait there ([`inside`]).
///
/// IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// The reference is the caller's.
pub unsafe fn release(file: PFILE_OBJECT) {
    let item = state::driver().map_or(null_mut(), |driver| {
        // SAFETY: a device of ours, which lives as long as the driver.
        unsafe { IoAllocateWorkItem(driver.any_device()) }
    });
    if !item.is_null() {
        if let Some(context) = fallible::try_box(Release { item, file }) {
            let context: PVOID = Box::into_raw(context).cast();
            // SAFETY: the item is ours, and the context is taken back by the callback.
            unsafe { IoQueueWorkItem(item, Some(released), _WORK_QUEUE_TYPE::DelayedWorkQueue, context) };
            return;
        }
        // SAFETY: allocated above, not queued.
        unsafe { IoFreeWorkItem(item) };
    }
    // SAFETY: promised by the caller.
    inside(|| unsafe { ObfDereferenceObject(file.cast()) });
}

unsafe extern "C" fn released(_device: PDEVICE_OBJECT, context: PVOID) {
    // SAFETY: release() made it of a box, and the callback runs once.
    let Release { item, file } = *unsafe { Box::from_raw(context.cast::<Release>()) };
    // SAFETY: the item is not queued any more.
    unsafe { IoFreeWorkItem(item) };
    // SAFETY: the reference was handed over with the item.
    inside(|| unsafe { ObfDereferenceObject(file.cast()) });
}
