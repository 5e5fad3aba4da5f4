//! Linux's threads: system threads of NT, each on an expanded stack.
//!
//! The life of one: [`LinuxThread::spawn`] creates it; the thread links a [`Record`] that lies on its own stack into the list of
//! running threads and runs Linux's entry function; [`exit`] finds the record by the current thread and jumps back
//! to it; the thread takes its record out and returns.
//
// UNSAFETY: keeps a list of records that lie on other threads' stacks, and leaves frames by a jump.

use alloc::boxed::Box;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use lkl::ThreadBody;
use lklfs_kernel::nt::{KERNEL_MODE, KeDelayExecutionThread, NO, PVOID, large};
use lklfs_kernel::stack::Base;
use lklfs_kernel::sync::SpinLock;
use lklfs_kernel::thread::{self, Thread};

/// A thread of Linux's that is to be joined.
#[derive(Debug)]
pub struct LinuxThread(Thread);

/// One running thread of Linux; lies on that thread's stack.
struct Record {
    thread: PVOID,
    base: Base,
    next: *mut Record,
}

struct Records(*mut Record);

// SAFETY: the records are only reached under the lock, and each unlinks itself before its stack goes.
unsafe impl Send for Records {}

static RUNNING: SpinLock<Records> = SpinLock::new(Records(null_mut()));

impl LinuxThread {
    /// Starts a thread that runs `body`. `None` when there is no thread or no stack to be had.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn spawn(body: ThreadBody) -> Option<Box<LinuxThread>> {
        // Room for the result first: a thread that runs must not be reported as none.
        let place = fallible::try_box(MaybeUninit::<LinuxThread>::uninit())?;
        let thread = Thread::spawn_on_large_stack(move || run(Some(body)))?;
        Some(Box::write(place, LinuxThread(thread)))
    }
}

impl lkl::Thread for LinuxThread {
    fn join(self: Box<Self>) {
        self.0.join();
    }
}

/// Runs `body` with a record that [`exit`] finds.
fn run(mut body: Option<ThreadBody>) {
    let mut record = Record {
        thread: thread::current(),
        base: Base::new(),
        next: null_mut(),
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

/// Ends the calling thread, which [`LinuxThread::spawn`] created.
///
/// IRQL: PASSIVE_LEVEL.
pub fn exit() -> ! {
    let me = thread::current();
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
