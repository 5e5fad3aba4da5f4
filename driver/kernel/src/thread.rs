//! System threads of the driver's own, each joined through its thread object, and what may be known of threads.
//!
//! [`Thread::spawn`] creates a thread and waits for its word that it runs (and, for [`Thread::spawn_on_large_stack`], that the
//! larger stack is there: if it is not, the creation fails). A thread ends by returning from its work.
//
// UNSAFETY: creates and references NT threads, and hands work over by a pointer to the creator's stack.

use crate::nt::{
    HANDLE, IoSetDeviceToVerify, IoSetThreadHardErrorMode, KeQueryRuntimeThread, KeQueryTimeIncrement,
    KeSetPriorityThread, NO, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, ObfDereferenceObject, ObfReferenceObject,
    PETHREAD, PVOID, PsCreateSystemThread, PsGetCurrentThread, PsGetCurrentThreadId,
    PsLookupThreadByThreadId, PsTerminateSystemThread, THREAD_ALL_ACCESS, ZwClose,
};
use crate::stack;
use crate::sync::{self, Event};
use core::cell::Cell;
use core::ptr::null_mut;

/// A thread that is to be joined.
#[derive(Debug)]
pub struct Thread {
    /// A referenced thread object.
    object: PVOID,
}

// SAFETY: a reference to a thread object may be used and given back by any thread.
unsafe impl Send for Thread {}

/// What the creator and the new thread share until the thread runs.
struct Start<T> {
    argument: Cell<Option<T>>,
    act: fn(T),
    large_stack: bool,
    answered: Event,
    /// The thread's object, with a reference for the creator. Set before the answer.
    object: Cell<PVOID>,
}

impl Thread {
    /// Starts a thread that does `work`, on the stack that every thread of the kernel has. `None` when there is no thread to
    /// be had; then `work` is dropped.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn spawn<F: FnOnce() + Send + 'static>(work: F) -> Option<Thread> {
        Self::spawn_with(work, |work| work()).ok()
    }

    /// As [`Thread::spawn`], with the stack that [`stack::on_large_stack`] gives; `None` too when there is none.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn spawn_on_large_stack<F: FnOnce() + Send + 'static>(work: F) -> Option<Thread> {
        Self::start(work, |work| work(), true).ok()
    }

    /// Starts a thread that calls `act` with `argument`, which comes back when there is no thread to be had.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn spawn_with<T: Send + 'static>(argument: T, act: fn(T)) -> Result<Thread, T> {
        Self::start(argument, act, false)
    }

    fn start<T: Send + 'static>(argument: T, act: fn(T), large_stack: bool) -> Result<Thread, T> {
        let mut start = Start {
            argument: Cell::new(Some(argument)),
            act,
            large_stack,
            answered: Event::uninit(),
            object: Cell::new(null_mut()),
        };
        start.answered.init();
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            Attributes: OBJ_KERNEL_HANDLE,
            ..Default::default()
        };
        let mut handle: HANDLE = null_mut();
        // SAFETY: all pointers are valid; `start` stays until the thread has answered.
        let status = unsafe {
            PsCreateSystemThread(
                &mut handle,
                THREAD_ALL_ACCESS,
                &mut attributes,
                null_mut(),
                null_mut(),
                Some(thread_start::<T>),
                (&raw mut start).cast(),
            )
        };
        if status >= 0 {
            // SAFETY: the handle is ours and not used again.
            let _ = unsafe { ZwClose(handle) };
            start.answered.wait();
        }
        let object = start.object.get();
        match start.argument.take() {
            // The thread has it, and has told its object before.
            None => Ok(Thread { object }),
            // There was no thread, or no stack for it.
            Some(argument) => {
                if !object.is_null() {
                    Thread { object }.join();
                }
                Err(argument)
            }
        }
    }

    /// Waits until it has ended.
    ///
    /// IRQL: <= APC_LEVEL; blocks.
    pub fn join(self) {
        // SAFETY: a referenced thread object is a dispatcher object.
        unsafe { sync::wait(self.object) };
    }

    /// The thread object. It lives as long as this.
    pub fn as_ptr(&self) -> PVOID {
        self.object
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: the reference was taken by thread_start() for start().
        unsafe { ObfDereferenceObject(self.object) };
    }
}

