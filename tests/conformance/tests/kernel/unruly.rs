//! A host that gives way where it hurts: the POSIX host, with a hook in front of what Linux calls most often.
//!
//! The hook may sleep, yield, or hold a thread until something else has happened. So an order of events that a busy
//! machine shows once in thousands of boots can be had at will.

// UNSAFETY: passes on the two unsafe methods of `lkl::Host`.

use crate::tried::{Hooks, PosixHost};
use lkl::{Alarm, Host, ThreadBody};
use std::ptr::NonNull;
use std::sync::Arc;

/// An operation of the host's, about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the release, and after it.
    Up,
    Upped,
    /// Before the wait, and after it.
    Down,
    Downed,
    Arm,
    Clock,
}

/// What is done at each moment, on the thread that calls.
pub trait Hook: Send + Sync + 'static {
    fn at(&self, moment: Moment);

    /// Whether there is another semaphore, thread, timer or block of memory to be had.
    fn has_more(&self) -> bool {
        true
    }
}

/// Whether the calling thread is one that Linux made.
pub fn is_linux_thread() -> bool {
    std::thread::current().name() == Some("lkl")
}

pub struct Unruly<K> {
    host: Arc<PosixHost>,
    hook: Arc<K>,
}

impl<K: Hook> Unruly<K> {
    pub fn new(hook: Arc<K>) -> Arc<Self> {
        crate::tried::fault::install();
        let host = PosixHost::new(Hooks::to_stderr());
        Arc::new(Unruly { host, hook })
    }
}

pub struct Semaphore<K> {
    real: Box<<PosixHost as Host>::Semaphore>,
    hook: Arc<K>,
}

impl<K: Hook> lkl::Semaphore for Semaphore<K> {
    fn up(&self) {
        // The semaphore may be gone once it is up: nothing of it is touched afterwards.
        let hook = self.hook.clone();
        hook.at(Moment::Up);
        self.real.up();
        hook.at(Moment::Upped);
    }
    fn down(&self) {
        self.hook.at(Moment::Down);
        self.real.down();
        self.hook.at(Moment::Downed);
    }
}

pub struct Timer<K> {
    real: Box<<PosixHost as Host>::Timer>,
    hook: Arc<K>,
}

impl<K: Hook> lkl::Timer for Timer<K> {
    fn arm(&self, delta_ns: u64) {
        self.hook.at(Moment::Arm);
        self.real.arm(delta_ns);
    }
}

impl<K: Hook> Host for Unruly<K> {
    type Semaphore = Semaphore<K>;
    type Thread = <PosixHost as Host>::Thread;
    type Timer = Timer<K>;

    fn print(&self, text: &[u8]) {
        self.host.print(text);
    }
    fn panicked(&self, why: &[u8]) {
        self.host.panicked(why);
    }
    fn semaphore(&self, count: u32) -> Option<Box<Self::Semaphore>> {
        let real = self.hook.has_more().then(|| self.host.semaphore(count))??;
        let hook = self.hook.clone();
        Some(Box::new(Semaphore { real, hook }))
    }
    fn thread(&self, body: ThreadBody) -> Option<Box<Self::Thread>> {
        self.hook.has_more().then(|| self.host.thread(body))?
    }
    fn exit_thread(&self) -> ! {
        self.host.exit_thread()
    }
    fn thread_self(&self) -> u64 {
        self.host.thread_self()
    }
    fn thread_ran_ns(&self, thread: u64) -> Option<u64> {
        self.host.thread_ran_ns(thread)
    }
    fn pool_alloc(&self, size: usize) -> Option<NonNull<u8>> {
        self.hook.has_more().then(|| self.host.pool_alloc(size))?
    }
    unsafe fn pool_free(&self, pool: NonNull<u8>, size: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.host.pool_free(pool, size) }
    }
    fn pages_map(&self, pages: &[usize]) -> Option<NonNull<u8>> {
        self.host.pages_map(pages)
    }
    unsafe fn pages_unmap(&self, addr: NonNull<u8>, count: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.host.pages_unmap(addr, count) }
    }
    fn overlay_most(&self) -> u64 {
        self.host.overlay_most()
    }
    fn monotonic_ns(&self) -> u64 {
        self.hook.at(Moment::Clock);
        self.host.monotonic_ns()
    }
    fn realtime_ns(&self) -> u64 {
        self.host.realtime_ns()
    }
    fn timer(&self, alarm: Alarm) -> Option<Box<Self::Timer>> {
        let real = self.hook.has_more().then(|| self.host.timer(alarm))??;
        let hook = self.hook.clone();
        Some(Box::new(Timer { real, hook }))
    }
    fn yield_now(&self) {
        self.host.yield_now();
    }
    fn enter_linux(&self) {
        self.host.enter_linux();
    }
    fn leave_linux(&self) {
        self.host.leave_linux();
    }
}
