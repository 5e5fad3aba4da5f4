//! The dispatcher: who waits for which object, and who goes on when one is signalled.
//!
//! The state of an object is where NT has it, in its header: type and signal state. Who waits is kept here, by address,
//! under one lock. A wait is satisfied by whoever signals, on the waiter's behalf and in the order of arrival, so an
//! object that is signalled once wakes exactly one thread.
//!
//! A thread of the double waits nowhere else for what another NT thread does.

#![allow(non_snake_case)]

use crate::{ke, nt::*, ps, ps::Thread};
use std::{
    collections::{BTreeMap, VecDeque},
    ffi::c_void,
    ops::Range,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeWaitForSingleObject <= DISPATCH;
        KeWaitForMutexObject = KeWaitForSingleObject, <= DISPATCH;
        KeWaitForMultipleObjects <= DISPATCH;
        KeDelayExecutionThread <= APC;
        ZwYieldExecution <= PASSIVE;
        ZwWaitForSingleObject <= PASSIVE;
    }
}

/// Types of dispatcher objects, as their headers have them.
pub const NOTIFICATION_EVENT: u8 = 0;
/// An event that one waiter consumes.
pub const SYNCHRONIZATION_EVENT: u8 = 1;
/// A mutant.
pub const MUTANT: u8 = 2;
/// A process.
pub const PROCESS: u8 = 3;
/// A semaphore.
pub const SEMAPHORE: u8 = 5;
/// A thread.
pub const THREAD: u8 = 6;
/// A timer that stays signalled.
pub const NOTIFICATION_TIMER: u8 = 8;
/// A timer that one waiter consumes.
pub const SYNCHRONIZATION_TIMER: u8 = 9;

/// What a thread waits for.
#[derive(Default)]
pub(crate) struct Waiting {
    objects: Vec<usize>,
    all: bool,
    result: Option<NTSTATUS>,
}

/// Under the dispatcher's lock: the waiters of each object.
pub(crate) struct Dispatcher {
    waiters: BTreeMap<usize, VecDeque<*const Thread>>,
    /// Waits that have ended.
    ended: u64,
}

// SAFETY: the threads pointed to wait, so they live; they are touched under the lock only.
unsafe impl Send for Dispatcher {}

static DISPATCHER: Mutex<Dispatcher> = Mutex::new(Dispatcher {
    waiters: BTreeMap::new(),
    ended: 0,
});

pub(crate) fn lock() -> MutexGuard<'static, Dispatcher> {
    DISPATCHER.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The type of the object at `header`.
fn type_of(header: usize) -> u8 {
    // SAFETY: the caller was given the address of a dispatcher object; a bad one faults and is reported.
    unsafe { (header as *const u8).read_volatile() }
}

/// The signal state of the object at `header`.
pub(crate) fn state(header: usize) -> i32 {
    // SAFETY: as above.
    unsafe { (*(header as *const DISPATCHER_HEADER)).SignalState }
}

pub(crate) fn set_state(header: usize, value: i32) {
    // SAFETY: as above; under the dispatcher's lock.
    unsafe { (*(header as *mut DISPATCHER_HEADER)).SignalState = value };
}

/// Stops when `header` is not an object of one of the types.
pub(crate) fn expect_type(header: usize, types: &[u8], what: &str) {
    if !header.is_multiple_of(8) {
        crate::fail!(BadObject, "{header:#x} is no {what}: it is not aligned");
    }
    let found = type_of(header);
    if !types.contains(&found) {
        crate::fail!(
            BadObject,
            "{header:#x} is no {what} (type {found:#x}): {}",
            crate::mm::pool::explain(header)
        );
    }
}

/// Every type that can be waited for.
const WAITABLE: &[u8] = &[
    NOTIFICATION_EVENT,
    SYNCHRONIZATION_EVENT,
    MUTANT,
    PROCESS,
    SEMAPHORE,
    THREAD,
    NOTIFICATION_TIMER,
    SYNCHRONIZATION_TIMER,
];

/// Initialises a header: type, size in bytes, signal state.
///
/// # Safety
/// `header` points to writable memory for a header.
pub unsafe fn initialize_header(header: *mut DISPATCHER_HEADER, object_type: u8, size: usize, state: i32) {
    let bytes = header.cast::<u8>();
    // SAFETY: passed on from the caller; type and size are bytes 0 and 2 of the header.
    unsafe {
        header.cast::<u32>().write(0);
        bytes.write(object_type);
        bytes.add(2).write((size / 4).min(255) as u8);
        (*header).SignalState = state;
        let list = &raw mut (*header).WaitListHead;
        (*list).Flink = list;
        (*list).Blink = list;
    }
}

/// Waiters must be gone before an object is initialised anew.
pub(crate) fn forbid_waiters(object: usize, what: &str) {
    if lock().waiters.contains_key(&object) {
        crate::fail!(
            BadObject,
            "{what} {object:#x} is initialised while a thread waits for it"
        );
    }
}

