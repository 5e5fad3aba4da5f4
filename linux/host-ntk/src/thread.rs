//! Linux's threads: system threads of NT, each on an expanded stack, each joined through its thread object.
//!
//! The life of one: [`Thread::spawn`] creates it and waits for its word that the larger stack is there (or that it
//! is not, then the creation fails); the thread links a [`Record`] that lies on its own stack into the list of
//! running threads and runs Linux's entry function; [`exit`] finds the record by the current thread and jumps back
//! to it; the callout returns, the thread takes its record out and terminates itself.
//!
//! [`Thread::spawn_small`] is for threads that are not Linux's and expand their stack themselves when they call it.
//
// UNSAFETY: creates and references NT threads, keeps a list of records that lie on other threads' stacks.

use crate::nt::{
    HANDLE, IoSetThreadHardErrorMode, KERNEL_MODE, KeDelayExecutionThread, KeQueryRuntimeThread,
    KeQueryTimeIncrement, KeSetPriorityThread, NO, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES,
    ObReferenceObjectByHandle, ObfDereferenceObject, PVOID, PsCreateSystemThread, PsGetCurrentThread,
    PsGetCurrentThreadId, PsLookupThreadByThreadId, PsTerminateSystemThread, THREAD_ALL_ACCESS, ZwClose,
    large,
};
use crate::stack::{self, Base};
use crate::sync::{self, Event, SpinLock};
use alloc::boxed::Box;
use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use lkl::ThreadBody;

/// A thread that is to be joined.
#[derive(Debug)]
pub struct Thread {
    /// A referenced thread object.
    object: NonNull<core::ffi::c_void>,
}

// SAFETY: a reference to a thread object may be used and given back by any thread.
unsafe impl Send for Thread {}

/// One running thread of Linux; lies on that thread's stack.
struct Record {
    thread: PVOID,
    base: Base,
    next: *mut Record,
}

struct Records(*mut Record);

// SAFETY: the records are only reached under the lock, and each unlinks itself before its stack goes.
unsafe impl Send for Records {}

/// The thread that reads of disks are sent for (see [`Thread::issue_reads`]); null for none.
static ISSUER: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(null_mut());

static RUNNING: SpinLock<Records> = SpinLock::new(Records(core::ptr::null_mut()));

/// What the creator and the new thread share until the thread has its stack.
struct Start {
    body: Cell<Option<ThreadBody>>,
    answered: Event,
    running: Cell<bool>,
    large_stack: bool,
}

impl Thread {
    /// Starts a thread that runs `body`. `None` when there is no thread or no stack to be had.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn spawn(body: ThreadBody) -> Option<Box<Thread>> {
        Self::spawn_on(body, true)
    }

    /// As [`Thread::spawn`], on the stack that every thread of the kernel has: `body` ends by returning.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn spawn_small(body: ThreadBody) -> Option<Box<Thread>> {
        Self::spawn_on(body, false)
    }

    /// From now on reads of disks are sent in the name of this thread (`Tail.Overlay.Thread` of their IRPs), whichever
    /// thread sends them. A device below that cannot go on notes itself in the IRP's thread
    /// (IoSetHardErrorOrVerifyDevice) when the read ends: which may be after the sender's end, and would make the sender
    /// take our device for one that it is to verify. `None` ends it: no read is under way then.
    pub fn issue_reads(thread: Option<&Thread>) {
        let object = thread.map_or(null_mut(), |thread| thread.object.as_ptr());
        ISSUER.store(object, Ordering::Release);
    }

    fn spawn_on(body: ThreadBody, large_stack: bool) -> Option<Box<Thread>> {
        // Room for the result first: a thread that runs must not be reported as none.
        let place = lkl::try_box(MaybeUninit::<Thread>::uninit())?;
        let start = Start {
            body: Cell::new(Some(body)),
            answered: Event::uninit(),
            running: Cell::new(false),
            large_stack,
        };
        start.answered.init();
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            Attributes: OBJ_KERNEL_HANDLE,
            ..Default::default()
        };
        let mut handle: HANDLE = core::ptr::null_mut();
        // SAFETY: all pointers are valid; `start` stays until the thread has answered.
        let status = unsafe {
            PsCreateSystemThread(
                &mut handle,
                THREAD_ALL_ACCESS,
                &mut attributes,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                Some(thread_start),
                (&raw const start).cast_mut().cast(),
            )
        };
        if status < 0 {
            return None;
        }
        let mut object: PVOID = core::ptr::null_mut();
        // SAFETY: the handle is ours; a null type means "whatever it is", which a kernel-mode caller may say.
        let status = unsafe {
            ObReferenceObjectByHandle(
                handle,
                THREAD_ALL_ACCESS,
                core::ptr::null_mut(),
                KERNEL_MODE,
                &mut object,
                core::ptr::null_mut(),
            )
        };
        // SAFETY: the handle is ours and not used again.
        let _ = unsafe { ZwClose(handle) };
        start.answered.wait();
        // A fresh handle of our own cannot fail to resolve; if it did, the thread would run unjoined.
        let object = if status < 0 { None } else { NonNull::new(object) };
        let thread = Thread { object: object? };
        if !start.running.get() {
            thread.wait_for_end();
            return None;
        }
        Some(Box::write(place, thread))
    }

    fn wait_for_end(&self) {
        // SAFETY: a referenced thread object is a dispatcher object.
        unsafe { sync::wait(self.object.as_ptr()) };
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: the reference was taken by spawn().
        unsafe { ObfDereferenceObject(self.object.as_ptr()) };
    }
}

