//! libapr's threads: Linux's own, and those that work for the host.

#![allow(unsafe_code)]

use crate::apr::{
    apr_os_thread_current, apr_status_t, apr_thread_create, apr_thread_join, apr_thread_t, apr_thread_yield,
    apr_threadattr_create, apr_threadattr_stacksize_set,
};
use crate::region::Region;
use lkl_host_std::spawn::{Running, Work};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stack of a thread, bytes. Linux's own frames need under 16 KiB; the rest is room for the host's callbacks.
pub const STACK_SIZE: usize = 256 * 1024;

/// A running thread.
#[derive(Debug)]
pub struct Thread {
    thread: NonNull<apr_thread_t>,
    /// The thread's [`name`], once it runs.
    name: Arc<AtomicU64>,
    /// What libapr keeps of it is in there.
    _region: Region,
}

// SAFETY: libapr lets any thread join another.
unsafe impl Send for Thread {}

/// What a new thread finds.
struct Start {
    work: Work,
    name: Arc<AtomicU64>,
}

impl Thread {
    /// Starts a thread. `None` when there is none to be had.
    pub fn start(work: Work) -> Option<Thread> {
        let region = Region::new()?;
        let mut attributes = null_mut();
        // SAFETY: room for a pointer, and a region of ours.
        let status = unsafe { apr_threadattr_create(&mut attributes, region.as_ptr()) };
        (status == 0).then_some(())?;
        // SAFETY: just made.
        let status = unsafe { apr_threadattr_stacksize_set(attributes, STACK_SIZE) };
        (status == 0).then_some(())?;
        let name = Arc::new(AtomicU64::new(0));
        let start = Start {
            work,
            name: Arc::clone(&name),
        };
        let start = Box::into_raw(fallible::try_box(start)?);
        let mut thread = null_mut();
        // SAFETY: `run` takes such a box, once, on the new thread.
        let status =
            unsafe { apr_thread_create(&mut thread, attributes, Some(run), start.cast(), region.as_ptr()) };
        match NonNull::new(thread) {
            Some(thread) if status == 0 => Some(Thread {
                thread,
                name,
                _region: region,
            }),
            _ => {
                // SAFETY: no thread has it.
                drop(unsafe { Box::from_raw(start) });
                None
            }
        }
    }
}

impl lkl::Thread for Thread {
    fn join(self: Box<Self>) {
        let mut ended: apr_status_t = 0;
        // SAFETY: the thread is joined this once.
        let status = unsafe { apr_thread_join(&mut ended, self.thread.as_ptr()) };
        debug_assert_eq!(status, 0, "a thread cannot be joined");
    }
}

impl Running for Thread {
    fn is_current(&self) -> bool {
        self.name.load(Ordering::Relaxed) == name()
    }

    fn join(self: Box<Self>) {
        lkl::Thread::join(self);
    }
}

/// Starts a thread that works for the host. libapr's threads have no names.
pub(crate) fn start_worker(_name: &'static str, work: Work) -> Option<Box<dyn Running>> {
    Some(Box::new(Thread::start(work)?))
}

unsafe extern "C" fn run(_thread: *mut apr_thread_t, start: *mut c_void) -> *mut c_void {
    // SAFETY: the box of Thread::start, which is this thread's.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    start.name.store(name(), Ordering::Relaxed);
    (start.work)();
    null_mut()
}

/// A number that no other thread has.
pub fn name() -> u64 {
    // SAFETY: always works.
    unsafe { apr_os_thread_current() }
}

/// Lets other threads run.
pub fn yield_now() {
    // SAFETY: always works.
    unsafe { apr_thread_yield() }
}