/// The object could be taken by that thread now.
fn is_signalled(object: usize, thread: &Thread) -> bool {
    if type_of(object) == MUTANT {
        return state(object) > 0 || ke::mutex::owner(object) == thread.object() as usize;
    }
    state(object) > 0
}

/// Takes the object: what a satisfied wait changes. Returns the wait status that it adds.
fn take(object: usize, thread: &Thread) -> NTSTATUS {
    match type_of(object) {
        SYNCHRONIZATION_EVENT | SYNCHRONIZATION_TIMER => set_state(object, 0),
        SEMAPHORE => set_state(object, state(object) - 1),
        MUTANT => return ke::mutex::take(object, thread),
        _ => {}
    }
    STATUS_SUCCESS
}

/// Satisfies a wait if it can be.
fn try_satisfy(objects: &[usize], all: bool, thread: &Thread) -> Option<NTSTATUS> {
    if all {
        if !objects.iter().all(|object| is_signalled(*object, thread)) {
            return None;
        }
        let mut status = STATUS_SUCCESS;
        for object in objects {
            status = status.max(take(*object, thread));
        }
        return Some(status);
    }
    let index = objects.iter().position(|object| is_signalled(*object, thread))?;
    let status = take(*objects.get(index)?, thread);
    Some(status + index as i32)
}

impl Dispatcher {
    /// An object became signalled: satisfies its waiters in their order, as far as it goes.
    pub(crate) fn wake(&mut self, object: usize) {
        let Some(queue) = self.waiters.get(&object) else {
            return;
        };
        let threads: Vec<*const Thread> = queue.iter().copied().collect();
        for pointer in threads {
            // SAFETY: a waiting thread lives, and its wait state is under the lock that we hold.
            let (thread, waiting) = unsafe { (&*pointer, &mut *(*pointer).waiting.get()) };
            if waiting.result.is_some() || !waiting.objects.contains(&object) {
                continue;
            }
            if let Some(result) = try_satisfy(&waiting.objects, waiting.all, thread) {
                waiting.result = Some(result);
                self.ended += 1;
                let objects = waiting.objects.clone();
                self.leave(&objects, pointer);
                thread.wake.notify_one();
            }
        }
    }

    fn leave(&mut self, objects: &[usize], thread: *const Thread) {
        for object in objects {
            if let Some(queue) = self.waiters.get_mut(object) {
                queue.retain(|waiter| *waiter != thread);
                if queue.is_empty() {
                    self.waiters.remove(object);
                }
            }
        }
    }
}

/// An object in `range` that a thread waits for.
pub fn waited_on(range: Range<usize>) -> Option<usize> {
    lock().waiters.range(range).next().map(|(object, _)| *object)
}

/// Whether each of these threads waits for something that has not happened, at one and the same moment: then how many waits
/// have ended so far, by which two such moments can be told from one long one.
pub(crate) fn all_wait(threads: &[usize]) -> Option<u64> {
    let dispatcher = lock();
    let waiting: std::collections::BTreeSet<usize> = dispatcher
        .waiters
        .values()
        .flatten()
        .map(|thread| *thread as usize)
        .collect();
    let all = threads.iter().all(|thread| waiting.contains(thread));
    all.then_some(dispatcher.ended)
}

/// Sets the signal state of an object and wakes its waiters. Returns the old state.
pub(crate) fn signal(object: usize, value: i32) -> i32 {
    let mut dispatcher = lock();
    let old = state(object);
    set_state(object, value);
    dispatcher.wake(object);
    old
}

/// A thread ends.
///
/// # Safety
/// `header` is the header of a live thread object.
pub(crate) unsafe fn signal_thread(header: *mut DISPATCHER_HEADER) {
    signal(header as usize, 1);
}

/// Waits for one object, or for any or all of several. `None` as timeout waits for ever.
pub fn wait_for(objects: &[usize], all: bool, timeout: Option<Duration>) -> NTSTATUS {
    let thread = ps::current();
    if thread.irql.get() >= 2 && timeout != Some(Duration::ZERO) {
        crate::fail!(
            WaitAtDispatch,
            "a wait that may block at IRQL {}",
            thread.irql.get()
        );
    }
    for object in objects {
        expect_type(*object, WAITABLE, "dispatcher object");
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut dispatcher = lock();
    if let Some(status) = try_satisfy(objects, all, thread) {
        drop(dispatcher);
        return after_wait(objects, status);
    }
    if timeout == Some(Duration::ZERO) {
        return STATUS_TIMEOUT;
    }
    {
        // SAFETY: the wait state is under the lock that we hold.
        let waiting = unsafe { &mut *thread.waiting.get() };
        *waiting = Waiting {
            objects: objects.to_vec(),
            all,
            result: None,
        };
    }
    for object in objects {
        dispatcher.waiters.entry(*object).or_default().push_back(thread);
    }
    loop {
        dispatcher = match deadline {
            None => thread
                .wake
                .wait(dispatcher)
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let woken = thread.wake.wait_timeout(dispatcher, left);
                woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0
            }
        };
        // SAFETY: the wait state is under the lock that we hold.
        let result = unsafe { (*thread.waiting.get()).result };
        if let Some(status) = result {
            drop(dispatcher);
            return after_wait(objects, status);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            dispatcher.leave(objects, thread);
            return STATUS_TIMEOUT;
        }
    }
}

