//! Closures for a host's raw entries, and waiting by a host's own means.

use crate::Outcome;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::ffi::c_void;
use lkl::{Alarm, Host, Semaphore, Thread, ThreadBody, Timer};

/// A semaphore that threads share.
pub(super) type Shared<H> = Arc<Box<<H as Host>::Semaphore>>;

pub(super) fn semaphore<H: Host>(host: &Arc<H>, count: u32) -> Result<Shared<H>, Outcome> {
    host.semaphore(count)
        .map(Arc::new)
        .ok_or_else(|| failed("no semaphore"))
}

pub(super) fn failed(text: &str) -> Outcome {
    Outcome::Failed(String::from(text))
}

/// What a thread does, and how it ends.
struct Work<H> {
    host: Arc<H>,
    act: Box<dyn FnOnce() + Send>,
    exits: bool,
}

/// Starts a thread that does something and then leaves by `exit_thread`.
pub(super) fn spawn<H: Host>(
    host: &Arc<H>,
    act: impl FnOnce() + Send + 'static,
) -> Result<Box<H::Thread>, Outcome> {
    start(host, Box::new(act), true)
}

/// Starts a thread that does something and then returns from its body.
pub(super) fn spawn_returning<H: Host>(
    host: &Arc<H>,
    act: impl FnOnce() + Send + 'static,
) -> Result<Box<H::Thread>, Outcome> {
    start(host, Box::new(act), false)
}

fn start<H: Host>(
    host: &Arc<H>,
    act: Box<dyn FnOnce() + Send>,
    exits: bool,
) -> Result<Box<H::Thread>, Outcome> {
    let work = Box::into_raw(Box::new(Work {
        host: Arc::clone(host),
        act,
        exits,
    }));
    // SAFETY: `work` runs a box of this type once, on any thread, since what is in it is Send.
    let body = unsafe { ThreadBody::new(enter::<H>, work.cast()) };
    host.thread(body).ok_or_else(|| {
        // SAFETY: a host that returns None has not run the body and will not.
        drop(unsafe { Box::from_raw(work) });
        failed("no thread")
    })
}

unsafe extern "sysv64" fn enter<H: Host>(arg: *mut c_void) {
    // The box itself is given back here: what is still alive at exit_thread is never dropped.
    let Work { host, act, exits } = {
        // SAFETY: `start` made this box, for one call.
        let work = unsafe { Box::from_raw(arg.cast::<Work<H>>()) };
        *work
    };
    act();
    if exits {
        // The frames above are abandoned: nothing may be left in them but this pointer.
        let raw = Arc::as_ptr(&host);
        drop(host);
        // SAFETY: the thread that runs the scenario holds another count until it has joined this thread.
        unsafe { &*raw }.exit_thread();
    }
}

/// A timer with a closure.
pub(super) struct Ringer<H: Host> {
    timer: Option<Box<H::Timer>>,
    act: *mut Box<dyn Fn() + Send + Sync>,
}

// SAFETY: the closure is Send and Sync, and so is a timer.
unsafe impl<H: Host> Send for Ringer<H> {}
// SAFETY: as above.
unsafe impl<H: Host> Sync for Ringer<H> {}

impl<H: Host> Ringer<H> {
    pub(super) fn new(host: &Arc<H>, act: impl Fn() + Send + Sync + 'static) -> Result<Self, Outcome> {
        let act: *mut Box<dyn Fn() + Send + Sync> = Box::into_raw(Box::new(Box::new(act)));
        // SAFETY: the closure lives until the timer has been dropped: see drop.
        let alarm = unsafe { Alarm::new(ring, act.cast()) };
        match host.timer(alarm) {
            Some(timer) => Ok(Ringer {
                timer: Some(timer),
                act,
            }),
            None => {
                // SAFETY: nobody else has it.
                drop(unsafe { Box::from_raw(act) });
                Err(failed("no timer"))
            }
        }
    }

    pub(super) fn arm(&self, delta_ns: u64) {
        if let Some(timer) = &self.timer {
            timer.arm(delta_ns);
        }
    }
}

impl<H: Host> Drop for Ringer<H> {
    fn drop(&mut self) {
        self.timer = None;
        // SAFETY: dropping the timer has waited for the last ring.
        drop(unsafe { Box::from_raw(self.act) });
    }
}

unsafe extern "sysv64" fn ring(arg: *mut c_void) {
    // SAFETY: Ringer keeps the closure for as long as the timer is there.
    let act = unsafe { &*arg.cast::<Box<dyn Fn() + Send + Sync>>() };
    act();
}

/// Waits, by a timer and a semaphore.
pub(super) fn sleep<H: Host>(host: &Arc<H>, ns: u64) -> Result<(), Outcome> {
    let woken = semaphore(host, 0)?;
    let ringer = Ringer::new(host, {
        let woken = Arc::clone(&woken);
        move || woken.up()
    })?;
    ringer.arm(ns);
    woken.down();
    Ok(())
}

/// Joins all.
pub(super) fn join<T: Thread>(threads: impl IntoIterator<Item = Box<T>>) {
    threads.into_iter().for_each(Thread::join);
}

pub(super) const MS: u64 = 1_000_000;