unsafe extern "C" fn thread_start<T: Send + 'static>(context: PVOID) {
    // The driver's own threads expect errors, and no user is to be asked about them.
    // SAFETY: may be called anywhere; the mode is this thread's own.
    let _ = unsafe { IoSetThreadHardErrorMode(NO) };
    // SAFETY: start() passes its Start and waits until `answered` is set, after which it is not touched here.
    let start = unsafe { &*context.cast::<Start<T>>() };
    let this = current();
    // SAFETY: the calling thread is there. The reference is the creator's.
    unsafe { ObfReferenceObject(this) };
    start.object.set(this);
    let body = || {
        let argument = start.argument.take();
        let act = start.act;
        start.answered.set();
        if let Some(argument) = argument {
            act(argument);
        }
    };
    let ran = if start.large_stack {
        stack::on_large_stack(body)
    } else {
        body();
        Ok(())
    };
    if ran.is_err() {
        // The closure did not run, so the creator still waits, and has the argument.
        start.answered.set();
    }
    // SAFETY: this is a system thread, outside of the callout, and owns nothing.
    let _ = unsafe { PsTerminateSystemThread(0) };
}

/// The number of the calling thread. Any IRQL.
pub fn name() -> u64 {
    // SAFETY: may be called anywhere.
    unsafe { PsGetCurrentThreadId() }.addr() as u64
}

/// The object of the calling thread, for comparisons. Any IRQL.
pub fn current() -> PVOID {
    // SAFETY: may be called anywhere.
    unsafe { PsGetCurrentThread() }
}

/// What the thread of that number has run, in ticks of the kernel's clock (KeQueryRuntimeThread) as nanoseconds. `None`
/// when it is gone.
///
/// IRQL: PASSIVE_LEVEL.
pub fn ran_ns(number: u64) -> Option<u64> {
    let number: HANDLE = core::ptr::without_provenance_mut(number as usize);
    let mut thread = core::ptr::null_mut();
    // SAFETY: there is room for the pointer, which comes with a reference.
    if unsafe { PsLookupThreadByThreadId(number, &mut thread) } < 0 {
        return None;
    }
    let mut user = 0;
    // SAFETY: a referenced thread, and room for the number.
    let kernel = unsafe { KeQueryRuntimeThread(thread.cast(), &mut user) };
    // SAFETY: the reference is given back once.
    unsafe { ObfDereferenceObject(thread.cast()) };
    // SAFETY: may be called anywhere. A tick's length in 100 ns.
    let tick = u64::from(unsafe { KeQueryTimeIncrement() }).saturating_mul(100);
    Some(
        u64::from(kernel)
            .saturating_add(u64::from(user))
            .saturating_mul(tick),
    )
}

/// `LOW_REALTIME_PRIORITY`: above what threads get unless they ask for more.
const URGENT: i32 = 16;

/// The calling thread runs before threads that are in a loop.
///
/// IRQL: PASSIVE_LEVEL.
pub fn be_urgent() {
    // SAFETY: the calling thread.
    unsafe { KeSetPriorityThread(current().cast(), URGENT) };
}

/// Takes back what a device below may have noted in the thread of a request that failed: that it is to be verified. Which
/// device that is does not matter here: a volume is verified on its own device ([`crate::disk::DeviceReader::is_doubted`]). Left there,
/// the next file system that the thread comes to would find it.
///
/// # Safety
/// `thread` is null or a thread that is there.
pub unsafe fn forget_device(thread: PETHREAD) {
    if !thread.is_null() {
        // SAFETY: promised by the caller.
        unsafe { IoSetDeviceToVerify(thread, null_mut()) };
    }
}