impl lkl::Thread for Thread {
    fn join(self: Box<Self>) {
        self.wait_for_end();
    }
}

/// The thread object that reads of disks are sent for; null for none. Any IRQL.
pub fn issuer() -> PVOID {
    ISSUER.load(Ordering::Acquire)
}

unsafe extern "C" fn thread_start(context: PVOID) {
    // The driver's own threads expect errors, and no user is to be asked about them.
    // SAFETY: may be called anywhere; the mode is this thread's own.
    let _ = unsafe { IoSetThreadHardErrorMode(NO) };
    // SAFETY: spawn() passes its Start and waits until `answered` is set, after which it is not touched here.
    let start = unsafe { &*context.cast::<Start>() };
    let body = start.body.take();
    let large_stack = start.large_stack;
    let act = || {
        start.running.set(true);
        start.answered.set();
        run(body);
    };
    let ran = if large_stack {
        stack::on_large_stack(act)
    } else {
        act();
        Ok(())
    };
    if ran.is_err() {
        // The closure did not run, so the creator still waits.
        start.answered.set();
    }
    // SAFETY: this is a system thread, outside of the callout, and owns nothing.
    let _ = unsafe { PsTerminateSystemThread(0) };
}

/// Runs `body` with a record that [`exit`] finds.
fn run(mut body: Option<ThreadBody>) {
    let mut record = Record {
        // SAFETY: may be called anywhere.
        thread: unsafe { PsGetCurrentThread() },
        base: Base::new(),
        next: core::ptr::null_mut(),
    };
    let this: *mut Record = &raw mut record;
    {
        let mut running = RUNNING.lock();
        // SAFETY: `this` points to the record above, which nobody else knows yet.
        unsafe { (*this).next = running.0 };
        running.0 = this;
    }
    // SAFETY: `this` stays valid: it is unlinked and left below.
    let base = unsafe { &raw mut (*this).base };
    // SAFETY: the base outlives the call, and call_body takes a pointer to an Option<ThreadBody>.
    unsafe { Base::run(base, call_body, (&raw mut body).cast()) };
    let mut running = RUNNING.lock();
    let mut link: *mut *mut Record = &raw mut running.0;
    // SAFETY: under the lock every link leads to a live record or is null.
    while let Some(record) = NonNull::new(unsafe { *link }) {
        let record = record.as_ptr();
        if record == this {
            // SAFETY: as above.
            let next = unsafe { (*record).next };
            // SAFETY: as above.
            unsafe { *link = next };
            break;
        }
        // SAFETY: as above.
        link = unsafe { &raw mut (*record).next };
    }
}

unsafe extern "C" fn call_body(body: PVOID) {
    // SAFETY: run() passes its Option<ThreadBody>, and only this uses it.
    let body = unsafe { (*body.cast::<Option<ThreadBody>>()).take() };
    if let Some(body) = body {
        body.run();
    }
}

/// The number of the calling thread. Any IRQL.
pub fn name() -> u64 {
    // SAFETY: may be called anywhere.
    unsafe { PsGetCurrentThreadId() }.addr() as u64
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
    // SAFETY: may be called anywhere.
    let me = unsafe { PsGetCurrentThread() };
    // SAFETY: the calling thread.
    unsafe { KeSetPriorityThread(me.cast(), URGENT) };
}

/// Ends the calling thread, which [`Thread::spawn`] created.
///
/// IRQL: PASSIVE_LEVEL.
pub fn exit() -> ! {
    // SAFETY: may be called anywhere.
    let me = unsafe { PsGetCurrentThread() };
    let record = {
        let running = RUNNING.lock();
        let mut at = running.0;
        // SAFETY: under the lock every link leads to a live record or is null.
        while !at.is_null() && unsafe { (*at).thread } != me {
            // SAFETY: as above.
            at = unsafe { (*at).next };
        }
        at
    };
    if record.is_null() {
        // A thread that is not Linux's cannot end here, and must not go on either.
        loop {
            let mut long = large(-10_000_000);
            // SAFETY: kernel mode, not alertable; the interval is readable.
            let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &mut long) };
        }
    }
    // SAFETY: the record is this thread's own and lives as long as run() does.
    let base = unsafe { &raw const (*record).base };
    // SAFETY: the thread is inside run(); Linux' frames own nothing of ours.
    unsafe { Base::leave(base) }
}