/// What a thread does for itself when it goes on: a mutex with kernel APCs disabled enters a critical region.
fn after_wait(objects: &[usize], status: NTSTATUS) -> NTSTATUS {
    for object in objects {
        if type_of(*object) == MUTANT {
            ke::mutex::after_wait(*object);
        }
    }
    status
}

/// [`wait_for`] one object.
pub fn wait(object: *mut c_void, _alertable: bool, timeout: Option<Duration>) -> NTSTATUS {
    wait_for(&[object as usize], false, timeout)
}

/// NT's timeout: NULL is for ever, negative is relative, else it is a system time; in 100 ns.
///
/// # Safety
/// `timeout` is NULL or points to a LARGE_INTEGER.
pub unsafe fn duration(timeout: PLARGE_INTEGER) -> Option<Duration> {
    if timeout.is_null() {
        return None;
    }
    // SAFETY: passed on from the caller.
    let value = unsafe { (*timeout).QuadPart };
    let ticks = if value <= 0 {
        value.unsigned_abs()
    } else {
        ke::time::until(value)
    };
    Some(Duration::from_nanos(ticks.saturating_mul(100)))
}

/// Locks that NT takes itself while a thread waits for one of the driver's are none of the driver's mutexes.
fn order(objects: &[usize], may_block: bool) {
    for object in objects {
        if may_block && *object % 8 == 0 && type_of(*object) == MUTANT {
            ke::mutex::before_wait(*object);
        }
    }
}

/// `KeWaitForSingleObject`.
pub unsafe extern "win64" fn KeWaitForSingleObject(
    object: PVOID,
    _reason: i32,
    _mode: i8,
    alertable: BOOLEAN,
    timeout: PLARGE_INTEGER,
) -> NTSTATUS {
    // SAFETY: the driver passes NULL or a LARGE_INTEGER.
    let timeout = unsafe { duration(timeout) };
    order(&[object as usize], timeout != Some(Duration::ZERO));
    wait(object, alertable != 0, timeout)
}

/// Most objects of one wait.
const MAXIMUM_WAIT_OBJECTS: u32 = 64;
/// Objects that fit in the thread itself; more need the driver's wait blocks.
const THREAD_WAIT_OBJECTS: u32 = 3;

unsafe extern "win64" fn KeWaitForMultipleObjects(
    count: ULONG,
    objects: *const PVOID,
    wait_type: i32,
    _reason: i32,
    _mode: i8,
    _alertable: BOOLEAN,
    timeout: PLARGE_INTEGER,
    blocks: PVOID,
) -> NTSTATUS {
    if count == 0 || count > MAXIMUM_WAIT_OBJECTS || (blocks.is_null() && count > THREAD_WAIT_OBJECTS) {
        crate::fail!(
            BadArgument,
            "a wait for {count} objects with wait blocks {blocks:p}"
        );
    }
    // SAFETY: the driver passes `count` pointers, and NULL or a LARGE_INTEGER.
    let (list, timeout) = unsafe {
        (
            std::slice::from_raw_parts(objects, count as usize),
            duration(timeout),
        )
    };
    let list: Vec<usize> = list.iter().map(|object| *object as usize).collect();
    order(&list, timeout != Some(Duration::ZERO));
    wait_for(&list, wait_type == 0, timeout)
}

unsafe extern "win64" fn KeDelayExecutionThread(
    _mode: i8,
    _alertable: BOOLEAN,
    interval: PLARGE_INTEGER,
) -> NTSTATUS {
    // SAFETY: the driver passes a LARGE_INTEGER.
    match unsafe { duration(interval) } {
        None | Some(Duration::ZERO) => std::thread::yield_now(),
        Some(delay) => std::thread::sleep(delay),
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn ZwYieldExecution() -> NTSTATUS {
    std::thread::yield_now();
    STATUS_SUCCESS
}

unsafe extern "win64" fn ZwWaitForSingleObject(
    handle: HANDLE,
    alertable: BOOLEAN,
    timeout: PLARGE_INTEGER,
) -> NTSTATUS {
    let Some(body) = crate::ob::from_handle(handle) else {
        return STATUS_INVALID_HANDLE;
    };
    // SAFETY: the driver passes NULL or a LARGE_INTEGER.
    let status = wait(body, alertable != 0, unsafe { duration(timeout) });
    crate::ob::dereference(body);
    status
}
